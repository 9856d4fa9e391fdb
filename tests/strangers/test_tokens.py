"""The life of a sign-in at a strict provider: refreshed, refused, stolen, out of reach, and never lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import datapallas
from datapallas.connection import record as records
from datapallas.connection.file_store import FileStore
from datapallas.connection.identity import REFRESH_TOKEN
from datapallas.errors import Parked, SmtpRefused, TokenRefused, Unreachable
from datapallas.oauth.endpoint import Endpoint
from datapallas.oauth.source import ConnectionTokenSource
from strangers.identity_provider import CLIENT
from strangers.installation import CODE, Dialogue, Installation, letter, server
from strangers.link import Link
from strangers.mail_server import DOVECOT
from strangers.person import Person
from strangers.rounds import refresh_together

if TYPE_CHECKING:
    from strangers.identity_provider import IdentityProvider
    from strangers.mail_server import MailServer

pytestmark = pytest.mark.strangers
SERVERS = ["xoauth2", "oauthbearer", DOVECOT]


class StoppedClock:
    """A clock on which a token never ends."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return 1000.0


def stored_token(installation: Installation) -> str:
    return installation.home.folder.reveal(installation.connection(), REFRESH_TOKEN).reveal()


def refreshes(provider: IdentityProvider) -> int:
    return len(provider.log("/token", "refresh_token"))


def test_a_run_outlives_its_tokens(
    provider: IdentityProvider, mail: MailServer, installation: Installation
) -> None:
    """Tokens live eight seconds here; a run that takes longer gets new ones in time, and no mail is refused."""
    provider.settings(access=8)
    installation.connect(server(mail, "xoauth2"))
    installation.sign_in()
    tokens, dialogue, number = installation.home.tokens(CODE), Dialogue(), 0
    until = time.monotonic() + 120
    while refreshes(provider) < 3:
        assert time.monotonic() < until
        with installation.mailbox(
            tokens, dialogue
        ) as mailbox:  # a session of its own, so a sign-in of its own
            assert mailbox.send(letter(number)).accepted
        number += 1
    assert number > 4, "tokens are used more than once"
    assert dialogue.count("S: 535") == 0
    assert len(mail.delivered(number)) == number


@pytest.mark.parametrize("port", SERVERS)
def test_a_token_that_ended_unnoticed_is_replaced(
    provider: IdentityProvider, mail: MailServer, installation: Installation, port: str
) -> None:
    """When the server refuses a token that should still live, one new one is got and the mail goes out."""
    installation.connect(server(mail, port))
    installation.sign_in()
    clock = StoppedClock()
    tokens = ConnectionTokenSource(installation.home.folder, CODE, Endpoint(clock=clock), clock)
    tokens.token()
    provider.end_access_tokens()
    dialogue = Dialogue()
    with installation.mailbox(tokens, dialogue) as mailbox:
        assert mailbox.send(letter()).accepted
    assert dialogue.count("S: 535") == 1
    assert refreshes(provider) == 2
    assert mail.delivered(1)


@pytest.mark.parametrize("port", SERVERS)
def test_a_server_that_refuses_every_token_is_asked_twice(
    provider: IdentityProvider, mail: MailServer, installation: Installation, port: str
) -> None:
    """Bob signed in, but the mailbox is Alice's: two tries, one new token, then the server's own words."""
    installation.connect(server(mail, port))
    installation.sign_in(Person("bob@example.test"), accept_account=True)
    dialogue = Dialogue()
    tokens = installation.home.tokens(CODE)
    with installation.mailbox(tokens, dialogue) as mailbox, pytest.raises(SmtpRefused) as caught:
        mailbox.send(letter())
    assert caught.value.step == "AUTH"
    assert caught.value.reply_code == 535
    assert caught.value.exit_code == 77
    assert '"status"' in caught.value.challenge
    assert dialogue.count("C: AUTH") == 2
    assert refreshes(provider) == 2
    assert not mail.mails()


def test_an_ended_sign_in_parks_the_connection_and_a_new_one_frees_it(
    provider: IdentityProvider, mail: MailServer, installation: Installation
) -> None:
    """An administrator ends the sign-in: nothing is deleted, the provider is asked once, and signing in again is the cure."""
    installation.connect(server(mail, "xoauth2"))
    installation.sign_in()
    before = stored_token(installation)
    provider.revoke_everything()
    with installation.home.mailbox(CODE) as mailbox:
        for _ in range(3):
            with pytest.raises(Parked, match="sign in again") as caught:
                mailbox.send(letter())
    assert caught.value.exit_code == 77
    assert refreshes(provider) == 1, "a parked connection does not bother the provider"
    assert stored_token(installation) == before
    assert installation.home.tokens(CODE).status().state == "parked"
    diagnosis = datapallas.explain(caught.value)
    assert "sign in" in diagnosis.fix.lower()
    assert "invalid_grant" in diagnosis.raw

    installation.sign_in()
    with installation.home.mailbox(CODE) as mailbox:
        assert mailbox.send(letter()).accepted
    assert installation.home.tokens(CODE).status().state == "signed-in"


