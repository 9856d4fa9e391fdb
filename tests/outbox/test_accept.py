"""Promising: synced before it returns, once for each key, all or nothing, in a caller's own transaction too."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection.database import SESSION
from datapallas.errors import ConfigurationError, SmtpRefused, StorageError, TokenRefused, UsageError
from datapallas.mail.address import NamedAddress
from datapallas.mail.attachment import Attachment
from datapallas.mail.compose import Composer
from datapallas.mail.message import Message
from datapallas.outbox import problems, sqlite, tables
from datapallas.outbox.accept import Item, Job, accept
from datapallas.outbox.claims import locked_mailbox
from datapallas.outbox.courier import Courier
from datapallas.outbox.database import Database
from datapallas.outbox.letters import Splitter
from outbox import look
from outbox.office import CODE, SENDER, items, one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mail.conftest import Stage
    from outbox.office import Office
    from outbox.postgres import Postgres

JOB = Job(connection=CODE, id="november")


def test_the_same_key_is_taken_once(database: Database) -> None:
    """A run that is repeated after a crash adds only what is missing; the same key in one call counts once too."""
    assert accept(database, JOB, items(1200)).new == 1200
    again = accept(database, JOB, [*items(1300), *items(5)])
    assert (again.new, again.known) == (100, 1205)
    assert look.states(database) == {"queued": 1300}


def test_a_key_that_comes_with_another_message(database: Database) -> None:
    """It is refused, and nothing of that call is promised; a message that is only composed anew is the same one."""
    many = [f"p{number:04}@very-long-name.example" for number in range(600)]  # a head that is kept apart
    for number, to in enumerate((["a@x.example"], many)):
        key = f"key-{number}"
        assert accept(database, JOB, [letter(key, to)]).new == 1
        assert accept(database, JOB, [letter(key, to), letter(key, to)]).known == 2
        for other in (
            letter(key, [*to[:-1], "z@x.example"]),
            letter(key, to, "Other"),
            letter(key, to, data=b"x"),
        ):
            with pytest.raises(UsageError) as told:
                accept(database, JOB, [*items(3, first=100), other])
            assert told.value.code == "key-reused"
        with pytest.raises(UsageError):
            accept(database, JOB, [letter("new", to), letter("new", to, "Other")])
    assert look.states(database) == {"queued": 2}
    anew = Job(connection=CODE, id="november", compared=False)
    assert accept(database, anew, [letter("key-0", ["b@x.example"])]).known == 1


def letter(key: str, to: list[str], subject: str = "Figures", data: bytes = bytes(50_000)) -> Item:
    files = [Attachment("a.bin", data)]
    message = Message(to=to, subject=subject, text="Date: x", html="<p>x</p>", attachments=files)
    return Item.of(Composer(NamedAddress("", SENDER)).compose(message), key)


def test_a_job_belongs_to_one_connection(database: Database) -> None:
    """The same id with another connection is refused, so that no mail leaves by the wrong mailbox."""
    accept(database, JOB, items(1))
    with pytest.raises(ConfigurationError) as told:
        accept(database, Job(connection="eml-other", id="november"), items(1, first=5))
    assert told.value.code == "job-closed" and look.states(database) == {"queued": 1}


def test_all_or_nothing(database: Database) -> None:
    """When the list of messages fails in the middle, none of that call was promised."""

    def failing() -> Iterator[Item]:
        yield from items(700)
        raise RuntimeError("the source ended")

    with pytest.raises(RuntimeError):
        accept(database, JOB, failing())
    assert not look.rows(database, tables.messages) and not look.rows(database, tables.jobs)


def test_in_a_callers_transaction(database: Database, office: Office, stage: Stage) -> None:
    """A task queue's own transaction: rolled back, nothing was promised; committed, it is sent."""
    with database.engine.connect() as mine:
        accept(database, JOB, items(3), within=mine)
        mine.rollback()
    assert not look.rows(database, tables.messages)
    with database.engine.begin() as mine:
        accept(database, JOB, items(3), within=mine)
        accept(database, JOB, items(3), within=mine)
    Courier(database, office).drain()
    assert len(stage.taken) == 3


