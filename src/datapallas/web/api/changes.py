"""What is done with a connection beside changing its fields: default, duplicate, sign out, and checking a change."""

from __future__ import annotations

from fastapi import Depends, Response

from datapallas.connection import form as forms
from datapallas.web.api import drafts
from datapallas.web.api.connections import shown
from datapallas.web.api.given import Draft, Duplicate
from datapallas.web.api.parts import BASE, Code, new_router
from datapallas.web.api.shown import Checked, ConnectionShown, SignedOut, finding_of, next_step_of
from datapallas.web.guard import needs
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

router = new_router("connections")
_ONE = f"{BASE}/connections/{{code}}"


@router.post(f"{_ONE}/default", dependencies=[Depends(needs(Role.ADMIN))])
def make_default(code: Code, parts: Parts, asking: Asking) -> ConnectionShown:
    """Make it the one that is used when none is named."""
    parts.home.folder.set_default(code)
    parts.audit.write(asking, "connection-default", connection=code)
    return shown(parts, parts.home.folder.load(code))


@router.post(f"{_ONE}/duplicate", dependencies=[Depends(needs(Role.ADMIN))], status_code=201)
def duplicate_connection(
    code: Code, body: Duplicate, parts: Parts, asking: Asking, response: Response
) -> ConnectionShown:
    """Copy it under a new name, without its secrets and its sign-in."""
    copy = parts.home.folder.duplicate(code, drafts.named(body.name))
    parts.audit.write(asking, "connection-duplicated", connection=code, copy=copy.code)
    response.headers["Location"] = f"{BASE}/connections/{copy.code}"
    return shown(parts, copy)


@router.post(f"{_ONE}/sign-out", dependencies=[Depends(needs(Role.OPERATOR))])
def sign_out(code: Code, parts: Parts, asking: Asking) -> SignedOut:
    """Forget the stored sign-in, and end it at the provider where that is possible."""
    parts.home.folder.load(code)
    parts.sign_ins.cancel_for(code)
    done = parts.home.tokens(code).sign_out()
    parts.audit.write(asking, "signed-out", connection=code, revoked=done.revoked)
    return SignedOut(forgotten=done.forgotten, revoked=done.revoked, reason=done.reason)


@router.post(f"{_ONE}/check", dependencies=[Depends(needs(Role.ADMIN))])
def check_change(code: Code, body: Draft, parts: Parts) -> Checked:
    """What a change would come to: what is wrong or missing, and what it would end. Saves nothing."""
    stored = parts.home.folder.load(code)
    draft = drafts.drafted(stored, body)
    return Checked(
        findings=[finding_of(one) for one in draft.findings],
        ends=forms.ends_sign_in(stored, draft.connection),
        lost_secrets=list(forms.lost_secrets(stored, draft.connection)),
        next_step=next_step_of(drafts.next_of(parts, draft, stored)),
    )
