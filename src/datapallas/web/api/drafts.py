"""From the body of a request to a connection that may be saved, or a refusal that names the fields.

Must stay true: a refusal never repeats a value; what was wrong before and is not touched does not stand in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection import form as forms
from datapallas.connection.advice import findings
from datapallas.connection.codes import MAX_CODE, PREFIX, kebab
from datapallas.connection.fields import FIELDS
from datapallas.connection.finding import Severity, error
from datapallas.diagnosis.explain import explain
from datapallas.errors import DataPallasError, UsageError
from datapallas.home.next_step import Progress, next_step
from datapallas.web.api.given import Draft, NewConnection, secrets_of
from datapallas.web.problems import Code, FieldError, Problem, Refused
from datapallas.web.who import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.connection.finding import Finding
    from datapallas.connection.model import Connection
    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.home import Home
    from datapallas.home.next_step import NextStep
    from datapallas.web.services import Services
    from datapallas.web.who import Who

_LETTERS = MAX_CODE - len(PREFIX)


def drafted(base: Connection, body: Draft) -> forms.Draft:
    """`base` with what the body says, and what is to be said about it."""
    given = dict(body.fields)
    if body.provider is not None:
        given[forms.PROVIDER] = body.provider.value
    secrets = secrets_of(body)
    draft = forms.draft(base, given, secrets)
    shown, told = forms.as_fields(draft.connection), {one.field for one in draft.findings}
    passed_over = [name for name, text in given.items() if text.strip() and not shown.get(name, "")]
    passed_over += [name for name in secrets if not hasattr(draft.connection.credential, forms.SECRETS[name])]
    kind = draft.connection.provider.value
    more = [
        error(name, f"The {forms.LABELS[name]} has no meaning for provider {kind}.")
        for name in passed_over
        if name not in told
    ]
    return forms.Draft(draft.connection, (*more, *draft.findings))


def usable(base: Connection, body: Draft) -> Connection:
    """The connection the body makes of `base`. Raises Refused (422) for values that cannot be used."""
    draft = drafted(base, body)
    known = set(findings(base))
    wrong = [one for one in draft.findings if one.severity is Severity.ERROR and one not in known]
    if wrong:
        raise refused(wrong)
    return draft.connection


def wanted(parts: Services, asking: Who, code: str, body: Draft) -> Connection:
    """The stored connection, with the changes in the body, which only an administrator may bring. Raises Refused."""
    stored = parts.home.folder.load(code)
    if body.empty:
        return stored
    if not asking.role.may(Role.ADMIN):
        detail = f"Changes need the role admin; {asking.name} has the role {asking.role}. Send none."
        raise Refused(Problem(status=403, title="Not allowed", detail=detail))
    return usable(stored, body)


def new(home: Home, body: NewConnection) -> Connection:
    """The new connection the body describes. Raises Refused (422) for values that cannot be used."""
    name = named(body.fields.get("name", ""))
    try:
        base = home.draft(name, body.provider, body.preset or None)
    except UsageError as problem:  # of the preset: the name is good
        known = ", ".join(one.name for one in forms.presets())
        unknown = problem.facts.get("case") == "unknown-preset"
        sentence = (
            f"There is no such preset. Known: {known}." if unknown else "It goes with another provider."
        )
        raise refused([error("preset", sentence)]) from None
    if body.issuer:
        try:
            base = home.discovered(base, body.issuer)
        except DataPallasError as problem:
            sentence = "The provider's addresses could not be found there."
            raise refused([error("issuer", sentence)], explain(problem)) from problem
    return usable(base, body)


def named(name: str) -> str:
    """`name`, when a connection can be called so. Raises Refused (422)."""
    name = name.strip()
    try:
        FIELDS["name"].check(name)
        kebab(name)
    except (ValueError, UsageError):
        sentence = f"A connection needs a name with 1 to {_LETTERS} letters a-z or digits, on one line."
        raise refused([error("name", sentence)]) from None
    return name


def refused(wrong: Sequence[Finding], diagnosis: Diagnosis | None = None) -> Refused:
    """The refusal for values that cannot be used."""
    return Refused(
        Problem(
            status=422,
            title="A value cannot be used",
            detail=" ".join(one.sentence for one in wrong),
            code=Code.NOT_VALID,
            errors=[FieldError(one.field, one.sentence) for one in wrong],
            diagnosis=diagnosis,
        )
    )


def next_of(parts: Services, draft: forms.Draft, stored: Connection) -> NextStep:
    """The next step after the draft."""
    row = parts.home.row(stored.code)
    progress = Progress(
        provider=draft.connection.provider,
        saved=draft.connection == stored,
        health=row.health,
        ends_sign_in=bool(forms.ends_sign_in(stored, draft.connection)),
        app_only=draft.connection.app_only,
    )
    return next_step(draft.findings, progress)
