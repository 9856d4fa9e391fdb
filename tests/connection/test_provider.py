"""The tables of facts about providers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datapallas.connection import provider
from datapallas.connection.model import Cloud, OAuth2Client, Provider, Security
from datapallas.connection.presets import PRESETS
from datapallas.connection.provider_help import PROVIDER_HELP
from datapallas.errors import UsageError

MICROSOFT = OAuth2Client(provider=Provider.MICROSOFT, client_id="c", tenant_id="contoso.example")
GOOGLE = OAuth2Client(provider=Provider.GOOGLE, client_id="c")
GENERIC = OAuth2Client(
    provider=Provider.GENERIC,
    authorize_url="https://a.example",
    token_url="https://t.example",
    scope="smtp offline_access",
)
GUID = "0b1c2d3e-0000-4000-8000-00000000abcd"
LOGIN = "https://login.microsoftonline.com"


def test_microsofts_addresses_hold_the_tenant() -> None:
    """A tenant, or common when none is set, stands in each address."""
    assert provider.authorize_url(MICROSOFT) == f"{LOGIN}/contoso.example/oauth2/v2.0/authorize"
    assert provider.token_url(replace(MICROSOFT, tenant_id="")) == f"{LOGIN}/common/oauth2/v2.0/token"
    assert provider.device_url(replace(MICROSOFT, tenant_id="organizations")).endswith(
        "/organizations/oauth2/v2.0/devicecode"
    )
    assert (
        provider.token_url(replace(MICROSOFT, tenant_id="a/../b?c"))
        == f"{LOGIN}/a%2F..%2Fb%3Fc/oauth2/v2.0/token"
    )
    assert provider.revoke_url(MICROSOFT) == ""


@pytest.mark.parametrize(
    ("cloud", "login", "scope"),
    [
        (Cloud.GLOBAL, LOGIN, "https://outlook.office.com/SMTP.Send"),
        (Cloud.USGOV, "https://login.microsoftonline.us", "https://outlook.office365.us/SMTP.Send"),
        (Cloud.CHINA, "https://login.partner.microsoftonline.cn", "https://partner.outlook.cn/SMTP.Send"),
    ],
)
def test_each_cloud_has_its_own(cloud: Cloud, login: str, scope: str) -> None:
    """Sovereign clouds sign in elsewhere and name their scope differently."""
    client = replace(MICROSOFT, cloud=cloud)
    assert provider.token_url(client) == f"{login}/contoso.example/oauth2/v2.0/token"
    assert provider.scope(client) == f"{scope} offline_access openid email profile"
    assert provider.mail_scopes(client) == {scope}
    assert provider.issuer_ok(client, f"{login}/{GUID}/v2.0", GUID)


def test_google_asks_for_a_refresh_token_its_own_way() -> None:
    """access_type=offline and prompt=consent instead of offline_access."""
    assert provider.extra_authorize_parameters(GOOGLE) == {"access_type": "offline", "prompt": "consent"}
    assert provider.mail_scopes(GOOGLE) == {"https://mail.google.com/"}
    assert "offline_access" not in provider.scope(GOOGLE)
    assert provider.token_url(GOOGLE) == "https://oauth2.googleapis.com/token"
    assert provider.revoke_url(GOOGLE) == "https://oauth2.googleapis.com/revoke"


def test_an_address_in_the_connection_wins() -> None:
    """A sandbox or a proxy replaces a provider's address; then nothing is guessed about its other ones."""
    local = replace(GOOGLE, authorize_url="http://127.0.0.1:1/a", token_url="http://127.0.0.1:1/t")
    assert provider.authorize_url(local) == "http://127.0.0.1:1/a"
    assert provider.token_url(local) == "http://127.0.0.1:1/t"
    assert provider.device_url(local) == provider.revoke_url(local) == ""


def test_a_generic_provider_has_only_its_own() -> None:
    """Nothing is made up for a provider we do not know."""
    assert provider.authorize_url(GENERIC) == "https://a.example"
    assert provider.scope(GENERIC) == "smtp offline_access"
    assert provider.mail_scopes(GENERIC) == {"smtp"}
    assert provider.extra_authorize_parameters(GENERIC) == {"prompt": "consent"}
    assert provider.extra_authorize_parameters(replace(GENERIC, scope="smtp")) == {}
    assert provider.token_url(OAuth2Client(provider=Provider.GENERIC)) == ""


@pytest.mark.parametrize(
    ("tenant", "iss", "tid", "ok"),
    [
        ("common", GUID, GUID, True),
        ("contoso.example", GUID, GUID, True),
        (GUID, GUID, GUID, True),
        (GUID.upper(), GUID, GUID, True),
        (GUID, provider.PERSONAL_TENANT, provider.PERSONAL_TENANT, False),
        ("consumers", provider.PERSONAL_TENANT, provider.PERSONAL_TENANT, True),
        ("consumers", GUID, GUID, False),
        ("organizations", provider.PERSONAL_TENANT, provider.PERSONAL_TENANT, False),
        ("organizations", GUID, GUID, True),
        ("common", "evil", GUID, False),
        ("common", "", "", False),
    ],
)
def test_microsofts_issuer_fits_the_tenant(tenant: str, iss: str, tid: str, ok: bool) -> None:
    """An id_token of another tenant, or of a personal account where none is allowed, is not taken."""
    client = replace(MICROSOFT, tenant_id=tenant)
    assert provider.issuer_ok(client, f"{LOGIN}/{iss}/v2.0", tid) is ok


def test_googles_issuer() -> None:
    """Google has two spellings of its issuer."""
    assert provider.issuer_ok(GOOGLE, "https://accounts.google.com") and provider.issuer_ok(
        GOOGLE, "accounts.google.com"
    )
    assert not provider.issuer_ok(GOOGLE, "https://accounts.google.com.evil.example")


def test_presets_fill_host_port_and_tls() -> None:
    """Host, port and security come from the table, by provider or by name."""
    office = provider.server_preset(Provider.MICROSOFT)
    assert (office.host, office.port, office.security) == ("smtp.office365.com", "587", Security.STARTTLS)
    assert provider.server_preset(Provider.MICROSOFT, tenant_id="consumers").host == "smtp-mail.outlook.com"
    assert provider.server_preset(Provider.GOOGLE).host == "smtp.gmail.com"
    assert provider.server_preset(Provider.GENERIC).host == ""
    assert provider.well_known(" Gmail ").provider is Provider.GOOGLE
    with pytest.raises(UsageError, match="fastmail"):
        provider.well_known("nonsense")


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_complete(name: str) -> None:
    """Each has a host, a protected way, and addresses where its provider is a generic one."""
    preset = PRESETS[name]
    assert preset.server.host and preset.server.security is not Security.NONE and preset.server.port_number
    assert (preset.server.port == "465") == (preset.server.security is Security.TLS)
    generic = preset.provider is Provider.GENERIC
    assert all((url.startswith("https://")) == generic for url in (preset.authorize_url, preset.token_url))


def test_what_to_register_is_said_to_the_letter() -> None:
    """Microsoft's portal takes http://localhost; Google needs nothing; an own address is shown as it is."""
    assert provider.redirect_uri_to_register(MICROSOFT) == "http://localhost"
    assert provider.redirect_uri_to_register(GOOGLE) == ""
    assert provider.redirect_uri_to_register(GENERIC) == "http://127.0.0.1/callback"
    assert provider.redirect_uri_to_register(replace(GENERIC, redirect_uri="https://x/cb")) == "https://x/cb"
    for kind in Provider:
        assert PROVIDER_HELP[kind].steps
