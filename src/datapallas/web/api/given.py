"""What programs send: the bodies of requests.

Must stay true: a secret is a `SecretStr` from the first moment and a `Secret` from `secrets_of` on; a name nobody knows
is refused, so that a misspelt one does not pass for a change.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StrictBool, WithJsonSchema

from datapallas.connection.fields import FIELDS
from datapallas.connection.form import SECRETS
from datapallas.connection.model import Provider
from datapallas.oauth.sign_in import Way
from datapallas.secret import Secret

LONGEST = 8192  # characters of one value
_LONGEST_PASTE = 16_384
_LONGEST_LOG = 60_000
_ADDRESS = 320


def whole(value: str) -> str:
    """Refuse half a character (a lone surrogate, RFC 8259 section 8.2), which no file and no server takes."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("It holds half a character.") from None
    return value


def _whole_secret(value: SecretStr) -> SecretStr:
    whole(value.get_secret_value())
    return value


Text = Annotated[str, AfterValidator(whole), Field(max_length=LONGEST)]
Hidden = Annotated[SecretStr, AfterValidator(_whole_secret), Field(max_length=LONGEST)]

FIELDS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Fields",
    "description": "The fields of a connection, as texts. What one kind of connection does not have is empty.",
    "additionalProperties": False,
    "properties": {
        name: {
            "type": "string",
            "maxLength": LONGEST,
            "description": f"{field.help[:1].upper()}{field.help[1:]}.",
        }
        for name, field in FIELDS.items()
    },
    "examples": [{"name": "Reports", "from": "reports@contoso.example"}],
}
Fields = Annotated[dict[str, Text], WithJsonSchema(FIELDS_SCHEMA)]
"""Fields by the names of `connection.form.as_fields`; `form.draft` tells which are unknown or cannot be used."""


class Given(BaseModel):
    """A body; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Secrets(Given):
    """Secrets, to be sealed. They are never shown again; what is left out, or empty, stays as it is stored."""

    password: Hidden = Field(SecretStr(""), json_schema_extra={"writeOnly": True})
    """The password, for provider NONE."""
    client_secret: Hidden = Field(SecretStr(""), alias="client-secret", json_schema_extra={"writeOnly": True})
    """The client secret, for the other providers, where they gave one."""


class Draft(Given):
    """Changes to a connection. What is left out stays as it is."""

    provider: Provider | None = None
    """Who signs people in; NONE is a plain password. Left out or null: as it is."""
    fields: Fields = Field(default_factory=dict)
    """The fields to change."""
    secrets: Secrets = Field(default_factory=lambda: Secrets.model_validate({}))
    """The secrets to set."""

    @property
    def empty(self) -> bool:
        """Nothing is changed."""
        return self.provider is None and not self.fields and not secrets_of(self)


class NewConnection(Draft):
    """A new connection; its name becomes its code, `eml-name`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "provider": "MICROSOFT",
                    "fields": {
                        "name": "Reports",
                        "from": "reports@contoso.example",
                        "tenant-id": "contoso.example",
                        "client-id": "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901",
                    },
                },
                {
                    "provider": "NONE",
                    "preset": "fastmail",
                    "fields": {
                        "name": "Alerts",
                        "from": "alerts@contoso.example",
                        "user": "alerts@contoso.example",
                    },
                    "secrets": {"password": "an app password"},
                },
            ]
        }
    )
    preset: Text = ""
    """A well-known provider (`GET /api/v1/presets`), which fills in its mail server."""
    issuer: Text = ""
    """GENERIC: the provider's issuer; its addresses are found there by OpenID discovery."""
    default: StrictBool = False
    """Make it the default connection. The first connection is, whatever this says."""


class Change(Draft):
    """A change that is saved."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"fields": {"from-name": "Contoso reports"}}]})
    end_sign_in: StrictBool = False
    """Agree that the change ends the sign-in, or drops the stored secret, that is bound to what changes."""


class Duplicate(Given):
    """What the copy is called."""

    name: Text = Field(examples=["Reports of the south"])
    """The name; it becomes the code."""


class SignInStart(Draft):
    """How to sign in; with changes, they are saved when the sign-in has worked, and only then (administrators only)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"way": "device"}, {"way": "paste"}]})
    way: Annotated[Way, WithJsonSchema({"type": "string", "enum": [Way.BROWSER, Way.PASTE, Way.DEVICE]})]
    """`browser`: a browser on the machine the server runs on. `paste`: any browser; then answer with the address it
    ended at. `device`: a code to type on any device, where the provider allows it."""
    accept_account: StrictBool = False
    """Another account than the connection's mailbox is fine."""
    issuer: Text = ""
    """GENERIC: the provider's issuer, where the way `device` needs it."""
    end_sign_in: StrictBool = False
    """Agree that the changes end the sign-in that is stored, once the new one has worked."""


class Answer(Given):
    """What the browser ended at."""

    pasted: Annotated[SecretStr, AfterValidator(_whole_secret), Field(max_length=_LONGEST_PASTE)] = Field(
        json_schema_extra={"writeOnly": True}
    )
    """The address the browser ended at, or just the code in it."""


class TestEmailStart(Draft):
    """To whom; with changes, what is sent through is the connection as it would be (administrators only)."""

    __test__ = False  # its name looks like a test to pytest
    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"to": "anna@contoso.example"}]})
    to: Annotated[str, AfterValidator(whole), Field(max_length=_ADDRESS)] = ""
    """One address; left out: the sender's own."""


class Pasted(Given):
    """Something that was said."""

    text: Annotated[str, AfterValidator(whole), Field(min_length=1, max_length=_LONGEST_LOG)] = Field(
        examples=[
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
        ]
    )
    """An error message, a log, a bounce: anything."""


def secrets_of(body: Draft) -> dict[str, Secret]:
    """The secrets that were given, by the names of `connection.form.SECRETS`."""
    found = {name: getattr(body.secrets, name.replace("-", "_")).get_secret_value() for name in SECRETS}
    return {name: Secret(value) for name, value in found.items() if value}
