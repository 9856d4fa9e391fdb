"""What people are told before a sign-in, a client secret or a certificate ends, and when one was refused. Pure.

Must stay true: 14, 7 and 1 day before an end, and once when it has come; each warning once, by each way it is told.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.oauth.clock import iso
from datapallas.oauth.endings import DAY, Ending, What

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datapallas.oauth.status import Status

THRESHOLDS = (0, 1, 7, 14)  # days; 0: it has ended
REFUSED = "refused"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One warning.

    Attributes:
        connection: its code.
        what: ``sign-in``, ``client-secret``, ``certificate``; ``refused`` when the provider refuses already.
        at: the end, or since when it is refused, ISO 8601 UTC.
        days: the threshold it is given for: 14, 7, 1 or 0.
        sentence: for people, with one thing to do.
    """

    connection: str
    what: str
    at: str
    days: int
    sentence: str

    def key(self, way: str) -> str:
        """How the record remembers that it was given by `way`."""
        return f"{self.what} {self.at} {self.days} {way}"

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


def notices(status: Status, wall: float) -> tuple[Notice, ...]:
    """What is to be told about a connection at `wall`, the most urgent first."""
    found = [notice for one in status.endings if (notice := _ending(status, one, wall)) is not None]
    refusal = status.refusal
    if refusal is not None and refusal.at:
        word = "is parked" if status.state == "parked" else "is refused"
        act = "Sign in again with" if status.state == "parked" else "See what to do with"
        command = (
            "datapallas oauth2 sign-in --connection"
            if status.state == "parked"
            else "datapallas system doctor"
        )
        sentence = (
            f"{status.connection} {word} since {refusal.at[:10]} ({refusal.error}). "
            f"{act} `{command} {status.connection}`."
        )
        found.insert(
            0, Notice(connection=status.connection, what=REFUSED, at=refusal.at, days=0, sentence=sentence)
        )
    return tuple(found)


def not_given(found: Iterable[Notice], given: Iterable[str], way: str) -> tuple[Notice, ...]:
    """Those that were not told by `way` yet."""
    told = set(given)
    return tuple(one for one in found if one.key(way) not in told)


def remembered(given: Iterable[str], told: Iterable[str]) -> tuple[str, ...]:
    """What the record keeps: of each thing only what is about its latest end, so that it does not grow."""
    fresh = tuple(told)
    ends = {_what(key): _end(key) for key in fresh}
    kept = [key for key in given if ends.get(_what(key), _end(key)) == _end(key) and key not in fresh]
    return (*kept, *fresh)


def _what(key: str) -> str:
    return key.partition(" ")[0]


def _end(key: str) -> str:
    return key.split(" ")[1] if " " in key else ""


def _ending(status: Status, one: Ending, wall: float) -> Notice | None:
    left = (one.at - wall) / DAY
    days = next((days for days in THRESHOLDS if left <= days), None)
    if days is None:
        return None
    when = "has ended" if left <= 0 else f"ends in {_words(left)}"
    return Notice(
        connection=status.connection,
        what=one.what.value,
        at=iso(one.at),
        days=days,
        sentence=f"{_subject(status, one)} {when} ({iso(one.at)[:10]}). {_advice(status, one)}",
    )


def _words(left: float) -> str:
    whole = int(left)
    return "less than a day" if whole < 1 else f"{whole} day{'s' if whole != 1 else ''}"


def _subject(status: Status, one: Ending) -> str:
    match one.what:
        case What.SIGN_IN:
            who = f" of {status.account}" if status.account else ""
            return f"The sign-in of {status.connection}{who}"
        case What.SECRET:
            return f"The client secret of {status.connection}"
        case What.CERTIFICATE:
            return f"The certificate of {status.connection}"


def _advice(status: Status, one: Ending) -> str:
    code = status.connection
    match one.what:
        case What.SIGN_IN if one.testing:
            return (
                "The app is in Testing at Google, where every sign-in ends after seven days: press Publish app under "
                f"Google Auth Platform > Audience, then `datapallas oauth2 sign-in --connection {code}`."
            )
        case What.SIGN_IN if one.idle:
            return f"It stays when it is used: `datapallas oauth2 keep-alive --connection {code}`."
        case What.SIGN_IN:
            return f"Sign in again before: `datapallas oauth2 sign-in --connection {code}`."
        case What.SECRET:
            return (
                "Make a new one at the provider, and store it with "
                f"`datapallas connection set {code} --client-secret ask --secret-ends DATE`."
            )
        case What.CERTIFICATE:
            return (
                "Make a new one, upload it at the provider, and set its file with "
                f"`datapallas connection set {code} certificate=FILE`."
            )
