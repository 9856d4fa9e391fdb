"""A bound on what a request may bring: counted as it comes, because a chunked body does not say its size before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

LARGEST = 64 * 1024
"""Bytes of a body; the largest form here has a few hundred."""
LARGEST_MESSAGE = 40 * 1024 * 1024
"""Bytes of a message to be sent: 30 MiB of attachments in base64, which is more than most servers take."""
MESSAGES = "/api/v1/messages"
LARGEST_FILE = 64 * 1024 * 1024 + 1024
"""Bytes of a file for a report, a little more than it may have, so that the answer says so in words."""
LARGEST_REPORT = 24 * 1024 * 1024
"""Bytes of the form with a report and its templates, in which a letter may take nine."""
_FILE = re.compile(r"/reports/[^/]+/files/.+")
_REPORT = re.compile(r"/reports/[^/]+/(check|save|preview)")


def is_file(scope: Scope) -> bool:
    """The body is a file, as it is."""
    return scope["method"] == "PUT" and _FILE.fullmatch(scope["path"]) is not None


def largest(scope: Scope) -> int:
    """Bytes the body of this request may have."""
    if is_file(scope):
        return LARGEST_FILE
    if _REPORT.fullmatch(scope["path"]):
        return LARGEST_REPORT
    return LARGEST_MESSAGE if scope["path"] == MESSAGES else LARGEST


def bounded(receive: Receive, limit: int) -> Receive:
    """`receive`, which raises HTTPException 413 as soon as more than `limit` bytes have come."""
    come = 0

    async def counting() -> Message:
        nonlocal come
        message = await receive()
        come += len(message.get("body", b""))
        if come > limit:
            raise HTTPException(413)
        return message

    return counting
