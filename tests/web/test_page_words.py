"""What to do, in the words of the page."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from datapallas.connection.fields import FIELDS
from datapallas.diagnosis.catalogue import fill, rows
from datapallas.web.page_words import LABELS, for_the_page

TERMINAL_ONLY = {"transport", "unknown-field"}
"""Rows about what the editor has no field for, or about a command's own words."""
FACTS = {"connection": "eml-office365", "mailbox": "reports@contoso.example"}


@pytest.mark.parametrize(
    ("fix", "page"),
    [
        (
            "Sign in again with `datapallas oauth2 sign-in --connection eml-x` as the mailbox's own user.",
            "Sign in again on the connection's tab Advanced as the mailbox's own user.",
        ),
        (
            "Correct it with `datapallas connection set eml-x tenant-id=TENANT`, where TENANT is shown under Overview.",
            "Correct it in the field Tenant id; it is shown under Overview.",
        ),
        (
            "Store its Value with `datapallas connection set eml-x --client-secret ask`.",
            "Store its Value in the field Client secret.",
        ),
        ("Set it with `datapallas connection set eml-x security=STARTTLS port=587`.", "Set Security to STARTTLS and Port to 587."),
        (
            "Remove the scope with `datapallas connection set eml-x scope= --drop-sign-in`, then sign in again.",
            "Remove the scope by emptying the field Scope, then sign in again.",
        ),
        ("Run `datapallas keys verify`.", "Run `datapallas keys verify`."),
    ],
)  # fmt: skip
def test_a_command_that_has_a_place_on_the_page_is_said_by_it(fix: str, page: str) -> None:
    """Fields and buttons instead of commands; what only a terminal can do stays a command to copy."""
    assert for_the_page(fix) == page


def test_nobody_at_the_page_is_sent_to_a_terminal_for_what_the_page_can_do() -> None:
    """No row of the catalogue names a sign-in or a change of a connection as a command there."""
    for row in rows():
        for fix in () if row.page or row.id in TERMINAL_ONLY else (row.fix, *row.fix_for.values()):
            said = for_the_page(fill(fix, FACTS))
            assert not re.search(r"datapallas (oauth2 sign-in|connection (set|default))", said), (
                row.id,
                said,
            )


def test_the_fields_are_called_as_in_the_editor() -> None:
    """Each field that a fix may name, by the label it has there."""
    editor = files("datapallas.web").joinpath("templates/_editor_body.html").read_text("utf-8")
    for name, label in LABELS.items():
        assert f"(form, '{name.removeprefix('--')}', '{label}'" in editor, name
    assert set(FIELDS) - LABELS.keys() == {"transport"}
