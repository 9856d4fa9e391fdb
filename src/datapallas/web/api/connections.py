"""Connections: list, create, look, change, delete."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query, Response

from datapallas.connection import form as forms
from datapallas.connection.advice import findings
from datapallas.errors import BrokenConnection, ConfigurationError
from datapallas.home.next_step import Progress, next_step
from datapallas.home.used_by import check_unused
from datapallas.home.ways import ways
from datapallas.oauth.sign_in import Way
from datapallas.web.api import drafts
from datapallas.web.api.given import Change, NewConnection, secrets_of
from datapallas.web.api.parts import BASE, Code, new_router
from datapallas.web.api.shown import (
    Connections,
    ConnectionShown,
    StoredSecrets,
    finding_of,
    next_step_of,
    row_of,
)
from datapallas.web.guard import needs
from datapallas.web.problems import Code as ProblemCode
from datapallas.web.problems import Problem, Refused
from datapallas.web.services import Asking, Mode, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from datapallas.connection.model import Connection
    from datapallas.web.services import Services

router = new_router("connections")


@router.get(f"{BASE}/connections", dependencies=[Depends(needs(Role.VIEWER))])
def list_connections(parts: Parts) -> Connections:
    """Every connection with the state of its sign-in; a broken file is a row too."""
    return Connections(connections=[row_of(row) for row in parts.home.overview()])


@router.post(f"{BASE}/connections", dependencies=[Depends(needs(Role.ADMIN))], status_code=201)
def create_connection(
    body: NewConnection, parts: Parts, asking: Asking, response: Response
) -> ConnectionShown:
    """Make a connection. What is missing before a sign-in or before sending stands in `findings`."""
    folder = parts.home.folder
    connection = drafts.new(parts.home, body)
    first = body.default or not folder.list()
    made = folder.create(dataclasses.replace(connection, default=first))
    parts.audit.write(asking, "connection-created", connection=made.code)
    response.headers["Location"] = f"{BASE}/connections/{made.code}"
    return shown(parts, made)


@router.get(f"{BASE}/connections/{{code}}", dependencies=[Depends(needs(Role.VIEWER))])
def read_connection(code: Code, parts: Parts) -> ConnectionShown:
    """One connection: every field, which secrets are stored, the state of its sign-in, what is wrong or missing."""
    return shown(parts, parts.home.folder.load(code))


@router.patch(f"{BASE}/connections/{{code}}", dependencies=[Depends(needs(Role.ADMIN))])
def change_connection(code: Code, body: Change, parts: Parts, asking: Asking) -> ConnectionShown:
    """Change what is given, keep the rest. A change that ends the sign-in is refused with 409 and what changes,
    unless `end_sign_in` is true.
    """
    stored = parts.home.folder.load(code)
    connection = drafts.usable(stored, body)
    try:
        saved = parts.home.folder.save(connection, drop_sign_in=body.end_sign_in)
    except ConfigurationError as problem:
        if problem.facts.get("case") == "identity-changed":
            raise ends_sign_in(code, problem.facts["changed"]) from None
        raise
    parts.audit.write(
        asking,
        "connection-changed",
        connection=code,
        fields=sorted(body.fields),
        secrets=sorted(secrets_of(body)),
    )
    return shown(parts, saved)


Force = Annotated[bool, Query(description="Delete it even though it is the default one, or reports use it.")]


@router.delete(f"{BASE}/connections/{{code}}", dependencies=[Depends(needs(Role.ADMIN))], status_code=204)
def delete_connection(
    code: Code,
    parts: Parts,
    asking: Asking,
    force: Force = False,  # noqa: FBT002 - a query parameter
) -> None:
    """Delete a connection and its sign-in; a broken file too. The sign-in is not revoked: sign out first for that."""
    try:
        stored = parts.home.folder.load(code)
    except BrokenConnection:
        stored = None
    if stored is not None and stored.default and not force:
        detail = "Make another connection the default first, or repeat this with ?force=true."
        title = f"{stored.code} is the default connection"
        raise Refused(Problem(status=409, title=title, detail=detail, code=ProblemCode.DEFAULT_CONNECTION))
    if not force:
        check_unused(parts.home, code)
    parts.sign_ins.cancel_for(code)
    parts.home.folder.delete(code, force=force)
    parts.audit.write(asking, "connection-deleted", connection=code)


def shown(parts: Services, connection: Connection) -> ConnectionShown:
    """A stored connection as programs see it."""
    row = parts.home.row(connection.code)
    fields = forms.as_fields(connection)
    del fields[forms.PROVIDER]
    found, stored = findings(connection), forms.stored_secrets(connection)
    progress = Progress(
        provider=connection.provider, saved=True, health=row.health, app_only=connection.app_only
    )
    return ConnectionShown(
        code=connection.code,
        provider=connection.provider,
        default=connection.default,
        fields=fields,
        stored_secrets=StoredSecrets(
            password=stored.password_set, client_secret=stored.client_secret_set, signed_in=stored.signed_in
        ),
        status=row_of(row),
        findings=[finding_of(one) for one in found],
        next_step=next_step_of(next_step(found, progress)),
        redirect_uri=parts.home.redirect_uri_to_register(connection),
        ways=[way.value for way in offered(parts, connection)],
    )


def offered(parts: Services, connection: Connection, issuer: str = "") -> list[Way]:
    """The ways to sign in by the API: a redirect comes back to the browser session that began it, so it is none."""
    served = parts.settings.mode is Mode.SERVED
    found = ways(connection, served=served, codes=parts.settings.device_code, issuer=issuer)
    return [way for way in found if way is not Way.REDIRECT]


def ends_sign_in(code: str, changed: str) -> Refused:
    """The refusal of a change that a stored secret or sign-in does not survive."""
    detail = (
        f"A stored secret or sign-in of {code} is bound to {changed}. Nothing was saved. Send the same with "
        '"end_sign_in": true to go on, and sign in, or set the secret, again afterwards.'
    )
    title = "The change ends what is stored"
    return Refused(Problem(status=409, title=title, detail=detail, code=ProblemCode.ENDS_SIGN_IN))
