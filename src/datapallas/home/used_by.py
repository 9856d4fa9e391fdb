"""Which reports send through which connection: what would stop when one is deleted.

Must stay true: a broken report counts as well, as far as its connection can be read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError, DataPallasError

if TYPE_CHECKING:
    from datapallas.home import Home


def used_by(home: Home) -> dict[str, list[str]]:
    """The codes of the reports, by the code of the connection they name or, as the default one, mean."""
    if not os.path.lexists(home.root / "config" / "reports"):
        return {}
    from datapallas.reports import definition
    from datapallas.reports.folder import Reports

    reports = Reports(home.root)
    found: dict[str, list[str]] = {}
    for code in reports.codes():
        try:
            named = definition.connection_in(reports.text(code))
            named = named or home.folder.default().code
        except DataPallasError:
            continue
        found.setdefault(named, []).append(code)
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
