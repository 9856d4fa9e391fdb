"""From the greeting to a session that can send: EHLO, STARTTLS, AUTH (RFC 5321 section 3.1, RFC 3207, RFC 4954).

Must stay true: see `client`. Each secret leaves through `_sign_in` only, and whatever the server says after that is
searched for it before it gets into an error.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

from datapallas.connection.model import Security
from datapallas.errors import DataPallasError, ProtocolError, SmtpUnsupported, TlsRefused
from datapallas.secret import MASK
from datapallas.smtp import command, sasl
from datapallas.smtp.client import CONNECT, Client, Conversation, Handshake, State
from datapallas.smtp.features import Features
from datapallas.smtp.reply import Reply
from datapallas.smtp.target import Stage

if TYPE_CHECKING:
    from datapallas.smtp.sasl import Login

_CONTINUE = 334
_MOST_CHALLENGES = 8
_WORD = re.compile(r"[A-Za-z0-9+/=_.~-]{8,}")


def opening(client: Client, local_name: str, login: Login | None) -> Conversation[Features]:
    """Bring a new connection to the state in which mail can be sent, and give what the server can do.

    Raises SmtpRefused, SmtpUnsupported, TlsRefused, ProtocolError or Unreachable; nothing secret has left then but,
    inside TLS, to a server that refused the sign-in.
    """
    security = client.target.security
    if security is Security.TLS:
        client.began(Stage.TLS)
        yield Handshake()
        client.ended(Stage.TLS, **client.tls)
    greeting = yield from client.say(b"", CONNECT, "greeting")
    if not greeting.positive:
        raise client.refused(CONNECT, greeting)
    yield from _introduce(client, local_name, bare=security is Security.NONE and login is None)
    client.ended(Stage.CONNECT, greeting=greeting.lines[0])
    if security is Security.STARTTLS:
        yield from _secure(client)
        yield from _introduce(client, local_name, bare=False)
    if login is not None:
        yield from _sign_in(client, login)
    client.began(Stage.READY)
    return client.features


def _introduce(client: Client, local_name: str, *, bare: bool) -> Conversation[None]:
    reply = yield from client.say(command.ehlo(local_name), command.EHLO)
    if not reply.positive and not reply.transient and bare and not client.closed:
        # RFC 5321 section 3.2: a server without extensions; it can do neither TLS nor AUTH, and need not.
        reply = yield from client.say(command.helo(local_name), command.HELO)
        if reply.positive:
            client.features = Features(name=reply.lines[0].partition(" ")[0])
            return
    if not reply.positive:
        raise client.refused(command.EHLO, reply)
    client.features = Features.of(reply, chunking=client.target.chunking)


def _secure(client: Client) -> Conversation[None]:
    client.began(Stage.TLS)
    if not client.features.starttls:
        raise TlsRefused(
            f"{client.target.host} does not offer STARTTLS, or somebody on the way took the offer out.",
            reason="stripped",
            **client.where,
        )
    reply = yield from client.say(b"STARTTLS\r\n", command.STARTTLS)
    if client.state is not State.SECURING:
        raise client.refused(command.STARTTLS, reply)
    yield Handshake()
    client.ended(Stage.TLS, **client.tls)
    client.state = State.GREETED  # RFC 3207 section 4.2: both sides forget what they knew
    client.features = Features()


def _sign_in(client: Client, login: Login) -> Conversation[None]:
    client.began(Stage.SIGN_IN)
    if not client.secured and not (client.target.security is Security.NONE and client.loopback):
        raise TlsRefused(
            f"The way to {client.target.host} is not encrypted; no password or token is sent over it.",
            reason="plain",
            **client.where,
        )
    try:
        name = sasl.choose(login, client.features.auth)
    except SmtpUnsupported as error:
        error.facts.update(client.where)
        if not client.secured and client.features.starttls:  # it takes sign-ins, only not here in clear
            error.facts["reason"] = "plain"
        raise
    exchange = _Exchange(client, name, login)
    client.mask = exchange.mask
    try:
        reply = yield from exchange.run()
    except DataPallasError as error:
        error.raw = exchange.mask(error.raw)
        raise
    finally:
        client.mask = str
    if not reply.positive:
        lines = tuple(exchange.mask(line) for line in reply.lines)
        masked = Reply(reply.code, lines, reply.enhanced)
        refusal = client.refused(command.AUTH, masked, mechanism=name, user=login.user)
        refusal.challenge = exchange.challenge
        if exchange.challenge:
            refusal.raw += f" {exchange.challenge}"
        raise refusal
    client.ended(Stage.SIGN_IN, mechanism=name, user=login.user, reply=exchange.mask(reply.text))


class _Exchange:
    """One AUTH, from the command to the reply that ends it.

    Attributes:
        challenge: what the server said inside a 334 after it had the token: for XOAUTH2 and OAUTHBEARER the reason
            of a refusal, in JSON (RFC 7628 section 3.2.2).
    """

    def __init__(self, client: Client, name: str, login: Login) -> None:
        self._client, self._name, self._login = client, name, login
        self._mechanism = sasl.answer(name, login, client.target.host, client.target.port)
        self._secrets: list[str] = []
        self.challenge = ""

    def run(self) -> Conversation[Reply]:
        """Give the last reply: 235, or a refusal."""
        first = next(self._mechanism)
        line = b"AUTH " + self._name.encode()
        if first is not None:
            encoded = self._encoded(first) or b"="
            if len(line) + len(encoded) + 3 <= command.MAX_COMMAND:
                line, first = line + b" " + encoded, None
        # RFC 4954 section 4: what would make the line too long waits for the server's (empty) challenge. Servers
        # differ in what they do to a long line, and a token makes one (2,667 characters are usual).
        shown = f"AUTH {self._name}" + (f" {MASK}" if b" " in line[5:] else "")
        reply = yield from self._client.say(line + b"\r\n", command.AUTH, "auth", shown=shown)
        for _ in range(_MOST_CHALLENGES):
            if reply.code != _CONTINUE:
                if self._client.state is State.SIGNING:  # another 3yz
                    raise self._client.misplaced(command.AUTH, reply)
                return reply
            answer = first if first is not None else self._answer(reply)
            first = None
            encoded = b"*" if answer is None else self._encoded(answer)
            reply = yield from self._client.say(encoded + b"\r\n", command.AUTH, "auth", shown=MASK)
            if answer is None and reply.code == _CONTINUE:  # it was cancelled
                break
        raise ProtocolError("The mail server never ends the sign-in.", **self._client.where)

    def _answer(self, reply: Reply) -> bytes | None:
        try:
            challenge = binascii.a2b_base64(reply.text.encode("ascii", "replace"))
        except binascii.Error:
            challenge = b""
        if isinstance(self._login, sasl.BearerLogin) and challenge:
            self.challenge = self.mask(Reply.of(_CONTINUE, challenge.decode(errors="replace")).text)
        try:
            return self._mechanism.send(challenge)
        except StopIteration:
            return None

    def _encoded(self, response: bytes) -> bytes:
        encoded = sasl.encode(response)
        secret = self._login.token if isinstance(self._login, sasl.BearerLogin) else self._login.password
        self._secrets = [secret.reveal(), *self._secrets[1:], encoded.decode()]
        return encoded

    def mask(self, text: str) -> str:
        """Take out of what a server says what it repeats of our secrets; some servers quote the line they refuse."""
        text = _WORD.sub(self._mask, text)
        return text.replace(self._secrets[0], MASK) if self._secrets and self._secrets[0] else text

    def _mask(self, word: re.Match[str]) -> str:
        # A line may be quoted in part, from its beginning or its end; so any long piece of a secret counts.
        piece = word[0].strip(".")
        found = any(piece in secret or secret in piece for secret in self._secrets if secret)
        return MASK if found else word[0]
