"""A bound on what a request may bring, and on how long it takes: counted as it comes, because a chunked body does not
say its size before.
"""

from __future__ import annotations

import asyncio
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
SECONDS, SLOWEST = 20.0, 50_000
"""How long a body may take: these seconds, and what the largest one needs at this many bytes a second."""
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
    """`receive`, which raises HTTPException: 413 for more than `limit` bytes, 408 for a body that takes too long."""
    come, end, whole = 0, 0.0, False

    async def counting() -> Message:
        nonlocal come, end, whole
        if whole:  # what comes now is that the client has gone
            return await receive()
        end = end or asyncio.get_running_loop().time() + SECONDS + limit / SLOWEST
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408) from None
        come += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if come > limit:
            raise HTTPException(413)
        return message

    return counting
