"""The JSON API for programs: `/api/v1/...`, over the same services the pages use.

Must stay true: a secret goes in and never comes out; every failure is a problem (RFC 9457); what an answer may hold
stands in a model, and nothing else leaves; `description` says all of it as OpenAPI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.web.api import (
    about,
    changes,
    connections,
    diagnoses,
    docs,
    jobs,
    messages,
    reports,
    sign_ins,
    test_emails,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import APIRouter

ROUTERS: Sequence[APIRouter] = (
    about.router,
    connections.router,
    changes.router,
    sign_ins.router,
    test_emails.router,
    messages.router,
    reports.router,
    jobs.router,
    diagnoses.router,
    docs.router,
)
"""The routers of the API, each with whole paths."""