def test_a_shared_attachment_is_kept_once(database: Database, office: Office, stage: Stage) -> None:
    """A hundred messages with the same file of 200 KB: one content; each arrives octet for octet."""
    file = bytes(range(256)) * 800
    composer = Composer(NamedAddress("", SENDER))
    attached = Attachment.of(file, "data.bin")
    given = [
        composer.compose(Message(to=f"p{n}@x.example", subject=f"{n}", text="Hello", attachments=[attached]))
        for n in range(100)
    ]
    accept(database, JOB, [Item.of(message) for message in given])
    (content,) = look.rows(database, tables.contents)
    assert len(content.data) > 200_000
    Courier(database, office).drain()
    assert sorted(mail.data for mail in stage.taken) == sorted(bytes(message) for message in given)


class _Letter:
    message_id, size, smtputf8, eightbit = "<1@x.example>", 0, False, False

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def chunks(self) -> Iterator[bytes]:
        return iter(self.pieces)


@given(st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(0, 3)), max_size=6))
def test_what_is_taken_apart_comes_together_again(pieces: list[tuple[int, int]]) -> None:
    """Whatever the sizes and repeats of its pieces, a message is put together octet for octet."""
    from datapallas.outbox.letters import StoredLetter

    given_ = [bytes([octet]) * size for size, octet in pieces]
    splitter = Splitter()
    taken = splitter.take(_Letter(given_))
    fresh = splitter.flushed()

    class Kept:
        def get(self, job: str, name: str) -> bytes:
            return fresh[name]

    stored = StoredLetter(
        job="j", message_id="", size=0, smtputf8=False, eightbit=False, own=taken.own, layout=taken.layout,
        contents=Kept(),  # type: ignore[arg-type]
    )  # fmt: skip
    assert b"".join(bytes(chunk) for chunk in stored.chunks()) == b"".join(given_)


@pytest.mark.parametrize(
    "error",
    [
        SmtpRefused(
            "No.", step="RCPT", reply_code=550, enhanced="5.1.1", text="nobody", recipient="a@x.example"
        ),
        TokenRefused(
            "No.", error="invalid_grant", error_codes=(50173,), correlation_id="1", raw="AADSTS50173: x"
        ),
        StorageError("Full.", raw="No space left on device", path="/x"),
    ],
)
def test_a_failure_is_kept_as_it_was_said(error: SmtpRefused) -> None:
    """What is read back from the ledger is explained as the failure itself would be."""
    from datapallas.diagnosis.explain import explain

    found = problems.load(problems.dump(error))
    assert type(found) is type(error) and found is not None
    assert explain(found) == explain(error)


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """Each `accept` reaches the disk before it returns: with a rollback journal several syncs, and never none."""
    strace = shutil.which("strace")
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path\n"
        "from datapallas.outbox.database import Database\n"
        "from datapallas.outbox.accept import Job, accept\n"
        "from outbox.office import CODE, one\n"
        f"database = Database(Path({str(tmp_path / 'outbox.db')!r}))\n"
        "for n in range(10): accept(database, Job(connection=CODE), [one('a@x.example')])\n"
    )
    if strace is None:
        with Database(tmp_path / "outbox.db").read() as tx:
            level = tx.exec_driver_sql("PRAGMA synchronous").scalar_one()
        assert level == (2 if sqlite.library().sqlite_version_info >= sqlite.SAFE_WAL else 3)
        return
    words = [strace, "-f", "-c", "-e", "trace=fsync,fdatasync", sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    calls = sum(int(line.split()[3]) for line in done.stderr.splitlines() if line.rstrip().endswith("sync"))
    assert calls >= 10


def test_wal_only_where_it_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite before 3.51.3 has a fault in WAL: a rollback journal there, synced to the directory; else WAL, FULL."""
    for version, mode, level in (((3, 51, 2), "truncate", 3), ((3, 51, 3), "wal", 2)):
        monkeypatch.setattr(sqlite.library(), "sqlite_version_info", version)
        database = Database(tmp_path / f"{mode}.db")
        with database.read() as tx:
            assert tx.exec_driver_sql("PRAGMA journal_mode").scalar_one() == mode
            assert tx.exec_driver_sql("PRAGMA synchronous").scalar_one() == level
        assert (tmp_path / f"{mode}.db").stat().st_mode & 0o777 == 0o600
        database.close()


def test_the_newer_library_is_taken() -> None:
    """Where Python's own SQLite has the fault and a newer one is installed, the newer one is used."""
    newer = pytest.importorskip("pysqlite3.dbapi2")
    expected = newer if sqlite3.sqlite_version_info < sqlite.SAFE_WAL else sqlite3
    assert sqlite.library() is expected and expected.sqlite_version_info >= sqlite.SAFE_WAL


def test_a_newer_outbox_is_left_alone(database: Database, place: str | Path) -> None:
    """A database of a version this program does not know is refused and not changed."""
    with database.write() as tx:
        tx.execute(tables.meta.update().values(value="99"))
    with pytest.raises(ConfigurationError) as told:
        Database(place)
    assert told.value.code == "outbox-newer"


def test_a_damaged_page_is_found_at_the_start(tmp_path: Path, office: Office) -> None:
    """A courier checks the file before it sends from it, and leaves it as it is."""
    path = tmp_path / "outbox.db"
    database = Database(path)
    accept(database, JOB, items(2000))
    database.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8192] = b"\xff" * 8192
    path.write_bytes(data)
    reopened = Database(path)
    with pytest.raises(ConfigurationError) as told:
        Courier(reopened, office).drain()
    reopened.close()
    assert told.value.code == "outbox-broken" and path.read_bytes() == bytes(data)


