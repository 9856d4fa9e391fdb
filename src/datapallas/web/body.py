"""A bound on what a request may bring: counted as it comes, because a chunked body does not say its size before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import Message, Receive

LARGEST = 64 * 1024
"""Bytes of a body; the largest form here has a few hundred."""


def bounded(receive: Receive, limit: int = LARGEST) -> Receive:
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
