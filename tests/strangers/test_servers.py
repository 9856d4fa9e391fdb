"""The strangers themselves, met without any of our code: what the other tests here stand on."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import smtplib
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from strangers.identity_provider import CLIENT, SCOPE, IdentityProvider
from strangers.mail_server import DOVECOT, PASSWORD, MailServer
from strangers.person import Person
from strangers.process import free_ports

if TYPE_CHECKING:
    from strangers.person import Page

pytestmark = pytest.mark.strangers
ALICE = "alice@example.test"


def tokens(provider: IdentityProvider, person: Person) -> dict[str, Any]:
    """Sign in as a client that nobody listens for: the code is read from the address the browser ends at."""
    verifier, redirect = secrets.token_urlsafe(48), f"http://127.0.0.1:{free_ports(1)[0]}/callback"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {"client_id": CLIENT, "response_type": "code", "scope": SCOPE, "redirect_uri": redirect}
    asked |= {"code_challenge": challenge, "code_challenge_method": "S256", "prompt": "consent", "state": "s"}
    end: Page = person.browse(f"{provider.authorize_url}?{urlencode(asked)}")
    assert end.url.startswith(redirect), end
    back = {name: values[0] for name, values in parse_qs(urlsplit(end.url).query).items()}
    if "code" not in back:
        return back
    own = {"client_id": CLIENT, "redirect_uri": redirect, "code_verifier": verifier}
    return provider.token(grant_type="authorization_code", code=back["code"], **own)


def initial(mechanism: str, token: str) -> str:
    if mechanism == "XOAUTH2":
        return f"user={ALICE}\1auth=Bearer {token}\1\1"
    return f"n,a={ALICE},\1auth=Bearer {token}\1\1"


def session(mail: MailServer, name: str) -> smtplib.SMTP:
    """A verified session with the stdlib's own client."""
    trust = ssl.create_default_context(cafile=mail.ca)
    if name.endswith("-tls"):
        return smtplib.SMTP_SSL("localhost", mail.ports[name], timeout=60, context=trust)
    smtp = smtplib.SMTP("localhost", mail.ports[name], timeout=60)
    smtp.starttls(context=trust)
    smtp.ehlo()
    return smtp


def sign_in(smtp: smtplib.SMTP, mechanism: str, token: str) -> tuple[int, bytes, str]:
    """AUTH in two steps; the last reply, and the JSON in a 334 refusal."""
    assert smtp.docmd("AUTH", mechanism)[0] == 334
    code, said = smtp.docmd(base64.b64encode(initial(mechanism, token).encode()).decode())
    if code != 334:
        return code, said, ""
    return *smtp.docmd("" if mechanism == "XOAUTH2" else "AQ=="), base64.b64decode(said).decode()


WAYS = [
    ("xoauth2", "XOAUTH2"),
    ("oauthbearer", "OAUTHBEARER"),
    ("xoauth2-tls", "XOAUTH2"),
    ("oauthbearer-tls", "OAUTHBEARER"),
    (DOVECOT, "XOAUTH2"),
    (DOVECOT, "OAUTHBEARER"),
]


@pytest.mark.parametrize(("port", "mechanism"), WAYS)
def test_a_token_of_the_provider_opens_the_mail_server(
    provider: IdentityProvider, mail: MailServer, port: str, mechanism: str
) -> None:
    """Who signed in at the provider can hand in mail, over STARTTLS and implicit TLS, with either mechanism."""
    token = tokens(provider, Person(ALICE))["access_token"]
    with session(mail, port) as smtp:
        assert sign_in(smtp, mechanism, token)[0] == 235
        smtp.sendmail(ALICE, ["bob@any.test"], f"Subject: by {port}\r\n\r\nhello\r\n")
    (delivered,) = mail.delivered(1)
    assert delivered["Subject"] == f"by {port}"
    assert delivered["Delivered-To"] == "bob@any.test"


@pytest.mark.parametrize(("port", "mechanism"), WAYS)
def test_a_made_up_token_opens_nothing(
    provider: IdentityProvider, mail: MailServer, port: str, mechanism: str
) -> None:
    """The mail server asks the provider about each token, and says why it refused."""
    with session(mail, port) as smtp:
        code, _, told = sign_in(smtp, mechanism, "made-up")
        assert code == 535
        assert json.loads(told)["status"]
    assert provider.log("/token/introspection")


def test_a_token_is_good_for_its_own_mailbox_only(provider: IdentityProvider, mail: MailServer) -> None:
    """Alice's token does not send as Bob."""
    token = tokens(provider, Person(ALICE))["access_token"]
    with session(mail, "xoauth2") as smtp:
        assert sign_in(smtp, "XOAUTH2", token)[0] == 235
        assert smtp.mail("bob@example.test")[0] == 250
        assert smtp.rcpt("carol@any.test")[0] == 553


def test_a_recipient_is_refused_with_the_code_in_its_name(mail: MailServer) -> None:
    """`452-x@any.test` gets 452: this is how the other tests ask for mixed answers."""
    with session(mail, "password") as smtp:
        smtp.login(ALICE, PASSWORD)
        smtp.mail(ALICE)
        assert smtp.rcpt("452-x@any.test")[0] == 452
        assert smtp.rcpt("550-x@any.test")[0] == 550
        assert smtp.rcpt("bob@any.test")[0] == 250


def test_a_used_refresh_token_ends_the_whole_sign_in(provider: IdentityProvider) -> None:
    """The provider rotates refresh tokens; an old one, used again, takes the new one with it."""
    first = tokens(provider, Person())["refresh_token"]

    def refresh(token: str) -> dict[str, Any]:
        return provider.token(grant_type="refresh_token", refresh_token=token, client_id=CLIENT)

    second = refresh(first)["refresh_token"]
    assert refresh(first)["error"] == "invalid_grant"
    assert refresh(second)["error"] == "invalid_grant"


def test_a_person_may_say_no(provider: IdentityProvider) -> None:
    """Who presses Cancel comes back with access_denied."""
    assert tokens(provider, Person(denies=True))["error"] == "access_denied"


def test_each_way_in_offers_what_its_name_says(mail: MailServer) -> None:
    """A test chooses what a server offers by choosing its port."""
    for name, absent in {"no-chunking": "chunking", "lockstep": "pipelining"}.items():
        with session(mail, name) as smtp:
            assert not smtp.has_extn(absent)
    with session(mail, "xoauth2") as smtp:
        assert smtp.esmtp_features["auth"].split() == ["XOAUTH2"]
        assert smtp.has_extn("chunking") and smtp.has_extn("pipelining")
    with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
        session(mail, "wrong-name")
