"""Puts a sealed database password into report.toml, and leaves every other line as it was; seals it with another key.

Must stay true: the password is sealed for the url and the query that stand in the file, and nowhere in clear.
"""

from __future__ import annotations

import contextlib
import tomllib
from typing import TYPE_CHECKING, Any

from datapallas.connection.model import Sealed
from datapallas.connection.rotation import Checked
from datapallas.connection.vault import is_ours, kid_in
from datapallas.errors import ConfigurationError, StorageError
from datapallas.reports.model import Kind, Source
from datapallas.reports.passwords import bound_to, seal
from datapallas.reports.toml_lines import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.connection.identity import Identity
    from datapallas.connection.vault import Vault
    from datapallas.reports.folder import Reports
    from datapallas.reports.model import Report
    from datapallas.secret import Secret


def seal_password(reports: Reports, code: str, password: Secret) -> Report:
    """Seal `password` for the database of a report, and save the report with it.

    Raises ConfigurationError (`report-password` when the report asks no database, `report-definition` for another
    mistake in it), KeyProblem, StorageError; the file is unchanged then.
    """
    return reports.save(code, with_sealed(reports, code, reports.text(code), password))


def with_sealed(reports: Reports, code: str, text: str, password: Secret) -> str:
    """`text`, a report.toml of `code`, with the password sealed into it. Raises as `seal_password`."""
    sealed = seal(reports.root, code, _source(text, code), password)
    return _with_password(text, sealed.text, code)


class SealedReports:
    """The sealed passwords of all reports, for `keys verify` and `keys rotate` (connection.rotation.Others)."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def verify(self, vault: Callable[[], Vault]) -> list[Checked]:
        """Open each; a home without any needs no key."""
        return [self._opened(vault(), code, text)[0] for code, text in self._sealed()]

    def reseal(self, vault: Vault, primary: str) -> tuple[int, list[Checked]]:
        """Seal with the key `primary` what another key sealed; how many, and those that do not open."""
        done, failed = 0, []
        for code, text in self._sealed():
            checked, secret, bound = self._opened(vault, code, text)
            if secret is None or bound is None:
                failed.append(checked)
            elif checked.kid != primary:
                sealed = vault.seal(secret, bound).text
                self._reports.replace(code, text, _with_password(text, sealed, code))
                done += 1
        return done, failed

    def _sealed(self) -> Iterator[tuple[str, str]]:
        for code in self._reports.codes():
            with contextlib.suppress(ConfigurationError, StorageError):
                text = self._reports.text(code)
                if _password(text):
                    yield code, text

    @staticmethod
    def _opened(vault: Vault, code: str, text: str) -> tuple[Checked, Secret | None, Identity | None]:
        name, sealed = f"report {code}", _password(text)
        try:
            source = _source(text, code)
            bound = bound_to(code, source.url, source.query)
            secret = vault.open(Sealed(sealed), bound).value
        except ConfigurationError as problem:
            return Checked(name, "password", kid_in(sealed), problem.message), None, None
        return Checked(name, "password", kid_in(sealed)), secret, bound


def _password(text: str) -> str:
    """The sealed password in a report.toml; empty when there is none, or when the file cannot be read."""
    try:
        rows: Any = tomllib.loads(text).get("rows")
    except tomllib.TOMLDecodeError:
        return ""
    found = rows.get("password") if isinstance(rows, dict) else None
    return found if isinstance(found, str) and is_ours(found) else ""


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
