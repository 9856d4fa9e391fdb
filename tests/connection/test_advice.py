"""What can be seen wrong in a connection, without asking anybody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection.advice import Before, Severity, findings, lacking
from datapallas.connection.fields import FIELDS
from datapallas.connection.model import (
    Cloud,
    Connection,
    OAuth2Client,
    Password,
    Provider,
    Sealed,
    Security,
    Server,
    Transport,
)
from datapallas.connection.presets import PRESETS
from datapallas.sandbox import Sandbox
from datapallas.secret import Secret

ID, TENANT = "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901", "2c3d4e5f-6071-8293-a4b5-c6d7e8f90123"
PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"
EXCHANGE = "00000002-0000-0ff1-ce00-000000000000"
M_SECRET = "abc8Q~" + "x1Y2z3W4v5U6t7S8r9Q0p1O2n3M4l5K6j7"
GOOGLE_ID = "123-abc.apps.googleusercontent.com"
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"

MICROSOFT = Connection(
    code="eml-m",
    server=Server(host="smtp.office365.com"),
    from_address="reports@contoso.com",
    credential=OAuth2Client(provider=Provider.MICROSOFT, client_id=ID, tenant_id=TENANT),
)
GOOGLE = Connection(
    code="eml-g",
    server=Server(host="smtp.gmail.com"),
    from_address="someone@gmail.com",
    credential=OAuth2Client(
        provider=Provider.GOOGLE, client_id=GOOGLE_ID, client_secret=Secret("GOCSPX-abcdef0123")
    ),
)
GENERIC = Connection(
    code="eml-x",
    server=Server(host="smtp.x.example"),
    from_address="a@x.example",
    credential=OAuth2Client(
        provider=Provider.GENERIC,
        client_id="app",
        authorize_url="https://login.x.example/authorize",
        token_url="https://login.x.example/token",
        scope="smtp offline_access",
    ),
)
PLAIN = Connection(
    code="eml-p",
    server=Server(host="smtp.x.example"),
    from_address="a@x.example",
    credential=Password(user="a@x.example", password=Sealed("ENC(v1...)")),
)
GOOD = [MICROSOFT, GOOGLE, GENERIC, PLAIN]


def client(connection: Connection, **changes: Any) -> Connection:
    """The connection with other values for signing in."""
    return replace(connection, credential=replace(connection.credential, **changes))


def server(connection: Connection, **changes: Any) -> Connection:
    """The connection with another mail server."""
    return replace(connection, server=replace(connection.server, **changes))


@pytest.mark.parametrize("connection", GOOD, ids=lambda one: one.code)
def test_a_good_connection_needs_no_advice(connection: Connection) -> None:
    """Values as a provider gives them are left alone."""
    assert findings(connection) == ()


def test_the_sandbox_and_the_presets_are_left_alone() -> None:
    """A sandbox in any provider's dialect, and the server of every well-known provider, are no mistake."""
    with Sandbox() as sandbox:
        for provider in Provider:
            assert findings(sandbox.connection(provider=provider)) == (), provider
    for name, known in PRESETS.items():
        base = {Provider.MICROSOFT: MICROSOFT, Provider.GOOGLE: GOOGLE, Provider.GENERIC: GENERIC}
        tried = replace(base.get(known.provider, PLAIN), server=known.server)
        if name == "outlook":
            tried = client(replace(tried, from_address="a@outlook.com"), tenant_id="consumers")
        if name == "sendgrid":
            tried = client(tried, user="apikey")
        assert findings(tried) == (), name


