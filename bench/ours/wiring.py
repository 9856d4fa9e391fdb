"""How DataPallas is pointed at the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.meter import SENDER

if TYPE_CHECKING:
    from bench.meter import Job

    from datapallas.connection.model import Connection
    from datapallas.mail.transport import PasswordSource
    from datapallas.smtp.sasl import PasswordLogin
    from datapallas.smtp.target import Target


def target(job: Job) -> Target:
    """The sink, for a session."""
    from datapallas.smtp.target import Target
    from datapallas.smtp.tls import tls_context

    return Target(job.host, job.port, tls=tls_context(job.ca))


def login(job: Job) -> PasswordLogin:
    """The login every client uses."""
    from datapallas.secret import Secret
    from datapallas.smtp.sasl import PasswordLogin

    return PasswordLogin(SENDER, Secret(job.secret))


def connection(job: Job) -> Connection:
    """The sink, for a mailbox."""
    from datapallas.connection.model import Connection, Password, Server

    server = Server(host=job.host, port=str(job.port), root_certificate=job.ca)
    return Connection(code="eml-bench", server=server, from_address=SENDER, credential=Password(user=SENDER))


def source(job: Job) -> PasswordSource:
    """The same login, for a mailbox."""
    from datapallas.mail.transport import PasswordSource
    from datapallas.secret import Secret

    return PasswordSource(SENDER, lambda: Secret(job.secret))
