"""Mail through Postfix and Dovecot, with tokens of oidc-provider: nothing here is ours but the client."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from datapallas.connection.model import Connection, Password
from datapallas.errors import RecipientsRefused
from datapallas.mail.envelope import Outcome
from datapallas.mail.message import Message
from datapallas.secret import Secret
from strangers.installation import ALICE, CODE, Dialogue, Installation, letter, server
from strangers.mail_server import DOVECOT, PASSWORD

if TYPE_CHECKING:
    from email.message import EmailMessage

    from strangers.identity_provider import IdentityProvider
    from strangers.mail_server import MailServer

pytestmark = pytest.mark.strangers
MANY = 200


def subjects(mails: list[EmailMessage]) -> Counter[str]:
    return Counter(str(one["Subject"]) for one in mails)


@pytest.mark.parametrize(
    ("port", "mechanism"),
    [
        ("xoauth2", "XOAUTH2"),
        ("oauthbearer", "OAUTHBEARER"),
        ("xoauth2-tls", "XOAUTH2"),
        ("oauthbearer-tls", "OAUTHBEARER"),
    ],
)
def test_one_sign_in_sends_two_hundred_mails(
    provider: IdentityProvider, mail: MailServer, installation: Installation, port: str, mechanism: str
) -> None:
    """A person signs in once in the browser; then 200 mails go out: one token request, one session, each mail once."""
    installation.connect(server(mail, port))
    installation.sign_in()
    dialogue = Dialogue()
    with installation.home.mailbox(CODE, watch=dialogue) as mailbox:
        for number in range(MANY):
            assert len(mailbox.send(letter(number)).accepted) == 1
    assert subjects(mail.delivered(MANY)) == {f"mail {number}": 1 for number in range(MANY)}
    assert dialogue.count(f"C: AUTH {mechanism}") == 1
    assert len(provider.log("/token", "refresh_token")) == 1
    assert not any("Bearer" in line for line in dialogue.lines)


@pytest.mark.parametrize("port", ["password", DOVECOT])
def test_a_password_still_works(mail: MailServer, installation: Installation, port: str) -> None:
    """A connection without OAuth2 signs in with PLAIN or LOGIN, its password sealed in the file."""
    password = Password(user=ALICE, password=Secret(PASSWORD))
    connection = Connection(code=CODE, server=server(mail, port), from_address=ALICE, credential=password)
    installation.home.folder.create(connection)
    assert PASSWORD not in installation.home.folder.path_of(CODE).read_text()
    with installation.home.mailbox(CODE) as mailbox:
        assert mailbox.send(letter()).accepted
    assert mail.delivered(1)


@pytest.mark.parametrize("port", [DOVECOT, "no-chunking", "lockstep", "xoauth2"])
def test_what_was_written_arrives_whatever_the_server_can(
    mail: MailServer, installation: Installation, port: str
) -> None:
    """Dots, umlauts and line ends arrive as they were written, with BDAT, with pipelined DATA and in lockstep."""
    installation.connect(server(mail, port))
    installation.sign_in()
    with installation.home.mailbox(CODE) as mailbox:
        for number in range(3):
            mailbox.send(letter(number))
    for delivered in mail.delivered(3):
        written = letter(int(str(delivered["Subject"]).removeprefix("mail ")))
        assert delivered.get_content().replace("\r\n", "\n") == written.text


@pytest.mark.parametrize("port", ["xoauth2", "oauthbearer", DOVECOT])
def test_a_token_as_long_as_microsofts_opens_the_mail_server(
    provider: IdentityProvider, mail: MailServer, installation: Installation, port: str
) -> None:
    """A token of 2,667 characters does not fit the AUTH line (Postfix and Dovecot refuse it), so it goes after it."""
    provider.settings(tokenBits=16000)
    installation.connect(server(mail, port))
    installation.sign_in()
    assert len(installation.home.tokens(CODE).token().value.reveal()) > 2600
    dialogue = Dialogue()
    with installation.home.mailbox(CODE, watch=dialogue) as mailbox:
        assert mailbox.send(letter()).accepted
    (command,) = [line for line in dialogue.lines if line.startswith("C: AUTH")]
    assert len(command.split()) == 3, command
    assert mail.delivered(1)


def test_each_recipient_has_an_outcome_of_its_own(mail: MailServer, installation: Installation) -> None:
    """One is refused for good, one for now, two get the mail: the receipt says so, in the server's words."""
    installation.connect(server(mail, "xoauth2"))
    installation.sign_in()
    to = ["bob@any.test", "452-x@any.test", "550-x@any.test", "carol@any.test"]
    with installation.home.mailbox(CODE) as mailbox:
        receipt = mailbox.send(Message(to=to, subject="mixed", text="hello"))
    assert [(one.address, one.outcome) for one in receipt.outcomes] == list(
        zip(to, [Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REFUSED, Outcome.ACCEPTED], strict=True)
    )
    assert receipt.outcomes[1].reply.startswith("452 ")
    assert "as the address asks" in receipt.outcomes[2].reply
    delivered = mail.delivered(2)
    assert {str(one["Delivered-To"]) for one in delivered} == {"bob@any.test", "carol@any.test"}


def test_threads_share_a_mailbox(mail: MailServer, installation: Installation) -> None:
    """Eight threads send through at most three sessions, and nothing gets lost or doubled."""
    installation.connect(server(mail, "oauthbearer"))
    installation.sign_in()
    dialogue = Dialogue()
    with installation.home.mailbox(CODE, watch=dialogue) as mailbox, ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda number: mailbox.send(letter(number)), range(60)))
    assert all(receipt.accepted for receipt in receipts)
    assert subjects(mail.delivered(60)) == {f"mail {number}": 1 for number in range(60)}
    assert dialogue.count("C: AUTH") <= 3


def test_tasks_share_a_mailbox(
    provider: IdentityProvider, mail: MailServer, installation: Installation
) -> None:
    """The same in an event loop, with one token request for all sessions."""
    installation.connect(server(mail, "xoauth2-tls"))
    installation.sign_in()

    async def send_all() -> None:
        async with installation.home.async_mailbox(CODE) as mailbox:
            receipts = await asyncio.gather(*(mailbox.send(letter(number)) for number in range(60)))
        assert all(receipt.accepted for receipt in receipts)

    asyncio.run(send_all())
    assert subjects(mail.delivered(60)) == {f"mail {number}": 1 for number in range(60)}
    assert len(provider.log("/token", "refresh_token")) == 1


def test_alice_cannot_send_as_bob(mail: MailServer, installation: Installation) -> None:
    """The server's refusal of another sender reaches the user in the server's words."""
    installation.connect(server(mail, "xoauth2"))
    installation.sign_in()
    message = Message(to="carol@any.test", subject="as bob", text="x", sender="bob@example.test")
    with installation.home.mailbox(CODE) as mailbox, pytest.raises(RecipientsRefused) as caught:
        mailbox.send(message)
    assert f"not owned by user {ALICE}" in caught.value.raw
    assert not caught.value.transient
