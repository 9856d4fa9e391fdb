"""Addresses as an envelope holds them (RFC 5321 section 4.1.2, RFC 6531).

Must stay true: an address with a control character, a space or an angle bracket is refused, never repaired, so
that no data of a user can add a command or cut an address short.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from datapallas.errors import AddressError

MAX_LOCAL = 64
"""Octets before the ``@`` (RFC 5321 section 4.5.3.1.1)."""
MAX_DOMAIN = 255
"""Octets after the ``@`` (RFC 5321 section 4.5.3.1.2)."""
MAX_ADDRESS = 254
"""Octets of the whole (RFC 5321 section 4.5.3.1.3: 256 with the angle brackets)."""

# Dots may stand anywhere in the local part: Japanese carriers gave out `a..b@` and `a.@` for years.
# Underscores in domains break RFC 1123 and exist.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]"
_DOMAIN = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_PLAIN = re.compile(rf"({_ATOM}{{1,{MAX_LOCAL}}})@({_DOMAIN})")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"\[(?:[0-9.]{7,15}|IPv6:[0-9A-Fa-f:.]{2,45}|[A-Za-z0-9-]*[A-Za-z0-9]:[!-Z^-~]+)\]")
_NEVER = re.compile(r"[\x00-\x20\x7f-\xa0<>\u2028\u2029\ufeff\ud800-\udfff]")
_LOCAL = re.compile(rf"(?:{_ATOM}|[^\x00-\x7f])+")
_LABEL = 63


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """An address that may be sent. Made by `Address.parse` only.

    Attributes:
        local: before the ``@``, quotes kept.
        domain: after it, always ASCII: an IDN as A-labels (RFC 5890), or an address literal.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Check one address. Raises AddressError, with fact `address`, and says what is wrong with it."""
        return cls(*wire(text).rsplit("@", 1))

    @property
    def is_ascii(self) -> bool:
        """True when the address can be sent to a server without SMTPUTF8."""
        return self.local.isascii()

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


@functools.lru_cache(maxsize=256)
def wire(text: str) -> str:
    """Give an address as it is written between angle brackets; ASCII unless its local part is not.

    Raises AddressError, with fact `address`.
    """
    plain = _PLAIN.fullmatch(text)
    if plain and len(text) <= MAX_ADDRESS and ".." not in plain[2] and len(plain[2]) <= _LABEL:
        return text
    return _checked(text)


def _checked(text: str) -> str:
    if _NEVER.search(text):
        raise _refused(text, "it holds a space, a control character or an angle bracket")
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise _refused(text, "it is not of the form name@domain")
    if not (_LOCAL.fullmatch(local) or _QUOTED.fullmatch(local)):
        raise _refused(text, "the part before the @ holds a character that must not stand there")
    domain = _domain(text, domain)
    if len(local.encode()) > MAX_LOCAL:
        raise _refused(text, f"the part before the @ is longer than {MAX_LOCAL} octets")
    if len(f"{local}@{domain}".encode()) > MAX_ADDRESS:
        raise _refused(text, f"it is longer than {MAX_ADDRESS} octets")
    return f"{local}@{domain}"


def _domain(text: str, domain: str) -> str:
    if domain.startswith("["):
        if not _LITERAL.fullmatch(domain):
            raise _refused(text, "the address literal after the @ is not one")
        return domain
    if not domain.isascii():
        domain = _a_labels(text, domain)
    labels = domain.split(".")
    if not re.fullmatch(_DOMAIN, domain) or not all(0 < len(label) <= _LABEL for label in labels):
        raise _refused(text, "the part after the @ is not a domain name")
    return domain


def _a_labels(text: str, domain: str) -> str:
    # IDNA 2008 (RFC 5891), not Python's own codec: that is IDNA 2003 and turns straße.de into strasse.de, another
    # domain. UTS 46 maps what people type (upper case, full-width dots) first.
    import idna  # takes 20 ms; only needed here

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise _refused(text, f"the part after the @ is not a domain name ({error})") from None


def _refused(text: str, why: str) -> AddressError:
    return AddressError(f"{text!r} is not an email address: {why}.", address=ascii(text)[1:-1], reason=why)
