"""How to sign in at a mail server (RFC 4954): XOAUTH2, OAUTHBEARER, PLAIN and LOGIN, both sides, as generators.

The client's generator yields responses and is sent challenges; the server's yields challenges, is sent responses and
returns the login it read. Neither knows about lines, base64 or sockets. A first response of None means that the
mechanism lets the server speak first.
Must stay true: a login's user and secret cannot carry the separators of the mechanism it is put into.
"""

from __future__ import annotations

import binascii
import dataclasses
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING

from datapallas.errors import SmtpUnsupported, UsageError
from datapallas.secret import Secret
from datapallas.smtp.command import BadCommand

if TYPE_CHECKING:
    from collections.abc import Collection

XOAUTH2, OAUTHBEARER, PLAIN, LOGIN = "XOAUTH2", "OAUTHBEARER", "PLAIN", "LOGIN"


@dataclasses.dataclass(frozen=True, slots=True)
class BearerLogin:
    """An OAuth2 access token for a mailbox."""

    user: str
    token: Secret


@dataclasses.dataclass(frozen=True, slots=True)
class PasswordLogin:
    """A user name and a password."""

    user: str
    password: Secret


Login = BearerLogin | PasswordLogin
Client = Generator[bytes | None, bytes, None]
Server = Generator[bytes, bytes, Login]


def choose(login: Login, advertised: Collection[str]) -> str:
    """Give the mechanism to use: the first of ours that the server announces.

    XOAUTH2 before OAUTHBEARER: Google has both, Exchange only the first, so the first is the one everybody tested.
    Raises SmtpUnsupported, with facts `extension` and `advertised`, when there is none.
    """
    ours = (XOAUTH2, OAUTHBEARER) if isinstance(login, BearerLogin) else (PLAIN, LOGIN)
    for name in ours:
        if name in advertised:
            return name
    offered = " ".join(sorted(advertised)) or "nothing"
    raise SmtpUnsupported(
        f"The mail server takes no {' or '.join(ours)}; it offers {offered} to sign in with.",
        extension="AUTH",
        wanted=" ".join(ours),
        advertised=" ".join(sorted(advertised)),
    )


def answer(name: str, login: Login, host: str = "", port: int = 0) -> Client:
    """Start the client's side of a mechanism that `choose` gave; `host` and `port` are OAUTHBEARER's.

    `next()` gives the first response, `send(challenge)` each further one. StopIteration: there is nothing more to
    say, the exchange is to be cancelled with ``*`` (RFC 4954 section 4).
    """
    if any(mark in login.user for mark in "\0\1\r\n"):
        raise UsageError("A user name holds no control characters.", code="bad-user")
    if isinstance(login, BearerLogin):
        if name == XOAUTH2:
            return _xoauth2(login)
        return _oauthbearer(login, host, port)
    return _plain(login) if name == PLAIN else _login(login)


def _xoauth2(login: BearerLogin) -> Client:
    # developers.google.com/gmail/imap/xoauth2-protocol; Microsoft's is the same.
    yield f"user={login.user}\1auth=Bearer {login.token.reveal()}\1\1".encode()
    yield b""  # a challenge is a refusal with its reason in JSON; an empty line asks for the 535


def _oauthbearer(login: BearerLogin, host: str, port: int) -> Client:
    user = login.user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 section 4: saslname
    where = f"host={host}\1port={port}\1" if host else ""
    yield f"n,a={user},\1{where}auth=Bearer {login.token.reveal()}\1\1".encode()
    yield b"\1"  # RFC 7628 section 3.2.3: the dummy response after a refusal


def _plain(login: PasswordLogin) -> Client:
    yield f"\0{login.user}\0{login.password.reveal()}".encode()  # RFC 4616


def _login(login: PasswordLogin) -> Client:
    # draft-murchison-sasl-login-00: the prompts are the server's own words and mean nothing.
    yield None
    yield login.user.encode()
    yield login.password.reveal().encode()


def receive(name: str, initial: bytes | None) -> Server:
    """Start the server's side. `initial` is the decoded initial response, or None when there was none.

    `next()` and `send(response)` give challenges; StopIteration.value is the login. Raises BadCommand (501) for what
    is not by the mechanism, (504) for a mechanism we do not have.
    """
    if name not in _SERVERS:
        raise BadCommand(504, "This mechanism is not known here", "5.5.4")
    return _SERVERS[name](initial)


def _receive_xoauth2(initial: bytes | None) -> Server:
    fields = _text((yield b"") if initial is None else initial).split("\1")
    values = dict(field.partition("=")[::2] for field in fields if field)
    return _bearer(values.get("user", ""), values.get("auth", ""))


def _receive_oauthbearer(initial: bytes | None) -> Server:
    fields = _text((yield b"") if initial is None else initial).split("\1")
    user = ""
    for part in fields[0].split(","):
        if part.startswith("a="):
            user = part[2:].replace("=2C", ",").replace("=3D", "=")
    values = dict(field.partition("=")[::2] for field in fields[1:] if field)
    return _bearer(user, values.get("auth", ""))


def _receive_plain(initial: bytes | None) -> Server:
    fields = _text((yield b"") if initial is None else initial).split("\0")
    if len(fields) != 3 or fields[0] not in ("", fields[1]):  # noqa: PLR2004 - authzid, authcid, password
        raise _malformed()
    return PasswordLogin(fields[1], Secret(fields[2]))


def _receive_login(initial: bytes | None) -> Server:
    user = _text((yield b"Username:") if initial is None else initial)
    return PasswordLogin(user, Secret(_text((yield b"Password:"))))


_SERVERS: Mapping[str, Callable[[bytes | None], Server]] = {
    XOAUTH2: _receive_xoauth2,
    OAUTHBEARER: _receive_oauthbearer,
    PLAIN: _receive_plain,
    LOGIN: _receive_login,
}


def _bearer(user: str, auth: str) -> BearerLogin:
    scheme, _, token = auth.partition(" ")
    if not user or scheme.lower() != "bearer" or not token.strip():
        raise _malformed()
    return BearerLogin(user, Secret(token.strip()))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _malformed() from None


def _malformed() -> BadCommand:
    return BadCommand(501, "This is not what the mechanism asks for", "5.5.2")


def encode(data: bytes) -> bytes:
    """Give the base64 of a response or challenge; an empty one is an empty line."""
    return binascii.b2a_base64(data, newline=False)


def decode(line: bytes) -> bytes:
    """Read a response line, or the initial response, where ``=`` is the empty one (RFC 4954 section 4).

    Raises BadCommand: 501 5.5.2 for what is no base64, 501 5.7.0 for ``*``, by which a client cancels.
    """
    if line == b"*":
        raise BadCommand(501, "Cancelled", "5.7.0")
    if line == b"=":
        return b""
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise BadCommand(501, "Invalid base64", "5.5.2") from None
