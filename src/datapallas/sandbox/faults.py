"""The switchboard of faults: what shall go wrong next, where, and how often.

A place takes a fault when it works on a request; what no place takes stays. Must stay true: a fault that no place
can act out is refused when it is switched on, with the known ones named; the sandbox never ignores one silently.
"""

from __future__ import annotations

import dataclasses
import re
import threading

from datapallas.errors import UsageError
from datapallas.sandbox.answers import AADSTS, GOOGLE

# How any HTTP answer can go wrong. 429 and 503 come with Retry-After when `seconds` is given.
HTTP = ("400", "429", "500", "502", "503", "slow", "drop", "html", "empty", "huge", "redirect")
REFUSALS = (*(f"AADSTS{number}" for number in AADSTS), *GOOGLE)
GRANTS = ("authorization_code", "refresh_token", "device_code", "client_credentials")
# How an answer that grants something can differ from what was asked for.
SHAPES = (
    "narrower-scope",
    "no-refresh-token",
    "other-user",
    "wrong-nonce",
    "wrong-audience",
    "wrong-issuer",
    "expired-id-token",
    "no-id-token",
    "lower-case-bearer",
    "lost-answer",
)
_AUTHORIZE = ("wrong-issuer", "no-issuer", "wrong-state", "no-state")
# SMTP: any reply with an enhanced status or without; `die` ends the TCP connection; `slow` waits `seconds` first.
_REPLY = re.compile(r"[45]\d\d(-| )[\x20-\x7e]{1,480}")
_SMTP = ("die", "slow")

WHERE: dict[str, tuple[str, ...]] = {
    "token": HTTP + REFUSALS + SHAPES,
    **{f"token:{grant}": HTTP + REFUSALS + SHAPES for grant in GRANTS},
    "device": HTTP + REFUSALS,
    "authorize": HTTP + REFUSALS + _AUTHORIZE,
    "introspect": HTTP,
    "discovery": HTTP,
    "connect": _SMTP,
    "ehlo": ("strip-starttls", "strip-auth", "strip-chunking"),
    "starttls": _SMTP,
    "auth": (*_SMTP, "expired"),
    "mail": _SMTP,
    "rcpt": _SMTP,
    "message": (*_SMTP, "die-after"),
}
TAKES_REPLY = frozenset({"connect", "starttls", "auth", "mail", "rcpt", "message"})


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        where: the place, a key of `WHERE`.
        what: a name from `WHERE`, or at an SMTP place the reply itself, such as ``451 4.3.0 Try later``.
        times: how often; 0 is until cleared.
        seconds: how long `slow` lasts, or the Retry-After of an HTTP answer; 0 sends none.
    """

    where: str
    what: str
    times: int = 1
    seconds: float = 0.0


class Faults:
    """What is switched on. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def next(self, where: str, what: str, *, times: int = 1, seconds: float = 0.0) -> None:
        """Make the next `times` requests at `where` go wrong as `what` says; 0 times is until cleared.

        Raises UsageError when nothing at `where` can do that.
        """
        known = WHERE.get(where)
        if known is None:
            raise UsageError(f"There is no place {where!r} for a fault. Known: {', '.join(WHERE)}.")
        if what not in known and not (where in TAKES_REPLY and _REPLY.fullmatch(what)):
            reply = ", or a reply such as '451 4.3.0 Try later'" if where in TAKES_REPLY else ""
            raise UsageError(f"At {where!r} there is no fault {what!r}. Known: {', '.join(known)}{reply}.")
        if times < 0 or not 0 <= seconds <= 3600:  # noqa: PLR2004 - an hour is longer than any time-out
            raise UsageError("A fault comes 0 (always), 1, 2, ... times and lasts 0 to 3600 seconds.")
        with self._lock:
            self._waiting.append(Fault(where, what, times, seconds))

    def take(self, *places: str, only: str = "") -> Fault | None:
        """The oldest fault switched on for one of `places`, counted down; None when there is none.

        `only` names the one kind that is taken.
        """
        with self._lock:
            for index, fault in enumerate(self._waiting):
                if fault.where in places and only in {"", fault.what}:
                    if fault.times == 1:
                        del self._waiting[index]
                    elif fault.times:
                        self._waiting[index] = dataclasses.replace(fault, times=fault.times - 1)
                    return fault
        return None

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._waiting.clear()

    @property
    def waiting(self) -> tuple[Fault, ...]:
        """What is still to come."""
        with self._lock:
            return tuple(self._waiting)
