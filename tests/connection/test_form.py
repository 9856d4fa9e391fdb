"""Filling in a connection: what a form sends becomes a draft, and nothing it sends raises."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection import form
from datapallas.connection.fields import FIELDS
from datapallas.connection.finding import Severity
from datapallas.connection.form import as_fields, draft, ends_sign_in, lost_secrets
from datapallas.connection.model import Connection, OAuth2Client, Password, Provider, Security, Server
from datapallas.errors import ConfigurationError, UsageError
from datapallas.secret import Secret

if TYPE_CHECKING:
    from datapallas.connection.folder import Folder

NEW = Connection(code="eml-new", name="New")


def test_a_form_sent_back_as_it_was_changes_nothing(office: Connection) -> None:
    """Every field is shown as text, no secret among them, and sending them all back is no change."""
    shown = as_fields(office)
    assert list(shown) == ["provider", *FIELDS]
    assert "the client secret" not in str(shown) and "ENC(" not in str(shown)
    assert form.stored_secrets(office) == form.StoredSecrets(
        password_set=False, client_secret_set=True, signed_in=True
    )
    assert draft(office, shown, {"client-secret": Secret(""), "password": Secret("")}).connection == office


def test_good_values_are_taken_and_bad_ones_told() -> None:
    """A bad value is told at its field and what was there stays; the good ones beside it are taken."""
    given = {"host": " smtp.x.example ", "port": "many", "security": "tls", "from": "nobody", "colour": "red"}
    done = draft(NEW, given, {})
    assert done.connection.server == Server(host="smtp.x.example", port="587", security=Security.TLS)
    assert done.connection.from_address == ""
    told = {one.field: one for one in done.findings if one.severity is Severity.ERROR}
    assert set(told) == {"port", "from", "colour", "security"}
    assert "1 to 65535" in told["port"].sentence and "many" not in told["port"].sentence
    assert [one.severity for one in done.findings if one.field == "from"] == [Severity.ERROR]


def test_another_provider_brings_its_own_mail_server(office: Connection) -> None:
    """Choosing a provider fills in its server, keeps what both have, and leaves a server of one's own alone."""
    microsoft = draft(NEW, {"provider": "microsoft", "from": "a@contoso.com"}, {}).connection
    assert microsoft.server.host == "smtp.office365.com" and microsoft.from_address == "a@contoso.com"
    google = draft(microsoft, as_fields(microsoft) | {"provider": "GOOGLE"}, {}).connection
    assert google.provider is Provider.GOOGLE and google.server.host == "smtp.gmail.com"
    personal = draft(microsoft, {"tenant-id": "consumers"}, {}).connection
    assert personal.server.host == "smtp-mail.outlook.com"
    own = draft(office, {"host": "relay.contoso.example", "provider": "GOOGLE"}, {}).connection
    assert own.server.host == "relay.contoso.example"
    plain = draft(office, as_fields(office) | {"provider": "NONE"}, {"password": Secret("p")}).connection
    assert plain.credential == Password(user="reports@contoso.example", password=Secret("p"))
    assert draft(NEW, {"provider": "YAHOO"}, {}).findings[0].field == "provider"


def test_fields_of_another_kind_are_passed_over() -> None:
    """A form may hold the fields of all kinds; what this kind has no place for is not an error."""
    done = draft(NEW, {"tenant-id": "contoso.com", "user": "me"}, {"client-secret": Secret("s" * 9)})
    assert done.connection.credential == Password(user="me")
    assert not [one for one in done.findings if one.severity is Severity.ERROR]


