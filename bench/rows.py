"""The rows of the table: what is sent, by whom, where, and what is wanted of us.

Counts are chosen so that each run of a client takes about half a second to a second.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.sink import Place

OURS = "datapallas Session"
OURS_ASYNC = "datapallas AsyncSession"
TOGETHER, TOGETHER_ASYNC = f"{OURS}, several in flight", f"{OURS_ASYNC}, several in flight"
MAILBOX = "datapallas Mailbox, composing"
C_BDAT = "C client, BDAT"
FLOOR = "Python, one write and one read, no client"
SMTPLIB, AIOSMTPLIB, NODEMAILER = "smtplib", "aiosmtplib", "Nodemailer"
EMAIL = "EmailMessage + smtplib"
DJANGO = "Django in a loop, three processes"
CELERY = "Celery and Redis, a task for each mail"
DBOS = "DBOS, a workflow for each mail"


@dataclasses.dataclass(frozen=True)
class Runner:
    """One client doing one thing.

    Attributes:
        name: as the table shows it.
        program: ``blocking``, ``asynchronous`` or ``floor`` (in ours/), ``smtplib``, ``aiosmtplib``, ``nodemailer``,
            ``django``, ``celery``, ``dbos``, ``c``; ``outbox`` is in ours/, too.
        messages: how many it sends while the clock runs.
        job: further fields of `meter.Job`; for ``c``: `way`, `resume`.
    """

    name: str
    program: str
    messages: int
    job: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A figure to reach.

    Attributes:
        metric: ``rate`` (ours over the peer's), ``cpu`` (the peer's over ours), both at least `value`;
            ``p50`` (milliseconds) or ``peak`` (MB), ours, at most `value`.
        reached: by the prototype, as text.
    """

    metric: str
    value: float
    peer: str = ""
    reached: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: the same work for all its runners; the first one is ours, which `wanted` is about."""

    name: str
    title: str
    runners: tuple[Runner, ...]
    wanted: tuple[Wanted, ...]
    place: Place = dataclasses.field(default_factory=Place)
    job: dict[str, Any] = dataclasses.field(default_factory=dict)
    shows: tuple[str, ...] = ("cpu", "rate")


_SMALL = {"work": "raw", "message": "4k.eml"}
_COMPOSE_SMALL = {"work": "compose", "message": "", "text": "4k.txt"}

ROWS = (
    Row(
        "one",
        "4 KB messages, one reused connection, client and sink on one CPU",
        (
            Runner(TOGETHER, "blocking", 20000, {"window": 200}),
            Runner(OURS, "blocking", 20000),
            Runner(TOGETHER_ASYNC, "asynchronous", 15000, {"window": 200}),
            Runner(OURS_ASYNC, "asynchronous", 15000),
            Runner(MAILBOX, "blocking", 5000, _COMPOSE_SMALL),
            Runner(AIOSMTPLIB, "aiosmtplib", 2500),
            Runner(SMTPLIB, "smtplib", 6000),
            Runner(NODEMAILER, "nodemailer", 3000, {"untimed": 3000, "window": 4}),
            Runner(EMAIL, "smtplib", 500, _COMPOSE_SMALL),
            Runner(FLOOR, "floor", 25000),
            Runner(C_BDAT, "c", 40000, {"way": "bdat"}),
            Runner("C client, lock-step", "c", 12000, {"way": "lockstep"}),
        ),
        (
            Wanted("rate", 10, AIOSMTPLIB, "16.7"),
            Wanted("cpu", 12, AIOSMTPLIB, "25"),
            Wanted("rate", 4, SMTPLIB, "6.3"),
            Wanted("rate", 0.6, C_BDAT, "0.86"),
        ),
        Place(one_cpu=True),
        {**_SMALL, "untimed": 200},
    ),
    Row(
        "three",
        "4 KB messages, three reused connections",
        (
            Runner(TOGETHER_ASYNC, "asynchronous", 12000, {"window": 67}),
            Runner(OURS_ASYNC, "asynchronous", 12000),
            Runner(TOGETHER, "blocking", 12000, {"window": 67}),
            Runner(OURS, "blocking", 12000),
            Runner(AIOSMTPLIB, "aiosmtplib", 2400),
            Runner(SMTPLIB, "smtplib", 4500),
            Runner(NODEMAILER, "nodemailer", 3000, {"untimed": 3000, "window": 4}),
            Runner(FLOOR, "floor", 18000),
            Runner(C_BDAT, "c", 30000, {"way": "bdat"}),
        ),
        (Wanted("rate", 10, AIOSMTPLIB, "11 to 13"),),
        Place(),
        {**_SMALL, "connections": 3, "untimed": 201},
    ),
    Row(
        "attachment",
        "1 MB attachment (1.4 MB on the wire), one reused connection, MTU 1500",
        (
            Runner(
                MAILBOX,
                "blocking",
                200,
                {"work": "compose", "message": "", "text": "short.txt", "file": "1m.bin"},
            ),
            Runner(OURS, "blocking", 200),
            Runner(OURS_ASYNC, "asynchronous", 200),
            Runner(AIOSMTPLIB, "aiosmtplib", 20),
            Runner(SMTPLIB, "smtplib", 50),
            Runner(NODEMAILER, "nodemailer", 80, {"untimed": 40, "window": 2}),
            Runner(C_BDAT, "c", 400, {"way": "bdat"}),
        ),
        (
            Wanted("rate", 12, AIOSMTPLIB, "20"),
            Wanted("rate", 5, SMTPLIB, "6.8"),
            Wanted("rate", 3, NODEMAILER, "4.4"),
        ),
        Place(mtu=1500),
        {"work": "raw", "message": "1m.eml", "untimed": 3},
    ),
    Row(
        "delay",
        "4 KB messages, each reply 20 ms late, one reused connection",
        (
            Runner(OURS, "blocking", 25),
            Runner(OURS_ASYNC, "asynchronous", 25),
            Runner(AIOSMTPLIB, "aiosmtplib", 8),
            Runner(SMTPLIB, "smtplib", 8),
            Runner(NODEMAILER, "nodemailer", 15),
            Runner(C_BDAT, "c", 25, {"way": "bdat"}),
        ),
        (Wanted("p50", 27, "", "25"),),
        Place(delay=0.02),
        {**_SMALL, "untimed": 1},
        ("p50",),
    ),
    Row(
        "far",
        "200 messages of 4 KB, each reply 20 ms late, one reused connection",
        (
            Runner(TOGETHER, "blocking", 200, {"window": 200}),
            Runner(TOGETHER_ASYNC, "asynchronous", 200, {"window": 200}),
            Runner(OURS, "blocking", 50),
            Runner(SMTPLIB, "smtplib", 20),
            Runner(NODEMAILER, "nodemailer", 40),
        ),
        (Wanted("rate", 15, NODEMAILER), Wanted("rate", 30, SMTPLIB)),
        Place(delay=0.02),
        _SMALL,
        ("cpu", "rate"),
    ),
    Row(
        "campaign",
        "Compose and send text + HTML + one shared 100 KB PDF to 1,000 people, one connection, MTU 1500",
        (
            Runner("datapallas Mailbox", "blocking", 1000),
            Runner(EMAIL, "smtplib", 100),
            Runner(NODEMAILER, "nodemailer", 200, {"untimed": 100, "window": 2}),
            Runner(
                "C client, BDAT, composing nothing",
                "c",
                1000,
                {"way": "bdat", "work": "raw", "message": "campaign.eml"},
            ),
        ),
        (Wanted("rate", 15, EMAIL, "28"), Wanted("rate", 7, NODEMAILER, "14")),
        Place(mtu=1500),
        {"work": "campaign", "people": "people.json", "file": "figures.pdf", "untimed": 10},
    ),
    Row(
        "outbox",
        "10,000 personal HTML mails with one shared 100 KB PDF, ours durable (outbox), three connections, MTU 1500",
        (
            Runner("datapallas outbox, durable", "outbox", 10_000, {"connections": 3, "untimed": 0}),
            Runner(DJANGO, "django", 600, {"connections": 3, "untimed": 30}),
            Runner(NODEMAILER, "nodemailer", 600, {"untimed": 150, "window": 2, "connections": 3}),
            Runner(CELERY, "celery", 600, {"connections": 3, "untimed": 30}),
            Runner(DBOS, "dbos", 300, {"connections": 3, "untimed": 30}),
        ),
        (
            Wanted("rate", 6, DJANGO),
            Wanted("rate", 4, NODEMAILER),
            Wanted("rate", 8, CELERY),
            Wanted("rate", 8, DBOS),
        ),
        Place(mtu=1500),
        {"work": "campaign", "people": "people.json", "file": "figures.pdf", "untimed": 10},
    ),
    Row(
        "big",
        "One 25 MB attachment from a file, MTU 1500",
        (
            Runner("datapallas Mailbox", "blocking", 1),
            Runner(EMAIL, "smtplib", 1),
            Runner(NODEMAILER, "nodemailer", 1),
        ),
        (Wanted("rate", 1, EMAIL, "7.3"), Wanted("rate", 1, NODEMAILER, "2"), Wanted("peak", 40, "", "")),
        Place(mtu=1500),
        {"work": "compose", "text": "short.txt", "file": "25m.bin"},
        ("cpu", "p50", "peak"),
    ),
    Row(
        "fresh",
        "4 KB messages, a new connection for each",
        (
            Runner(OURS, "blocking", 300),
            Runner(OURS_ASYNC, "asynchronous", 200),
            Runner("smtplib, one context", "smtplib", 200),
            Runner(AIOSMTPLIB, "aiosmtplib", 100),
            Runner("Nodemailer, no pool", "nodemailer", 100, {"untimed": 20}),
            Runner("C client, BDAT, TLS resumed", "c", 400, {"way": "bdat", "resume": True}),
        ),
        (Wanted("rate", 1, "smtplib, one context", "1.6"), Wanted("cpu", 1, "smtplib, one context", "1.4")),
        Place(),
        {**_SMALL, "each_new": True, "untimed": 3},
        ("cpu", "rate", "p50"),
    ),
)
