"""Where a server's session stands and what may happen then: the one table of it (RFC 5321 section 4.1.4).

Must stay true: whatever changes a session's state is in `TRANSITIONS`, and whatever refuses a command before anyone
is asked is in `why_not`. Nothing here sends or remembers anything.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from datapallas.smtp import command as c
from datapallas.smtp.server import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.smtp.command import Command
    from datapallas.smtp.reply import Reply
    from datapallas.smtp.server.policy import Offer


class State(Enum):
    """Where a session stands."""

    START = auto()  # EHLO is awaited
    READY = auto()  # greeted; no message begun
    MAIL = auto()  # the sender is known
    RCPT = auto()  # and at least one recipient
    LOGIN = auto()  # in an AUTH exchange
    TLS = auto()  # the handshake is under way
    DATA = auto()  # text, until CR LF . CR LF
    CHUNK = auto()  # octets of a BDAT chunk
    CHUNKED = auto()  # between two chunks
    CLOSED = auto()


END, MORE = "end", "more"
"""What happens to a state by itself: what it was about is over, or another chunk is to come."""

_HELLO = {c.EHLO: State.READY, c.HELO: State.READY}
_BEGUN = {**_HELLO, c.RSET: State.READY}
# A command leads on when it is accepted, and changes nothing when it is refused.
TRANSITIONS: Mapping[State, Mapping[str, State]] = {
    State.START: {**_HELLO, c.RSET: State.START},
    State.READY: {**_BEGUN, c.STARTTLS: State.TLS, c.AUTH: State.LOGIN, c.MAIL: State.MAIL},
    State.LOGIN: {END: State.READY},
    State.TLS: {END: State.START},
    State.MAIL: {**_BEGUN, c.RCPT: State.RCPT},
    State.RCPT: {**_BEGUN, c.RCPT: State.RCPT, c.DATA: State.DATA, c.BDAT: State.CHUNK},
    State.DATA: {END: State.READY},
    State.CHUNK: {END: State.READY, MORE: State.CHUNKED},
    State.CHUNKED: {**_BEGUN, c.BDAT: State.CHUNK},
    State.CLOSED: {},
}
ALWAYS = frozenset({c.NOOP, c.HELP, c.VRFY, c.QUIT})
_KNOWN = ALWAYS.union(*TRANSITIONS.values())
_WITHOUT_TLS = frozenset({c.EHLO, c.HELO, c.STARTTLS, c.NOOP, c.QUIT, c.RSET})
# What a pipelining client has already sent when MAIL or RCPT is refused; answering it is no error of the client.
_PIPELINED = frozenset({c.RCPT, c.DATA, c.BDAT})
_IDLE = frozenset({c.NOOP, c.VRFY, c.HELP})
_IDLE_BETWEEN = _IDLE | {c.RSET, c.EHLO, c.HELO}  # in a message they give it up, as after a refusal


def forgivable(verb: str, state: State) -> bool:
    """Whether a refused `verb` says nothing against the client."""
    return verb in _PIPELINED and state in {State.READY, State.MAIL}


def idle(verb: str, state: State) -> bool:
    """Whether `verb` brings no message nearer."""
    return verb in (_IDLE_BETWEEN if state in {State.START, State.READY} else _IDLE)


def why_not(command: Command, state: State, offer: Offer, *, secure: bool, user: str) -> Reply | None:
    """Why `command` cannot be, before anyone is asked; None when it can."""
    verb = command.verb
    if verb not in _KNOWN:
        return words.UNKNOWN
    if offer.tls_needed and not secure and verb not in _WITHOUT_TLS:
        return words.TLS_FIRST
    if verb not in ALWAYS and verb not in TRANSITIONS[state]:
        return _out_of_order(verb, state)
    return _not_here(command, offer, secure=secure, user=user)


def _not_here(command: Command, offer: Offer, *, secure: bool, user: str) -> Reply | None:
    if command.verb == c.AUTH:
        return _why_no_login(command, offer, secure=secure, user=user)
    if command.verb == c.STARTTLS:
        return _why_no_tls(offer, secure=secure)
    if command.verb == c.MAIL and offer.login_needed and not user:
        return words.LOGIN_FIRST
    return words.NOT_OFFERED if command.verb == c.BDAT and not offer.chunking else None


def _out_of_order(verb: str, state: State) -> Reply:
    if state is State.START:
        return words.HELLO_FIRST
    return words.NO_RECIPIENTS if state is State.MAIL and verb in _PIPELINED else words.SEQUENCE


def _why_no_tls(offer: Offer, *, secure: bool) -> Reply | None:
    if secure:
        return words.ALREADY_SECURE
    return None if offer.starttls else words.NOT_OFFERED


def _why_no_login(command: Command, offer: Offer, *, secure: bool, user: str) -> Reply | None:
    if not offer.mechanisms:
        return words.NOT_OFFERED
    if user:
        return words.ALREADY_IN
    if not (secure or offer.login_without_tls):
        return words.ENCRYPT_FIRST  # RFC 4954 section 6
    known = command.argument.partition(" ")[0].upper() in offer.mechanisms
    return None if known else words.MECHANISM
