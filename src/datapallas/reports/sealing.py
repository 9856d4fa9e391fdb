"""Puts a sealed database password into report.toml, and leaves every other line as it was.

Must stay true: the password is sealed for the url and the query that stand in the file, and nowhere in clear.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from datapallas.errors import ConfigurationError
from datapallas.reports.model import Kind, Source
from datapallas.reports.passwords import seal
from datapallas.reports.toml_lines import lines_of

if TYPE_CHECKING:
    from datapallas.reports.folder import Reports
    from datapallas.reports.model import Report
    from datapallas.secret import Secret


def seal_password(reports: Reports, code: str, password: Secret) -> Report:
    """Seal `password` for the database of a report, and save the report with it.

    Raises ConfigurationError (`report-password` when the report asks no database, `report-definition` for another
    mistake in it), KeyProblem, StorageError; the file is unchanged then.
    """
    text = reports.text(code)
    source = _source(text, code)
    sealed = seal(reports.root, code, source, password)
    return reports.save(code, _with_password(text, sealed.text, code))


def _source(text: str, code: str) -> Source:
    try:
        rows: Any = tomllib.loads(text).get("rows")
    except tomllib.TOMLDecodeError:
        rows = None
    url, query = (rows.get("url"), rows.get("query")) if isinstance(rows, dict) else (None, None)
    if not isinstance(url, str) or not isinstance(query, str):
        raise _none(code)
    return Source(kind=Kind.SQL, url=url, query=query)


def _with_password(text: str, sealed: str, code: str) -> str:
    lines = text.splitlines(keepends=True)
    places = lines_of(text)
    own, head = places.get(("rows", "password")), places.get(("rows",))
    line = f'password = "{sealed}"\n'
    if own is not None and lines[own - 1].lstrip().startswith("password"):
        lines[own - 1] = line
    elif own is None and head is not None and lines[head - 1].lstrip().startswith("["):
        lines.insert(head, line)
    else:
        raise _none(code)
    return "".join(lines)


def _none(code: str) -> ConfigurationError:
    return ConfigurationError(
        f"The report {code} has no section [rows] with url and query on lines of their own, so there is nothing a "
        "password could be for.",
        code="report-password",
        case="no-database",
        report=code,
    )
