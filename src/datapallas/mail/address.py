"""Addresses as people write them: `a@x.example`, `Name <a@x.example>`, and lists of these.

Must stay true: what is not an address is refused, never repaired (RFC 5321 section 4.1.2); one item of a sequence is
one address, so no data can add a recipient; a name never holds a control character. What an address is, and that
its domain is kept as A-labels, is `datapallas.smtp.address`'s business: header and envelope have one grammar.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from datapallas.errors import AddressError
from datapallas.smtp.address import wire

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Addresses: TypeAlias = "str | NamedAddress | Iterable[str | NamedAddress]"
    """One address, a comma-separated list in one text, or a sequence of single addresses."""

MAX_NAME = 500
"""Characters of a display name. No standard says a limit; a longer one is a mistake in the data."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ITEM = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')


def control_in(text: str) -> str:
    """Name the first character of `text` that no header may hold, such as ``a line feed``; empty when there is none."""
    if text.isprintable():  # the common case, in C; characters that split lines are not printable
        return ""
    found = _CONTROL.search(text)
    if not found:
        return ""
    names = {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL", "\t": "a tab"}
    return names.get(found[0], f"the control character U+{ord(found[0]):04X}")


@dataclasses.dataclass(frozen=True, slots=True)
class NamedAddress:
    """A person or a mailbox: the safe way to give a name that comes from data.

    Attributes:
        name: what is shown, any text without control characters; may be empty.
        address: `local@domain`; a domain in other scripts is turned into A-labels here.

    Raises AddressError when either is not valid.
    """

    name: str
    address: str

    def __post_init__(self) -> None:
        checked = wire(self.address)
        if checked is not self.address:
            object.__setattr__(self, "address", checked)
        if self.name:
            _check_name(self.name)

    @property
    def domain(self) -> str:
        """What stands after the @."""
        return self.address.rpartition("@")[2]

    @property
    def is_ascii(self) -> bool:
        """False when the address needs SMTPUTF8."""
        return self.address.isascii()


def parse_one(text: object) -> NamedAddress:
    """Read exactly one address, with or without a name; AddressError when there is none, or more than one."""
    if isinstance(text, NamedAddress):
        return text
    if not isinstance(text, str):
        raise AddressError(f"An address is a text, not {type(text).__name__}.")
    stripped = text.strip(" ")
    if not stripped:
        raise AddressError("An address is empty.", address="")
    if stripped.count("@") > 1 and not {'"', "<"}.intersection(stripped):
        raise AddressError(
            f"{_shown(text)} is more than one address: separate them with commas in one text, or give a list.",
            address=_shown(text),
        )
    if not stripped.endswith(">"):
        return NamedAddress("", stripped)
    name, found, address = stripped[:-1].rpartition("<")
    if not found:
        return NamedAddress("", stripped)  # which says what is wrong with it
    return NamedAddress(_unquoted(name.strip(" "), address), address)


def parse_many(given: Addresses) -> tuple[NamedAddress, ...]:
    """Read addresses: a text may hold several, separated by commas; each item of a sequence is exactly one."""
    if isinstance(given, NamedAddress):
        return (given,)
    if isinstance(given, str):
        return tuple(parse_one(item) for item in _split(given) if item.strip(" "))
    return tuple([parse_one(item) for item in given])


def _split(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    items, at = [], 0
    while at < len(text):
        if text[at] == ",":
            at += 1
            continue
        found = _ITEM.match(text, at)
        if not found:
            raise AddressError(f"A quotation mark in {_shown(text)} is not closed.", address=_shown(text))
        items.append(found[0])
        at = found.end()
    return items


def _unquoted(name: str, address: str) -> str:
    if name.startswith('"'):
        if not _QUOTED.fullmatch(name):
            raise AddressError(
                f"The name {_shown(name)} is not closed by its quotation mark.", address=_shown(address)
            )
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    if name.casefold() != address.casefold():  # "a@x <a@x>" is harmless and common
        for mark in '",;<>@':
            # Each of these hides a second address, or a list written another way: a recipient would be lost.
            if mark in name:
                raise AddressError(
                    f"The name {_shown(name)} holds {mark!r}: put it in double quotes,"
                    " or give one address per item.",
                    address=_shown(address),
                )
    return name


def _check_name(name: str) -> None:
    if bad := control_in(name):
        raise AddressError(f"The name {_shown(name)} holds {bad}.", address=_shown(name))
    if len(name) > MAX_NAME:
        raise AddressError(f"The name {_shown(name)} is longer than {MAX_NAME} characters.")


def _shown(text: str) -> str:
    """Show `text` on one line, harmless for a terminal, not endless."""
    short = text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 - a line of a terminal
    return ascii(short) if control_in(short) else repr(short)
