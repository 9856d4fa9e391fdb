"""One sign-in that goes on in the background, and the state of it that somebody watches.

Must stay true:
- it runs in a thread of its own and ends by itself: done, refused, cancelled, or after SECONDS;
- a state holds what a person needs and no code, token or secret; the address it holds has a state and a challenge;
- after its end nothing changes any more; after a cancel nothing is stored.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hmac
import threading
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from datapallas.errors import DataPallasError, SignInAborted
from datapallas.home.facts import facts_of
from datapallas.home.live import Live, new_id
from datapallas.oauth.authorization import StrayCallback
from datapallas.oauth.keeping import prove
from datapallas.oauth.sign_in import Arrival, SignIn, Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.model import Connection, Provider
    from datapallas.connection.provider_help import ProviderHelp
    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.home.home import Home
    from datapallas.oauth.device import DeviceCode


class Stage(StrEnum):
    """How far a sign-in is. The last three are ends."""

    STARTING = "starting"
    WAITING = "waiting"
    FINISHING = "finishing"
    CONNECTED = "connected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REPLACED = "replaced"  # a newer one for the same connection took its place


_ENDS = frozenset({Stage.CONNECTED, Stage.FAILED, Stage.CANCELLED, Stage.REPLACED})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignInState:
    """What a person sees of a sign-in.

    Attributes:
        stage, way: see there.
        connection: the code.
        provider: who signs people in.
        url: the address to open (BROWSER, PASTE, REDIRECT); empty until it is known.
        redirect_uri: what must be registered at the provider, character for character; empty when nothing is.
        user_code, verification_uri, verification_uri_complete: what to type and where (DEVICE); the last may be empty.
        ends_at: when the waiting ends, seconds since 1970; 0 until it has begun.
        account: who signed in, when CONNECTED.
        notices: whole sentences a person should read.
        problem: why it FAILED.
    """

    stage: Stage
    way: Way
    connection: str
    provider: Provider
    url: str = ""
    redirect_uri: str = ""
    user_code: str = ""
    verification_uri: str = ""
    verification_uri_complete: str = ""
    ends_at: float = 0.0
    account: str = ""
    notices: tuple[str, ...] = ()
    problem: Diagnosis | None = None

    @property
    def finished(self) -> bool:
        """Nothing will change any more."""
        return self.stage in _ENDS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignInRequest:
    """What to sign in to, and how.

    Attributes:
        wanted: the connection with the settings to sign in with; saved with the sign-in, when it has worked.
        new: there is no such connection yet.
        way: see Way.
        owner: the session or API token that asks.
        issuer: the provider's issuer, where the way needs it (DEVICE at a GENERIC provider) or it is to be checked.
        accept_account: another account than the connection's mailbox is fine.
        redirect_uri: REDIRECT: the address of ours that the browser comes back to, whole.
        drop_sign_in: the settings may end the sign-in that is stored.
        ended: is told once how it ended, in the sign-in's own thread.
    """

    wanted: Connection
    new: bool
    way: Way
    owner: str
    issuer: str = ""
    accept_account: bool = False
    redirect_uri: str = ""
    drop_sign_in: bool = False
    ended: Callable[[SignInState], None] | None = None


class SignInWork:
    """One sign-in under way. Made by `SignIns.start`."""

    def __init__(self, home: Home, request: SignInRequest) -> None:
        self.id = new_id()
        self.owner = request.owner
        self.code = request.wanted.code
        self._home, self._request = home, request
        self._arrival = Arrival(home.endpoint.clock)
        self._lock = threading.Lock()  # so that nothing comes after the end
        self._live = Live(
            SignInState(
                stage=Stage.STARTING,
                way=request.way,
                connection=self.code,
                provider=request.wanted.provider,
            )
        )
        self._thread = threading.Thread(target=self._run, name=f"sign-in-{self.code}", daemon=True)

    @property
    def wanted(self) -> Connection:
        """The connection with the settings to sign in with."""
        return self._request.wanted

    @property
    def issuer(self) -> str:
        """The provider's issuer, where it was named."""
        return self._request.issuer

    @property
    def new(self) -> bool:
        """There was no such connection when it began."""
        return self._request.new

    def now(self) -> tuple[int, SignInState]:
        """The version, which grows with each change, and the state."""
        return self._live.now()

    def wait(self, seen: int, seconds: float) -> tuple[int, SignInState]:
        """The state once it is newer than version `seen`, or as it is after `seconds`."""
        return self._live.wait(seen, seconds)

    def woken(self, wake: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """Have `wake` called after each change, as long as the block: see `Live.woken`."""
        return self._live.woken(wake)

    @property
    def finished(self) -> bool:
        """Nothing will change any more."""
        return self.now()[1].finished

    def cancel(self, end: Stage = Stage.CANCELLED) -> None:
        """End it, unless it has ended or is being stored at this moment; a listener is gone within a second."""
        if self._arrival.cancel():
            self._put(stage=end)

    def offer(self, pasted: str) -> None:
        """What a person pasted: the address the browser ended at, or just the code.

        Raises UsageError (code ``pasted-answer`` or ``pasted-other-sign-in``) when it is no answer to this sign-in,
        which then goes on.
        """
        self._arrival.paste(pasted)

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end, this long at most."""
        self._thread.join(seconds)

    def expects(self, state: str) -> bool:
        """Whether this is the sign-in a callback with this state belongs to."""
        url = self.now()[1].url
        own = dict(parse_qsl(urlsplit(url).query)).get("state", "") if url else ""
        ours = self._request.way is Way.REDIRECT and bool(own)
        return hmac.compare_digest(own.encode(), state.encode()) and ours

    def callback(self, query: str) -> None:
        """The query a browser brought to our address; one that came before, or is not ours, changes nothing."""
        with contextlib.suppress(StrayCallback, SignInAborted):  # the refusal shows in the state
            self._arrival.offer(query)

    # The guide of the sign-in: what it says becomes the state.

    def register(self, redirect_uri: str, help_: ProviderHelp) -> None:  # noqa: ARG002 - the page has its own help
        """What must be registered."""
        self._put(redirect_uri=redirect_uri)

    def visit(self, url: str, *, opened: bool) -> None:  # noqa: ARG002 - the page opens it
        """Where to sign in."""
        self._put(url=url)

    def type_code(self, code: DeviceCode) -> None:
        """What to type, and where."""
        self._put(
            user_code=code.user_code,
            verification_uri=code.verification_uri,
            verification_uri_complete=code.verification_uri_complete,
        )

    def waiting(self, seconds: float) -> None:
        """It is the person's turn."""
        self._put(stage=Stage.WAITING, ends_at=self._home.endpoint.clock.wall() + seconds)

    def notice(self, sentence: str) -> None:
        """Something worth knowing."""
        self._put(notices=(*self.now()[1].notices, sentence))

    def _run(self) -> None:
        request = self._request
        try:
            way = SignIn(
                endpoint=self._home.endpoint,
                guide=self,
                way=request.way,
                accept_account=request.accept_account,
                redirect_uri=request.redirect_uri,
                issuer=request.issuer,
                open_browser=lambda _: False,
                arrival=self._arrival,
                finishing=lambda: self._put(stage=Stage.FINISHING),
            )
            drop = request.drop_sign_in
            done = way.into(prove(self._home.folder, request.wanted, new=request.new, drop_sign_in=drop))
        except BaseException as problem:  # noqa: BLE001 - the end is a state, whatever it was
            self._failed(problem)
        else:
            self._put(stage=Stage.CONNECTED, account=done.account)

    def _failed(self, problem: BaseException) -> None:
        if isinstance(problem, SignInAborted) and problem.code == "sign-in-cancelled":
            self._put(stage=Stage.CANCELLED)
            return
        from datapallas.diagnosis.explain import explain

        self._put(stage=Stage.FAILED, problem=explain(problem, facts_of(self._request.wanted)))

    def _put(self, **changed: object) -> None:
        with self._lock:
            _, state = self._live.now()
            if state.finished:
                return
            new = dataclasses.replace(state, **changed)  # type: ignore[arg-type]
            if new.finished and self._request.ended is not None:
                with contextlib.suppress(DataPallasError):  # a note that cannot be written undoes no sign-in
                    self._request.ended(new)
            self._live.put(new)
