"""A bound on what a request may bring: counted as it comes, because a chunked body does not say its size before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

LARGEST = 64 * 1024
"""Bytes of a body; the largest form here has a few hundred."""
LARGEST_MESSAGE = 40 * 1024 * 1024
"""Bytes of a message to be sent: 30 MiB of attachments in base64, which is more than most servers take."""
MESSAGES = "/api/v1/messages"


def largest(scope: Scope) -> int:
    """Bytes the body of this request may have."""
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
