"""What a server says it can do (RFC 5321 section 4.1.1.1), read from its answer to EHLO."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datapallas.smtp.reply import Reply


@dataclasses.dataclass(frozen=True, slots=True)
class Features:
    """The extensions we use.

    Attributes:
        name: what the server calls itself.
        keywords: all it announced, upper case, with their parameters as they stood.
        size: octets of the largest message it takes; 0 when it does not say (RFC 1870).
        auth: mechanisms to sign in with, upper case (RFC 4954).
    """

    name: str = ""
    keywords: dict[str, str] = dataclasses.field(default_factory=dict)
    size: int = 0
    auth: frozenset[str] = frozenset()
    starttls: bool = False
    pipelining: bool = False
    chunking: bool = False
    eightbit: bool = False
    smtputf8: bool = False
    states_size: bool = False

    @classmethod
    def of(cls, reply: Reply, *, chunking: bool = True) -> Features:
        """Read a 250 to EHLO. With `chunking` False the announcement of CHUNKING is passed over."""
        keywords: dict[str, str] = {}
        auth: set[str] = set()
        for line in reply.lines[1:]:
            keyword, _, values = line.strip().partition(" ")
            keyword = keyword.upper()
            if keyword.startswith("AUTH="):  # before RFC 2554; some servers still say both
                auth.update(keyword[5:].split(), values.upper().split())
            elif keyword:
                keywords[keyword] = values.strip()
        auth.update(keywords.get("AUTH", "").upper().split())
        size = keywords.get("SIZE", "")
        return cls(
            name=reply.lines[0].partition(" ")[0],
            keywords=keywords,
            size=int(size) if size.isascii() and size.isdigit() and len(size) < 20 else 0,  # noqa: PLR2004
            auth=frozenset(auth),
            starttls="STARTTLS" in keywords,
            pipelining="PIPELINING" in keywords,
            chunking=chunking and "CHUNKING" in keywords,
            eightbit="8BITMIME" in keywords,
            smtputf8="SMTPUTF8" in keywords,
            states_size="SIZE" in keywords,
        )
