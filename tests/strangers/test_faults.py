"""A mail server that is not safe, or that dies at the worst moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import datapallas
from datapallas.connection.model import Security, Server
from datapallas.errors import DataPallasError, RecipientsRefused, TlsRefused, Unreachable
from datapallas.mail.attachment import Attachment
from datapallas.mail.envelope import Outcome, Receipt
from datapallas.mail.message import Message
from strangers.installation import CODE, Dialogue, Installation, letter, server
from strangers.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from strangers.identity_provider import IdentityProvider
    from strangers.mail_server import MailServer

pytestmark = pytest.mark.strangers
LARGE = bytes(range(256)) * 40_000  # 10 MB; Linux lets 4 MB wait in a sender's buffer


class HoldsBack(Dialogue):
    """Holds the link up as soon as the server has asked for the text of its second mail."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def __call__(self, direction: str, line: str) -> None:
        super().__call__(direction, line)
        if direction == "S" and line.startswith("354") and self.count("S: 354") == 2:
            self._link.hold()


def strip_starttls(said: bytes) -> bytes:
    """What a man in the middle does to the offer."""
    return said.replace(b"250-STARTTLS\r\n", b"")


def refuse_starttls(said: bytes) -> bytes:
    return said.replace(b"220 2.0.0 Ready to start TLS", b"454 4.7.0 TLS not available")


@pytest.mark.parametrize("change", [strip_starttls, refuse_starttls])
def test_no_token_leaves_without_tls(
    provider: IdentityProvider, mail: MailServer, installation: Installation, change: Callable[[bytes], bytes]
) -> None:
    """Someone on the way takes STARTTLS out of the offer, or answers it with "not now": not one secret is said."""
    with Link(mail.ports["xoauth2"], change) as link:
        installation.connect(server(mail, "xoauth2", link.port))
        installation.sign_in()
        with installation.home.mailbox(CODE) as mailbox, pytest.raises(DataPallasError) as caught:
            mailbox.send(letter())
    assert b"AUTH" not in link.sent
    assert b"MAIL FROM" not in link.sent
    assert not provider.log("/token/introspection")
    assert "starttls" in datapallas.explain(caught.value).raw.lower() + caught.value.message.lower()


def test_a_certificate_for_another_name_is_refused(
    provider: IdentityProvider, mail: MailServer, installation: Installation
) -> None:
    """A certificate of the right authority for the wrong name opens nothing; the user is told both names."""
    installation.connect(server(mail, "wrong-name"))
    installation.sign_in()
    with installation.home.mailbox(CODE) as mailbox, pytest.raises(TlsRefused) as caught:
        mailbox.send(letter())
    assert caught.value.exit_code == 78
    assert "localhost" in caught.value.message
    assert not provider.log("/token/introspection")


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_an_unknown_authority_is_refused(
    provider: IdentityProvider, mail: MailServer, installation: Installation, security: Security
) -> None:
    """Without the server's own root certificate in the connection, the system's authorities do not know it."""
    port = mail.ports["xoauth2-tls" if security is Security.TLS else "xoauth2"]
    installation.connect(Server(host="localhost", port=str(port), security=security))
    installation.sign_in()
    with installation.home.mailbox(CODE) as mailbox, pytest.raises(TlsRefused) as caught:
        mailbox.send(letter())
    assert caught.value.exit_code == 78
    assert not provider.log("/token/introspection")


@pytest.mark.parametrize("port", ["xoauth2", "no-chunking", "lockstep"])
def test_a_mail_whose_answer_is_lost_is_not_sent_again(
    mail: MailServer, installation: Installation, port: str
) -> None:
    """The server took the mail and died before it could say so: the outcome is unknown, and nobody gets it twice."""
    with Link(mail.ports[port]) as link, ThreadPoolExecutor(1) as aside:
        installation.connect(server(mail, port, link.port))
        installation.sign_in()
        with installation.home.mailbox(CODE, watch=HoldsBack(link)) as mailbox:
            mailbox.send(letter(1))
            if port == "xoauth2":  # BDAT: the whole mail leaves in one write, and nothing is answered before
                link.hold()
            second = aside.submit(mailbox.send, letter(2))
            mail.delivered(2)
            link.cut()
            problem = second.exception(timeout=60)
            assert isinstance(problem, RecipientsRefused)
            assert problem.code == "outcome-unknown"
            assert not problem.transient
            assert isinstance(problem.receipt, Receipt)
            assert [one.outcome for one in problem.receipt.outcomes] == [Outcome.UNKNOWN]
            assert mailbox.send(letter(3)).accepted
    found = sorted(str(one["Subject"]) for one in mail.delivered(3))
    assert found == ["mail 1", "mail 2", "mail 3"]


@pytest.mark.parametrize("port", ["xoauth2", "no-chunking", "lockstep"])
def test_a_mail_that_broke_off_in_the_middle_may_be_sent_again(
    mail: MailServer, installation: Installation, port: str
) -> None:
    """The server dies while it takes a large mail: it cannot have it, so "try later" is safe, and once is enough."""
    message = Message(to="bob@any.test", subject="big", text="x", attachments=[Attachment("a.bin", LARGE)])
    with Link(mail.ports[port]) as link:
        installation.connect(server(mail, port, link.port))
        installation.sign_in()
        link.cut_after = len(LARGE) // 4
        with installation.home.mailbox(CODE) as mailbox:
            with pytest.raises(Unreachable) as caught:
                mailbox.send(message)
            assert caught.value.exit_code == 75
            assert caught.value.facts["after_body"] == "no"
            assert mailbox.send(message).accepted
    (delivered,) = mail.delivered(1)
    (attachment,) = delivered.iter_attachments()
    assert attachment.get_content() == LARGE


def test_a_session_the_server_closed_is_replaced(mail: MailServer, installation: Installation) -> None:
    """Between two mails the server hangs up: the next mail goes out over a new session, and the user notices nothing."""
    with Link(mail.ports["oauthbearer"]) as link:
        installation.connect(server(mail, "oauthbearer", link.port))
        installation.sign_in()
        dialogue = Dialogue()
        with installation.home.mailbox(CODE, watch=dialogue) as mailbox:
            mailbox.send(letter(1))
            link.cut()
            assert mailbox.send(letter(2)).accepted
        assert dialogue.count("C: AUTH") == 2
    assert len(mail.delivered(2)) == 2
