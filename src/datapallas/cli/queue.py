"""`send` through the outbox. Here, and not in `send`, so that the help of `send` does not import the ledger.

Must stay true: it ends with another code than 0 only when the outbox sends nothing more to those who were not accepted,
or when some were refused for good: whoever runs the command again sends nothing twice.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any, cast

from datapallas.cli.output import note, plain, say, show_json, the_run
from datapallas.cli.send import reasons, say_outcomes, show_receipt
from datapallas.errors import EX_UNAVAILABLE, RecipientsRefused, StorageError
from datapallas.home.post import Post
from datapallas.outbox.accept import Job, new_job_id
from datapallas.outbox.receipts import STOPPED, receipt, settled
from datapallas.outbox.tables import Doubt, Fate, Priority, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datapallas.errors import DataPallasError
    from datapallas.home import Home
    from datapallas.mail.envelope import Receipt
    from datapallas.mail.message import Message
    from datapallas.outbox.single import Standing

_LATER = "It is promised; do not run this again. A running `datapallas serve`, or `datapallas outbox run`, sends it."
_ELSEWHERE = "Another process had it and may have been killed; it is taken over within a minute."
_NOTHING = "Nothing: the outbox tries it again by itself."
_GONE = (Fate.REFUSED, Fate.UNKNOWN, Fate.PARKED)


class Sending:
    """One message on its way."""

    def __init__(self, home: Home, code: str, message: Message, given: Mapping[str, Any]) -> None:
        self._home, self._message, self._given = home, message, given
        self._job = Job(
            connection=code,
            id=given["job"] or new_job_id(),
            name=message.subject[:200],
            priority=Priority.BULK if given["bulk"] else Priority.URGENT,
            doubt=Doubt(given["on_doubt"] or (Doubt.RETRY if given["queue"] else Doubt.HOLD)),
        )
        self._new = True
        self._until = None if given["now"] else time.monotonic() + given["wait"]

    def run(self, watch: Callable[[str, str], None] | None, *, as_json: bool) -> int:
        """Promise it; send it and show what came of it, unless it is only to be promised."""
        with Post(self._home, self._job, watch) as post:
            given = self._given
            promised = post.promise(self._message, given["key"], envelope_from=given["envelope_from"])
            self._new = promised.new
            if given["queue"]:
                return self._promised(new=promised.new, as_json=as_json)
            try:
                post.send()
                found = self._outcome(post, promised.key)
            except (StorageError, KeyboardInterrupt) as problem:
                note(f"Job: {self._job.id}. {_LATER}")
                if isinstance(problem, KeyboardInterrupt):
                    raise
                return self._unseen(problem, as_json=as_json)
        return self._show(found, as_json=as_json)

    def _outcome(self, post: Post, key: str) -> Standing:
        """Where it stands when it is time to tell; taken back when a person must act before anything can be sent."""
        while True:
            found = post.wait(key, self._enough, self._left())
            if found.done or found.pause not in STOPPED:
                return found
            back = post.take_back(key)
            if back is not None:
                return dataclasses.replace(back, state=State.DONE)

    def _left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def _enough(self, found: Standing) -> bool:
        if found.done:
            return True
        if found.pause in STOPPED:
            return found.state is not State.CLAIMED
        left = self._left()
        return left is not None and (bool(found.pause) or found.state is State.HELD or found.waits > left)

    def _show(self, found: Standing, *, as_json: bool) -> int:
        if not found.done:
            return self._waiting(found, as_json=as_json)
        if not self._new:
            note("This key was sent already; nothing was sent again. This is what came of it:")
        try:
            shown = settled(found)
        except RecipientsRefused as problem:
            refused = cast("Receipt", problem.receipt)
            if not as_json and len(refused.outcomes) > 1:
                say_outcomes(refused)  # the explanation that follows can only be about one of them
            raise
        return show_receipt(shown, as_json=as_json, state="done", job=self._job.id, new=self._new)

    def _waiting(self, found: Standing, *, as_json: bool) -> int:
        """Some recipients have no outcome yet."""
        shown = receipt(found)
        code = EX_UNAVAILABLE if any(one.fate in _GONE for one in found.people) else 0
        told = reasons(shown) or self._reason(found.problem)
        if not code:  # the outbox tries again by itself: nobody else is to, by whatever the cause says
            told = [dataclasses.replace(one, fix=_NOTHING) if one.passes_by_itself else one for one in told]
        if as_json:
            document = shown.to_dict()
            for line, person in zip(document["recipients"], found.people, strict=True):
                line["outcome"] = person.fate.value
            errors = [one.to_dict() for one in told]
            more = {"state": "waiting", "job": self._job.id, "new": self._new, "errors": errors}
            show_json({"ok": not code, "exit_code": code, **document, **more})
            return code
        if not self._new:
            note("This key was promised already; nothing was added. This is how it stands:")
        for one in found.people:
            say(f"{one.fate.value:<9} {one.address}  {plain(one.reply)}".rstrip())
        say(f"Message-ID: {shown.message_id}")
        for reason in told:
            note("", reason.render())
        if found.elsewhere and not found.pause:
            note("", _ELSEWHERE)
        note("", f"Job: {self._job.id}. {_LATER}")
        return code

    def _reason(self, problem: DataPallasError | None) -> list[Any]:
        if problem is None:
            return []
        from datapallas.diagnosis.explain import explain

        return [explain(problem, the_run().facts())]

    def _promised(self, *, new: bool, as_json: bool) -> int:
        if as_json:
            people = len(self._message.recipients)
            show_json({"ok": True, "state": "waiting", "job": self._job.id, "new": new, "recipients": people})
            return 0
        known = "" if new else ". This key is in it already; nothing was added."
        say(f"Job: {self._job.id}{known}")
        say("It is promised, not sent: `datapallas outbox run` or a running `datapallas serve` sends it.")
        return 0

    def _unseen(self, problem: DataPallasError, *, as_json: bool) -> int:
        """The ledger cannot be read any more; what was promised is in it."""
        told = self._reason(problem)
        if as_json:
            errors = [one.to_dict() for one in told]
            show_json({"ok": True, "exit_code": 0, "state": "waiting", "job": self._job.id, "errors": errors})
        for one in [] if as_json else told:
            note("", one.render())
        return 0
