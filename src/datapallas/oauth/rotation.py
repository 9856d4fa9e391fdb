"""One refresh, from the lock to the stored answer: the protocol that loses no sign-in (docs/security.md).

Must stay true, in this order, under the connection's lock:
1. the place for the new token is proven (space, rights, key) before anything is sent;
2. the intent is on disk before anything is sent;
3. one request; a second one with the same token only when no reply came;
4. the new refresh token is on disk before the access token is handed out;
5. `invalid_grant` parks, after the file was read once more; nothing else parks, and nothing deletes. A refusal for
   another reason (the client, a policy) is noted until the next success, and stops nothing.
In a fleet the lock is a lease: an answer that comes after it ended is offered to the store, and dropped when that says
somebody was faster (Fenced). Killed anywhere: what was stored last works, but for a provider that rotated strictly and whose reply was lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from typing import TYPE_CHECKING

from datapallas.connection import provider
from datapallas.connection.record import Refusal, fingerprint
from datapallas.connection.store import Fenced
from datapallas.connection.update import Granted
from datapallas.errors import (
    DataPallasError,
    NotSignedIn,
    Parked,
    ProtocolError,
    SignInRejected,
    StorageError,
    TokenRefused,
    Unreachable,
)
from datapallas.oauth import claims, grants
from datapallas.oauth.client import opened_client
from datapallas.oauth.clock import iso
from datapallas.oauth.exchange import ask
from datapallas.oauth.lending import borrowed, to_lend
from datapallas.oauth.parking import LOST, check_parked, park, parked, restored
from datapallas.oauth.refusals import lasting, refusal
from datapallas.oauth.token import AccessToken, ends_at, minted, wants_person
from datapallas.oauth.wanted import as_wanted

if TYPE_CHECKING:
    from datapallas.connection.folder import Folder
    from datapallas.connection.model import Connection
    from datapallas.connection.update import Lend, Update
    from datapallas.connection.vault import Opened
    from datapallas.oauth.answers import TokenAnswer
    from datapallas.oauth.endpoint import Answer, Endpoint
    from datapallas.secret import Secret

_SAVES = 3  # tries to store an answer before the caller is told
_SAVE_PAUSE = 0.2  # seconds between them
_FENCED = 3  # tries when somebody else took the connection over meanwhile


@dataclasses.dataclass(frozen=True, slots=True)
class _Unsaved:
    """An answer that could not be stored yet: nothing else is known about the new refresh token."""

    replaces: str  # fingerprint of the token it was given for
    token: Secret
    granted: Granted
    access: AccessToken


class Rotation:
    """Refreshes one connection. Called by one thread at a time.

    With `wanted`, its settings as a draft has them: client secret and scope are tried as they are there, and a draft
    the stored sign-in was not made for is refused (SealBroken, case ``draft-differs``) before anything is asked.

    Attributes:
        requests: how many requests the last `run` sent that may have reached the provider.
    """

    def __init__(
        self, folder: Folder, code: str, endpoint: Endpoint, wanted: Connection | None = None
    ) -> None:
        self._folder, self._code, self._endpoint, self._wanted = folder, code, endpoint, wanted
        self._unsaved: _Unsaved | None = None
        self.requests = 0

    def run(self, *, even_parked: bool = False, stale: Secret | None = None) -> AccessToken:
        """A fresh access token; what came with it is stored. `even_parked` asks the provider again all the same.

        In a fleet it may be one that another process has just minted, but not `stale`, which a server refused.
        Raises NotSignedIn, Parked, TokenRefused, Unreachable, TlsRefused, ProtocolError, StorageError (nothing was
        asked, or the answer is kept in memory and stored by the next call), SealBroken, KeyProblem.
        """
        self.requests = 0
        for left in reversed(range(_FENCED)):
            try:
                return self._run(even_parked, stale)
            except Fenced:  # our lease ended before our answer was stored: what was stored meanwhile is right
                self._unsaved = None
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def _run(self, even_parked: bool, stale: Secret | None) -> AccessToken:  # noqa: FBT001 - as `run` was asked
        lent = None if even_parked else self._borrowed(stale)
        if lent is not None:
            return lent
        with self._folder.locked_update(self._code) as update:
            saved = self._save_left_over(update)
            if saved is not None:
                return saved
            opened = update.opened()
            if not even_parked:
                check_parked(update, opened)
                lent = self._borrowed(stale)  # minted while we waited for the lock
                if lent is not None:
                    return lent
            try:
                return self._attempt(update, opened)
            except TokenRefused as problem:
                if not wants_person(problem):
                    self._refused(update, problem)
                    raise
                again, now = self._read_again()
                if now.value == opened.value:
                    raise self._park(again, opened, problem) from problem
            try:
                return self._attempt(again, now)
            except TokenRefused as problem:
                if not wants_person(problem):
                    self._refused(again, problem)
                    raise
                raise self._park(again, now, problem) from problem

    def _borrowed(self, stale: Secret | None) -> AccessToken | None:
        if self._wanted is not None or self._unsaved is not None:
            return None
        return borrowed(self._folder, self._code, self._endpoint.clock, stale)

    def _read_again(self) -> tuple[Update, Opened]:
        """Under the lock we hold: whoever knows no lock (an editor, a restored backup) may have changed the file."""
        with self._folder.locked_update(self._code) as update:
            return update, update.opened()

    def _attempt(self, update: Update, opened: Opened) -> AccessToken:
        clock = self._endpoint.clock
        client = opened_client(self._folder, as_wanted(update.connection, self._wanted))
        url, form = provider.token_url(client), grants.refresh(client, opened.value)
        lost_before = update.answer_lost() and update.record.parked is None
        with update.reserve():
            update.intend(iso(clock.wall()))
            asked_at = clock.monotonic()
            try:
                tokens, answer = self._post(update, url, form)
            except TokenRefused as problem:
                if lost_before and problem.error == "invalid_grant":
                    problem.facts["lost"] = "yes"
                if not wants_person(problem):
                    _forget_intent(update)  # an answer came, and it rotated nothing
                raise
            self._check_same_account(update, opened, tokens, answer)
            now = clock.wall()
            granted = Granted(
                at=iso(now),
                issued_at=iso(now) if tokens.refresh_token else "",
                scope=tokens.scope,
                refresh_ends=ends_at(tokens, now),
            )
            kept = _Unsaved(
                fingerprint(opened.value.reveal()),
                tokens.refresh_token or opened.value,
                granted,
                minted(tokens, asked_at),
            )
            self._unsaved = kept
            _save(update, kept, to_lend(kept.access, clock))
            self._unsaved = None
            return kept.access

    def _post(self, update: Update, url: str, form: grants.Form) -> tuple[TokenAnswer, Answer]:
        """Ask; ask once more with the same token when no reply came.

        The first request may have rotated it. Microsoft keeps the old one working, others have a grace time; a strict
        provider refuses, and then the advice must say what happened (`lost`).
        """
        try:
            return self._once(url, form)
        except Unreachable as problem:
            if problem.facts.get("sent") != "yes":
                raise
        update.intend(iso(self._endpoint.clock.wall()))  # which renews a lease, for as long a wait again
        try:
            return self._once(url, form)
        except TokenRefused as problem:
            problem.facts["lost"] = "yes"
            raise

    def _once(self, url: str, form: grants.Form) -> tuple[TokenAnswer, Answer]:
        try:
            found = ask(self._endpoint, url, form)
        except DataPallasError as problem:
            answered = isinstance(problem, TokenRefused | ProtocolError)
            self.requests += answered or problem.facts.get("sent") == "yes"
            raise
        self.requests += 1
        return found

    def _save_left_over(self, update: Update) -> AccessToken | None:
        """Store an answer that an earlier call could not store, unless somebody has moved on since."""
        left = self._unsaved
        if left is None:
            return None
        with contextlib.suppress(NotSignedIn):
            if fingerprint(update.opened().value.reveal()) == left.replaces:
                with update.reserve():
                    _save(update, left, to_lend(left.access, self._endpoint.clock))
                self._unsaved = None
                fresh = left.access.reusable(self._endpoint.clock.monotonic())
                return left.access if fresh else None
        self._unsaved = None
        return None

    def _check_same_account(
        self, update: Update, opened: Opened, tokens: TokenAnswer, answer: Answer
    ) -> None:
        """OpenID Connect Core section 12.2: a refresh gives tokens for the same account, or is not believed."""
        if tokens.id_token is None or not opened.grant.subject:
            return
        client = opened_client(self._folder, update.connection)
        expected = claims.Expected(client=client, now=self._endpoint.clock.wall() + answer.clock_skew)
        try:
            who = claims.read(tokens.id_token, expected)
        except (SignInRejected, ProtocolError):
            return  # it proves nothing then; the token is used for the mailbox it was stored for
        if who.subject and who.subject != opened.grant.subject:
            park(update, Refusal("wrong-account", at=iso(self._endpoint.clock.wall())))
            raise SignInRejected(
                f"The provider answered the refresh of {self._code} for another account. Nothing was stored.",
                code="wrong-account",
                connection=self._code,
                mailbox=update.connection.mailbox,
                account=who.addresses[0] if who.addresses else "",
            )

    def _refused(self, update: Update, problem: TokenRefused) -> None:
        """Note a refusal that does not pass by itself, and since when: the list of connections shows it."""
        found = lasting(problem, update.record.refused, self._endpoint.clock.wall())
        if found is not None:
            update.save_record(dataclasses.replace(update.record, refused=found))

    def _park(self, update: Update, opened: Opened, problem: TokenRefused) -> Parked:
        lost = problem.facts.get("lost") == "yes" and problem.error == "invalid_grant"
        why = refusal(problem, LOST if lost else problem.error, self._endpoint.clock.wall())
        park(update, why)
        return parked(update, why, older=restored(update, opened))


def _forget_intent(update: Update) -> None:
    update.save_record(dataclasses.replace(update.record, intent=None))


def _save(update: Update, kept: _Unsaved, lend: Lend) -> None:
    """Store, with patience: what is in memory exists nowhere else."""
    pause = threading.Event()
    for left in reversed(range(_SAVES)):
        try:
            update.store_refresh_token(kept.token, kept.granted, lend=lend)
        except Fenced:
            raise
        except StorageError as problem:
            if not left:
                problem.facts["unsaved"] = "yes"
                raise
            pause.wait(_SAVE_PAUSE)
        else:
            return
