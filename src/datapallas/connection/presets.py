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
    """

    server: Server
    provider: Provider = Provider.NONE
    authorize_url: str = ""
    token_url: str = ""
    scope: str = ""
    tenant_id: str = ""
    note: str = ""


def _starttls(host: str, port: str = "587") -> Server:
    return Server(host=host, port=port, security=Security.STARTTLS)


def _tls(host: str, port: str = "465") -> Server:
    return Server(host=host, port=port, security=Security.TLS)


_APP_PASSWORD = "Takes an app password, not the one for the web page."
_CLOSED = "The provider gives no client ids to new applications; bring your own."
_OFFICE = Preset(_starttls("smtp.office365.com"), Provider.MICROSOFT)
_GMAIL = Preset(_starttls("smtp.gmail.com"), Provider.GOOGLE)

PRESETS: Mapping[str, Preset] = {
    "office365": _OFFICE,
    "outlook365": _OFFICE,
    "outlook": Preset(_starttls("smtp-mail.outlook.com"), Provider.MICROSOFT, tenant_id="consumers"),
    "gmail": _GMAIL,
    "google-workspace": _GMAIL,
    "yahoo": Preset(
        _tls("smtp.mail.yahoo.com"),
        Provider.GENERIC,
        "https://api.login.yahoo.com/oauth2/request_auth",
        "https://api.login.yahoo.com/oauth2/get_token",
        "mail-w",
        note=_CLOSED,
    ),
    "aol": Preset(
        _tls("smtp.aol.com"),
        Provider.GENERIC,
        "https://api.login.aol.com/oauth2/request_auth",
        "https://api.login.aol.com/oauth2/get_token",
        "mail-w",
        note=_CLOSED,
    ),
    "fastmail": Preset(
        _tls("smtp.fastmail.com"),
        Provider.GENERIC,
        "https://api.fastmail.com/oauth/authorize",
        "https://api.fastmail.com/oauth/refresh",
        "https://www.fastmail.com/dev/protocol-smtp offline_access",
    ),
    "yandex": Preset(
        _tls("smtp.yandex.com"),
        Provider.GENERIC,
        "https://oauth.yandex.com/authorize",
        "https://oauth.yandex.com/token",
        "mail:smtp",
    ),
    "mail.ru": Preset(
        _tls("smtp.mail.ru"),
        Provider.GENERIC,
        "https://o2.mail.ru/login",
        "https://o2.mail.ru/token",
        "mail.imap",
    ),
    "comcast": Preset(
        _tls("smtp.comcast.net"),
        Provider.GENERIC,
        "https://oauth.xfinity.com/oauth/authorize",
        "https://oauth.xfinity.com/oauth/token",
        "https://email.comcast.net/ profile openid",
    ),
    "icloud": Preset(_starttls("smtp.mail.me.com"), note=_APP_PASSWORD),
    "zoho": Preset(_tls("smtp.zoho.com"), note=_APP_PASSWORD),
    "sendgrid": Preset(
        _starttls("smtp.sendgrid.net"), note="The user is the word apikey; the password is the key."
    ),
    "mailgun": Preset(_starttls("smtp.mailgun.org")),
    "mandrill": Preset(_starttls("smtp.mandrillapp.com")),
    "sparkpost": Preset(_starttls("smtp.sparkpostmail.com")),
    "postmark": Preset(_starttls("smtp.postmarkapp.com")),
    "ses-us-east-1": Preset(_starttls("email-smtp.us-east-1.amazonaws.com")),
    "ses-us-west-2": Preset(_starttls("email-smtp.us-west-2.amazonaws.com")),
    "ses-eu-west-1": Preset(_starttls("email-smtp.eu-west-1.amazonaws.com")),
    "ses-eu-central-1": Preset(_starttls("email-smtp.eu-central-1.amazonaws.com")),
}
