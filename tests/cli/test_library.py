"""The library as the README shows it: `with`, `async with`, one session for many messages, many threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import datapallas
from cli.shell import CODE

if TYPE_CHECKING:
    from pathlib import Path

    from cli.shell import Shell
    from datapallas.sandbox import Sandbox


@pytest.fixture(autouse=True)
def _signed_in(shell: Shell) -> None:
    shell.signed_in()


def message(subject: str = "Figures") -> datapallas.Message:
    """As in the README."""
    return datapallas.Message(
        to="bob@sandbox.example", subject=subject, text="...", attachments=["figures.pdf"]
    )


@pytest.fixture(autouse=True)
def _figures(tmp_path: Path) -> None:
    (tmp_path / "figures.pdf").write_bytes(b"%PDF-1.7")


def sign_ins(sandbox: Sandbox) -> int:
    """How many access tokens were asked for."""
    return len(sandbox.provider.ledger.accesses)


def test_three_messages_go_over_one_session(sandbox: Sandbox) -> None:
    """Open once, send many: one token, one session; and the session ends with the block."""
    sandbox.settings.sessions_per_mailbox = 1
    with datapallas.open(CODE) as mailbox:
        receipts = [mailbox.send(message(str(number))) for number in range(3)]
        assert sandbox._mail.signed_in["alice@sandbox.example"] == 1
    assert [one.outcome for receipt in receipts for one in receipt.outcomes] == [
        datapallas.Outcome.ACCEPTED
    ] * 3
    assert [str(mail.message["Subject"]) for mail in sandbox.wait(3)] == ["0", "1", "2"]
    assert sign_ins(sandbox) == 1


def test_the_same_with_asyncio(sandbox: Sandbox) -> None:
    """`async with`, three at once and three after another."""

    async def main() -> list[datapallas.Receipt]:
        async with datapallas.open(CODE) as mailbox:
            together = await asyncio.gather(*[mailbox.send(message()) for _ in range(3)])
            return [*together, *[await mailbox.send(message()) for _ in range(3)]]

    receipts = asyncio.run(main())
    assert len(sandbox.wait(6)) == 6 and all(len(receipt.accepted) == 1 for receipt in receipts)
    assert sign_ins(sandbox) == 1


def test_many_threads_share_a_mailbox(sandbox: Sandbox) -> None:
    """Eight threads, forty messages: all arrive once, over three sessions at most, with one token."""
    sandbox.settings.sessions_per_mailbox = 3
    with datapallas.open(CODE) as mailbox, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: mailbox.send(message(str(number))), range(40)))
    subjects = sorted(int(str(mail.message["Subject"])) for mail in sandbox.wait(40))
    assert subjects == list(range(40)) and sign_ins(sandbox) == 1


def test_the_default_connection_and_a_named_home(
    sandbox: Sandbox, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a code the default connection is taken; `home` names the folder."""
    monkeypatch.delenv("DATAPALLAS_HOME")
    monkeypatch.chdir("/")
    with datapallas.open(home=shell.root) as mailbox:
        mailbox.send(datapallas.Message(to="bob@sandbox.example"))
    assert len(sandbox.messages) == 1


def test_a_wrong_code_is_told_where_it_is_used() -> None:
    """The error names the known ones, in both kinds of block."""
    with pytest.raises(datapallas.UnknownConnection, match=CODE), datapallas.open("eml-nobody"):
        pass

    async def main() -> None:
        async with datapallas.open("eml-nobody"):
            pass

    with pytest.raises(datapallas.UnknownConnection, match=CODE):
        asyncio.run(main())


def test_a_failure_that_leaves_the_block_can_be_explained_exactly(sandbox: Sandbox) -> None:
    """What is raised knows its connection, so that the advice names it."""
    reply = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant"
    sandbox.faults.next("auth", reply, times=0)
    with pytest.raises(datapallas.SmtpRefused) as caught, datapallas.open(CODE) as mailbox:
        mailbox.send(message())
    assert caught.value.facts["connection"] == CODE
    assert "alice@sandbox.example" in datapallas.explain(caught.value).fix

    async def main() -> None:
        async with datapallas.open(CODE) as mailbox:
            await mailbox.send(message())

    with pytest.raises(datapallas.SmtpRefused) as caught:
        asyncio.run(main())
    assert caught.value.facts["mailbox"] == "alice@sandbox.example"
