"""A report's email of one recipient, composed as the connection would send it.

Must stay true: a connection the report names and that is not there is an error; without any connection yet, a preview
still works, from an address that cannot exist.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from datapallas.errors import NoDefaultConnection
from datapallas.mail.address import NamedAddress
from datapallas.mail.compose import Composer
from datapallas.mail.mailbox import sender_of
from datapallas.reports.folder import Reports
from datapallas.reports.preview import Preview, preview

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.reports.model import Report

NOBODY = NamedAddress("", "nobody@preview.invalid")  # RFC 2606 section 2


def preview_of(home: Home, code: str, *, only: str = "", row: int = 0) -> tuple[Preview, bytes]:
    """One recipient's email, and its octets (none when it cannot be sent). Raises as `preview`, and UnknownConnection."""
    report = Reports(home.root).load(code)
    sender = sender_for(home, report)
    found = preview(report, only=only, row=row, today=dt.date.today())  # noqa: DTZ011 - the day where the reader is
    if found.message is None:
        return found, b""
    return found, b"".join(Composer(sender).compose(found.message).chunks())


def sender_for(home: Home, report: Report) -> NamedAddress:
    """Who it would come from. Raises UnknownConnection, BrokenConnection, NoDefaultConnection."""
    try:
        code = report.connection or home.folder.default().code
    except NoDefaultConnection:
        if home.folder.entries():
            raise
        return NOBODY
    return sender_of(home.folder.load(code))
