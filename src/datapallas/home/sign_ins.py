"""Sign-ins that go on in the background while somebody watches: what the web page and the API show and steer.

Must stay true:
- of one connection only the last one runs; what it replaces ends, and nothing of it is stored;
- nothing is stored before it has worked; a new connection does not exist before (`oauth.keeping`);
- a sign-in is found by its owner only; nothing is open SECONDS after it began, or a second after `close`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from datapallas.errors import UsageError
from datapallas.home.live import Register
from datapallas.home.sign_in_work import SignInRequest, SignInState, SignInWork, Stage
from datapallas.oauth.client import oauth2_client
from datapallas.oauth.sign_in import SECONDS, Way

if TYPE_CHECKING:
    from datapallas.home.home import Home

__all__ = ["SECONDS", "SignInRequest", "SignInState", "SignInWork", "SignIns", "Stage", "Way"]

_CLOSE_SECONDS = 1.0  # how long `close` waits for each thread: a listener is gone by then


class SignIns:
    """The sign-ins of one home that go on. Threads may share it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._works: Register[SignInWork] = Register(home.endpoint.clock)
        self._starting = threading.Lock()

    def start(self, request: SignInRequest) -> SignInWork:
        """Begin one; an earlier one for the same connection ends.

        Raises UsageError: a password connection (code ``no-oauth2``), REDIRECT without an address, or too many at
        once (code ``too-many``). Everything else that may fail shows in the state.
        """
        oauth2_client(request.wanted)
        if request.way is Way.REDIRECT and not request.redirect_uri:
            raise UsageError("A sign-in by redirect needs the address the browser comes back to.")
        with self._starting:
            self.cancel_for(request.wanted.code, Stage.REPLACED)
            work = self._works.add(SignInWork(self._home, request))
        work.begin()
        return work

    def find(self, id_: str, owner: str) -> SignInWork | None:
        """The sign-in `id_` of `owner`; None when there is none, or it is somebody else's."""
        return self._works.find(id_, owner)

    def current(self, code: str, owner: str) -> SignInWork | None:
        """The sign-in of `owner` to the connection `code` that is under way, or None."""
        for work in reversed(self._works.all()):
            if work.code == code and work.owner == owner and not work.finished:
                return work
        return None

    def cancel_for(self, code: str, end: Stage = Stage.CANCELLED) -> None:
        """End what is under way for the connection `code`, whoever began it: it is signed out, deleted or replaced."""
        for work in self.all_of(code):
            work.cancel(end)

    def all_of(self, code: str) -> list[SignInWork]:
        """Every sign-in to the connection `code` that is kept, whoever began it, the oldest first."""
        return [work for work in self._works.all() if work.code == code]

    def callback(self, query: str, owner: str | None = None) -> SignInWork | None:
        """Bring what a browser brought (REDIRECT) to the sign-in it belongs to; None when it belongs to none.

        With `owner`, only to a sign-in of that owner (RFC 6749 section 10.12: the browser that began it). A query that
        comes a second time changes nothing and finds its sign-in all the same.
        """
        state = dict(parse_qsl(query)).get("state", "")
        for work in self._works.all():
            if work.expects(state) and owner in {None, work.owner}:
                work.callback(query)
                return work
        return None

    def close(self) -> None:
        """End what is under way; nothing listens a second later."""
        works = self._works.all()
        for work in works:
            work.cancel()
        for work in works:
            work.join(_CLOSE_SECONDS)
