"""`send --queue`: one message into the outbox. Here, and not in `send`, so that `send` does not import the ledger."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from datapallas.cli.output import say, show_json
from datapallas.home.outbox import open_outbox
from datapallas.outbox.accept import Job, new_job_id
from datapallas.outbox.tables import Doubt, Priority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.home import Home
    from datapallas.mail.message import Message


def promise(home: Home, code: str, message: Message, given: Mapping[str, Any], *, as_json: bool) -> int:
    """Accept it; when this returns, it is on the disk."""
    job = Job(
        connection=code,
        id=given["job"] or new_job_id(),
        name=message.subject[:200],
        priority=Priority.BULK if given["bulk"] else Priority.URGENT,
        doubt=Doubt(given["on_doubt"]),
    )
    with contextlib.closing(open_outbox(home)) as outbox:
        accepted = outbox.accept(job, [message], keys=[given["key"]], envelope_from=given["envelope_from"])
    if as_json:
        show_json(
            {"ok": True, "job": job.id, "new": bool(accepted.new), "recipients": len(message.recipients)}
        )
        return 0
    say(f"Job: {job.id}" if accepted.new else f"Job: {job.id}. This key is in it already; nothing was added.")
    say("It is promised, not sent: `datapallas outbox run` or a running `datapallas serve` sends it.")
    return 0
