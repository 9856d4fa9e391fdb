"""An outbox with everything a page can show, script in every place a stranger can write to."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datapallas.errors import SmtpRefused
from datapallas.home.outbox import open_outbox
from datapallas.mail.message import Message
from datapallas.outbox import jobs, problems, tables
from datapallas.outbox.accept import Job
from datapallas.outbox.limits import OwnLimits
from datapallas.outbox.results import stop_for
from datapallas.outbox.verdict import Pause

if TYPE_CHECKING:
    from datapallas.home import Home
    from datapallas.home.outbox import Outbox

SCRIPT = "<script>document.title='run'</script><img src=x onerror=alert(1)>"
NASTY_JOB = f"nasty {SCRIPT.replace('/', '')}"
NASTY = f'"{SCRIPT}"@x.example'
SENDER = SmtpRefused(
    "The mail server refused the sender.",
    step="MAIL",
    reply_code=550,
    enhanced="5.7.60",
    text="5.7.60 SMTP; Client does not have permissions to send as this sender",
)
NOBODY = SmtpRefused("No such person.", step="RCPT", reply_code=550, enhanced="5.1.1", text=f"5.1.1 {SCRIPT}")


def people(count: int) -> list[Message]:
    """Messages to one recipient each."""
    return [Message(to=f"person{number}@x.example", subject="Invoice") for number in range(count)]


def fill(home: Home, code: str, stopped: str) -> None:
    """Jobs under way, done, cancelled, and a mailbox (`stopped`) whose sender is refused."""
    with contextlib.closing(open_outbox(home)) as outbox:
        database = outbox.database
        jobs.set_limits(database, code, OwnLimits(per_minute=29, per_day=9900))
        jobs.pause_mailbox(database, code)
        outbox.accept(Job(connection=code, id="under-way", name="Invoices of November"), people(130))
        outbox.accept(Job(connection=code, id=NASTY_JOB, name=SCRIPT), people(3))
        outbox.accept(Job(connection=code, id="done", name="Figures"), people(40))
        outbox.accept(Job(connection=stopped, id="stopped", name="Payslips"), people(5))
        outbox.accept(Job(connection=code, id="cancelled", name="Too early"), people(7))
        jobs.cancel(database, "cancelled")
        stop_for(database, stopped, SENDER, Pause.SENDER)
        _outcomes(outbox, "done", 40)
        _outcomes(outbox, "under-way", 64)
        _nasty(outbox)
        _tries(outbox, code)


def _outcomes(outbox: Outbox, job: str, count: int) -> None:
    t = tables
    with outbox.database.write() as tx:
        now = outbox.database.now(tx)
        ids = sa.select(t.messages.c.id).where(t.messages.c.job == job).order_by(t.messages.c.id).limit(count)
        found = list(tx.execute(ids).scalars())
        taken = {"fate": "accepted", "reply": "250 2.0.0 Ok: queued as 4Xk", "at": now}
        tx.execute(sa.update(t.recipients).where(t.recipients.c.message.in_(found)).values(**taken))
        done = {"state": "done", "attempts": 1}
        tx.execute(sa.update(t.messages).where(t.messages.c.id.in_(found)).values(**done))
        other = {"fate": "refused", "reply": f"550 5.1.1 {SCRIPT}", "problem": problems.dump(NOBODY)}
        tx.execute(sa.update(t.recipients).where(t.recipients.c.message == found[1]).values(**other))
        lost = {"fate": "unknown", "reply": ""}
        tx.execute(sa.update(t.recipients).where(t.recipients.c.message == found[2]).values(**lost))
        tx.execute(sa.update(t.messages).where(t.messages.c.id == found[2]).values(doubts=1))


def _nasty(outbox: Outbox) -> None:
    t = tables
    with outbox.database.write() as tx:
        nasty = sa.select(t.messages.c.id).where(t.messages.c.job.startswith("nasty"))
        tx.execute(
            sa.update(t.recipients)
            .where(t.recipients.c.message.in_(nasty))
            .values(address=NASTY, reply=SCRIPT)
        )
        tx.execute(
            sa.update(t.messages)
            .where(t.messages.c.id.in_(nasty))
            .values(key=sa.cast(t.messages.c.id, sa.Text) + SCRIPT)
        )
        for id_ in list(tx.execute(nasty).scalars()):
            note = {
                "message": id_,
                "mailbox": "",
                "at": 1.0,
                "outcome": SCRIPT,
                "server": SCRIPT,
                "reply": SCRIPT,
            }
            tx.execute(t.attempts.insert(), note)


def _tries(outbox: Outbox, code: str) -> None:
    now = time.time()
    rows = []
    for minute in range(1, 50):
        outcomes = ["accepted"] * (20 + minute % 9) + ["deferred"] * (minute % 5 == 0) * 4
        outcomes += ["refused"] * (minute % 7 == 0) * 2
        rows += [
            {"message": 1, "mailbox": code, "at": now - 60 * minute, "outcome": outcome}
            for outcome in outcomes
        ]
    with outbox.database.write() as tx:
        tx.execute(tables.attempts.insert(), rows)
