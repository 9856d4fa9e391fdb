"""Every door goes through the outbox: promised first, sent once, taken back when a person must act."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import datapallas
from cli.shell import CODE

if TYPE_CHECKING:
    from cli.shell import Shell
    from datapallas.sandbox import Sandbox

TO = ("--to", "bob@sandbox.example")


@pytest.fixture(autouse=True)
def _signed_in(shell: Shell) -> None:
    shell.signed_in()


def message(to: str = "bob@sandbox.example") -> datapallas.Message:
    return datapallas.Message(to=to, subject="Figures", text="...")


def fates(shell: Shell) -> dict[str, int]:
    """How many recipients of the whole outbox have come to what."""
    jobs = shell.call("job", "list", "--json").json["jobs"]
    return {name: count for name in jobs[0]["fates"] if (count := sum(job["fates"][name] for job in jobs))}


def test_now_waits_for_the_outcome(shell: Shell, sandbox: Sandbox) -> None:
    """A server that is away for a moment: `send --now` tries again and ends when the message is out."""
    sandbox.faults.next("connect", "die", times=1)
    done = shell.call("send", *TO, "--now", "--json")
    assert done.code == 0 and done.json["state"] == "done"
    assert done.json["recipients"][0]["outcome"] == "accepted" and len(sandbox.messages) == 1
    assert fates(shell) == {"accepted": 1}


def test_what_a_person_must_mend_first_is_taken_back(shell: Shell, sandbox: Sandbox) -> None:
    """77, and nothing waits; after the sign-in the same key is sent, and after that never again."""
    words = ("send", *TO, "--job", "invoices", "--key", "4711")
    sandbox.faults.next("token", "AADSTS50173", times=0)
    assert [shell.call(*words).code for _ in range(2)] == [77, 77]
    assert fates(shell) == {"parked": 1}
    assert shell.call("outbox", "run").code == 0 and not sandbox.messages
    sandbox.faults.clear()
    assert shell.call("oauth2", "sign-in").code == 0
    assert [shell.call(*words).code for _ in range(2)] == [0, 0]
    assert len(sandbox.messages) == 1 and fates(shell) == {"accepted": 1}


def test_a_paused_connection_keeps_what_is_promised(shell: Shell, sandbox: Sandbox) -> None:
    """Somebody paused it: `send` says so at once and promises it; it goes when the pause ends."""
    assert shell.call("outbox", "pause", CODE).code == 0
    done = shell.call("send", *TO)
    assert done.code == 0 and "queued" in done.out and "do not run this again" in done.err
    assert shell.call("outbox", "resume", CODE).code == 0
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 1


def test_an_outbox_that_cannot_be_used_sends_nothing(shell: Shell, sandbox: Sandbox) -> None:
    """A damaged file, or a place that cannot be written: said at once, by every way of sending."""
    data = shell.root / "data"
    (data / "outbox.db").write_bytes(b"this is not a database, whatever its name says" * 100)
    for words in ((), ("--now",), ("--queue",)):
        done = shell.call("send", *TO, *words)
        assert done.code == 78 and "damaged" in done.err
    with pytest.raises(datapallas.ConfigurationError, match="damaged"), datapallas.open(CODE):
        pass
    (data / "outbox.db").unlink()
    (data / "outbox.db").mkdir()
    assert shell.call("send", *TO).code in {75, 78}
    assert not sandbox.messages


def test_the_library_takes_back_what_it_raises_for(shell: Shell, sandbox: Sandbox) -> None:
    """An error means that nobody sends it later; the next message goes at once."""
    with datapallas.open(CODE) as mailbox:
        with pytest.raises(datapallas.RecipientsRefused) as caught:
            mailbox.send(message("451-x@x.example"))
        assert caught.value.transient
        assert mailbox.send(message()).accepted
        sandbox.faults.next("message", "die-after", times=1)
        with pytest.raises(datapallas.RecipientsRefused) as lost:
            mailbox.send(message())
        assert lost.value.code == "outcome-unknown"
        receipts = list(mailbox.send_many([message("550-x@x.example"), message()]))
        assert [bool(receipt.accepted) for receipt in receipts] == [False, True]
    assert fates(shell) == {"accepted": 2, "refused": 1, "unknown": 1, "parked": 1}
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 3


def test_the_library_promises(shell: Shell, sandbox: Sandbox) -> None:
    """`queue` returns a job; the same key is taken once; `outbox run` sends it. The same with asyncio."""
    with datapallas.open(CODE) as mailbox:
        assert mailbox.queue(message(), key="1", job="november") == "november"
        mailbox.queue([message(), message()], key=["1", "2"], job="november")

    async def main() -> str:
        async with datapallas.open(CODE) as mailbox:
            return await mailbox.queue([message()])

    assert asyncio.run(main()) and not sandbox.messages
    assert fates(shell) == {"queued": 3}
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 3


def test_a_program_that_dies_loses_nothing(shell: Shell, sandbox: Sandbox) -> None:
    """Killed after the promise and before the server heard of it: the next worker sends it."""
    program = (
        "import os, datapallas, datapallas.outbox.courier as courier\n"
        "courier.Courier.drain = lambda self, forever=False: os.kill(os.getpid(), 9)\n"
        f"with datapallas.open({CODE!r}) as mailbox: mailbox.send(datapallas.Message(to='bob@sandbox.example'))\n"
    )
    died = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert died.returncode == -9 and not sandbox.messages
    assert shell.call("outbox", "run").code == 0 and len(sandbox.messages) == 1