def test_every_refresh_is_stored_before_it_is_used(
    provider: IdentityProvider, installation: Installation
) -> None:
    """The provider gives a new refresh token each time; each is in the file when the access token is handed out."""
    installation.connect()
    installation.sign_in()
    seen = {stored_token(installation)}
    for _ in range(5):
        installation.home.tokens(CODE).refresh()
        seen.add(stored_token(installation))
    assert len(seen) == 6
    assert not provider.refusals()


def test_a_stolen_refresh_token_shows(provider: IdentityProvider, installation: Installation) -> None:
    """Someone else used the refresh token first: the provider ends the sign-in, and the user is told to sign in again."""
    installation.connect()
    installation.sign_in()
    thief = provider.token(
        grant_type="refresh_token", client_id=CLIENT, refresh_token=stored_token(installation)
    )
    assert "access_token" in thief
    tokens = installation.home.tokens(CODE)
    with pytest.raises(Parked) as caught:
        tokens.token()
    assert caught.value.facts["error"] == "invalid_grant"
    assert "sign in" in datapallas.explain(caught.value).fix.lower()
    again = provider.token(grant_type="refresh_token", client_id=CLIENT, refresh_token=thief["refresh_token"])
    assert again["error"] == "invalid_grant", "reuse ends the thief's sign-in too"


def test_a_provider_out_of_reach_parks_nothing(
    provider: IdentityProvider, mail: MailServer, installation: Installation
) -> None:
    """While the provider is down a command says "try later" (75); when it is back, mail goes out without a sign-in."""
    with Link(provider.port) as link:
        installation.connect(server(mail, "xoauth2"), token_url=f"http://127.0.0.1:{link.port}/token")
        installation.sign_in()
        link.down()
        with installation.home.mailbox(CODE) as mailbox, pytest.raises(Unreachable) as caught:
            mailbox.send(letter())
        assert caught.value.exit_code == 75
        assert caught.value.transient
        assert installation.home.tokens(CODE).status().state == "signed-in"
        link.up()
        with installation.home.mailbox(CODE) as mailbox:
            assert mailbox.send(letter()).accepted


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (503, {"Retry-After": "30"}, "<html>over capacity</html>"),
        (429, {"Retry-After": "120"}, '{"error":"slow_down"}'),
        (500, {}, '{"error":"server_error","error_description":"try again"}'),
    ],
)
def test_a_provider_in_trouble_parks_nothing(
    provider: IdentityProvider, installation: Installation, status: int, headers: dict[str, str], body: str
) -> None:
    """Busy or broken is not "no": try later, at the time the provider names, and not before."""
    installation.connect()
    installation.sign_in()
    provider.fail(status, body, headers)
    tokens = installation.home.tokens(CODE)
    for _ in range(3):
        with pytest.raises(TokenRefused) as caught:
            tokens.token()
    assert caught.value.status == status
    assert caught.value.exit_code == 75
    assert len(provider.log("/token")) == 2, "the sign-in and one try: the others waited for their time"
    assert float(caught.value.facts["retry_in"]) >= float(headers.get("Retry-After", "1")) - 1
    assert tokens.status().state == "signed-in"
    assert tokens.refresh().value


def test_two_programs_never_spend_the_same_refresh_token(
    provider: IdentityProvider, installation: Installation
) -> None:
    """Twenty times two processes refresh at the same moment; a provider that forgives no reuse has nothing to forgive."""
    installation.connect()
    installation.sign_in()
    assert refresh_together(installation.root, 2, 20) == ["ok"] * 40
    assert refreshes(provider) == 40
    assert not provider.refusals()
    assert installation.home.tokens(CODE).refresh().value


def test_signing_out_ends_the_sign_in_at_the_provider(
    provider: IdentityProvider, installation: Installation
) -> None:
    """The provider's metadata says where; the refresh token that was stored is worth nothing afterwards."""
    installation.connect()
    installation.sign_in()
    token = stored_token(installation)
    folder = installation.home.folder
    assert records.load(FileStore(folder.store.root).record_path(CODE)).issuer == provider.issuer
    done = installation.home.tokens(CODE).sign_out()
    assert (done.forgotten, done.revoked) == (True, True), done.reason
    refused = provider.token(grant_type="refresh_token", refresh_token=token, client_id=CLIENT)
    assert refused["error"] == "invalid_grant"
