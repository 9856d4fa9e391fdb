"""Where an application is registered at each provider, and the steps there: for a person's own machine, for a page that
is served under a public address, and for applications nobody signs in to. Tables, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datapallas.connection.model import Provider

if TYPE_CHECKING:
    from collections.abc import Mapping


class ProviderHelp(NamedTuple):
    """Where an application is registered, and the steps there, in order."""

    link: str
    steps: tuple[str, ...]


PROVIDER_HELP: Mapping[Provider, ProviderHelp] = {
    Provider.MICROSOFT: ProviderHelp(
        "https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps/ApplicationsListBlade",
        (
            "App registrations > New registration; supported accounts: this organization only (personal mailboxes: also personal accounts).",
            "Authentication > Add a platform > Mobile and desktop applications > tick or enter http://localhost.",
            "Authentication > Advanced settings > Allow public client flows: Yes.",
            "API permissions > Add > APIs my organization uses > Office 365 Exchange Online > Delegated > SMTP.Send; then Grant admin consent.",
            "Overview: copy Application (client) ID and Directory (tenant) ID.",
            "Exchange admin center > the mailbox > Manage email apps: Authenticated SMTP must be on.",
        ),
    ),
    Provider.GOOGLE: ProviderHelp(
        "https://console.cloud.google.com/auth/clients",
        (
            "Google Auth Platform > Branding and Audience: Internal for a Workspace; else External and published (in Testing a sign-in ends after 7 days).",
            "Data access > Add scopes > https://mail.google.com/.",
            "Clients > Create client > Desktop app; no redirect address is entered.",
            "Copy the client ID and the client secret: Google gives desktop apps one, and wants it with each request.",
        ),
    ),
    Provider.GENERIC: ProviderHelp(
        "",
        (
            "Register a public (native) client with PKCE S256.",
            "Enter the redirect address exactly as shown; the port is chosen at sign-in (RFC 8252 section 7.3).",
            "Allow the scopes you ask for, offline_access among them where the provider knows it.",
        ),
    ),
    Provider.NONE: ProviderHelp("", ("Nothing is registered: the mail server takes a user and a password.",)),
}

SERVED_HELP: Mapping[Provider, ProviderHelp] = {
    Provider.MICROSOFT: ProviderHelp(
        PROVIDER_HELP[Provider.MICROSOFT].link,
        (
            "App registrations > New registration; supported accounts: this organization only (personal mailboxes: also personal accounts).",
            "Authentication > Add a platform > Web > enter the redirect URI for this page exactly as shown.",
            "Certificates & secrets > New client secret; copy its Value, not its Secret ID.",
            *PROVIDER_HELP[Provider.MICROSOFT].steps[3:],
        ),
    ),
    Provider.GOOGLE: ProviderHelp(
        PROVIDER_HELP[Provider.GOOGLE].link,
        (
            *PROVIDER_HELP[Provider.GOOGLE].steps[:2],
            "Clients > Create client > Web application > Authorized redirect URIs: enter the one for this page exactly as shown.",
            "Copy the client ID and the client secret.",
        ),
    ),
    Provider.GENERIC: ProviderHelp(
        "",
        (
            "Register a confidential (web) client with PKCE S256 and a secret.",
            "Enter the redirect URI for this page exactly as shown.",
            "Allow the scopes you ask for, offline_access among them where the provider knows it.",
        ),
    ),
}
"""The same for a page that is served under a public address, to which the provider sends the browser back."""

APP_ONLY_HELP: Mapping[Provider, ProviderHelp] = {
    Provider.MICROSOFT: ProviderHelp(
        PROVIDER_HELP[Provider.MICROSOFT].link,
        (
            "App registrations > New registration; supported accounts: this organization only; no redirect address.",
            "Certificates & secrets > Certificates > Upload the certificate (or make a client secret).",
            "API permissions > Add > APIs my organization uses > Office 365 Exchange Online > Application permissions > SMTP.SendAsApp; then Grant admin consent.",
            "Overview: copy Application (client) ID and Directory (tenant) ID.",
            "Make the app known to Exchange Online and let it open the mailbox: datapallas oauth2 setup-script prints the commands.",
        ),
    ),
    Provider.GOOGLE: ProviderHelp(
        "https://console.cloud.google.com/iam-admin/serviceaccounts",
        (
            "Make a service account; Keys > Add key > JSON; keep the file readable by its owner only.",
            "Enable the Gmail API in the same project.",
            "Google Admin console > Security > Access and data control > API controls > Manage domain-wide delegation > Add new: the account's numeric client id, scope https://mail.google.com/.",
        ),
    ),
    Provider.GENERIC: ProviderHelp(
        "",
        (
            "Register a confidential client that may use the client credentials grant, with a secret or a certificate.",
            "Allow it the scope that sends mail, and at the mail server the mailbox it sends from.",
        ),
    ),
}
"""The same where nobody signs in (RFC 6749 section 4.4, RFC 7523)."""
