"""Test emails: the real thing, sent once, while somebody watches each step.

Must stay true: it asks the provider for a new token each time, so that it proves the sign-in; it works for a draft
and changes no file but for a token the provider rotated; whoever cancels before the message goes out has sent none;
it ends by itself, and what is shown holds no secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from datapallas.connection.model import OAuth2Client, Security
from datapallas.errors import DataPallasError, RecipientsRefused, UsageError
from datapallas.home.draft_login import fresh_token, password
from datapallas.home.facts import facts_of
from datapallas.home.live import Live, Register, new_id
from datapallas.home.test_board import Board
from datapallas.home.test_state import Mark, Step, StepState, TestState
from datapallas.oauth.clock import SystemClock
from datapallas.smtp.sasl import BearerLogin, PasswordLogin
from datapallas.smtp.target import Deadlines

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.model import Connection
    from datapallas.home.home import Home
    from datapallas.mail.envelope import Receipt

__all__ = ["Mark", "Step", "StepState", "TestEmails", "TestState", "TestWork"]

# Somebody watches: what RFC 5321 gives a server to answer is too long for that.
_DEADLINES = Deadlines(connect=20, tls=20, greeting=60, auth=60, command=60, body=60, final=180)
_END_SECONDS = 5.0


class TestWork:
    """One test email, under way or ended. Threads may share it.

    Attributes:
        id, owner, code: see `live.Work`; the code is the connection's.
        error: what ended it, to be raised by a command; None when it went well.
        receipt: what happened to the recipient; None when no message was handed over.
    """

    __test__ = False  # its name looks like a test to pytest

    def __init__(self, home: Home, connection: Connection, owner: str, to: str) -> None:
        self.id, self.owner, self.code = new_id(), owner, connection.code
        self.error: BaseException | None = None
        self.receipt: Receipt | None = None
        self._home, self._connection, self._to = home, connection, to
        server = connection.server
        self._live = Live(
            TestState(
                connection=connection.code,
                to=to,
                sender=connection.from_address or connection.mailbox,
                server=f"{server.host}:{server.port}",
            )
        )
        self._board = Board(self._live, SystemClock())
        self._lock = threading.Lock()
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._thread = threading.Thread(target=self._run, name=f"test-email-{self.code}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def now(self) -> tuple[int, TestState]:
        """The version, which grows with each change, and the state."""
        return self._live.now()

    def wait(self, seen: int, seconds: float) -> tuple[int, TestState]:
        """The state once it is newer than version `seen`, or as it is after `seconds`."""
        return self._live.wait(seen, seconds)

    def woken(self, wake: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """Have `wake` called after each change, as long as the block: see `Live.woken`."""
        return self._live.woken(wake)

    @property
    def finished(self) -> bool:
        """Nothing changes any more."""
        return self.now()[1].finished

    def cancel(self) -> None:
        """End it. A message that is being handed over may have been sent; the step says so."""
        self._board.cancel()
        with self._lock:
            task = self._task
        if task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                task[0].call_soon_threadsafe(task[1].cancel)

    def join(self, seconds: float) -> None:
        """Wait until its thread has ended, at most so long."""
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def report(self) -> str:
        """Everything as one text, to copy for whoever helps; no secrets."""
        return self.now()[1].report()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            self._board.cancel()
        except Exception as problem:  # noqa: BLE001 - shown to whoever watches, explained
            self._failed(problem)
        else:
            self._board.finish()

    def _failed(self, problem: Exception) -> None:
        from datapallas.diagnosis.explain import explain

        if isinstance(problem, RecipientsRefused):
            self._received(problem.receipt)  # type: ignore[arg-type]  # errors know no receipts
        self.error = problem
        self._board.failed(problem, explain(problem, facts_of(self._connection)))

    def _received(self, receipt: Receipt) -> None:
        """Note what happened to the one recipient."""
        self.receipt = receipt
        self._board.received(receipt)

    async def _main(self) -> None:
        from datapallas.mail.mailbox import AsyncMailbox
        from datapallas.mail.message import test_message
        from datapallas.mail.transport import Options

        with self._lock:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - asyncio.run makes one
            self._task = (asyncio.get_running_loop(), task)
        self._board.check()
        board, connection = self._board, self._connection
        options = Options(watch=board.line, stages=board, sessions=1, deadlines=_DEADLINES)
        if connection.server.security is Security.NONE:
            board.skip(Step.TLS, "The connection asks for no encryption.")
        login = _Login(self._home, connection, board)
        async with AsyncMailbox(connection, login, options) as mailbox:
            self._received(await mailbox.send(test_message(connection, self._to)))


class _Login:
    """Signs in once, and tells the board. A refused token is not renewed: it was made just now."""

    renewable = False

    def __init__(self, home: Home, connection: Connection, board: Board) -> None:
        self._home, self._connection, self._board = home, connection, board

    def login(self, *, force: bool = False) -> BearerLogin | PasswordLogin | None:  # noqa: ARG002 - see LoginSource
        """The login, made now."""
        connection, board = self._connection, self._board
        credential = connection.credential
        if isinstance(credential, OAuth2Client):
            board.run(Step.TOKEN)
            token = fresh_token(self._home, connection)
            minutes = (token.expires_at - self._home.endpoint.clock.monotonic()) / 60
            board.done(Step.TOKEN, f"A new token for {connection.mailbox}, good for {minutes:.0f} minutes.")
            return BearerLogin(connection.mailbox, token.value)
        board.skip(Step.TOKEN, "A password is used; no token is needed.")
        if not credential.user:
            board.skip(Step.SIGN_IN, "No user is set, so nobody signs in.")
            return None
        try:
            return PasswordLogin(credential.user, password(self._home, connection))
        except DataPallasError:
            board.run(Step.SIGN_IN)  # where it fails
            raise


class TestEmails:
    """All test emails of one process."""

    __test__ = False  # its name looks like a test to pytest

    def __init__(self, home: Home) -> None:
        self._home = home
        self._register: Register[TestWork] = Register(SystemClock())

    def start(self, connection: Connection, *, owner: str, to: str = "") -> TestWork:
        """Send a test email through `connection`, saved or not.

        Args:
            connection: a secret that was typed is a `Secret`; a sealed one must be the stored one.
            owner: who may look at it.
            to: one address; empty: the sender's own.

        Raises AddressError, or UsageError when there is no address, or too many are under way.
        """
        from datapallas.mail.address import parse_one

        wanted = to.strip() or connection.from_address or connection.mailbox
        if not wanted:
            raise UsageError("There is no address to send the test email to. Give one.", code="no-recipient")
        work = TestWork(self._home, connection, owner, parse_one(wanted).address)
        self._register.add(work)
        work.start()
        return work

    def find(self, id_: str, owner: str) -> TestWork | None:
        """The test email `id_` of `owner`; None when there is none, or it is somebody else's."""
        return self._register.find(id_, owner)

    def close(self) -> None:
        """Cancel what is under way, and wait a little for it to end."""
        self._register.close()
        for work in self._register.all():
            work.join(_END_SECONDS)
