"""Runs the page: makes the services, listens, and ends within two seconds of being asked to.

Must stay true: what is under way is cancelled first, so that nothing that streams holds up the end; nothing that a
browser sends (query, body, header) is printed or logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import sys
from typing import TYPE_CHECKING

import uvicorn

from datapallas.errors import ConfigurationError
from datapallas.home.runs import Running
from datapallas.home.sending import Sending
from datapallas.web import serving
from datapallas.web.access import Access
from datapallas.web.app import make_app
from datapallas.web.arrivals import Arrivals
from datapallas.web.audit import Audit
from datapallas.web.patience import Patience
from datapallas.web.problems import tell
from datapallas.web.services import Mode, Services
from datapallas.web.who import Role

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datapallas.home import Home
    from datapallas.oauth.clock import Clock
    from datapallas.web.address import Place, Wanted
    from datapallas.web.services import Settings

END_SECONDS = 1
"""How long an answer that is being sent may go on once the server is to end."""


def make_services(home: Home, settings: Settings, clock: Clock | None = None) -> Services:
    """What the routes work with, for a home; `clock` is how old sessions, links and tries are measured."""
    from datapallas.home.outbox_desk import OutboxDesk
    from datapallas.home.reporting.desk import ReportDesk
    from datapallas.home.sign_ins import SignIns
    from datapallas.home.test_emails import TestEmails
    from datapallas.home.trial import Trial

    desk = OutboxDesk(home)
    return Services(
        home=home,
        settings=settings,
        sign_ins=SignIns(home),
        test_emails=TestEmails(home),
        trial=Trial(home),
        access=Access(home.root, clock),
        arrivals=Arrivals(clock or home.endpoint.clock),
        audit=Audit(home.root, clock),
        desk=desk,
        reports=ReportDesk(home, desk),
    )


class Server(uvicorn.Server):
    """A server of one application, on a socket that listens already."""

    def __init__(self, services: Services, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._services = services
        self.ending: Callable[[], None] = lambda: None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it ends; cancel what is under way, so that whoever watches it is told, and goes; then end."""
        self.ending()
        await asyncio.to_thread(self._services.sign_ins.close)
        await asyncio.to_thread(self._services.test_emails.close)
        await asyncio.to_thread(self._services.trial.close)
        await super().shutdown(sockets)
        await asyncio.to_thread(self._services.reports.close)
        self._services.desk.close()


def make_server(services: Services, wanted: Wanted) -> Server:
    """A server that only has to be run."""
    logging.getLogger("uvicorn").addHandler(
        logging.NullHandler()
    )  # what is worth telling, problems.tell tells
    if wanted.certificate and wanted.key:
        _check_tls(wanted.certificate, wanted.key)
    config = uvicorn.Config(
        make_app(services),
        http=Patience,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # checks.client_address reads them, from our proxies only
        server_header=False,
        timeout_graceful_shutdown=END_SECONDS,
        ssl_certfile=wanted.certificate,
        ssl_keyfile=wanted.key,
    )
    return Server(services, config)


def serve(home: Home, wanted: Wanted, ready: Callable[[Services], None], ending: Callable[[], None]) -> None:
    """Serve `home`, and send what is in its outbox, until Ctrl-C. Raises what stops it from starting.

    `ready` is called when browsers can come, `ending` when the end has begun.
    """
    serving.refuse_a_second(home.root)
    with _place(wanted) as place, serving.registered(home.root, place.settings):
        services = make_services(home, place.settings)
        if place.settings.mode is Mode.SERVED:
            _needs_admin(services)
        server = make_server(services, wanted)
        sending, running = Sending(home, tell), Running(home, tell, _log)
        server.ending = _all(sending.stop, running.stop, ending)
        ready(services)  # the socket listens already: whoever comes now waits a moment
        with running, sending, contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[place.socket])


def _all(*steps: Callable[[], None]) -> Callable[[], None]:
    def together() -> None:
        for step in steps:
            step()

    return together


def _log(sentence: str) -> None:
    """One line on standard error: what a service manager keeps."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def _place(wanted: Wanted) -> Iterator[Place]:
    from datapallas.web import address

    place = address.take(wanted)
    with place.socket:
        yield place


def _needs_admin(services: Services) -> None:
    if not any(user.role is Role.ADMIN for user in services.access.users.all()):
        raise ConfigurationError("There is no user with the role admin.", code="no-admin")


def _check_tls(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as problem:  # an SSLError is an OSError
        reason = problem.strerror or str(problem) if isinstance(problem, OSError) else str(problem)
        raise ConfigurationError(
            f"Cannot use the certificate {certificate} with the key {key}: {reason}.",
            code="serve-certificate",
            reason=reason,
        ) from problem
