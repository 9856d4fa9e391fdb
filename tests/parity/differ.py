"""Comparing two requests for the same thing: what is equal, what differs, and why it may."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from requests.utils import DEFAULT_ACCEPT_ENCODING

if TYPE_CHECKING:
    from collections.abc import Mapping

ENCODINGS = DEFAULT_ACCEPT_ENCODING
"""What requests, which the others send with, asks for here; more where Brotli is installed."""
FRESH = "(made anew for each request)"
ABSENT = ""
# What has to be unguessable, and what it may look like (RFC 7636 section 4.1: 43 to 128 unreserved characters).
_FRESH_SHAPE = {
    "state": r"[-.~\w]{22,}",
    "nonce": r"[-.~\w]{22,}",
    "code_challenge": r"[-\w]{43}",
    "code_verifier": r"[-.~\w]{43,128}",
}


class Difference(NamedTuple):
    """One thing that differs on purpose; ABSENT where it is not sent."""

    theirs: str
    ours: str
    why: str


def check(theirs: Mapping[str, str], ours: Mapping[str, str], listed: Mapping[str, Difference]) -> None:
    """Fail unless the two differ exactly in what is listed, as it is listed."""
    left, right = _comparable(theirs), _comparable(ours)
    found = {
        name: (left.get(name, ABSENT), right.get(name, ABSENT))
        for name in sorted(left | right)
        if left.get(name, ABSENT) != right.get(name, ABSENT)
    }
    assert found == {name: (one.theirs, one.ours) for name, one in sorted(listed.items())}
    assert all(one.why for one in listed.values())


def _comparable(request: Mapping[str, str]) -> dict[str, str]:
    """What must differ from request to request is checked for its shape; a scope's words have no order (RFC 6749 3.3)."""
    found = dict(request)
    for name, shape in _FRESH_SHAPE.items():
        if name in found:
            assert re.fullmatch(shape, found[name]), f"{name}={found[name]}"
            found[name] = FRESH
    if "scope" in found:
        found["scope"] = " ".join(sorted(found["scope"].split()))
    return found
