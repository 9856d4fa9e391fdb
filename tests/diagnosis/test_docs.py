"""The documents say what the program does: commands, fields, classes and codes in them exist, and none is left out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import datapallas
from datapallas import errors
from datapallas.cli.app import AUDIT, CONNECTION, JOB, KEYS, OAUTH2, OUTBOX, REPORT, TOKEN, USER, app
from datapallas.connection.elements import ORDER
from datapallas.connection.fields import FIELDS
from datapallas.diagnosis.catalogue import fill, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def _commands() -> Iterator[tuple[str, str]]:
    """Every `datapallas ...` that somebody is told to type, with where it stands."""
    for row in rows():
        for text in (row.fix, row.cause, *row.fix_for.values()):
            yield from ((row.id, found) for found in re.findall(r"`(datapallas [^`]*)`", fill(text, {})))
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        yield from ((page.name, found) for found in re.findall(r"^ *(datapallas .*)$", text, re.MULTILINE))
        yield from ((page.name, found) for found in re.findall(r"`(datapallas [^`]*)`", text))


@pytest.mark.parametrize(("place", "typed"), sorted(set(_commands())))
def test_a_command_we_tell_people_to_type_exists(place: str, typed: str) -> None:
    """Each command in a fix or a document is a real one, with real options and fields."""
    words = shlex.split(typed, comments=True)[1:]
    command: click.Command = app
    with click.Context(app) as context:
        while words and isinstance(command, click.Group):
            word = words.pop(0)
            found = command.get_command(context, word)
            assert found is not None, f"{place}: there is no command {word}"
            command = found
        known = {name for option in command.get_params(context) for name in option.opts}
    for word in words:
        if word.startswith("--"):
            assert word in known, f"{place}: {typed}"
        elif command.name == "set" and "=" in word:
            assert word.split("=")[0] in {*FIELDS, "FIELD"}, f"{place}: {typed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page: Path) -> None:
    """A link to another page leads to a page that is there."""
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        assert link.startswith("https://") or (page.parent / link.partition("#")[0]).is_file(), link


def test_every_command_is_in_the_reference() -> None:
    """docs/commands.md has each command of the program."""
    text = _page("commands.md")
    groups = {
        "connection": CONNECTION,
        "oauth2": OAUTH2,
        "keys": KEYS,
        "user": USER,
        "token": TOKEN,
        "audit": AUDIT,
        "job": JOB,
        "outbox": OUTBOX,
        "report": REPORT,
    }
    for group, table in groups.items():
        for name in table:
            assert f"`{group} {name}" in text
    with click.Context(app) as context:
        for name in app.list_commands(context):
            assert name in text


def test_every_field_and_element_is_documented() -> None:
    """Each field one can set, and each element of the file, is explained."""
    for name in FIELDS:
        assert f"`{name}`" in _page("commands.md")
    for _parent, name in ORDER:
        assert f"`{name}`" in _page("file-format.md") or name == "emailserver"


def test_every_class_of_error_and_exit_code_is_documented() -> None:
    """The library page names each error; the page of exit codes has each code."""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.DataPallasError):
            assert f"`{name}`" in _page("library.md") or f"datapallas.{name}" in _page("library.md")
            assert f"| {kind.exit_code} |" in _page("exit-codes.md")
    for name in datapallas.__all__:
        assert name == "__version__" or name in _page("library.md")
