"""Which reports send through which connection: what would stop when one is deleted.

Must stay true: a broken report counts as well, as far as its connection can be read.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError, DataPallasError

if TYPE_CHECKING:
    from datapallas.home import Home


def used_by(home: Home) -> dict[str, list[str]]:
    """The codes of the reports, by the code of the connection they name or, as the default one, mean."""
    if not os.path.lexists(home.root / "config" / "reports"):
        return {}
    from datapallas.reports.folder import Reports

    default = ""
    with contextlib.suppress(DataPallasError):
        default = home.folder.default().code
    found: dict[str, list[str]] = {}
    for code, named in Reports(home.root).connections().items():
        if named or default:
            found.setdefault(named or default, []).append(code)
    return found


def check_unused(home: Home, connection: str) -> None:
    """Raises ConfigurationError (code `connection-in-use`) that names the reports."""
    reports = used_by(home).get(connection)
    if reports:
        names = ", ".join(reports)
        raise ConfigurationError(
            f"{connection} is used by the report{'s' if len(reports) > 1 else ''} {names}. Give them another connection "
            "first, or delete with --force.",
            code="connection-in-use",
            connection=connection,
            reports=names,
        )
