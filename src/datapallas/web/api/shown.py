"""What programs get: the bodies of answers, and how each is made from what the services say.

Must stay true: a value that is not named here does not leave; no model has a place for a secret.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from datapallas.connection.finding import Before, Severity
from datapallas.connection.model import Provider
from datapallas.home.next_step import Doing
from datapallas.home.overview import Health
from datapallas.web.api.given import FIELDS_SCHEMA
from datapallas.web.who import Kind, Role

if TYPE_CHECKING:
    from datapallas.connection.finding import Finding
    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.home.next_step import NextStep
    from datapallas.home.overview import Row

AllFields = Annotated[
    dict[str, str], WithJsonSchema({**FIELDS_SCHEMA, "required": list(FIELDS_SCHEMA["properties"])})
]


class Shown(BaseModel):
    """An answer. Later versions may add members; none changes its meaning."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    @classmethod
    def of(cls, source: object, **others: object) -> Self:
        """What `source` has under the names of this answer, and `others`."""
        names = cls.model_fields.keys() - others.keys()
        return cls(**{name: getattr(source, name) for name in names}, **others)


class DiagnosisShown(Shown):
    """One failure, explained."""

    id: str = Field(examples=["exchange-smtp-auth-off-tenant"])
    """The catalogue's name for the cause; stable."""
    title: str
    """What failed."""
    cause: str
    """Why."""
    fix: str
    """One thing to do next."""
    who: str
    """Who can do it: you, mailbox owner, tenant administrator, provider, us."""
    passes_by_itself: bool
    """Trying again later, with nothing changed, can succeed."""
    raw: str
    """What the other side or the system said, secrets masked; may be empty."""
    source: str
    """Where this is documented."""
    correlation_id: str
    """What the provider's support asks for; may be empty."""


class FieldProblem(Shown):
    """A value that cannot be used."""

    field: str
    """Which one: a name of `fields`, `provider`, `password`, `client-secret`, or a path into the body."""
    sentence: str
    """What is wrong, without the value."""


class ProblemShown(Shown):
    """What failed (RFC 9457)."""

    type: str = Field(examples=["urn:datapallas:unknown-connection"])
    """A URN with the diagnosis' or the problem's name; `about:blank` when the status says it all."""
    title: str
    """What failed, in a few words."""
    status: int
    """The HTTP status."""
    code: str = Field(examples=["unknown-connection"])
    """What failed, for programs; stable."""
    detail: str = ""
    """Why, and what to do next."""
    errors: list[FieldProblem] = Field(default_factory=list)
    """The values that cannot be used, when that is the problem."""
    diagnosis: DiagnosisShown | None = None
    """The explanation, when something of ours or at a provider failed."""


class About(Shown):
    """What this server is."""

    version: str
    """Of DataPallas."""
    links: dict[str, str]
    """Where things are."""


class Me(Shown):
    """Who is asking."""

    name: str = Field(examples=["token:monitoring"])
    """A user's name, `local`, or `token:NAME`."""
    role: Role
    """What they may do; each role may also do what the ones before it may."""
    kind: Kind
    """How they proved who they are."""


class Preset(Shown):
    """A well-known provider."""

    name: str
    """What to give as `preset`."""
    title: str
    """What people call it."""
    note: str
    """One thing a person must know; may be empty."""


class Presets(Shown):
    """The well-known providers."""

    presets: list[Preset]
    """In the order to show them."""


class FindingShown(Shown):
    """Something that is wrong with a value, or missing."""

    field: str
    """Which one."""
    severity: Severity
    """`error` cannot work, `warning` is probably not what was meant, `missing` has to be filled in yet."""
    sentence: str
    """For a person."""
    before: Before | None
    """What a missing value is needed for."""


class NextStepShown(Shown):
    """What to do next."""

    doing: Doing
    """In a word."""
    sentence: str
    """For a person."""
    field: str
    """The field it is about; empty when it is about none."""


class ConnectionRow(Shown):
    """A connection and the state of its sign-in; asks no provider. Times are ISO 8601 in UTC, or empty."""

    code: str = Field(examples=["eml-office-365"])
    """Its identity. Of a broken file, its name."""
    name: str
    """The name people see."""
    provider: str
    """MICROSOFT, GOOGLE, GENERIC or NONE; empty for a broken file."""
    mailbox: str
    """The address that signs in."""
    default: bool
    """It is used when none is named."""
    health: Health
    """How it is, in a word."""
    state: str = Field(examples=["connected as reports@contoso.example"])
    """The same for a person."""
    ok: bool
    """Mail can be sent, as far as is known here."""
    account: str
    """Who signed in, or empty."""
    issued_at: str
    """When the sign-in was made."""
    refreshed_at: str
    """When a token last came."""
    days_left: float | None
    """Until the sign-in ends when it is not used; null where the provider does not say."""
    refused_at: str
    """Since when the provider refuses."""
    file: str
    """The name of its file."""
    line: str
    """Where the file cannot be read, or empty."""
    reason: str
    """Why, or empty."""
    warnings: list[str]
    """Sentences a person should read."""


class Connections(Shown):
    """All connections, broken files among them."""

    connections: list[ConnectionRow]
    """In the order of their files' names."""


class StoredSecrets(Shown):
    """Which secrets are stored; never what they are."""

    password: bool
    """A password."""
    client_secret: bool = Field(serialization_alias="client-secret")
    """A client secret."""
    signed_in: bool
    """A sign-in."""


class ConnectionShown(Shown):
    """A connection. `provider` and `fields` may be sent back as they are."""

    code: str
    """Its identity."""
    provider: Provider
    """Who signs people in."""
    default: bool
    """It is used when none is named."""
    fields: AllFields
    """Every field."""
    stored_secrets: StoredSecrets
    """Which secrets are stored."""
    status: ConnectionRow
    """The state of its sign-in."""
    findings: list[FindingShown]
    """What is wrong or missing."""
    next_step: NextStepShown
    """The one thing to do next."""
    redirect_uri: str
    """What must be registered at the provider; empty when nothing is."""
    ways: list[str]
    """How one can sign in with `POST .../sign-ins`, the usual way first."""


class Checked(Shown):
    """What a change would come to; nothing was saved."""

    findings: list[FindingShown]
    """What is wrong or missing, bad values first."""
    ends: str
    """What changes so that a stored secret or sign-in cannot stay; empty when all stay."""
    lost_secrets: list[str]
    """Which: `refresh_token` (the sign-in), `client_secret`, `password`."""
    next_step: NextStepShown
    """The one thing to do next."""


class SignedOut(Shown):
    """What became of the sign-in."""

    forgotten: bool
    """There was one, and it is gone from this machine."""
    revoked: bool
    """The provider has ended it too."""
    reason: str
    """Why it was not revoked; empty when it was, or nobody was signed in."""


class Diagnoses(Shown):
    """What is known about a text."""

    diagnoses: list[DiagnosisShown]
    """Every known thing in it; for a text nobody knows, the nearest family."""


def diagnosis_of(found: Diagnosis) -> DiagnosisShown:
    """One diagnosis."""
    return DiagnosisShown.of(found)


def row_of(row: Row) -> ConnectionRow:
    """One line of the list."""
    return ConnectionRow.of(row, file=PurePath(row.path).name)


def finding_of(found: Finding) -> FindingShown:
    """One finding."""
    return FindingShown.of(found)


def next_step_of(found: NextStep) -> NextStepShown:
    """The next step."""
    return NextStepShown.of(found)
