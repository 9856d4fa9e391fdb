"""Test emails of programs: send one, watch its steps, cancel it, read the report. It belongs to whoever started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Depends, Response
from fastapi.responses import PlainTextResponse

from datapallas.connection.finding import error
from datapallas.errors import AddressError
from datapallas.home.test_state import Mark, Step
from datapallas.web.api import drafts
from datapallas.web.api.events import EventStream, LastSeen, events
from datapallas.web.api.given import TestEmailStart
from datapallas.web.api.parts import BASE, Code, Id, known, new_router
from datapallas.web.api.shown import DiagnosisShown, Shown, diagnosis_of
from datapallas.web.guard import needs
from datapallas.web.problems import Code as ProblemCode
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.home.test_emails import TestState, TestWork
    from datapallas.web.services import Services
    from datapallas.web.who import Who

router = new_router("test emails")
_ONE = f"{BASE}/test-emails/{{id}}"


class TestEmailStep(Shown):
    """One step."""

    __test__ = False  # its name looks like a test to pytest

    step: Step
    """Which."""
    mark: Mark
    """How it is."""
    detail: str
    """What was found, or why it was left out."""
    seconds: float | None
    """How long it took; null while that is not known."""


class TestEmailShown(Shown):
    """A test email, as far as it has come."""

    __test__ = False  # its name looks like a test to pytest

    id: str
    """What it is found by."""
    version: int
    """Grows with each change."""
    finished: bool
    """Nothing will change any more."""
    connection: str
    """The connection's code."""
    to: str
    """To whom."""
    sender: str
    """From whom."""
    server: str
    """The mail server, `host:port`."""
    steps: list[TestEmailStep]
    """In order."""
    dialogue: list[str]
    """What was said, `C:` by us, `S:` by the mail server; secrets masked."""
    message_id: str
    """Its Message-ID; empty before there is one."""
    reply: str
    """What the mail server said to the message."""
    outcome: str
    """`accepted`, `deferred`, `refused`, `unknown`; `failed` when no message was handed over; `cancelled`; empty
    before. Accepted never means delivered."""
    problem: DiagnosisShown | None
    """What went wrong."""


@router.post(
    f"{BASE}/connections/{{code}}/test-emails",
    dependencies=[Depends(needs(Role.OPERATOR))],
    status_code=202,
)
def send_test_email(
    code: Code, body: TestEmailStart, parts: Parts, asking: Asking, response: Response
) -> TestEmailShown:
    """Send a test email through a connection, or through what it would be with the changes given; saves nothing."""
    connection = drafts.wanted(parts, asking, code, body)
    try:
        work = parts.test_emails.start(connection, owner=asking.owner, to=body.to)
    except AddressError:
        raise drafts.refused(
            [error("to", "It is not a mail address such as anna@contoso.example.")]
        ) from None
    parts.audit.write(asking, "test-email", connection=code, to=work.now()[1].to)
    response.headers["Location"] = f"{BASE}/test-emails/{work.id}"
    return _now(work)


@router.get(_ONE, dependencies=[Depends(needs(Role.OPERATOR))])
def read_test_email(id: Id, parts: Parts, asking: Asking) -> TestEmailShown:  # noqa: A002 - the path's word
    """How it stands. What ended can be looked at for ten minutes."""
    return _now(_found(parts, asking, id))


@router.get(f"{_ONE}/events", dependencies=[Depends(needs(Role.OPERATOR))], response_class=EventStream)
async def watch_test_email(id: Id, parts: Parts, asking: Asking, last_event_id: LastSeen = "") -> Response:  # noqa: A002
    """Each change as a server-sent event `state`, its data what `GET` answers, its id the version.

    The stream ends after the last one; 204 when Last-Event-ID was the last one.
    """
    work = _found(parts, asking, id)
    return events(work, last_event_id, lambda version, state: _shown(work, version, state))


@router.get(f"{_ONE}/report", dependencies=[Depends(needs(Role.OPERATOR))], response_class=PlainTextResponse)
def report_test_email(id: Id, parts: Parts, asking: Asking) -> str:  # noqa: A002
    """Everything as one text, to send to whoever helps; no secrets."""
    return _found(parts, asking, id).report()


@router.post(f"{_ONE}/cancel", dependencies=[Depends(needs(Role.OPERATOR))])
def cancel_test_email(id: Id, parts: Parts, asking: Asking) -> TestEmailShown:  # noqa: A002
    """Stop it; what was handed over already is on its way. One that has ended stays as it is."""
    work = _found(parts, asking, id)
    if not work.finished:
        work.cancel()
        parts.audit.write(asking, "test-email-cancelled", connection=work.code)
    return _now(work)


def _found(parts: Services, asking: Who, id_: str) -> TestWork:
    return known(parts.test_emails.find(id_, asking.owner), ProblemCode.UNKNOWN_TEST_EMAIL, "test email")


def _now(work: TestWork) -> TestEmailShown:
    return _shown(work, *work.now())


def _shown(work: TestWork, version: int, state: TestState) -> TestEmailShown:
    return TestEmailShown.of(
        state,
        id=work.id,
        version=version,
        steps=[TestEmailStep.of(one) for one in state.steps],
        problem=diagnosis_of(state.problem) if state.problem else None,
    )