def test_a_network_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's locks do not hold on NFS or SMB, so the outbox does not start there."""
    real = Path.read_text
    mounts = f"server:/home {tmp_path} nfs4 rw 0 0\n"

    def read_text(self: Path, *args: str, **more: str) -> str:
        return mounts if str(self) == "/proc/self/mounts" else real(self, *args, **more)

    monkeypatch.setattr(Path, "read_text", read_text)
    with pytest.raises(ConfigurationError) as told:
        Database(tmp_path / "outbox.db")
    assert told.value.code == "outbox-network" and not (tmp_path / "outbox.db").exists()


def test_a_full_disk_promises_nothing(tmp_path: Path, office: Office, stage: Stage) -> None:
    """No room: the call fails as "try later", nothing of it was taken, what was promised before is sent."""
    database = Database(tmp_path / "outbox.db")
    accept(database, JOB, items(3))
    with database.engine.connect() as tx:
        used = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.rollback()

    def small(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count={used + 8}")

    database.engine.dispose()
    sa.event.listen(database.engine, "connect", small)
    with pytest.raises(StorageError) as told:
        accept(database, Job(connection=CODE, id="big"), items(500, text="x" * 1000))
    assert told.value.exit_code == 75 and told.value.code == "outbox-storage"
    Courier(database, office).drain()
    assert look.counts(database) == {"accepted": 3} and len(stage.taken) == 3
    database.close()


def test_a_url_that_is_none(tmp_path: Path) -> None:
    """A wrong DATAPALLAS_DATABASE is told without what may be a password in it."""
    for url in ("mysql://u:secret@h/d", "nonsense"):
        with pytest.raises(ConfigurationError) as told:
            Database(url)
        assert told.value.code == "outbox-url" and "secret" not in str(told.value)


def test_postgres_that_is_away_is_tried_later() -> None:
    """No server at the address: "try later", without the password."""
    with pytest.raises(StorageError) as told:
        Database("postgresql://u:secret@127.0.0.1:1/d")
    assert told.value.code == "outbox-storage" and "secret" not in str(told.value) + told.value.raw


def test_one_message_of_a_caller(database: Database) -> None:
    """A message without a key is one of its own each time it is composed."""
    accept(database, JOB, [one("a@x.example"), one("a@x.example")])
    assert look.states(database) == {"queued": 2}


def test_items_may_take_their_time(
    server: Postgres, opened: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are made slowly are accepted all the same; a worker that stops in the middle of its work is let go."""
    impatient = SESSION.replace("'10s'", "'2s'")
    assert impatient != SESSION
    monkeypatch.setattr("datapallas.outbox.database.SESSION", impatient)
    database = opened(server.new())
    wait = threading.Event()

    def slow() -> Iterator[Item]:
        for number, item in enumerate(items(3)):
            wait.wait(3.0 if number == 1 else 0.0)
            yield item

    assert accept(database, JOB, slow()).new == 3

    def stopped() -> None:
        with database.write() as tx:
            locked_mailbox(tx, CODE)
            wait.wait(4.0)

    with pytest.raises(StorageError):
        stopped()
    with database.write() as tx:
        assert locked_mailbox(tx, CODE).code == CODE
