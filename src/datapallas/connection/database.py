"""Connections to the database that holds connections: opened, kept, closed when they are lost; one transaction a time.

Must stay true: a commit that returned is on the server's disk (synchronous_commit is never off); a machine that
vanishes holds no lock for longer than half a minute; every failure is an error of ours that shows no password.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from datapallas.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_SECONDS = 10
_LONGEST_WAIT = 20_000  # milliseconds that sent data may stay unanswered before the link counts as lost (TCP_USER_TIMEOUT)
_KEPT = 4  # idle connections of a process
SESSION = (
    "select set_config('synchronous_commit', case when current_setting('synchronous_commit') in ('off', 'local')"
    " then 'on' else current_setting('synchronous_commit') end, false),"
    " set_config('idle_in_transaction_session_timeout', '10s', false),"
    " set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),"
    " set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '20000', false)"
)
"""What a session asks of the server: durable commits, and to notice soon when this machine is gone."""
LINK = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": _LONGEST_WAIT,
    "connect_timeout": CONNECT_SECONDS,
}
"""What this side does to notice that the server is gone."""


class LinkLost(StorageError):
    """The database did not answer: whether the last commit was made is not known."""

    code = "database-lost"


class Link:
    """The way to one database. Safe to share among threads.

    Args:
        url: as DATAPALLAS_DATABASE has it.

    Raises ConfigurationError when that is no PostgreSQL URL or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._idle: list[Any] = []
        weakref.finalize(self, _close, self._idle)
        self._lock = threading.Lock()
        try:
            parts = urlsplit(url)
            scheme, self.place = parts.scheme.partition("+")[0], _shown(url)
        except ValueError:
            scheme, self.place = "", "DATAPALLAS_DATABASE"
        if scheme not in {"postgresql", "postgres"}:
            raise ConfigurationError(
                "DATAPALLAS_DATABASE does not name a PostgreSQL database, and connections are shared in no other.",
                code="outbox-url",
            )
        try:
            import psycopg
        except ImportError as problem:
            raise ConfigurationError(
                "PostgreSQL needs the extra `postgres`, which is not installed.", code="outbox-driver"
            ) from problem
        self._psycopg = psycopg
        self._url = scheme + url[len(parts.scheme) :]

    @contextlib.contextmanager
    def tx(self) -> Iterator[Any]:
        """A cursor in a transaction that is committed when the block ends.

        Raises LinkLost when the database did not answer, StorageError when it refused.
        """
        raw = self._take()
        done = False
        try:
            with self._told():
                with raw.transaction(), raw.cursor() as cursor:
                    yield cursor
                done = True
        finally:
            self._give_back(raw, whole=done)

    def ask(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows, read; once more on a new connection when the link was lost: reading changes nothing."""
        for left in (True, False):
            try:
                with self.tx() as cursor:
                    rows: list[tuple[Any, ...]] = cursor.execute(query, values).fetchall()
                    return rows
            except LinkLost:
                if not left:
                    raise
        return []

    @contextlib.contextmanager
    def listening(self, channel: str) -> Iterator[Any]:
        """A connection of its own that hears `channel`; its `notifies` gives what came."""
        with self._told():
            raw = self._open()
            try:
                raw.autocommit = True
                raw.execute(f"LISTEN {channel}")
                yield raw
            finally:
                raw.close()

    def close(self) -> None:
        """Let go of every idle connection."""
        with self._lock:
            _close(self._idle)

    def _take(self) -> Any:
        while True:
            with self._lock:
                raw = self._idle.pop() if self._idle else None
            if raw is None:
                with self._told():
                    return self._open()
            if not raw.closed and _alive(raw):
                return raw
            raw.close()

    def _open(self) -> Any:
        link: dict[str, Any] = {name: value for name, value in LINK.items() if f"{name}=" not in self._url}
        raw = self._psycopg.connect(self._url, application_name="datapallas", prepare_threshold=None, **link)
        try:
            raw.execute(SESSION)
            raw.commit()
        except BaseException:
            raw.close()
            raise
        return raw

    def _give_back(self, raw: Any, *, whole: bool) -> None:
        with self._lock:
            if whole and len(self._idle) < _KEPT:
                self._idle.append(raw)
                return
        raw.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (self._psycopg.OperationalError, self._psycopg.InterfaceError) as problem:
            raise LinkLost(
                _sentence(self.place, problem), raw=str(problem).strip(), path=self.place
            ) from problem
        except self._psycopg.Error as problem:
            raise StorageError(
                _sentence(self.place, problem),
                code="outbox-storage",
                raw=str(problem).strip(),
                path=self.place,
            ) from problem


def _close(idle: list[Any]) -> None:
    while idle:
        idle.pop().close()


def _alive(raw: Any) -> bool:
    """Whether an idle connection is still there, without asking: a server that ended has closed it."""
    import select

    try:
        readable, _, _ = select.select([raw.fileno()], [], [], 0)
    except (OSError, ValueError):
        return False
    return not readable


def _sentence(place: str, problem: BaseException) -> str:
    said = str(problem).strip()
    return f"The database {place} cannot be used: {said.splitlines()[0] if said else type(problem).__name__}."


def _shown(url: str) -> str:
    """Without the password."""
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme.partition('+')[0]}://{user}{parts.hostname or ''}{port}{parts.path}"
