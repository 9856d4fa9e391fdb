"""Facts about providers, as tables: addresses, scopes, servers, and what to register where.

Must stay true: pure; no fact here is code, and each has its source beside it. An address written in a connection
wins over the table (a sandbox, a proxy); it is then also part of what the stored sign-in is bound to.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from datapallas.connection.model import Cloud, OAuth2Client, Provider, Security, Server
from datapallas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.connection.model import Connection
    from datapallas.connection.presets import Preset


class MicrosoftCloud(NamedTuple):
    """One of Microsoft's clouds: where people sign in, what SMTP needs of them and of an app, where mail is handed in."""

    login: str
    scope: str
    host: str
    app_scope: str


# learn.microsoft.com/entra/identity-platform/authentication-national-cloud;
# learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
MICROSOFT: Mapping[Cloud, MicrosoftCloud] = {
    Cloud.GLOBAL: MicrosoftCloud(
        "https://login.microsoftonline.com",
        "https://outlook.office.com/SMTP.Send",
        "smtp.office365.com",
        "https://outlook.office365.com/.default",
    ),
    Cloud.USGOV: MicrosoftCloud(
        "https://login.microsoftonline.us",
        "https://outlook.office365.us/SMTP.Send",
        "smtp.office365.us",
        "https://outlook.office365.us/.default",
    ),
    # The scopes and host of the DoD cloud have not been checked against a live tenant.
    Cloud.USGOVDOD: MicrosoftCloud(
        "https://login.microsoftonline.us",
        "https://outlook.office365.us/SMTP.Send",
        "outlook-dod.office365.us",
        "https://outlook.office365.us/.default",
    ),
    Cloud.CHINA: MicrosoftCloud(
        "https://login.partner.microsoftonline.cn",
        "https://partner.outlook.cn/SMTP.Send",
        "smtp.partner.outlook.cn",
        "https://partner.outlook.cn/.default",
    ),
}
PERSONAL_HOST = "smtp-mail.outlook.com"  # outlook.com, hotmail.com, live.com: tenant `consumers`
PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the tid in every personal account's id_token

# developers.google.com/identity/protocols/oauth2/native-app
GOOGLE_AUTHORIZE = "https://accounts.google.com/o/oauth2/auth"
GOOGLE_TOKEN = "https://oauth2.googleapis.com/token"
GOOGLE_DEVICE = "https://oauth2.googleapis.com/device/code"
GOOGLE_REVOKE = "https://oauth2.googleapis.com/revoke"
GOOGLE_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
GOOGLE_SCOPE = "https://mail.google.com/"  # SMTP takes no smaller one: gmail.send is for the API alone
# What says who signed in (OpenID Connect Core section 5.4), and what keeps the sign-in (section 11).
OPENID_SCOPES = frozenset({"openid", "email", "profile", "offline_access"})


def tenant(client: OAuth2Client) -> str:
    """The tenant in Microsoft's addresses; `common` when none is set."""
    return client.tenant_id or "common"


def _microsoft(client: OAuth2Client, leaf: str) -> str:
    from urllib.parse import quote

    login = MICROSOFT[client.cloud].login
    return f"{login}/{quote(tenant(client), safe='')}/oauth2/v2.0/{leaf}"


def authorize_url(client: OAuth2Client) -> str:
    """Where people sign in; empty when a GENERIC client has none set."""
    if client.authorize_url or client.provider is Provider.GENERIC:
        return client.authorize_url
    return _microsoft(client, "authorize") if client.provider is Provider.MICROSOFT else GOOGLE_AUTHORIZE


def token_url(client: OAuth2Client) -> str:
    """Where tokens are given; empty when a GENERIC client has none set."""
    if client.token_url or client.provider is Provider.GENERIC:
        return client.token_url
    return _microsoft(client, "token") if client.provider is Provider.MICROSOFT else GOOGLE_TOKEN


def device_url(client: OAuth2Client) -> str:
    """Where a device code is given (RFC 8628); empty when it is not known without discovery."""
    if client.token_url or client.provider is Provider.GENERIC:
        return ""
    return _microsoft(client, "devicecode") if client.provider is Provider.MICROSOFT else GOOGLE_DEVICE


def revoke_url(client: OAuth2Client) -> str:
    """Where a refresh token is revoked (RFC 7009); empty when the provider has no such address. Microsoft has none."""
    return GOOGLE_REVOKE if client.provider is Provider.GOOGLE and not client.token_url else ""