@pytest.mark.parametrize(
    ("connection", "field", "severity", "word"),
    [
        (client(MICROSOFT, client_id="abc"), "client-id", "error", "Application (client) ID"),
        (client(MICROSOFT, client_id=GOOGLE_ID), "client-id", "error", "Google"),
        (client(MICROSOFT, client_id=TENANT), "client-id", "error", "same id"),
        (client(MICROSOFT, client_id=PERSONAL), "client-id", "error", "tenant"),
        (client(MICROSOFT, client_id=EXCHANGE), "client-id", "error", "Microsoft's own"),
        (client(MICROSOFT, client_id="common"), "client-id", "error", "swapped"),
        (client(MICROSOFT, client_id="contoso.com"), "client-id", "error", "swapped"),
        (client(MICROSOFT, client_id=M_SECRET), "client-id", "error", "wrong field"),
        (client(MICROSOFT, tenant_id=""), "tenant-id", "warning", "Directory (tenant) ID"),
        (client(MICROSOFT, tenant_id="contoso"), "tenant-id", "error", "contoso.onmicrosoft.com"),
        (client(MICROSOFT, tenant_id="a@contoso.com"), "tenant-id", "error", "behind the @"),
        (
            client(MICROSOFT, tenant_id="https://login.microsoftonline.com/x"),
            "tenant-id",
            "error",
            "web address",
        ),
        (client(MICROSOFT, tenant_id=EXCHANGE), "tenant-id", "error", "tenant"),
        (client(MICROSOFT, tenant_id=PERSONAL), "tenant-id", "warning", "consumers"),
        (client(MICROSOFT, client_secret=Secret(TENANT)), "client-secret", "error", "Value"),
        (client(MICROSOFT, client_secret=Secret(ID)), "client-secret", "error", "client id again"),
        (client(MICROSOFT, client_secret=Secret("short")), "client-secret", "warning", "40 characters"),
        (client(MICROSOFT, client_secret=Secret(JWT)), "client-secret", "error", "token"),
        (client(GOOGLE, client_id="123-abc"), "client-id", "error", ".apps.googleusercontent.com"),
        (client(GOOGLE, client_id="GOCSPX-abcdef0123"), "client-id", "error", "wrong field"),
        (client(GOOGLE, client_secret=Secret(GOOGLE_ID)), "client-secret", "error", "GOCSPX-"),
        (client(GOOGLE, client_secret=Secret("abc")), "client-secret", "warning", "GOCSPX-"),
        (client(GOOGLE, client_secret=None), "client-secret", "missing", "not set"),
        (client(GENERIC, client_secret=Secret("app")), "client-secret", "error", "client id again"),
        (client(GENERIC, client_secret=Secret("a b")), "client-secret", "warning", "blanks"),
        (client(GENERIC, client_id=""), "client-id", "missing", "not set"),
        (client(GENERIC, authorize_url=""), "authorize-url", "missing", "not set"),
        (client(GENERIC, token_url=""), "token-url", "missing", "not set"),
        (replace(MICROSOFT, from_address=""), "from", "missing", "not set"),
        (replace(MICROSOFT, from_address="reports"), "from", "error", "reports@contoso.com"),
        (replace(MICROSOFT, from_address="a@gmail.com"), "from", "error", "Google"),
        (replace(GOOGLE, from_address="a@hotmail.com"), "from", "error", "Microsoft"),
        (replace(MICROSOFT, from_address="a@outlook.com"), "tenant-id", "error", "consumers"),
        (replace(MICROSOFT, from_address="a@outlook.com"), "host", "warning", "smtp-mail.outlook.com"),
        (client(MICROSOFT, tenant_id="consumers"), "host", "warning", "smtp-mail.outlook.com"),
        (server(MICROSOFT, host="smtp-mail.outlook.com"), "host", "warning", "smtp.office365.com"),
        (client(MICROSOFT, cloud=Cloud.USGOV), "host", "warning", "smtp.office365.us"),
        (server(GENERIC, host="nonsense"), "host", "warning", "no domain"),
        (server(MICROSOFT, host=""), "host", "missing", "not set"),
        (server(MICROSOFT, host="https://outlook.office.com"), "host", "error", "web address"),
        (server(MICROSOFT, host="smtp.office365.com:587"), "host", "error", "colon"),
        (server(MICROSOFT, host="a@contoso.com"), "host", "error", "mail address"),
        (server(MICROSOFT, host="smtp office365 com"), "host", "error", "blanks"),
        (server(MICROSOFT, host="outlook.office365.com"), "host", "error", "smtp.office365.com"),
        (server(GOOGLE, host="imap.gmail.com"), "host", "error", "smtp.gmail.com"),
        (server(GENERIC, host="imap.x.example"), "host", "error", "receiving"),
        (server(PLAIN, host="x.mail.protection.outlook.com"), "host", "error", "receives"),
        (server(MICROSOFT, host="smtp.gmail.com"), "host", "error", "smtp.office365.com"),
        (server(GOOGLE, host="smtp.office365.com"), "host", "error", "smtp.gmail.com"),
        (server(MICROSOFT, host="smtp.fastmail.com"), "host", "error", "sign-ins of Microsoft"),
        (server(GENERIC, host="smtp.gmail.com"), "provider", "warning", "Google"),
        (server(PLAIN, host="smtp.office365.com"), "provider", "warning", "ending"),
        (server(PLAIN, host="smtp.gmail.com"), "provider", "warning", "app password"),
        (server(PLAIN, port="465"), "security", "error", "Choose TLS"),
        (server(PLAIN, security=Security.TLS), "security", "error", "Choose STARTTLS"),
        (server(PLAIN, port="25"), "port", "warning", "587"),
        (server(PLAIN, port="993"), "port", "error", "IMAP"),
        (server(PLAIN, port="143"), "port", "error", "IMAP"),
        (server(PLAIN, port="995"), "port", "error", "POP"),
        (server(PLAIN, port="many"), "port", "error", "65535"),
        (server(PLAIN, port="\N{SUPERSCRIPT TWO}"), "port", "error", "65535"),
        (server(PLAIN, port=""), "port", "missing", "587"),
        (server(PLAIN, security=Security.NONE), "security", "error", "encryption"),
        (
            client(server(PLAIN, security=Security.NONE), user="", password=None),
            "security",
            "warning",
            "unencrypted",
        ),
        (client(PLAIN, password=None), "password", "missing", "not set"),
        (client(PLAIN, user=""), "user", "missing", "no user"),
        (client(PLAIN, user="", password=None), "user", "warning", "empty"),
        (client(server(PLAIN, host="smtp.zoho.com"), user="", password=None), "user", "missing", "not set"),
        (client(server(PLAIN, host="smtp.sendgrid.net")), "user", "warning", "apikey"),
        (client(PLAIN, password=Secret(JWT)), "password", "error", "token"),
        (client(PLAIN, password=Secret("GOCSPX-abcdef0123")), "password", "error", "client secret"),
        (client(PLAIN, user="ya29.abcdefghijklmn"), "user", "error", "wrong field"),
        (client(GENERIC, scope=JWT), "scope", "error", "wrong field"),
        (replace(PLAIN, transport=Transport.GRAPH), "transport", "error", "SMTP"),
        (
            client(GENERIC, authorize_url="http://login.x.example/authorize"),
            "authorize-url",
            "error",
            "https",
        ),
        (client(GENERIC, token_url="login.x.example"), "token-url", "error", "https"),
        (client(GENERIC, token_url="https://[oops"), "token-url", "error", "https"),
        (
            client(GENERIC, token_url="https://l.x.example/authorize"),
            "token-url",
            "error",
            "people sign in",
        ),
        (
            client(GENERIC, authorize_url="https://login.x.example/token"),
            "authorize-url",
            "error",
            "stands twice",
        ),
        (
            client(GENERIC, authorize_url="https://l.x.example/token"),
            "authorize-url",
            "error",
            "tokens are given",
        ),
        (
            client(GENERIC, authorize_url="https://l.x.example/token", token_url="https://l.x.example/auth"),
            "token-url",
            "error",
            "swapped",
        ),
        (
            client(GENERIC, authorize_url="https://l.x.example/a?client_id=x&state=y"),
            "authorize-url",
            "error",
            "?",
        ),
        (client(GENERIC, token_url="https://u:p@l.x.example/token"), "token-url", "error", "@"),
        (
            client(GENERIC, authorize_url="https://l.x.example/.well-known/openid-configuration"),
            "authorize-url",
            "error",
            "issuer",
        ),
        (
            client(MICROSOFT, token_url="https://login.microsoftonline.com/other.com/oauth2/v2.0/token"),
            "token-url",
            "warning",
            "another tenant",
        ),
        (
            client(
                GENERIC,
                authorize_url="https://login.microsoftonline.com/a.com/oauth2/v2.0/authorize",
                token_url="https://login.microsoftonline.com/b.com/oauth2/v2.0/token",
            ),
            "token-url",
            "error",
            "different tenants",
        ),
        (client(GENERIC, scope=""), "scope", "missing", "send mail"),
        (client(GENERIC, scope="a,b"), "scope", "error", "blanks"),
        (client(MICROSOFT, scope="offline_access openid"), "scope", "error", "SMTP.Send"),
        (client(MICROSOFT, scope="Mail.Send offline_access"), "scope", "error", "SMTP.Send"),
        (
            client(MICROSOFT, scope="https://outlook.office.com/SMTP.Send"),
            "scope",
            "warning",
            "offline_access",
        ),
        (
            client(MICROSOFT, scope="https://outlook.office.com/SMTP.Send User.Read offline_access"),
            "scope",
            "error",
            "AADSTS70011",
        ),
        (
            client(GOOGLE, scope="https://www.googleapis.com/auth/gmail.send"),
            "scope",
            "error",
            "mail.google.com",
        ),
        (client(MICROSOFT, redirect_uri="urn:ietf:wg:oauth:2.0:oob"), "redirect-uri", "error", "ended"),
        (client(MICROSOFT, redirect_uri="http://127.0.0.1:8000"), "redirect-uri", "warning", "localhost"),
        (client(GENERIC, redirect_uri="http://x.example/cb"), "redirect-uri", "error", "encrypted"),
        (client(GENERIC, redirect_uri="https://x.example/cb#here"), "redirect-uri", "error", "#"),
        (client(GENERIC, redirect_uri="app:/cb"), "redirect-uri", "error", "web address"),
        (client(GENERIC, redirect_uri="https://login.x.example/token"), "redirect-uri", "error", "provider"),
        (client(MICROSOFT, login_hint="reports"), "login-hint", "warning", "mail address"),
    ],
)
def test_a_mistake_is_told_in_words(connection: Connection, field: str, severity: str, word: str) -> None:
    """Each mistake people make is told at its field, once, with what to do."""
    found = [one for one in findings(connection) if one.field == field]
    assert [(one.severity.value, word in one.sentence) for one in found] == [(severity, True)], findings(
        connection
    )


