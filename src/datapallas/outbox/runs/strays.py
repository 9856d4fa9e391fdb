"""Runs that nobody does although their records say so: DBOS has given their workflow up, or its thread is gone.

A database that was away at the wrong moment does that. Without this such a run would stand there for ever.
Must stay true: what somebody may still be doing is left alone: a run has to look so twice, and only that attempt of it
is promised anew (an execution that lives on after all meets `Gone`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.outbox.runs.tables import State

if TYPE_CHECKING:
    from collections.abc import Collection

    from dbos import WorkflowStatus

    from datapallas.outbox.runs.records import Record, Records

_GOES_ON = frozenset({"ENQUEUED", "DELAYED", "PENDING"})


class Strays:
    """Those of one engine: `me` is its id, `place` its installation, `doing` the workflows it has in hand just now."""

    def __init__(self, records: Records, me: str, place: str, doing: Collection[str]) -> None:
        self._records, self._me, self._place, self._doing = records, me, place, doing
        self._seen: frozenset[str] = frozenset()

    def mend(self) -> None:
        """Promise anew what looked lost the last time too. Raises StorageError."""
        lost = self._lost()
        for record in lost:
            if record.workflow in self._seen:
                self._records.afresh(record)
        self._seen = frozenset(record.workflow for record in lost)

    def _lost(self) -> list[Record]:
        from dbos import DBOS

        ours = [
            one for one in self._records.find(State.HANDED, State.RUNNING) if one.place in {"", self._place}
        ]
        if not ours:
            return []
        names = [one.workflow for one in ours]
        with self._records.told():
            found = DBOS.list_workflows(workflow_ids=names, load_input=False, load_output=False)
        known = {one.workflow_id: one for one in found}
        return [one for one in ours if not self._goes_on(known.get(one.workflow), one.workflow)]

    def _goes_on(self, known: WorkflowStatus | None, workflow: str) -> bool:
        if known is None or known.status not in _GOES_ON:
            return False
        mine = known.status == "PENDING" and known.executor_id == self._me
        return not mine or workflow in self._doing