def scope(client: OAuth2Client) -> str:
    """What is asked for, separated by blanks; a scope set in the connection wins."""
    if client.scope or client.provider is Provider.GENERIC:
        return client.scope
    if client.provider is Provider.GOOGLE:
        # Google knows no offline_access; access_type asks for it. An app has no name to be told.
        return GOOGLE_SCOPE if client.app_only else f"{GOOGLE_SCOPE} openid email"
    if client.app_only:  # no rights by name: all that an administrator has consented to
        return MICROSOFT[client.cloud].app_scope
    return f"{MICROSOFT[client.cloud].scope} offline_access openid email profile"


def mail_scopes(client: OAuth2Client) -> frozenset[str]:
    """The part of `scope` without which no mail can be sent."""
    return frozenset(scope(client).split()) - OPENID_SCOPES


def extra_authorize_parameters(client: OAuth2Client) -> dict[str, str]:
    """What the authorize request needs beyond RFC 6749 for a refresh token and the right account."""
    if client.provider is Provider.GOOGLE:
        return {"access_type": "offline", "prompt": "consent"}
    if client.provider is Provider.MICROSOFT:
        return {} if client.login_hint else {"prompt": "select_account"}
    # OpenID Connect Core section 11: strict providers drop offline_access silently without prompt=consent.
    return {"prompt": "consent"} if "offline_access" in scope(client).split() else {}


def issuer_ok(client: OAuth2Client, iss: str, tid: str = "") -> bool:
    """True when an id_token's `iss` (and Microsoft's `tid`) can come from this client's provider.

    A provider whose addresses are set by hand has an issuer only discovery knows; the caller compares it then.
    """
    if client.token_url or client.provider is Provider.GENERIC:
        return True
    if client.provider is Provider.GOOGLE:
        return iss in GOOGLE_ISSUERS
    wanted = tenant(client).lower()
    if wanted == "consumers" and tid != PERSONAL_TENANT:
        return False
    if wanted == "organizations" and tid == PERSONAL_TENANT:
        return False
    if (
        len(wanted) == len(PERSONAL_TENANT)
        and wanted.count("-") == PERSONAL_TENANT.count("-")
        and "." not in wanted
    ):
        return tid.lower() == wanted and iss == _microsoft_issuer(client, tid)
    return bool(tid) and iss == _microsoft_issuer(client, tid)


def _microsoft_issuer(client: OAuth2Client, tid: str) -> str:
    return f"{MICROSOFT[client.cloud].login}/{tid}/v2.0"


def redirect_uri_to_register(client: OAuth2Client) -> str:
    """What a person enters at the provider, character for character; empty when nothing is registered there.

    Microsoft's portal takes plain http only for `localhost` and ignores the port; Google's desktop apps need nothing.
    """
    if client.app_only:
        return ""
    if client.redirect_uri:
        return client.redirect_uri
    if client.provider is Provider.MICROSOFT:
        return "http://localhost"
    return "" if client.provider is Provider.GOOGLE else "http://127.0.0.1/callback"


def server_preset(provider: Provider, cloud: Cloud = Cloud.GLOBAL, tenant_id: str = "") -> Server:
    """The mail server of a provider; an empty one for GENERIC and NONE."""
    if provider is Provider.MICROSOFT:
        personal = tenant_id == "consumers" and cloud is Cloud.GLOBAL
        host = PERSONAL_HOST if personal else MICROSOFT[cloud].host
        return Server(host=host, port="587", security=Security.STARTTLS)
    if provider is Provider.GOOGLE:
        return Server(host="smtp.gmail.com", port="587", security=Security.STARTTLS)
    return Server()


def with_usual_server(before: Connection, after: Connection) -> Connection:
    """`after`, a change of `before`, with its provider's own mail server; only where `before` had the usual one too."""
    usual = _usual_server(after)
    if usual.host and after.server == before.server == _usual_server(before):
        return dataclasses.replace(after, server=usual)
    return after


def _usual_server(connection: Connection) -> Server:
    client = connection.credential
    if isinstance(client, OAuth2Client):
        return server_preset(client.provider, client.cloud, client.tenant_id)
    return server_preset(Provider.NONE)


def well_known(name: str) -> Preset:
    """The preset called `name`, whatever its case; UsageError names the known ones."""
    from datapallas.connection.presets import PRESETS

    preset = PRESETS.get(name.strip().lower())
    if preset is None:
        raise UsageError(
            f"There is no preset {name!r}. Known: {', '.join(sorted(PRESETS))}.", case="unknown-preset"
        )
    return preset
