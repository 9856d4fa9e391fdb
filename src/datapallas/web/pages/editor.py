"""The editor of a connection: open, check as one types, fill in, save."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request, Response

from datapallas.connection import form as forms
from datapallas.connection.finding import Severity
from datapallas.connection.model import Provider
from datapallas.errors import ConfigurationError, DataPallasError
from datapallas.home.trial import CODE as TRIAL
from datapallas.home.used_by import used_by
from datapallas.oauth.client import refuse_where_nobody_signs_in
from datapallas.web.guard import needs
from datapallas.web.pages.answers import go, page
from datapallas.web.pages.box import Box, shown_ways
from datapallas.web.pages.connections import SAID
from datapallas.web.pages.given import KINDS, Form, Given, base, drafted
from datapallas.web.pages.view import Editor
from datapallas.web.services import Asking, Mode, Parts, Services, who
from datapallas.web.who import Role, Who

if TYPE_CHECKING:
    from datapallas.connection.model import Connection

router = APIRouter()
_MEANWHILE = (
    "This connection was changed meanwhile, in another tab or by somebody else. Nothing was saved. "
    "Load the page again to see it; what you typed here is gone then."
)


@router.get("/connections/new", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def new(request: Request, parts: Parts, kind: str = "microsoft", work: str = "") -> Response:
    """An empty editor; or, when the page was loaded again during its first sign-in, the one that is under way."""
    kind = kind if kind in KINDS else "generic"
    given = Given(code="", kind=kind)
    running = parts.sign_ins.find(work, who(request).owner) if work else None
    if running is not None:
        wanted = running.wanted
        given = dataclasses.replace(given, fields=forms.as_fields(wanted), others={"tab": "advanced"})
    editor = view(parts, who(request), given)
    box = dataclasses.replace(box_of(parts, editor), gone=bool(work) and running is None)
    if running is not None:
        version, state = running.now()
        box = dataclasses.replace(box, work=running.id, version=version, state=state)
    return page(request, "editor.html", form=editor, box=box, reports=())


@router.get("/connections/{code}", dependencies=[Depends(needs(Role.VIEWER))], include_in_schema=False)
def edit(request: Request, code: str, parts: Parts, done: str = "") -> Response:
    """The editor of a stored connection, with the sign-in that is under way."""
    stored = parts.home.folder.load(code)
    given = Given(code=code, others=_first(parts, stored))
    editor = view(parts, who(request), given)
    box = box_of(parts, editor)
    work = parts.sign_ins.current(code, who(request).owner)
    if work is not None and not work.finished:
        version, state = work.now()
        box = dataclasses.replace(box, work=work.id, version=version, state=state)
    reports = used_by(parts.home).get(stored.code, [])
    return page(request, "editor.html", form=editor, box=box, said=SAID.get(done, ""), reports=reports)


@router.post("/connections/check", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def check(request: Request, given: Form, parts: Parts) -> Response:
    """What is wrong, what saving would end and what comes next, after each change."""
    editor = dataclasses.replace(view(parts, who(request), given), oob=True)
    if editor.asked_to_save:  # what stopped the save stays in sight until it is mended
        editor = dataclasses.replace(editor, problem=_why_not(editor, given))
    return page(request, "_checked.html", form=editor, box=box_of(parts, editor))


@router.post("/connections/form", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def refill(request: Request, given: Form, parts: Parts, find: str = "") -> Response:
    """The editor again after a choice that changes it: a provider, a well-known server, an issuer."""
    problem = ""
    chosen = request.headers.get("HX-Trigger-Name", "")
    preset = given.others.get("preset", "")
    if chosen == "preset" and preset:
        given = dataclasses.replace(given, fields={**given.fields, **forms.preset_fields(preset)})
    if find:
        given, problem = _with_issuer(parts, given)
    given = _settled(parts, given)
    editor = dataclasses.replace(view(parts, who(request), given), issuer_problem=problem)
    return page(request, "_refilled.html", form=editor, box=box_of(parts, editor))


@router.post("/connections/{code}/invite", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def invite(request: Request, code: str, parts: Parts, asking: Asking) -> Response:
    """A link for the mailbox's owner, who sits elsewhere; it is shown this once."""
    connection = parts.home.folder.load(code)
    refuse_where_nobody_signs_in(connection)
    link = f"{parts.settings.origin}/invite?key={parts.access.invites.make(connection.code).reveal()}"
    parts.audit.write(asking, "invited", connection=connection.code)
    return page(request, "_invitation.html", link=link, connection=connection)


