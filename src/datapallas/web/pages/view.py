"""The editor as its templates show it: texts and choices, made from what the services say. Pure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from datapallas.connection import form as forms
from datapallas.connection import provider as providers
from datapallas.connection.fields import FIELDS
from datapallas.connection.finding import Severity
from datapallas.connection.model import OAuth2Client, Provider
from datapallas.connection.provider_help import APP_ONLY_HELP, PROVIDER_HELP, SERVED_HELP, ProviderHelp
from datapallas.connection.record import fingerprint
from datapallas.home.next_step import PROVIDER_NAMES, Doing, NextStep, Progress, next_step
from datapallas.web.pages.given import UNNAMED
from datapallas.web.pages.words import (
    APP_SECRET_HINT,
    APPLICATION,
    PERSON,
    SECRET_HINTS,
    SERVICE_ACCOUNT,
    TITLES,
    Value,
)

if TYPE_CHECKING:
    from datapallas.connection.finding import Finding
    from datapallas.connection.form import Draft
    from datapallas.connection.model import Connection
    from datapallas.home.overview import Row
    from datapallas.web.pages.given import Given

_MICROSOFT_ONLY = frozenset({"tenant-id", "cloud"})
_NO_FIELD = frozenset({"transport"})  # set on the command line


class Shown(NamedTuple):
    """The next step as the page shows it; `place` is the id of an element."""

    kind: str
    sentence: str
    place: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Editor:
    """Everything the templates of the editor ask for as `form`.

    Attributes:
        draft: the connection in the form.
        given: the form as it came; None when the page is opened.
        stored: the connection as stored, or None.
        row: its line in the list, or None.
        editable: the person may change it.
        problem: a sentence that stands above everything, or empty.
        asked_to_save: Save was pressed, so what saving ends is asked about.
        refused: Save was pressed just now and did nothing: look at why.
        issuer_problem: why the issuer's addresses could not be found, or empty.
        oob: the fields' sentences are swapped in by themselves.
    """

    draft: Draft
    given: Given | None
    kind: str
    stored: Connection | None
    row: Row | None
    editable: bool
    public_redirect: str = ""
    problem: str = ""
    asked_to_save: bool = False
    refused: bool = False
    issuer_problem: str = ""
    oob: bool = False

    @property
    def connection(self) -> Connection:
        """The connection in the form."""
        return self.draft.connection

    @property
    def code(self) -> str:
        """The code of the stored connection, or empty."""
        return self.stored.code if self.stored else ""

    @property
    def future_code(self) -> str:
        """The code a new connection will have, or empty while it has no name."""
        return "" if self.connection.code == UNNAMED else self.connection.code

    @property
    def seen(self) -> str:
        """What the stored connection was when the page was filled: a save that meets another one says so."""
        return fingerprint(repr(sorted(forms.as_fields(self.stored).items()))) if self.stored else ""

    @property
    def name_hint(self) -> str:
        """What the name is for, and the code that comes of it."""
        code = f" Scripts call it {self.code or self.future_code}." if self.code or self.future_code else ""
        return f"How you will find it in lists.{code}"

    @property
    def shown_fields(self) -> list[str]:
        """The fields the page has for this kind of connection."""
        none = self.connection.provider is Provider.NONE
        parts = {"connection", "server", "password" if none else "oauth2"}
        microsoft = self.connection.provider is Provider.MICROSOFT
        hidden = _NO_FIELD | ({"redirect-uri"} if self.app_only else {"certificate"})
        hidden |= frozenset() if microsoft else _MICROSOFT_ONLY
        named = [name for name, field in FIELDS.items() if field.part in parts and name not in hidden]
        return [forms.PROVIDER, *named, "password" if none else "client-secret"]

    @property
    def title(self) -> str:
        """The heading."""
        return (self.stored.name or self.stored.code) if self.stored else TITLES[self.kind]

    @property
    def fields(self) -> dict[str, str]:
        """What stands in each field: as it was typed, else as it is."""
        typed = self.given.fields if self.given else {}
        return {**forms.as_fields(self.connection), **typed}

    def finding(self, name: str) -> Finding | None:
        """The worst thing to say about a field; what is missing is said only after something was typed or saved."""
        found = [finding for finding in self.draft.findings if finding.field == name]
        order = list(Severity)
        found.sort(key=lambda finding: order.index(finding.severity))
        if found and found[0].severity is Severity.MISSING and not (self.asked_to_save or self.stored):
            return None
        return found[0] if found else None

    def is_wrong(self, name: str) -> bool:
        """The value of a field cannot be used."""
        found = self.finding(name)
        return found is not None and found.severity is Severity.ERROR

    @property
    def provider(self) -> str:
        """MICROSOFT, GOOGLE, GENERIC or NONE."""
        return self.connection.provider.value

    @property
    def provider_name(self) -> str:
        """The provider as a sentence calls it."""
        return PROVIDER_NAMES[self.connection.provider]

    @property
    def help(self) -> ProviderHelp:
        """The steps at the provider."""
        if self.app_only:
            return APP_ONLY_HELP[self.connection.provider]
        table = SERVED_HELP if self.public_redirect else PROVIDER_HELP
        return table[self.connection.provider]

    @property
    def app_only(self) -> bool:
        """Nobody signs in: the application, or a service account, opens the mailbox."""
        return self.connection.app_only

    @property
    def flows(self) -> list[tuple[str, str]]:
        """Who may open the mailbox, at this provider."""
        google = self.connection.provider is Provider.GOOGLE
        return [PERSON, SERVICE_ACCOUNT if google else APPLICATION]

    @property
    def redirect_uri(self) -> str:
        """What is registered at the provider, or empty."""
        client = self.connection.credential
        return providers.redirect_uri_to_register(client) if isinstance(client, OAuth2Client) else ""

    @property
    def values(self) -> list[Value]:
        """What a person enters at the provider."""
        client = self.connection.credential
        if not isinstance(client, OAuth2Client):
            return []
        if client.app_only:
            right = "SMTP.SendAsApp" if client.provider is Provider.MICROSOFT else ""
            return [Value("Permission (application)", right)] if right else []
        found = [Value("Redirect URI", self.redirect_uri)] if self.redirect_uri else []
        if self.public_redirect:  # without a secret the address is pasted, and the other one is used
            pasted = [Value("Redirect URI for pasting (no secret)", value.text) for value in found]
            found = [Value("Redirect URI for this page", self.public_redirect), *pasted]
        scopes = sorted(providers.mail_scopes(client))
        if client.provider is Provider.MICROSOFT:
            return [*found, Value("Permission (delegated)", "SMTP.Send")]
        return [*found, *(Value("Scope", scope) for scope in scopes)]

    @property
    def secret_hint(self) -> str:
        """What the client secret is for, at this provider."""
        return APP_SECRET_HINT if self.app_only else SECRET_HINTS.get(self.connection.provider, "")

    @property
    def password_set(self) -> bool:
        """A password is stored."""
        return forms.stored_secrets(self.connection).password_set

    @property
    def client_secret_set(self) -> bool:
        """A client secret is stored."""
        return forms.stored_secrets(self.connection).client_secret_set

    @property
    def rare_open(self) -> bool:
        """One of the seldom needed fields has something to say."""
        rare = (
            "flow",
            "certificate",
            "cloud",
            "login-hint",
            "redirect-uri",
            "authorize-url",
            "token-url",
            "scope",
        )
        return any(self.is_wrong(name) for name in rare)

    @property
    def tab(self) -> str:
        """The tab that is shown."""
        return "advanced" if self.others.get("tab") == "advanced" else "smtp"

    @property
    def others(self) -> dict[str, str]:
        """What came with the form besides fields and secrets."""
        return self.given.others if self.given else {}

    @property
    def issuer(self) -> str:
        """The issuer address as it was typed."""
        return self.others.get("issuer", "")

    @property
    def preset(self) -> str:
        """The well-known provider that was chosen."""
        return self.others.get("preset", "")

    @property
    def presets(self) -> list[tuple[str, str]]:
        """The well-known providers: name and title."""
        return [("", "Choose …"), *((one.name, one.title) for one in forms.presets())]

    @property
    def preset_note(self) -> str:
        """The one thing a person must know about the chosen one."""
        return next((one.note for one in forms.presets() if one.name == self.preset), "")

    @property
    def ends(self) -> str:
        """What saving would end, in words, or empty."""
        changed = forms.ends_sign_in(self.stored, self.connection) if self.stored else ""
        return f"It is bound to {changed}." if changed else ""

    @property
    def ask_to_end(self) -> bool:
        """Save was pressed, and only the person's agreement is missing."""
        return self.asked_to_save and self.editable

    @property
    def account(self) -> str:
        """Who is signed in, or empty."""
        return self.row.account if self.row else ""

    @property
    def connected(self) -> bool:
        """Somebody is signed in, and what stands in the form keeps that."""
        person = self.connection.provider is not Provider.NONE and not self.app_only
        return bool(self.row and self.row.ok and person and not self.ends)

    @property
    def saved(self) -> bool:
        """What stands in the form is what is stored."""
        typed = bool(self.given and self.given.secrets)
        return self.stored is not None and self.connection == self.stored and not typed

    @property
    def next(self) -> Shown:
        """The next step."""
        progress = Progress(
            provider=self.connection.provider,
            saved=self.saved,
            health=self.row.health if self.row else None,
            ends_sign_in=bool(self.ends),
            app_only=self.app_only,
        )
        return _shown(next_step(self.draft.findings, progress))

    def context(self) -> dict[str, Any]:
        """What the templates get."""
        return {"form": self}


def _shown(step: NextStep) -> Shown:
    place = step.field if step.field in {"", "sign-in"} else f"f-{step.field}"
    if step.doing in {Doing.SAVE, Doing.TEST}:
        place = "save" if step.doing is Doing.SAVE else "send-test"
    return Shown("done" if step.doing is Doing.TEST else step.doing.value, step.sentence, place)