def test_what_ends_a_sign_in_is_said_before_it_is_saved(office: Connection, folder: Folder) -> None:
    """Another server, client, tenant or mailbox ends the sign-in, in the words that saving would use."""
    assert ends_sign_in(office, draft(office, {"name": "Other", "from-name": "X"}, {}).connection) == ""
    for change, words in (
        (
            {"host": "smtp.evil.example"},
            "the mail server (was smtp.office365.com:587, is smtp.evil.example:587)",
        ),
        ({"client-id": "other"}, "the client id (was client, is other)"),
        ({"tenant-id": "other.example"}, "the token address"),
        ({"from": "other@contoso.example"}, "the mailbox"),
        ({"provider": "GOOGLE"}, "the provider"),
    ):
        wanted = draft(office, change, {}).connection
        said = ends_sign_in(office, wanted)
        assert words in said
        with pytest.raises(ConfigurationError) as refused:
            folder.save(wanted)
        assert refused.value.facts["changed"] == said
    assert lost_secrets(office, draft(office, {"host": "b.example"}, {}).connection) == ("refresh_token",)
    moved = draft(office, {"client-id": "other"}, {}).connection
    assert lost_secrets(office, moved) == ("refresh_token", "client_secret")
    typed = draft(office, {"client-id": "other"}, {"client-secret": Secret("new")}).connection
    assert lost_secrets(office, typed) == ("refresh_token",)


def test_a_stored_password_belongs_to_its_server(folder: Folder) -> None:
    """A password that was stored for one server is lost when the server changes, unless it is typed again."""
    folder.create(
        Connection(
            code="eml-p",
            server=Server(host="a.example"),
            credential=Password(user="me", password=Secret("the password")),
        )
    )
    stored = folder.load("eml-p")
    wanted = draft(stored, {"host": "b.example"}, {}).connection
    assert lost_secrets(stored, wanted) == ("password",) and "a.example:587" in ends_sign_in(stored, wanted)
    typed = draft(stored, {"host": "b.example"}, {"password": Secret("again")}).connection
    assert ends_sign_in(stored, typed) == ""
    assert folder.save(typed).server.host == "b.example"


def test_well_known_providers_fill_the_fields() -> None:
    """Every one in the list has a name people know, and fills host, port, security and provider."""
    choices = form.presets()
    assert len({one.title for one in choices}) == len(choices) > 15
    for one in choices:
        done = draft(NEW, form.preset_fields(one.name), {})
        assert done.connection.server.host and not [f for f in done.findings if f.severity is Severity.ERROR]
    assert form.preset_fields("Gmail") == {
        "provider": "GOOGLE",
        "host": "smtp.gmail.com",
        "port": "587",
        "security": "STARTTLS",
    }
    assert form.preset_fields("outlook")["tenant-id"] == "consumers"
    assert form.preset_fields("yahoo")["scope"] == "mail-w"
    with pytest.raises(UsageError, match="Known: "):
        form.preset_fields("nobody")


def test_every_field_has_a_name_for_a_sentence() -> None:
    """No sentence says an option's name."""
    assert set(form.LABELS) == {"provider", *FIELDS, *form.SECRETS}


CANARY = "canary-51c0"
_values = st.one_of(
    st.text(max_size=60), st.sampled_from(["NONE", "MICROSOFT", "https://[", "\ud800", "http://::1"])
)
_names = st.sampled_from(["provider", *FIELDS, "password", "nothing", ""])
_BASES = [
    NEW,
    replace(NEW, credential=OAuth2Client(provider=Provider.MICROSOFT)),
    replace(NEW, credential=OAuth2Client(provider=Provider.GENERIC)),
]


@given(
    st.sampled_from(_BASES),
    st.dictionaries(_names, _values.map(lambda text: text + CANARY if len(text) % 2 else text)),
    st.dictionaries(st.sampled_from(["password", "client-secret", "other"]), _values.map(Secret)),
)
def test_no_value_raises_and_none_is_repeated(
    base: Connection, given_: dict[str, str], secrets: dict[str, Secret]
) -> None:
    """Whatever a form sends, there is a draft; no sentence repeats what was typed."""
    done = draft(base, given_, secrets)
    assert done.connection.code == base.code
    assert all(CANARY not in one.sentence for one in done.findings)
    assert isinstance(ends_sign_in(base, done.connection), str)
