"""The grammar of commands, written once for both sides (RFC 5321 section 4.1.1, 3030, 1870, 6152, 6531).

The client builds commands here, the server reads them here; what the one writes the other reads back.
Must stay true: a command built here is one line, whatever it was built from; one that cannot be read raises
BadCommand, which carries the reply to give.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from datapallas.errors import AddressError, ProtocolError
from datapallas.smtp.address import Address, wire
from datapallas.smtp.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_COMMAND = 512
"""Octets of a command line with CR LF (RFC 5321 section 4.5.3.1.4)."""
MAX_AUTH_LINE = 12288
"""Octets of a line in an AUTH exchange with CR LF (RFC 4954 section 4)."""
MAX_TEXT_LINE = 1000
"""Octets of a line of text with CR LF (RFC 5321 section 4.5.3.1.6)."""
MAX_MAIL = MAX_COMMAND + 26 + 16 + 10
"""Octets of a MAIL command: SIZE adds 26 (RFC 1870), BODY 16 (RFC 6152), SMTPUTF8 10 (RFC 6531)."""
MIN_RECIPIENTS = 100
"""Recipients a server must take in one transaction (RFC 5321 section 4.5.3.1.8)."""

EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT = "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT"
DATA, BDAT, RSET, NOOP, QUIT, VRFY, HELP = "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "HELP"

# Whether an argument must be there (True), must not (False), or may (None).
_ARGUMENT: Mapping[str, bool | None] = {
    EHLO: True,
    HELO: True,
    STARTTLS: False,
    AUTH: True,
    MAIL: True,
    RCPT: True,
    DATA: False,
    BDAT: True,
    RSET: False,
    NOOP: None,
    QUIT: False,
    VRFY: True,
    HELP: None,
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PATH = re.compile(r" *<(?P<route>@[^<>: ]+:)?(?P<address>(?:\"(?:[^\"\\]|\\.)*\"|[^<>\" ])*)>(?P<rest>| .*)")
_PARAM = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a0-\U0010ffff]+))?")
_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_SIZE = re.compile(r"([0-9]{1,19})( +LAST)?", re.IGNORECASE)


class BadCommand(ProtocolError):
    """A line that is no command. `reply` is what to answer."""

    def __init__(self, code: int, text: str, enhanced: str) -> None:
        super().__init__(text, code="bad-command")
        self.reply = Reply.of(code, text, enhanced=enhanced)


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        verb: upper case.
        argument: what follows it, as it stands; may be empty.
        address: of MAIL and RCPT; None for the null path ``<>`` (MAIL only) and for every other command.
        params: of MAIL and RCPT: keyword in upper case to value, empty when it has none.
        size: octets that follow a BDAT.
        last: True for BDAT LAST.
    """

    verb: str
    argument: str = ""
    address: Address | None = None
    params: Mapping[str, str] = dataclasses.field(default_factory=dict)
    size: int = 0
    last: bool = False


def parse_command(line: bytes) -> Command:
    """Read one command line, given without its line end.

    Raises BadCommand for anything that is not by the grammar. A verb we do not know is no error here: the caller
    answers it. The length of the line is the caller's to bound, before it is here.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise BadCommand(500, "Not UTF-8", "5.5.2") from None
    if _CONTROL.search(text):
        raise BadCommand(500, "Control characters are not allowed", "5.5.2")
    verb, _, argument = text.partition(" ")
    verb, argument = verb.upper(), argument.strip(" ")
    needed = _ARGUMENT.get(verb)
    if needed is not None and needed is not bool(argument):
        raise BadCommand(501, f"{verb} needs {'an' if needed else 'no'} argument", "5.5.4")
    if verb == MAIL:
        return _with_path(verb, argument, "FROM:")
    if verb == RCPT:
        return _with_path(verb, argument, "TO:")
    if verb == BDAT:
        found = _SIZE.fullmatch(argument)
        if not found:
            raise BadCommand(501, "BDAT needs a size, and perhaps LAST", "5.5.4")
        return Command(verb, argument, size=int(found[1]), last=found[2] is not None)
    return Command(verb, argument)


def _with_path(verb: str, argument: str, keyword: str) -> Command:
    if argument[: len(keyword)].upper() != keyword:
        raise BadCommand(501, f"{verb} needs {keyword}<address>", "5.5.4")
    found = _PATH.fullmatch(argument[len(keyword) :])
    if not found:
        raise BadCommand(
            501, "The address must stand in angle brackets", "5.1.7" if verb == MAIL else "5.1.3"
        )
    # A source route (RFC 5321 section 4.1.1.3) must be understood and is ignored.
    text = found["address"]
    return Command(verb, argument, _address(verb, text), _params(found["rest"]))


def _address(verb: str, text: str) -> Address | None:
    if not text and verb == MAIL:
        return None  # RFC 5321 section 4.5.5: the sender of a bounce
    try:
        return Address.parse(text)
    except AddressError as error:
        status = "5.1.7" if verb == MAIL else "5.1.3"
        raise BadCommand(553, f"Not an address: {error.facts['reason']}", status) from None


def _params(text: str) -> dict[str, str]:
    params: dict[str, str] = {}
    for word in text.split():
        found = _PARAM.fullmatch(word)
        if not found or found[1].upper() in params:
            raise BadCommand(501, "A parameter is doubled or malformed", "5.5.4")
        params[found[1].upper()] = found[2] or ""
    return params


def ehlo(name: str) -> bytes:
    """Build EHLO. `name` is a host name or an address literal."""
    return _hello(EHLO, name)


def helo(name: str) -> bytes:
    """Build HELO, for servers that know no extensions."""
    return _hello(HELO, name)


def _hello(verb: str, name: str) -> bytes:
    if not _NAME.fullmatch(name):
        raise AddressError(f"{name!r} is no host name to greet with.", address=ascii(name)[1:-1])
    return f"{verb} {name}\r\n".encode()


def mail_from(sender: str, params: Iterable[str] = ()) -> bytes:
    """Build MAIL. An empty `sender` is the null path. Raises AddressError."""
    path = wire(sender) if sender else ""
    return f"MAIL FROM:<{path}>{''.join(f' {param}' for param in params)}\r\n".encode()


def rcpt_to(recipient: str) -> bytes:
    """Build RCPT. Raises AddressError."""
    return f"RCPT TO:<{wire(recipient)}>\r\n".encode()


def bdat(size: int, *, last: bool) -> bytes:
    """Build BDAT (RFC 3030 section 2): `size` octets follow it at once."""
    return b"BDAT %d LAST\r\n" % size if last else b"BDAT %d\r\n" % size
