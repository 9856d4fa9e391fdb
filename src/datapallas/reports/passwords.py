"""The password of a report's database: sealed in report.toml, in a variable of the environment, or in a private file.

Must stay true: it stands nowhere in clear; a sealed one opens only for the report, the address and the query it was
sealed for, so that nobody who may edit the file can send it to another server or ask another question with it.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.connection import keys
from datapallas.connection.identity import Identity
from datapallas.connection.model import Sealed
from datapallas.connection.vault import Vault
from datapallas.errors import ConfigurationError, SealBroken
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from datapallas.reports.model import Source

_LIMIT = 65536
ENV, FILE = "env:", "file:"
"""How `Source.password_from` begins when it is not a sealed value."""


def bound_to(code: str, url: str, query: str) -> Identity:
    """What the password of a report is sealed for."""
    digest = hashlib.sha256(query.strip().encode()).hexdigest()
    pairs = {"code": f"report {code}", "field": "report_password", "url": url.strip(), "query": digest}
    return Identity(tuple(sorted(pairs.items())))


def seal(root: Path, code: str, source: Source, value: Secret) -> Sealed:
    """`value` as it may stand as `password` in report.toml. Raises KeyProblem."""
    vault = Vault(keys.ensure(root, os.environ))
    return vault.seal(value, bound_to(code, source.url, source.query))


def password_of(source: Source, folder: Path, environ: Mapping[str, str] | None = None) -> Secret | None:
    """The password of `source`, a report in `folder`; None when it has none.

    Raises ConfigurationError (code `report-password`), SealBroken (code `report-password` too), KeyProblem.
    """
    environ = os.environ if environ is None else environ
    given = source.password_from
    if source.password is not None or not given:
        return source.password
    if given.startswith(ENV):
        return _from_environment(given.removeprefix(ENV), folder.name, environ)
    if given.startswith(FILE):
        return _from_file(folder / given.removeprefix(FILE), folder.name)
    root = folder.parents[2]
    vault = Vault(keys.ensure(root, environ))
    try:
        return vault.open(Sealed(given), bound_to(folder.name, source.url, source.query)).value
    except SealBroken as problem:
        raise _refused(
            folder.name,
            "does not open: it, the report's code, url or query was changed since it was sealed. Seal it again with: "
            f"datapallas report seal-password {folder.name}",
            "sealed",
        ) from problem


def _from_environment(name: str, code: str, environ: Mapping[str, str]) -> Secret:
    value = environ.get(name, "")
    if not value:
        raise _refused(code, f"is to come from the variable {name}, which is not set", "env")
    return Secret(value)


def _from_file(path: Path, code: str) -> Secret:
    try:
        reason = files.exposed(path) or ""
        data = b"" if reason else files.read(path, limit=_LIMIT)
    except OSError as problem:
        reason, data = problem.strerror or "it cannot be read", b""
    if reason:
        raise _refused(code, f"is to come from {path}, which is not used: {reason}", "file")
    value = data.decode("utf-8", "replace").strip()
    if not value or "\n" in value:
        raise _refused(code, f"is to come from {path}, which must hold one line", "file")
    return Secret(value)


def _refused(code: str, why: str, case: str) -> ConfigurationError:
    return ConfigurationError(
        f"The database password of the report {code} {why}.", code="report-password", case=case, report=code
    )
