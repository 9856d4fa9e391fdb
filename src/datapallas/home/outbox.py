"""The outbox of a home: where it is kept, how messages get in, and what the courier must know about connections.

Must stay true: only the commands that need the ledger import it (SQLAlchemy takes about 300 ms).
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.connection.model import OAuth2Client
from datapallas.connection.record import fingerprint
from datapallas.home.stores import VARIABLE
from datapallas.mail.caution import Caution
from datapallas.mail.compose import Composer
from datapallas.mail.mailbox import sender_of
from datapallas.mail.transport import Options, choose
from datapallas.outbox.accept import Item, Job, accept
from datapallas.outbox.courier import Courier
from datapallas.outbox.database import Database
from datapallas.outbox.limits import UNLIMITED, preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from threading import Event

    from datapallas.connection.model import Connection
    from datapallas.home import Home
    from datapallas.mail.message import Message
    from datapallas.mail.transport import LoginSource, MailTransport
    from datapallas.outbox.accept import Accepted
    from datapallas.outbox.limits import Limits
    from datapallas.outbox.retention import Cleaned

FILE = Path("data", "outbox.db")


def open_outbox(home: Home) -> Outbox:
    """Open the outbox of a home: the database that DATAPALLAS_DATABASE names, else a file. Raises as Database does."""
    return Outbox(home, Database(home.environ.get(VARIABLE) or home.root / FILE))


class Outbox:
    """The outbox of a home.

    Attributes:
        database: its ledger.
        room: what the courier asks about connections.
    """

    def __init__(self, home: Home, database: Database) -> None:
        self.database = database
        self.room = HomeMailroom(home)
        self._home = home

    def accept(
        self,
        job: Job,
        messages: Iterable[Message],
        keys: Iterable[str] = (),
        *,
        envelope_from: str | None = None,
    ) -> Accepted:
        """Promise messages of one connection.

        `keys` go with the messages, one each; an empty or missing one stands for "this is a message of its own".
        `envelope_from` is where notices of failure go; None: to the From address; empty: nowhere.
        Raises as `outbox.accept` does, and ConfigurationError.
        """
        composer = Composer(sender_of(self._home.folder.load(job.connection)))
        pairs = zip(messages, itertools.chain(keys, itertools.repeat("")), strict=False)
        items = (
            Item.of(composer.compose(message, envelope_from=envelope_from), key) for message, key in pairs
        )
        return accept(self.database, job, items)

    def clean(self, *, days: float | None = None, dry_run: bool = False, end: Event | None = None) -> Cleaned:
        """Delete what is done and older than the settings say, or than `days`; with `dry_run`, say what that would be.

        In short steps, so that sending never waits; `end` stops it between two. Raises ConfigurationError, StorageError.
        """
        from datapallas.home.settings import outbox_settings
        from datapallas.outbox.retention import Keeping, clean

        if days is None:
            settings = outbox_settings(self._home.root)
            keeping = Keeping(content=settings.content_days, rows=settings.rows_days)
        else:
            keeping = Keeping(content=days, rows=days)
        return clean(self.database, keeping, dry_run=dry_run, end=end)

    def courier(self) -> Courier:
        """What drains it."""
        return Courier(self.database, self.room)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


class HomeMailroom:
    """Connections, for the courier; read anew for each session, so that a change is noticed.

    `watch` is shown the dialogue of every session, secrets masked.
    """

    def __init__(self, home: Home, watch: Callable[[str, str], None] | None = None) -> None:
        self._home = home
        self._watch = watch
        self._caution = Caution()
        self._lock = threading.Lock()
        self._logins: dict[str, tuple[str, LoginSource]] = {}

    def limits(self, code: str) -> Limits:
        """What the provider allows."""
        return preset(self._home.folder.load(code))

    def known_limits(self, code: str) -> Limits:
        """The same for showing: of a connection that is gone or broken, none."""
        from datapallas.errors import DataPallasError

        try:
            return self.limits(code)
        except DataPallasError:
            return UNLIMITED

    def transport(self, code: str) -> MailTransport:
        """A way out with one session."""
        from datapallas.home.settings import outbox_settings

        options = Options(
            sessions=1,
            watch=self._watch,
            in_flight=outbox_settings(self._home.root).in_flight,
            caution=self._caution,
        )
        return choose(self._home.folder.load(code), self._login(code), options)

    def _login(self, code: str) -> LoginSource:
        """One for all sessions of a connection, so that a run asks the provider once; a new one when it was changed.

        A refresh changes the stored token and its dates, and nothing that a session signs in with.
        """
        mark = _settings(self._home.folder.load(code)) or self.mark(code)
        with self._lock:
            known = self._logins.get(code)
            if known is None or known[0] != mark:
                known = self._logins[code] = (mark, self._home.login(self._home.folder.load(code)))
            return known[1]

    def sender(self, code: str) -> str:
        """The address the connection sends as."""
        return sender_of(self._home.folder.load(code)).address

    def mark(self, code: str) -> str:
        """Changes when the connection's file does: a setting, a password, a new sign-in."""
        entry = self._home.folder.store.find(code)
        return fingerprint(entry.data.decode("latin-1"))


def _settings(connection: Connection) -> str:
    """Changes with the settings of a connection one signs in to; empty for others."""
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        return ""
    bare = dataclasses.replace(client, refresh_token=None, issued_at="", granted_scope="")
    return fingerprint(repr(dataclasses.replace(connection, credential=bare)))
