"""Whether the columns that report.toml names are columns of the rows.

Must stay true: one mistake in report.toml is one error, at its line, and not one for each row.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from datapallas.reports.flaws import FILE, Flaw, Flaws, nearest
from datapallas.reports.model import Kind
from datapallas.reports.toml_lines import lines_of, nearest_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.reports.model import Report


def agree(report: Report, columns: Sequence[str]) -> None:
    """Raise ConfigurationError (code `report-definition`) when `group_by` or `match` is none of the rows' columns."""
    if report.rows is None or report.rows.kind is Kind.JSONL or not columns:
        return  # in JSON lines each row has columns of its own
    named = [("rows", "group_by", name) for name in report.rows.group_by]
    if report.burst is not None:
        named.append(("burst", "match", report.burst.match))
    strange = [one for one in named if one[2] not in columns]
    if not strange:
        return
    text = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = (report.folder / FILE).read_text("utf-8-sig")
    lines, flaws = lines_of(text), Flaws()
    for section, key, name in strange:
        reason = f"{key!r} names the column {name!r}, which the rows do not have{nearest(name, columns)}"
        flaws.append(Flaw(reason, nearest_line(lines, (section, key)), key=f"{section}.{key}"))
    raise flaws.error(report.folder)
