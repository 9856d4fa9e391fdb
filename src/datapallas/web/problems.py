"""Answers to requests that fail: a calm page, a piece of one for htmx, or `application/problem+json` (RFC 9457).

Must stay true: what failed is explained by the catalogue; no traceback and no secret is in an answer.
"""

from __future__ import annotations

import dataclasses
import http
import os
import sys
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from datapallas import errors
from datapallas.diagnosis.explain import explain
from datapallas.web.templating import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from datapallas.diagnosis.explain import Diagnosis

PROBLEM_JSON = "application/problem+json"
_STATUS: tuple[tuple[type[errors.DataPallasError], int], ...] = (
    (errors.UnknownConnection, 404),
    (errors.UsageError, 400),
    (errors.MessageError, 422),
    (errors.ConfigurationError, 409),
    (errors.SignInError, 409),
    (errors.StorageError, 503),
    (errors.TokenRefused, 502),
    (errors.Unreachable, 502),
    (errors.TlsRefused, 502),
    (errors.SmtpRefused, 502),
    (errors.SmtpUnsupported, 502),
    (errors.ProtocolError, 502),
    (errors.RecipientsRefused, 502),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An answer to a request that fails.

    Attributes:
        status: the HTTP status.
        title: what failed, in a few words; empty: the status in words.
        detail: why, and what to do next.
        diagnosis: when something of ours failed.
        headers: further headers, such as Retry-After.
        template: the page, when it is not the one for problems.
    """

    status: int
    title: str = ""
    detail: str = ""
    diagnosis: Diagnosis | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    template: str = "problem.html"

    def to_dict(self) -> dict[str, object]:
        """The members RFC 9457 section 3.1 names, and the diagnosis."""
        kind = f"urn:datapallas:{self.diagnosis.id}" if self.diagnosis else "about:blank"
        document: dict[str, object] = {"type": kind, "title": self.words, "status": self.status}
        if self.detail:
            document["detail"] = self.detail
        if self.diagnosis:
            document["diagnosis"] = self.diagnosis.to_dict()
        return document

    @property
    def words(self) -> str:
        """What failed, in a few words."""
        return self.title or http.HTTPStatus(self.status).phrase


class Refused(Exception):
    """The guard refuses a request with `problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.words)
        self.problem = problem


def is_api(scope: Scope) -> bool:
    """The request is a program's: its answer is JSON, also when it fails."""
    path: str = scope["path"]
    return path.startswith("/api/")


def answer(scope: Scope, problem: Problem) -> Response:
    """The answer as whoever asked can read it."""
    headers = dict(problem.headers)
    if is_api(scope):
        return JSONResponse(problem.to_dict(), problem.status, headers, media_type=PROBLEM_JSON)
    if (
        problem.status == http.HTTPStatus.MISDIRECTED_REQUEST
    ):  # who asks for another host gets no page of ours
        return PlainTextResponse(f"{problem.words}. {problem.detail}\n", problem.status, headers)
    request = Request(scope)
    template = "_problem.html" if "hx-request" in request.headers else problem.template
    return render(request, template, status=problem.status, headers=headers, problem=problem)


def of_error(error: BaseException) -> Problem:
    """What an exception comes to: its explanation, and the status that says whose business it is."""
    diagnosis = explain(error)
    if not isinstance(error, errors.DataPallasError):  # nobody has looked at what it says
        diagnosis = dataclasses.replace(diagnosis, raw="")
    return Problem(
        status=status_of(error), title=diagnosis.title, detail=diagnosis.cause, diagnosis=diagnosis
    )


def status_of(error: BaseException) -> int:
    """The HTTP status an exception comes to."""
    if isinstance(error, errors.DataPallasError):
        if error.code == "too-many":
            return 429
        for kind, status in _STATUS:
            if isinstance(error, kind):
                return status
    return 500


def tell(error: BaseException) -> None:
    """Tell whoever runs the server about a fault of ours: on stderr, explained; the traceback on demand only."""
    print(explain(error).render(), file=sys.stderr, flush=True)  # noqa: T201 - the log of a server without one
    if os.environ.get("DATAPALLAS_DEBUG"):
        import traceback

        traceback.print_exception(error)