def test_a_variable_is_left_alone() -> None:
    """What a report fills in later is not judged."""
    tried = server(replace(MICROSOFT, from_address="${from}"), host="${host}", port="${port}")
    tried = client(tried, client_id="${id}", tenant_id="${tenant}", client_secret=Secret("${secret}"))
    assert findings(tried) == ()
    urls = {
        "authorize_url": "${a}",
        "token_url": "${t}",
        "scope": "${s}",
        "redirect_uri": "${r}",
        "login_hint": "${l}",
    }
    assert findings(client(GENERIC, **urls)) == ()


def test_what_is_missing_says_before_what() -> None:
    """A client id is needed to sign in, a mail server to send."""
    bare = Connection(code="eml-new", credential=OAuth2Client(provider=Provider.GOOGLE))
    assert [one.field for one in lacking(bare, Before.SIGN_IN)] == ["client-id", "client-secret"]
    assert [one.field for one in lacking(bare, Before.SENDING)] == ["from", "host"]
    assert lacking(GOOGLE, Before.SIGN_IN) == lacking(GOOGLE, Before.SENDING) == ()


def test_errors_come_first() -> None:
    """What cannot work stands above what is only odd, and that above what is missing."""
    tried = replace(client(server(MICROSOFT, port="25"), client_id="abc"), from_address="")
    assert [one.severity for one in findings(tried)] == [Severity.ERROR, Severity.WARNING, Severity.MISSING]


