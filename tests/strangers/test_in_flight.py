"""Several messages on their way at once to Postfix and to Dovecot's submission service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.connection.model import Connection, Password
from datapallas.mail.caution import Caution
from datapallas.mail.compose import Composer
from datapallas.mail.envelope import Receipt
from datapallas.mail.mailbox import sender_of
from datapallas.mail.transport import Options, PasswordSource, choose
from datapallas.secret import Secret
from strangers.installation import ALICE, CODE, Dialogue, letter, server
from strangers.mail_server import DOVECOT, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.errors import DataPallasError
    from datapallas.mail.transport import Mail
    from strangers.mail_server import MailServer

pytestmark = pytest.mark.strangers
MANY = 90


def addressed(number: int) -> str:
    """One in nine is refused, one in nine is put off."""
    return {4: f"550-{number}@any.test", 7: f"452-{number}@any.test"}.get(number % 9, f"bob{number}@any.test")


@pytest.mark.parametrize("port", ["password", "no-chunking", "lockstep", DOVECOT])
def test_each_has_its_own_outcome_and_arrives_once(mail: MailServer, port: str) -> None:
    """Ninety mails, refused and deferred ones among them: the outcomes are right, and each other mail arrives once."""
    connection = Connection(
        code=CODE, server=server(mail, port), from_address=ALICE, credential=Password(user=ALICE)
    )
    dialogue, caution = Dialogue(), Caution()
    login = PasswordSource(ALICE, lambda: Secret(PASSWORD))
    transport = choose(connection, login, Options(sessions=1, watch=dialogue, caution=caution))
    composer = Composer(sender_of(connection))
    told: dict[int, Receipt | DataPallasError | None] = {}

    def mails() -> Iterator[Mail]:
        for number in range(MANY):
            composed = composer.compose(letter(number, addressed(number)))
            yield composed.envelope, composed

    def hear(number: int, said: Receipt | DataPallasError | None) -> bool:
        told[number] = said
        return True

    transport.send_all(mails(), hear)
    transport.close()
    outcomes = {}
    for number, receipt in told.items():
        assert isinstance(receipt, Receipt), receipt
        outcomes[number] = receipt.outcomes[0].outcome.value.lower()
    # What Dovecot hands mail on to refuses nobody.
    wanted = {4: "refused", 7: "deferred"} if port != DOVECOT else {}
    assert outcomes == {number: wanted.get(number % 9, "accepted") for number in range(MANY)}
    good = [number for number in range(MANY) if number % 9 not in wanted]
    arrived = sorted(str(one["Subject"]) for one in mail.delivered(len(good)))
    assert arrived == sorted(f"mail {number}" for number in good)
    assert caution.trusts(f"localhost:{mail.ports[port]}")
    assert dialogue.count("C: AUTH") == 1
    assert (dialogue.count("C: RSET") > MANY / 2) is (port != "lockstep")
