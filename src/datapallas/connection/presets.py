"""Mail servers of well-known providers, so that nobody types a host from memory.

A table, nothing else. Sources: each provider's own set-up page, and for sign-in addresses the clients that use them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.model import Provider, Security, Server

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Preset:
    """What is known about a provider by name.

    Attributes:
        server: where mail is handed in.
        provider: how people sign in; NONE is a password (most want an app password).
        authorize_url, token_url, scope: for GENERIC; empty for the others.
        tenant_id: Microsoft only.
        note: one thing a person must know, or empty.
        title: what people call it, in a list to choose from; empty for a second name of the same one.
    """

    server: Server
    provider: Provider = Provider.NONE
    authorize_url: str = ""
    token_url: str = ""
    scope: str = ""
    tenant_id: str = ""
    note: str = ""
    title: str = ""


def _starttls(host: str, port: str = "587") -> Server:
    return Server(host=host, port=port, security=Security.STARTTLS)


def _tls(host: str, port: str = "465") -> Server:
    return Server(host=host, port=port, security=Security.TLS)


_APP_PASSWORD = "Takes an app password, not the one for the web page."
_CLOSED = "The provider gives no client ids to new applications; bring your own."
_ADMIN = "The administrator of the organization may have to allow the app once."
_OFFICE = Preset(
    _starttls("smtp.office365.com"), Provider.MICROSOFT, note=_ADMIN, title="Microsoft 365 (work or school)"
)
_GMAIL = Preset(_starttls("smtp.gmail.com"), Provider.GOOGLE, title="Gmail and Google Workspace")

PRESETS: Mapping[str, Preset] = {
    "office365": _OFFICE,
    "outlook365": dataclasses.replace(_OFFICE, title=""),
    "outlook": Preset(
        _starttls("smtp-mail.outlook.com"),
        Provider.MICROSOFT,
        tenant_id="consumers",
        title="Outlook.com, Hotmail, Live (personal)",
    ),
    "gmail": _GMAIL,
    "google-workspace": dataclasses.replace(_GMAIL, title=""),
    "yahoo": Preset(
        _tls("smtp.mail.yahoo.com"),
        Provider.GENERIC,
        "https://api.login.yahoo.com/oauth2/request_auth",
        "https://api.login.yahoo.com/oauth2/get_token",
        "mail-w",
        note=_CLOSED,
        title="Yahoo Mail",
    ),
    "aol": Preset(
        _tls("smtp.aol.com"),
        Provider.GENERIC,
        "https://api.login.aol.com/oauth2/request_auth",
        "https://api.login.aol.com/oauth2/get_token",
        "mail-w",
        note=_CLOSED,
        title="AOL Mail",
    ),
    "fastmail": Preset(
        _tls("smtp.fastmail.com"),
        Provider.GENERIC,
        "https://api.fastmail.com/oauth/authorize",
        "https://api.fastmail.com/oauth/refresh",
        "https://www.fastmail.com/dev/protocol-smtp offline_access",
        title="Fastmail",
    ),
    "yandex": Preset(
        _tls("smtp.yandex.com"),
        Provider.GENERIC,
        "https://oauth.yandex.com/authorize",
        "https://oauth.yandex.com/token",
        "mail:smtp",
        title="Yandex Mail",
    ),
    "mail.ru": Preset(
        _tls("smtp.mail.ru"),
        Provider.GENERIC,
        "https://o2.mail.ru/login",
        "https://o2.mail.ru/token",
        "mail.imap",
        title="Mail.ru",
    ),
    "comcast": Preset(
        _tls("smtp.comcast.net"),
        Provider.GENERIC,
        "https://oauth.xfinity.com/oauth/authorize",
        "https://oauth.xfinity.com/oauth/token",
        "https://email.comcast.net/ profile openid",
        title="Comcast (Xfinity)",
    ),
    "icloud": Preset(_starttls("smtp.mail.me.com"), note=_APP_PASSWORD, title="iCloud Mail"),
    # Zoho documents OAuth2 for its REST interface, and app passwords for SMTP (zoho.com/mail/help/zoho-smtp.html).
    "zoho": Preset(
        _tls("smtp.zoho.com"),
        note=f"{_APP_PASSWORD} The server is that of your region: smtp.zoho.eu, smtp.zoho.in, ...; "
        "with a domain of your own it is smtppro.zoho.com.",
        title="Zoho Mail",
    ),
    "sendgrid": Preset(
        _starttls("smtp.sendgrid.net"),
        note="The user is the word apikey; the password is the key.",
        title="SendGrid",
    ),
    "mailgun": Preset(_starttls("smtp.mailgun.org"), title="Mailgun"),
    "mandrill": Preset(_starttls("smtp.mandrillapp.com"), title="Mandrill"),
    "sparkpost": Preset(_starttls("smtp.sparkpostmail.com"), title="SparkPost"),
    "postmark": Preset(_starttls("smtp.postmarkapp.com"), title="Postmark"),
    "ses-us-east-1": Preset(_starttls("email-smtp.us-east-1.amazonaws.com"), title="Amazon SES (us-east-1)"),
    "ses-us-west-2": Preset(_starttls("email-smtp.us-west-2.amazonaws.com"), title="Amazon SES (us-west-2)"),
    "ses-eu-west-1": Preset(_starttls("email-smtp.eu-west-1.amazonaws.com"), title="Amazon SES (eu-west-1)"),
    "ses-eu-central-1": Preset(
        _starttls("email-smtp.eu-central-1.amazonaws.com"), title="Amazon SES (eu-central-1)"
    ),
}
