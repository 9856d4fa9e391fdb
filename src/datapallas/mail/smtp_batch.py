"""Many messages over one session at a time: the first alone, then several in flight where the server stands it.

Must stay true: what was not sent because a session ended goes once more over a new one, by `delivery`, as a message
that is sent alone does; what the server may have is not sent again; each message that was taken is told once.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError
from datapallas.mail.delivery import failed, judged
from datapallas.smtp.parcels import Parcel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.mail.envelope import Envelope, RecipientOutcome
    from datapallas.mail.smtp_transport import SmtpTransport
    from datapallas.mail.transport import Letter, Mail, Told
    from datapallas.smtp.stream import Session
    from datapallas.smtp.target import Sent


@dataclasses.dataclass(slots=True)
class _Item:
    """A message that was taken.

    Attributes:
        known: outcomes of recipients that need not be tried again.
    """

    number: int
    envelope: Envelope
    letter: Letter
    known: dict[str, RecipientOutcome] = dataclasses.field(default_factory=dict)

    def left(self) -> Envelope:
        """The envelope for those who have no outcome yet."""
        if not self.known:
            return self.envelope
        people = tuple([one for one in self.envelope.recipients if one not in self.known])
        return dataclasses.replace(self.envelope, recipients=people)


class Batch:
    """One call of `send_all`.

    Attributes:
        session: the one that is open, or None.
    """

    def __init__(self, transport: SmtpTransport, mail: Iterator[Mail], told: Told) -> None:
        self._transport = transport
        self._mail = enumerate(mail)
        self._told = told
        self._again: collections.deque[_Item] = collections.deque()
        self._flying: collections.deque[_Item] = collections.deque()
        self._goes_on = True
        self._heard = 0  # since the last session began
        self.session: Session | None = None

    def run(self, session: Session | None, *, stale: bool) -> None:
        """Send all; `stale` as in `delivery`."""
        self.session = session
        while (item := self._next()) is not None:
            self._alone(item, stale=stale)
            stale = False
            session = self.session
            if session is not None and self._transport.depth_of(session) > 1 and session.alive:
                self._together(session)
        for left in self._again:
            self._told(left.number, None)

    def _next(self) -> _Item | None:
        if not self._goes_on:
            return None
        if self._again:
            return self._again.popleft()
        for number, (envelope, letter) in self._mail:
            return _Item(number, envelope, letter)
        return None

    def _alone(self, item: _Item, *, stale: bool) -> None:
        hand = self._transport.hand(self.session, item.left(), item.letter)
        try:
            outcomes = hand.run(stale=stale)
        except DataPallasError as error:
            hand.drop()
            self.session = None
            self._say(item, error)
        else:
            self.session = hand.session
            self._say(item, {one.address: one for one in outcomes})

    def _together(self, session: Session) -> None:
        self._heard = 0
        try:
            session.send_all(self._parcels(), self._hear, self._transport.bounds)
        finally:
            if session.unsteady or (self._again and not self._heard):
                self._transport.blame(session)
            if not session.alive:
                session.close()
                self.session = None

    def _parcels(self) -> Iterator[Parcel]:
        while (item := self._next()) is not None:
            self._flying.append(item)
            envelope = item.left()
            yield Parcel(envelope.sender, envelope.recipients, item.letter)

    def _hear(self, result: Sent | DataPallasError) -> None:
        item = self._flying.popleft()
        found = judged(item.left().recipients, result)
        if found is None:
            self._again.append(item)
        else:
            self._heard += 1
            self._say(item, found)

    def _say(self, item: _Item, found: dict[str, RecipientOutcome] | DataPallasError) -> None:
        """Tell what became of a message; one with recipients that were only too many goes once more for them."""
        if isinstance(found, DataPallasError) and not item.known:
            self._goes_on = self._told(item.number, found) and self._goes_on
            return
        if isinstance(found, DataPallasError):
            found = failed(item.left().recipients, found)
        if item.known:
            found = item.known | found
        item.known = found
        if len(item.known) < len(item.envelope.recipients):
            self._again.append(item)
            return
        outcomes = tuple([item.known[one] for one in item.envelope.recipients])
        receipt = self._transport.receipt(item.envelope, item.letter, outcomes)
        self._goes_on = self._told(item.number, receipt) and self._goes_on