@router.post("/connections/save", dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def save(request: Request, given: Form, parts: Parts, asking: Asking, agreed: str = "") -> Response:
    """Store what stands in the form; a change that ends the sign-in only when that was agreed to."""
    editor = dataclasses.replace(view(parts, asking, given), asked_to_save=True)
    wanted = editor.connection
    why_not = _why_not(editor, given)
    if why_not or (editor.ends and not agreed):
        return _refused(request, parts, editor, why_not)
    try:
        if given.new:
            first = not parts.home.folder.list()
            saved = parts.home.folder.create(dataclasses.replace(wanted, default=first))
        else:
            saved = parts.home.folder.save(wanted, drop_sign_in=bool(agreed))
    except ConfigurationError as problem:
        return _refused(request, parts, editor, problem.message)
    parts.audit.write(
        asking, "connection-created" if given.new else "connection-changed", connection=saved.code
    )
    return go(f"/connections/{saved.code}?done=saved")


def view(parts: Services, asking: Who, given: Given) -> Editor:
    """The editor for what came with the form."""
    start = base(parts.home, given)
    draft, stored = drafted(parts.home, given, start), None if given.new else start
    return Editor(
        draft=draft,
        given=given,
        kind=given.kind,
        stored=stored,
        row=parts.home.row(stored.code) if stored is not None else None,
        editable=asking.role.may(Role.ADMIN),
        public_redirect=public_redirect(parts, draft.connection),
        asked_to_save=given.others.get("asked") == "yes",
    )


def box_of(parts: Services, editor: Editor) -> Box:
    """The third step for what stands in the editor."""
    return Box(
        connection=editor.connection,
        row=None if editor.ends else editor.row,
        ways=shown_ways(editor.connection, parts.settings, editor.issuer),
        findings=editor.draft.findings,
        now=time.time(),
    )


def public_redirect(parts: Services, connection: Connection) -> str:
    """Where the provider sends the browser back to when this server has a public address; empty when it has none."""
    if parts.settings.mode is not Mode.SERVED or connection.provider is Provider.NONE:
        return ""
    return f"{parts.settings.origin}/oauth/{connection.provider.value.lower()}/callback"


def _first(parts: Services, stored: Connection) -> dict[str, str]:
    """What the editor of a stored connection opens with: its tab, and the sandbox's issuer, which is known."""
    tab = "advanced" if stored.provider is not Provider.NONE else "smtp"
    return {"tab": tab, "issuer": parts.trial.issuer if stored.code == TRIAL else ""}


def _why_not(editor: Editor, given: Given) -> str:
    """Why what stands in the form cannot be saved, in a sentence; empty when it can."""
    for found in editor.draft.findings:
        nameless = found.field == "name" and given.new and found.severity is Severity.MISSING
        if found.severity is Severity.ERROR or nameless:
            return found.sentence
    return _MEANWHILE if given.others.get("seen", editor.seen) != editor.seen else ""


def _refused(request: Request, parts: Services, editor: Editor, sentence: str) -> Response:
    shown = dataclasses.replace(editor, problem=sentence, oob=True, refused=True)
    return page(request, "_checked.html", status=422, form=shown, box=box_of(parts, shown))


def _settled(parts: Services, given: Given) -> Given:
    """The form as its choice has changed it; what was typed and cannot be used stays to be corrected."""
    draft = drafted(parts.home, given)
    wrong = {finding.field for finding in draft.findings if finding.severity is Severity.ERROR}
    kept = {name: text for name, text in given.fields.items() if name in wrong}
    return dataclasses.replace(given, fields={**forms.as_fields(draft.connection), **kept})


def _with_issuer(parts: Services, given: Given) -> tuple[Given, str]:
    issuer = given.others.get("issuer", "").strip()
    if not issuer:
        return given, "Enter the address of the provider first, such as https://login.example.com."
    try:
        found = parts.home.discovered(drafted(parts.home, given).connection, issuer)
    except DataPallasError as problem:
        return given, problem.message
    addresses = {name: forms.as_fields(found)[name] for name in ("authorize-url", "token-url")}
    return dataclasses.replace(given, fields={**given.fields, **addresses}), ""