CANARY = "canary-7f3a"
_texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [ID, TENANT, PERSONAL, EXCHANGE, M_SECRET, GOOGLE_ID, JWT, "common", "https://[", "//", "${x}"]
    ),
    st.from_regex(r"https?://[a-z.\[\]:@/?#=]{0,30}"),
).map(lambda text: f"{text}{CANARY}" if len(text) % 3 else text)


@given(st.data())
def test_nothing_typed_raises_or_is_repeated(data: st.DataObject) -> None:
    """Whatever stands in the fields, advice is given, and no sentence repeats it or a secret."""

    def text() -> str:
        return data.draw(_texts)

    provider = data.draw(st.sampled_from(list(Provider)))
    credential: Password | OAuth2Client = Password(user=text(), password=Secret(text()))
    if provider is not Provider.NONE:
        names = [field.attribute for name, field in FIELDS.items() if field.part == "oauth2"]
        values: dict[str, Any] = {name: text() for name in names if name not in {"cloud", "flow"}}
        cloud = data.draw(st.sampled_from(list(Cloud)))
        credential = OAuth2Client(provider=provider, cloud=cloud, client_secret=Secret(text()), **values)
    security = data.draw(st.sampled_from(list(Security)))
    tried = Connection(
        code="eml-x",
        name=text(),
        server=Server(host=text(), port=text(), security=security),
        from_address=text(),
        credential=credential,
    )
    for one in findings(tried):
        assert one.field in {*FIELDS, "provider", "password", "client-secret"}
        assert one.sentence.endswith(".") and one.sentence.isprintable() and CANARY not in one.sentence
