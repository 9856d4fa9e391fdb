"""What `user` and `token` share: the access of the home, and an audit line for each change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from datapallas.cli.options import current_home

if TYPE_CHECKING:
    from datapallas.web.access import Access

ROLES = ("viewer", "operator", "admin")
role_option = click.option(
    "--role",
    type=click.Choice(ROLES),
    required=True,
    help="viewer looks; operator also signs in and sends test emails; admin also changes connections.",
)


def access() -> Access:
    """Users and tokens of the current home."""
    from datapallas.web.access import Access

    return Access(current_home().root)


def note_change(what: str, **facts: object) -> None:
    """Write a change made here to the audit."""
    from datapallas.web.audit import Audit, Person

    Audit(current_home().root).write(Person(f"command line, uid {os.getuid()}"), what, **facts)
