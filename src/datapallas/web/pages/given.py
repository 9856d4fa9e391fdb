"""What came with the form of the editor, and the connection it describes.

Must stay true: a secret becomes a `Secret` here, before anything else sees it, and is never given back to a page.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from starlette.datastructures import UploadFile

from datapallas.connection import form
from datapallas.connection.codes import PREFIX, kebab
from datapallas.connection.fields import FIELDS
from datapallas.connection.finding import Finding, Severity
from datapallas.connection.model import Connection, Provider
from datapallas.errors import DataPallasError, UsageError
from datapallas.secret import Secret

if TYPE_CHECKING:
    from datapallas.connection.form import Draft
    from datapallas.home import Home

KINDS = {
    "microsoft": Provider.MICROSOFT,
    "google": Provider.GOOGLE,
    "generic": Provider.GENERIC,
    "password": Provider.NONE,
}
"""What a new connection can be, as its address says it."""
UNNAMED = f"{PREFIX}unnamed"
"""The code of a new connection that has no usable name yet; nothing is saved under it."""
_LONGEST = 8192  # characters of one field


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The form as it came.

    Attributes:
        code: of the stored connection; empty for a new one.
        kind: what a new one was begun as; one of KINDS.
        fields: texts by the names of `connection.form.as_fields`.
        secrets: those that were typed.
        others: everything else: the tab, the preset, the issuer.
    """

    code: str
    kind: str = "generic"
    fields: dict[str, str] = dataclasses.field(default_factory=dict)
    secrets: dict[str, Secret] = dataclasses.field(default_factory=dict)
    others: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def new(self) -> bool:
        """Nothing is stored yet."""
        return not self.code


async def read(request: Request) -> Given:
    """The form of a request; a FastAPI dependency. Raises UsageError for one that no page of ours sends."""
    posted = await request.form(max_files=0, max_fields=100)
    texts: dict[str, str] = {}
    for name, value in posted.multi_items():
        if isinstance(value, UploadFile) or len(value) > _LONGEST or name in texts:
            raise UsageError("This form cannot be read. Reload the page and try again.", code="bad-form")
        texts[name] = value
    code, kind = texts.pop("code", ""), texts.pop("kind", "")
    secrets = {name: Secret(texts.pop(name)) for name in form.SECRETS if texts.get(name)}
    return Given(
        code=code,
        kind=kind if kind in KINDS else "generic",
        fields={name: texts.pop(name) for name in (form.PROVIDER, *FIELDS) if name in texts},
        secrets=secrets,
        others={name: value for name, value in texts.items() if name not in form.SECRETS},
    )


Form = Annotated[Given, Depends(read)]


def base(home: Home, given: Given) -> Connection:
    """What the form changes: the stored connection, or a new one of its kind."""
    if not given.new:
        return home.folder.load(given.code)
    try:
        return home.draft(given.fields.get("name", ""), KINDS[given.kind], None)
    except UsageError:  # no name yet, or one that gives no code: `drafted` says so
        return dataclasses.replace(home.draft("unnamed", KINDS[given.kind], None), code=UNNAMED, name="")


def drafted(home: Home, given: Given, start: Connection | None = None) -> Draft:
    """The connection the form describes, and what is wrong with it or missing; `start` is its `base`, when at hand."""
    draft = form.draft(start or base(home, given), given.fields, given.secrets)
    problem = _name_problem(home, given)
    if problem is None:
        return draft
    others = [finding for finding in draft.findings if finding.field != "name"]
    return dataclasses.replace(draft, findings=(problem, *others))


def _name_problem(home: Home, given: Given) -> Finding | None:
    """Why a new connection cannot have this name."""
    name = given.fields.get("name", "").strip()
    if not given.new:
        return None
    if not name:
        return Finding("name", Severity.MISSING, "Give the connection a name.")
    try:
        code = kebab(name)
    except UsageError as problem:
        return Finding("name", Severity.ERROR, problem.message)
    try:
        home.folder.path_of(code)
    except DataPallasError:
        return None
    return Finding("name", Severity.ERROR, f"There is a connection {code} already. Choose another name.")
