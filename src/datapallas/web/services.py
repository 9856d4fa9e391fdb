"""What every route works with, in one value: `request.app.state.services`.

Must stay true: nothing here is a secret that a page could show.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from datapallas.web.who import Who  # FastAPI reads the annotations of its dependencies

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.home.outbox_desk import OutboxDesk
    from datapallas.home.reporting.desk import ReportDesk
    from datapallas.home.sign_ins import SignIns
    from datapallas.home.test_emails import TestEmails
    from datapallas.home.trial import Trial
    from datapallas.web.access import Access
    from datapallas.web.arrivals import Arrivals
    from datapallas.web.audit import Audit


class Mode(StrEnum):
    """LOCAL: for the person at this machine. SERVED: for several people, under a public address."""

    LOCAL = "local"
    SERVED = "served"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this server is reached.

    Attributes:
        mode: see Mode.
        origin: scheme, host and port as browsers see it, such as ``http://127.0.0.1:8125``, without a slash at the end.
        hosts: every value of Host that is ours, port included where it is not the scheme's own.
        proxies: addresses whose X-Forwarded-For is believed; empty: nobody's.
        device_code: whether the device flow is offered (off by default when served: it is used for phishing).
    """

    mode: Mode = Mode.LOCAL
    origin: str
    hosts: frozenset[str]
    proxies: frozenset[str] = frozenset()
    device_code: bool = True

    @property
    def secure(self) -> bool:
        """Browsers reach us by https."""
        return self.scheme == "https"

    @property
    def scheme(self) -> str:
        """How browsers reach us: http or https."""
        return self.origin.partition("://")[0]

    @property
    def cookie(self) -> str:
        """The name of the session cookie: cookies know no ports, so each instance has a name of its own.

        `__Host-` makes browsers refuse one that another host, or a page without TLS, has set (RFC 6265bis section 4.1.3).
        """
        port = self.origin.rpartition(":")[2]
        name = f"datapallas-{port}" if port.isdecimal() else "datapallas"
        return f"__Host-{name}" if self.secure else name


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts a route may call; the command line calls the same ones."""

    home: Home
    settings: Settings
    sign_ins: SignIns
    test_emails: TestEmails
    trial: Trial
    access: Access
    arrivals: Arrivals
    audit: Audit
    desk: OutboxDesk
    reports: ReportDesk


def services(request: Request) -> Services:
    """The services of the application; a FastAPI dependency."""
    return cast("Services", request.app.state.services)


def who(request: Request) -> Who:
    """Whoever the guard let in; a FastAPI dependency."""
    return cast("Who", request.state.who)


Parts = Annotated[Services, Depends(services)]
"""The services, as a parameter of a route."""
Asking = Annotated[Who, Depends(who)]
"""Whoever asks, as a parameter of a route."""
