"""One AUTH exchange on the server's side: lines of base64 around a mechanism (RFC 4954 section 4).

Must stay true: a secret lives in the `Login` that comes out and nowhere else; no line of an exchange is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.smtp import sasl
from datapallas.smtp.reply import Reply

if TYPE_CHECKING:
    from datapallas.smtp.sasl import Login


class LoginExchange:
    """From AUTH to a `Login`.

    Attributes:
        mechanism: its name, upper case.
        final: the refusal to give once the client has answered a 334 that carried its reason, or None.
    """

    def __init__(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        self.mechanism = mechanism.upper()
        self._initial = initial.strip()
        self._server: sasl.Server | None = None
        self.final: Reply | None = None

    def begin(self) -> Reply | Login:
        """Take the AUTH command itself: a 334 to send, or the login. Raises BadCommand."""
        initial = sasl.decode(self._initial.encode()) if self._initial else None
        self._initial = ""
        self._server = sasl.receive(self.mechanism, initial)
        try:
            return challenge(next(self._server))
        except StopIteration as stop:
            return _login(stop)

    def respond(self, line: bytes) -> Reply | Login:
        """Take a response line: a 334 to send, or the login. Raises BadCommand."""
        if self._server is None:
            raise RuntimeError("the exchange has not begun")
        try:
            return challenge(self._server.send(sasl.decode(line)))
        except StopIteration as stop:
            return _login(stop)


def challenge(data: bytes) -> Reply:
    """A 334 with `data`."""
    return Reply.of(334, sasl.encode(data).decode())


def _login(stop: StopIteration) -> Login:
    login: Login = stop.value
    return login
