"""Messages of programs: send one through the outbox, look at it, try it again, hold it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Header, Path, Query, Response

from datapallas.home.outbox_desk import Promised, Wanted
from datapallas.web.api.message_given import NewMessage, message_of
from datapallas.web.api.outbox_models import (
    OutboxMessageShown,
    OutboxRecipients,
    message_shown,
    recipient_shown,
)
from datapallas.web.api.parts import BASE, new_router
from datapallas.web.guard import needs
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.outbox.database import Database
    from datapallas.web.services import Services
    from datapallas.web.who import Who

router = new_router("messages")
NOW_SECONDS = 30.0
_LOOK = 0.2  # seconds between two looks at a message somebody waits for
_LARGEST = 2**63 - 1
Number = Annotated[int, Path(description="The message's number.", ge=1, le=_LARGEST)]
Once = Annotated[str, Header(alias="Idempotency-Key", max_length=200)]
_ONE = f"{BASE}/messages/{{message}}"


@router.post(
    f"{BASE}/messages",
    dependencies=[Depends(needs(Role.OPERATOR))],
    status_code=202,
    responses={200: {"model": OutboxMessageShown}},
)
async def send_message(
    body: NewMessage, parts: Parts, asking: Asking, response: Response, idempotency_key: Once = ""
) -> OutboxMessageShown:
    """Promise a message: it is on the disk when this answers 202, and is sent at the pace the provider allows.

    With `now` the answer waits for the outcome, 30 seconds at most: 200 when every recipient has one. The same
    Idempotency-Key, or the same `key` of a `job`, is sent once, and answers with the message that was promised first.
    """
    promised = await asyncio.to_thread(_promise, parts, asking, body, idempotency_key)
    if body.now and await _done(parts, promised):
        response.status_code = 200
    found = await asyncio.to_thread(_found, parts, promised)
    response.headers["Location"] = f"{BASE}/messages/{found.id}"
    return found


@router.get(f"{BASE}/messages", dependencies=[Depends(needs(Role.VIEWER))])
def find_recipients(
    parts: Parts, address: Annotated[str, Query(min_length=1, max_length=320)]
) -> OutboxRecipients:
    """Recipients of all jobs whose address is, or else contains, `address`; the newest hundred."""
    from datapallas.outbox.search import find

    lines = find(parts.desk.database, address) if parts.desk.there else []
    return OutboxRecipients(recipients=[recipient_shown(one) for one in lines], after="")


@router.get(_ONE, dependencies=[Depends(needs(Role.VIEWER))])
def read_message(message: Number, parts: Parts) -> OutboxMessageShown:
    """One message, with its recipients and what came of each try."""
    return _shown(parts, message)


@router.post(f"{_ONE}/retry", dependencies=[Depends(needs(Role.OPERATOR))])
def retry_message(message: Number, parts: Parts, asking: Asking) -> OutboxMessageShown:
    """Try again what was deferred, parked or unknown of it, now. What is unknown may then arrive twice."""
    from datapallas.outbox import single

    return _change(parts, asking, message, single.retry)


@router.post(f"{_ONE}/hold", dependencies=[Depends(needs(Role.OPERATOR))])
def hold_message(message: Number, parts: Parts, asking: Asking) -> OutboxMessageShown:
    """Keep it from being sent, if it waits."""
    from datapallas.outbox import single

    return _change(parts, asking, message, single.hold)


@router.post(f"{_ONE}/release", dependencies=[Depends(needs(Role.OPERATOR))])
def release_message(message: Number, parts: Parts, asking: Asking) -> OutboxMessageShown:
    """Let it go on, if it is held and its job is not paused."""
    from datapallas.outbox import single

    return _change(parts, asking, message, single.release)


@router.post(f"{_ONE}/cancel", dependencies=[Depends(needs(Role.OPERATOR))])
def cancel_message(message: Number, parts: Parts, asking: Asking) -> OutboxMessageShown:
    """Park what waits of it. Nothing is deleted; a retry brings it back."""
    from datapallas.outbox import single

    return _change(parts, asking, message, single.cancel)


def _promise(parts: Services, asking: Who, body: NewMessage, once: str) -> Promised:
    message = message_of(body)
    code = body.connection or parts.home.folder.default().code
    wanted = Wanted(
        connection=code,
        message=message,
        job=body.job,
        key=body.key,
        once=once,
        owner=asking.owner,
        bulk=body.bulk,
    )
    promised = parts.desk.promise(wanted)
    parts.audit.write(asking, "message-promised", connection=code, job=promised.job)
    return promised


async def _done(parts: Services, promised: Promised) -> bool:
    """Wait for the outcome, as long as it can be expected."""
    until = time.monotonic() + NOW_SECONDS
    while True:
        found = await asyncio.to_thread(parts.desk.standing, promised)
        left = until - time.monotonic()
        if found.done or left <= 0 or found.pause or found.waits > left:
            return found.done
        await asyncio.sleep(_LOOK)


def _found(parts: Services, promised: Promised) -> OutboxMessageShown:
    return _shown(parts, parts.desk.standing(promised).id)


def _shown(parts: Services, number: int) -> OutboxMessageShown:
    from datapallas.outbox.search import message

    return message_shown(message(parts.desk.known, number))


def _change(
    parts: Services, asking: Who, number: int, work: Callable[[Database, int], object]
) -> OutboxMessageShown:
    work(parts.desk.known, number)
    parts.desk.changed()
    parts.audit.write(asking, f"message-{getattr(work, '__name__', 'changed')}", message=number)
    return _shown(parts, number)
