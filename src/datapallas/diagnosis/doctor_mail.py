"""The doctor's checks of the mail server: name, port, TLS, sign-in, sender. Nothing is sent to anybody.

Must stay true: a port that a firewall drops and one where nobody listens are told apart; the sign-in is the real one,
in a session that is ended without a message.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING

from datapallas.connection.model import OAuth2Client, Security
from datapallas.diagnosis.doctor_case import reason_of
from datapallas.diagnosis.doctor_tls import issuer_at_mail_server
from datapallas.errors import NotSignedIn, SmtpRefused, TlsRefused, Unreachable
from datapallas.smtp.sasl import BearerLogin

if TYPE_CHECKING:
    from datapallas.diagnosis.doctor_case import Case
    from datapallas.smtp.sasl import Login

_OTHER_PORTS = {"587": "465", "465": "587", "25": "587"}  # RFC 8314 section 3.3
_LOOK_SECONDS = 5.0
_BAD_CREDENTIALS = 535
_SILENT = frozenset({errno.EHOSTUNREACH, errno.EPERM, errno.EACCES, errno.ENETUNREACH})


def without_server(case: Case) -> str:
    """A provider may have no mail server we know."""
    return "" if case.known.server.host else "no mail server is known"


def without_sign_in(case: Case) -> str:
    """A provider alone has nobody to sign in."""
    return "" if case.code else "needs a connection with a sign-in"


def name(case: Case) -> str:
    """The mail server has an address."""
    host = case.known.server.host
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"There is no host {host!r}.", phase="dns", host=host, raw=str(error)) from None
    return f"{host} is {', '.join(dict.fromkeys(str(one[4][0]) for one in found))}"


def port(case: Case) -> str:
    """Something listens at the port, and the way there is open."""
    server = case.known.server
    host, number = server.host, server.port_number
    try:
        case.dial(host, number, case.deadlines.connect).close()
    except (OSError, ExceptionGroup) as problem:
        raise _closed(case, problem) from None
    return f"{host}:{number} is open"


def _closed(case: Case, problem: OSError | ExceptionGroup) -> Unreachable:
    """Refused, blocked, or no network: three things to do."""
    server = case.known.server
    several = problem.exceptions if isinstance(problem, ExceptionGroup) else (problem,)
    causes = [one for one in several if isinstance(one, OSError)]
    facts = {"host": server.host, "port": server.port, "raw": str(causes[0])}
    refused = any(isinstance(one, ConnectionRefusedError) for one in causes)
    if refused:
        return Unreachable(f"Nobody listens at {server.host}:{server.port}.", phase="connect", **facts)
    if all(one.errno == errno.ENETUNREACH for one in causes):
        return Unreachable(f"There is no way from here to {server.host}.", phase="connect", **facts)
    if not all(isinstance(one, TimeoutError) or one.errno in _SILENT for one in causes):
        return Unreachable(
            f"{server.host}:{server.port} cannot be reached: {reason_of(causes[0])}.",
            phase="connect",
            **facts,
        )
    other = _other_port(case)
    blocked = f"The way to {server.host}:{server.port} is blocked: {reason_of(causes[0])}."
    if other:
        facts |= {"open": other, "security": Security.TLS if other == "465" else Security.STARTTLS}
        return Unreachable(f"{blocked} Port {other} is open.", phase="timeout", case="blocked-other", **facts)
    return Unreachable(blocked, phase="timeout", case="blocked", **facts)


def _other_port(case: Case) -> str:
    other = _OTHER_PORTS.get(case.known.server.port, "")
    if other:
        with contextlib.suppress(OSError, ExceptionGroup):
            case.dial(case.known.server.host, int(other), _LOOK_SECONDS).close()
            return other
    return ""


def tls(case: Case) -> str:
    """The server greets, and TLS with a certificate for its name works."""
    from datapallas.mail.transport import target
    from datapallas.smtp.stream import Session

    where = target(case.known)
    try:
        session = Session.open(where, deadlines=case.deadlines)
    except TlsRefused as problem:
        if problem.facts.get("reason") in {"self-signed", "unknown-authority"}:
            issuer = issuer_at_mail_server(where)
            problem.facts["issuer"] = issuer
            problem.message += f" It was issued by {issuer}." if issuer else ""
        raise
    session.quit()
    how = {Security.NONE: "none, as set", Security.STARTTLS: "STARTTLS", Security.TLS: "TLS"}[where.security]
    return how if where.security is Security.NONE else f"{how}, and the certificate is for {where.host}"


def sign_in(case: Case) -> str:
    """The mail server takes the sign-in."""
    from datapallas.mail.transport import target
    from datapallas.smtp.stream import Session

    login = _login(case)
    try:
        case.session = Session.open(target(case.known), login=login, deadlines=case.deadlines)
    except SmtpRefused as refusal:
        if refusal.step == "AUTH" and refusal.reply_code == _BAD_CREDENTIALS and case.suspicion is not None:
            case.suspicion.raw = refusal.raw
            raise case.suspicion from refusal
        if refusal.step == "AUTH" and case.token is not None:
            refusal.facts["case"] = "app-token-checked" if case.known.app_only else "token-checked"
        raise
    return f"as {login.user}" if login else "none is asked for"


def _login(case: Case) -> Login | None:
    if isinstance(case.known.credential, OAuth2Client):
        if case.token is None:
            raise NotSignedIn(f"Nobody has signed in to {case.code} yet.", connection=case.code)
        return BearerLogin(case.known.mailbox, case.token.value)
    return case.login().login()


def sender(case: Case) -> str:
    """The mail server takes mail from the sender; the offer is taken back at once."""
    address = case.known.from_address or case.known.mailbox
    if case.session is None or "${" in address:
        return "left to the report that fills it in"
    case.session.try_sender(address)
    return f"{address} is accepted; nothing was sent"
