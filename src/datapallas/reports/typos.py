"""Domains that are probably a slip of the finger: gmial.com. Pure.

Must stay true: it only ever warns; a domain that exists and looks like another one is in the table of those that do.
"""

from __future__ import annotations

import functools

# The free mailboxes most people have; each is known by its own site.
_COMMON = (
    "gmail.com", "googlemail.com", "hotmail.com", "outlook.com", "yahoo.com", "icloud.com", "gmx.de", "gmx.net",
    "web.de", "t-online.de", "live.com", "aol.com", "protonmail.com", "yahoo.co.uk", "hotmail.co.uk", "btinternet.com",
    "orange.fr", "wanadoo.fr", "laposte.net", "libero.it", "freenet.de", "comcast.net", "verizon.net", "bluewin.ch",
)  # fmt: skip
# Domains of their own that are one letter away from one of the above.
_REAL = frozenset(
    {
        "mail.com", "email.com", "ymail.com", "gmx.com", "gmx.at", "gmx.ch", "gmx.us", "gmx.eu", "gmx.fr", "gmx.info", "aim.com",
        "aon.at", "me.com", "mac.com", "live.de", "live.fr", "live.nl", "live.it", "live.ca", "live.cn", "live.co.uk",
        "hotmail.de", "hotmail.fr", "hotmail.it", "hotmail.es", "hotmail.nl", "hotmail.be", "hotmail.ca", "hotmail.co", "hotmail.se",
        "outlook.de", "outlook.fr", "outlook.es", "outlook.it", "outlook.co", "yahoo.de", "yahoo.fr", "yahoo.it", "yahoo.es", "yahoo.ca",
        "yahoo.co", "yahoo.in", "orange.es", "orange.nl", "orange.be", "aol.de", "aol.fr", "freenet.am", "proton.me", "hotmail.com.br",
        "wed.de", "webb.de", "wb.de", "we.de", "eb.de", "gm.de", "gx.de", "gmx.dk",
    }
)  # fmt: skip
_ENDINGS = {"con": "com", "cmo": "com", "ocm": "com", "comm": "com", "vom": "com", "xom": "com", "dde": "de", "ogr": "org", "nett": "net"}  # fmt: skip


@functools.lru_cache(maxsize=4096)
def meant(domain: str) -> str:
    """The domain that was probably meant; empty when this one is as good as any."""
    name = domain.lower()
    if name in _COMMON or name in _REAL:
        return ""
    for common in _COMMON:
        if abs(len(common) - len(name)) <= 1 and _one_slip(name, common):
            return common
    front, _, ending = name.rpartition(".")
    return f"{front}.{_ENDINGS[ending]}" if front and ending in _ENDINGS else ""


def _one_slip(given: str, right: str) -> bool:
    """One letter too many, too few, another one, or two that changed places."""
    if len(given) == len(right):
        wrong = [at for at, (a, b) in enumerate(zip(given, right, strict=True)) if a != b]
        if len(wrong) == 2 and wrong[1] == wrong[0] + 1:  # noqa: PLR2004 - two neighbours
            first, second = wrong
            return given[first] == right[second] and given[second] == right[first]
        return len(wrong) == 1
    longer, shorter = (given, right) if len(given) > len(right) else (right, given)
    return any(longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer)))
