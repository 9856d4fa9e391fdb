"""Diagnoses: explain a text, and examine a connection.

Must stay true: an examination takes its own thread, because it may wait for a server for a minute; it does not hold
up the end of this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import anyio.to_thread
from fastapi import Depends

from datapallas.diagnosis.doctor import Mark, examine
from datapallas.diagnosis.explain import explain, explain_all
from datapallas.errors import BrokenConnection, UsageError
from datapallas.home.doctoring import case_of
from datapallas.web.api.given import Pasted
from datapallas.web.api.parts import BASE, Code, new_router
from datapallas.web.api.shown import Diagnoses, DiagnosisShown, Shown, diagnosis_of
from datapallas.web.guard import needs
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.diagnosis.doctor import Finding
    from datapallas.diagnosis.doctor_case import Case
    from datapallas.home import Home

router = new_router("diagnoses")
MOST = 4
_under_way = threading.BoundedSemaphore(MOST)


class CheckShown(Shown):
    """What one check found."""

    name: str
    """Stable."""
    title: str
    """For people."""
    mark: Mark
    """How it ended."""
    detail: str
    """A few words about what was found."""
    seconds: float
    """How long it took."""


class Examined(Shown):
    """What the doctor found: the first cause, and what was fine before it."""

    ok: bool
    """Nothing stands in the way."""
    connection: str
    """The connection's code."""
    checks: list[CheckShown]
    """In order."""
    problem: DiagnosisShown | None
    """The first cause, and one thing to do."""


@router.post(f"{BASE}/explain", dependencies=[Depends(needs(Role.VIEWER))])
def explain_text(body: Pasted) -> Diagnoses:
    """Every known thing in a text, each with its cause and one thing to do. The text is not kept."""
    found = explain_all(body.text) or [explain(body.text)]
    return Diagnoses(diagnoses=[diagnosis_of(one) for one in found])


@router.post(f"{BASE}/connections/{{code}}/doctor", dependencies=[Depends(needs(Role.OPERATOR))])
async def examine_connection(code: Code, parts: Parts, asking: Asking) -> Examined:
    """Try out everything a message needs on its way, without sending one. May take a minute."""
    case = await anyio.to_thread.run_sync(_case, parts.home, code)
    if not _under_way.acquire(blocking=False):
        raise UsageError(f"{MOST} examinations are under way already. Wait for one to end.", code="too-many")
    found = await _examined(case)
    await anyio.to_thread.run_sync(lambda: parts.audit.write(asking, "doctor", connection=code))
    problem = next((one.problem for one in found if one.problem is not None), None)
    return Examined(
        ok=problem is None,
        connection=code,
        checks=[CheckShown.of(one) for one in found],
        problem=diagnosis_of(problem) if problem is not None else None,
    )


def _case(home: Home, code: str) -> Case:
    """The case of a connection there is; that its file cannot be read is for the doctor to find."""
    with contextlib.suppress(BrokenConnection):
        home.folder.load(code)
    return case_of(home, code)


async def _examined(case: Case) -> list[Finding]:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[Finding]] = loop.create_future()

    def tell(result: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(lambda: None if done.done() else result())

    def run() -> None:
        try:
            found = list(examine(case))
        except BaseException as problem:  # noqa: BLE001 - raised where it is waited for
            tell(lambda problem=problem: done.set_exception(problem))  # type: ignore[misc]
        else:
            tell(lambda: done.set_result(found))
        finally:
            _under_way.release()

    threading.Thread(target=run, name=f"doctor-{case.code}", daemon=True).start()
    return await done
