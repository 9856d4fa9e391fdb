"""Where a report's rows come from, as the editor's form says it: a file, or a database with its password. Pure.

Must stay true: a password that is kept never reaches the page, and one that is kept sealed is given up only for one
that was typed; what belongs to the other kind of source goes when the kind changes.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.reports.toml_edit import Value

ROWS_FROM, PASSWORD = "f-rows-from", "db-password"
FILE, DATABASE, PARTS = "file", "database", "parts"
_OF_FILES = ("kind", "file", "encoding", "delimiter", "sheet", "header_row")
_OF_DATABASES = ("kind", "url", "query", "password", "password_env", "password_file")
_LONGEST_PASSWORD = 4000


def rows_of(text: str) -> dict[str, Any]:
    """The section [rows]; empty when there is none, or nobody can read it."""
    try:
        found = tomllib.loads(text).get("rows")
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def source_of(text: str) -> str:
    """What the rows are: FILE, DATABASE, or the PARTS of a PDF that is cut."""
    rows = rows_of(text)
    if rows:
        return DATABASE if rows.get("url") or rows.get("query") or rows.get("kind") == "sql" else FILE
    try:
        return PARTS if "burst" in tomllib.loads(text) else FILE
    except (tomllib.TOMLDecodeError, RecursionError):
        return FILE


def typed_password(texts: Mapping[str, str]) -> Secret | None:
    """A password that was typed, for a report that asks a database."""
    typed = texts.get(PASSWORD, "")[:_LONGEST_PASSWORD]
    return Secret(typed) if typed else None


def other_source(text: str, wanted: str) -> dict[tuple[str, str], Value]:
    """What has to go from [rows] so that the rows come from `wanted`; nothing when they do."""
    now = source_of(text)
    if wanted not in {FILE, DATABASE} or now in {wanted, PARTS}:
        return {}
    return {("rows", key): None for key in (_OF_FILES if wanted == DATABASE else _OF_DATABASES)}


def belongs(name: str, wanted: str) -> bool:
    """Whether a field of the form counts where rows come from `wanted`."""
    return not (name == "file" and wanted == DATABASE) and not (name in {"url", "query"} and wanted == FILE)


def password_words(text: str) -> tuple[str, bool]:
    """What is known of the password, in words, and whether one can be typed here."""
    rows = rows_of(text)
    if name := rows.get("password_env"):
        return f"The password comes from the variable {name} of the environment.", False
    if name := rows.get("password_file"):
        return f"The password comes from the file {name}.", False
    if rows.get("password"):
        return (
            "One is kept, sealed, and is not shown. Type it again when the address or the query changes.",
            True,
        )
    return "It is sealed when you save, and never shown again.", True


def seal_lost(text: str, before: str) -> bool:
    """Whether the sealed password of `before` would not open any more: it is bound to the address and the query."""
    now, then = rows_of(text), rows_of(before)
    if not then.get("password") or now.get("password") != then["password"]:
        return False
    return any(_word(now, key) != _word(then, key) for key in ("url", "query"))


def _word(rows: Mapping[str, Any], key: str) -> str:
    return str(rows.get(key, "")).strip()
