"""Header fields as text: folding, encoded words, parameters, dates (RFC 5322 sections 2.2.3 and 3.6, RFC 2047, 2231).

Must stay true: a parser that unfolds and decodes what stands here gets back exactly what was given, whatever was
given; no value can end its line. Values with control characters are refused before they come here, by whoever
takes them in; `field` refuses them once more.
"""

from __future__ import annotations

import binascii
import functools
import re
import time
from typing import TYPE_CHECKING

from datapallas.errors import MessageError
from datapallas.mail.address import control_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datapallas.mail.address import NamedAddress

WIDTH = 76
"""Characters of a folded line: RFC 2047's limit for lines with encoded words, under RFC 5322's 78."""
MAX_LINE = 998
"""Octets of any line without its line end (RFC 5322 section 2.1.1)."""
_WORD = 75
_B_WRAP = len("=?utf-8?b?") + len("?=")
_QUOTABLE = 60  # a longer name is written as encoded words, which can be folded anywhere

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_TOKEN = re.compile(r"[ -!#-\[\]-~]+")
_Q_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def field(name: str, value: str) -> str:
    """Write an unstructured field, `Name: value`, folded, without its last line end.

    Raises MessageError when a header of ASCII words has a word longer than a line may be.
    """
    if value.isascii() and value.isprintable() and "=?" not in value and len(name) + len(value) <= WIDTH - 2:
        if value and value[0] != " " and value[-1] != " ":
            return f"{name}: {value}"
        if not value:
            return f"{name}:"
    if bad := control_in(value):
        raise MessageError(f"The header {name} holds {bad}.", code="header", header=name)
    return f"{name}: {_text(value, len(name) + 2)}"


def addresses(name: str, people: Iterable[NamedAddress]) -> str:
    """Write an address list field, folded between addresses."""
    lines, line = [], f"{name}:"
    for at, person in enumerate(people):
        if at:
            line += ","
        written = f"<{_addr_spec(person)}>" if person.name else _addr_spec(person)
        if person.name:
            phrase = _phrase(person.name, len(line) + 1)
            fresh = _phrase(person.name, 1)
            first = phrase.partition("\r\n")[0]
            if at and len(line) + 1 + len(first) > WIDTH:
                lines.append(line)
                line, phrase = "", fresh
            *whole, last = f"{line} {phrase}".split("\r\n")
            lines += whole
            line = last
        if len(line) + 1 + len(written) >= WIDTH and (at or person.name):  # with a comma
            lines.append(line)
            line = ""
        line += f" {written}"
    return "\r\n".join([*lines, line])


def parameter(name: str, value: str) -> str:
    """Write `; name="value"` for a MIME field, on a line of its own; RFC 2231 when the value needs it."""
    if len(value) <= _QUOTABLE and _TOKEN.fullmatch(value) and "=?" not in value:
        return f';\r\n {name}="{value}"'
    octets = [
        chr(octet) if (chr(octet).isalnum() and octet < 128) or octet in b"-._" else f"%{octet:02X}"  # noqa: PLR2004
        for octet in value.encode()
    ]
    if sum(map(len, octets)) <= _QUOTABLE:
        return f";\r\n {name}*=utf-8''{''.join(octets)}"
    lines, line = [], "utf-8''"
    for octet in octets:
        if len(line) + len(octet) > _QUOTABLE:
            lines.append(line)
            line = ""
        line += octet
    return "".join(f";\r\n {name}*{at}*={piece}" for at, piece in enumerate([*lines, line]))


def date(seconds: float) -> str:
    """Write a point in time (seconds since 1970, UTC) as RFC 5322 section 3.3 has it."""
    return _date(int(seconds))


@functools.lru_cache(maxsize=4)  # a job has thousands of messages a second
def _date(seconds: int) -> str:
    at = time.gmtime(seconds)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return (
        f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000"
    )


def _text(value: str, start: int) -> str:
    """Fold ASCII at its spaces, losslessly; write everything else as encoded words."""
    if value.isascii() and "=?" not in value and value == value.strip(" "):
        folded = _folded(value, start)
        if folded:
            return folded
        if not value.isspace():
            raise MessageError(
                f"A header holds a word longer than {MAX_LINE} characters, which no line may be.",
                code="header",
            )
    return encoded_words(value, start)


def _folded(value: str, start: int) -> str:
    """Break before a run of spaces, so that no line ends with one; empty when a line would be too long."""
    lines, room = [], WIDTH - start
    while len(value) > room:
        at = value.rfind(" ", 1, room + 1)
        while at > 0 and value[at - 1] == " ":
            at -= 1
        if at <= 0:  # no space in reach: the next one is as good as it gets
            at = value.find(" ", max(1, len(value) - len(value.lstrip(" "))))
        if at <= 0:
            break
        lines.append(value[:at])
        value, room = value[at:], WIDTH
    lines.append(value)
    return "\r\n".join(lines) if max(map(len, lines)) + start <= MAX_LINE else ""


def encoded_words(value: str, start: int = 0) -> str:
    """Write any text as encoded words (RFC 2047), also fit for a phrase, each with whole characters."""
    data = value.encode()
    octets = [_q(character) for character in value]
    if sum(map(len, octets)) <= (len(data) + 2) // 3 * 4:
        words = _packed_q(octets, start)
    else:
        words = _packed_b(data, start)
    return "\r\n ".join(words)


def _packed_q(octets: list[str], start: int) -> list[str]:
    room = max(WIDTH - start - _B_WRAP, 12)
    words, word = [], ""
    for octet in octets:
        if len(word) + len(octet) > room:
            words.append(f"=?utf-8?q?{word}?=")
            word, room = "", _WORD - _B_WRAP
        word += octet
    return [*words, f"=?utf-8?q?{word}?="]


def _packed_b(data: bytes, start: int) -> list[str]:
    words, at = [], 0
    room = max((WIDTH - start - _B_WRAP) // 4 * 3, 6)
    while at < len(data):
        end = min(at + room, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # noqa: PLR2004 - the middle of a UTF-8 character
            end -= 1
        words.append(f"=?utf-8?b?{binascii.b2a_base64(data[at:end], newline=False).decode('ascii')}?=")
        at, room = end, (_WORD - _B_WRAP) // 4 * 3
    return words


@functools.lru_cache(maxsize=1024)
def _q(character: str) -> str:
    """One character as the Q encoding of a phrase writes it (RFC 2047 section 5, rule 3)."""
    if character in _Q_SAFE:
        return character
    if character == " ":
        return "_"
    return "".join(f"={octet:02X}" for octet in character.encode())


def _phrase(name: str, start: int) -> str:
    if len(name) <= _QUOTABLE and name.isascii() and "=?" not in name:
        if _ATOMS.fullmatch(name):
            return name
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return encoded_words(name, start)


def _addr_spec(person: NamedAddress) -> str:
    """The address as a header writes it: dots in unusual places need quotes there (RFC 5322 section 3.4.1)."""
    local, _, domain = person.address.rpartition("@")
    if local[0] != '"' and (local[0] == "." or local[-1] == "." or ".." in local):
        return f'"{local}"@{domain}'
    return person.address
