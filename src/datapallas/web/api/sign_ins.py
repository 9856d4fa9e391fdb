"""Sign-ins of programs: start, watch, answer, cancel. A sign-in belongs to whoever started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Depends, Response
from pydantic import Field

from datapallas.home.sign_in_work import Stage
from datapallas.home.sign_ins import SignInRequest
from datapallas.oauth.client import oauth2_client
from datapallas.oauth.clock import iso
from datapallas.oauth.sign_in import Way
from datapallas.web.api import drafts
from datapallas.web.api.connections import ends_sign_in, offered
from datapallas.web.api.events import EventStream, LastSeen, events
from datapallas.web.api.given import Answer, SignInStart
from datapallas.web.api.parts import BASE, Code, Id, known, new_router
from datapallas.web.api.shown import DiagnosisShown, Shown, diagnosis_of
from datapallas.web.guard import needs
from datapallas.web.problems import Code as ProblemCode
from datapallas.web.problems import Problem, Refused
from datapallas.web.services import Asking, Parts
from datapallas.web.sign_in_audit import started
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.home.sign_ins import SignInState, SignInWork
    from datapallas.web.services import Services
    from datapallas.web.who import Who

_STARTING = 2.0  # seconds
router = new_router("sign-ins")
_ONE = f"{BASE}/sign-ins/{{id}}"


class SignInShown(Shown):
    """A sign-in, as far as it has come."""

    id: str
    """What it is found by."""
    version: int
    """Grows with each change."""
    connection: str
    """The connection's code."""
    stage: Stage
    """How far it is; `connected`, `failed` and `cancelled` are ends."""
    finished: bool
    """Nothing will change any more."""
    way: Way
    """How."""
    provider: str
    """Who signs people in."""
    url: str
    """The address to open, for `browser` and `paste`; empty until it is known."""
    redirect_uri: str
    """What must be registered at the provider, character for character; empty when nothing is."""
    user_code: str
    """For `device`: what to type."""
    verification_uri: str
    """For `device`: where."""
    verification_uri_complete: str
    """For `device`: the same with the code in it; may be empty."""
    ends_at: str = Field(examples=["2026-11-24T08:05:00Z"])
    """When the waiting ends, ISO 8601 in UTC; empty until it has begun."""
    account: str
    """Who signed in, when connected."""
    notices: list[str]
    """Sentences a person should read."""
    problem: DiagnosisShown | None
    """Why it failed."""


@router.post(
    f"{BASE}/connections/{{code}}/sign-ins", dependencies=[Depends(needs(Role.OPERATOR))], status_code=202
)
def start_sign_in(
    code: Code, body: SignInStart, parts: Parts, asking: Asking, response: Response
) -> SignInShown:
    """Begin a sign-in; an earlier one to the same connection ends. It ends by itself after five minutes.

    Until it has worked, the stored sign-in and settings stay.
    """
    connection = drafts.wanted(parts, asking, code, body)
    _offered(parts, connection, body)
    _agreed(parts, connection, body)
    request = SignInRequest(
        wanted=connection,
        new=False,
        way=body.way,
        owner=asking.owner,
        issuer=body.issuer,
        accept_account=body.accept_account,
        drop_sign_in=body.end_sign_in,
    )
    work = started(parts, asking, request)
    work.wait(work.now()[0], _STARTING)  # so that the answer says where to go, where that is known soon
    response.headers["Location"] = f"{BASE}/sign-ins/{work.id}"
    return _now(work)


@router.get(_ONE, dependencies=[Depends(needs(Role.OPERATOR))])
def read_sign_in(id: Id, parts: Parts, asking: Asking) -> SignInShown:  # noqa: A002 - the path's word
    """How it stands. What ended can be looked at for ten minutes."""
    return _now(_found(parts, asking, id))


@router.get(f"{_ONE}/events", dependencies=[Depends(needs(Role.OPERATOR))], response_class=EventStream)
async def watch_sign_in(id: Id, parts: Parts, asking: Asking, last_event_id: LastSeen = "") -> Response:  # noqa: A002
    """Each change as a server-sent event `state`, its data what `GET` answers, its id the version.

    The stream ends after the last one; 204 when Last-Event-ID was the last one.
    """
    work = _found(parts, asking, id)
    return events(work, last_event_id, lambda version, state: _shown(work, version, state))


@router.post(f"{_ONE}/cancel", dependencies=[Depends(needs(Role.OPERATOR))])
def cancel_sign_in(id: Id, parts: Parts, asking: Asking) -> SignInShown:  # noqa: A002
    """End it; nothing of it is stored. One that has ended stays as it is."""
    work = _found(parts, asking, id)
    work.cancel()
    return _now(work)


@router.post(f"{_ONE}/answer", dependencies=[Depends(needs(Role.OPERATOR))])
def answer_sign_in(id: Id, body: Answer, parts: Parts, asking: Asking) -> SignInShown:  # noqa: A002
    """Bring the address the browser ended at (way `paste`). When it is no answer to this sign-in, that goes on."""
    work = _found(parts, asking, id)
    work.offer(body.pasted.get_secret_value())
    parts.audit.write(asking, "sign-in-answered", connection=work.code)
    return _now(work)


def _offered(parts: Services, connection: Connection, body: SignInStart) -> None:
    """Raises UsageError for a password connection, Refused for a way that is not offered."""
    oauth2_client(connection)
    found = offered(parts, connection, body.issuer)
    if body.way not in found:
        detail = f"This connection can be signed in to here by: {', '.join(found)}."
        title = f"The way {body.way} is not offered"
        raise Refused(Problem(status=409, title=title, detail=detail, code=ProblemCode.NOT_OFFERED))


def _agreed(parts: Services, connection: Connection, body: SignInStart) -> None:
    """Raises Refused when the changes end something and that was not agreed to."""
    from datapallas.connection.form import ends_sign_in as what_ends

    ends = "" if body.end_sign_in else what_ends(parts.home.folder.load(connection.code), connection)
    if ends:
        raise ends_sign_in(connection.code, ends)


def _found(parts: Services, asking: Who, id_: str) -> SignInWork:
    return known(parts.sign_ins.find(id_, asking.owner), ProblemCode.UNKNOWN_SIGN_IN, "sign-in")


def _now(work: SignInWork) -> SignInShown:
    return _shown(work, *work.now())


def _shown(work: SignInWork, version: int, state: SignInState) -> SignInShown:
    return SignInShown.of(
        state,
        id=work.id,
        version=version,
        provider=state.provider.value,
        ends_at=iso(state.ends_at) if state.ends_at else "",
        problem=diagnosis_of(state.problem) if state.problem else None,
    )
