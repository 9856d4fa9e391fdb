"""The third step of the editor, as its templates show it: what can be started, what is under way, how it ended."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from datapallas.connection.finding import Before, Finding, Severity
from datapallas.connection.model import OAuth2Client, Provider
from datapallas.connection.provider import redirect_uri_to_register
from datapallas.connection.provider_help import PROVIDER_HELP
from datapallas.home.next_step import PROVIDER_NAMES
from datapallas.home.sign_ins import Way
from datapallas.home.ways import ways
from datapallas.oauth.sign_in import expected_mailbox
from datapallas.web.services import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.connection.model import Connection
    from datapallas.home.overview import Row
    from datapallas.home.sign_ins import SignInState
    from datapallas.web.services import Settings

_BUTTONS = {
    Provider.MICROSOFT: "Sign in with Microsoft",
    Provider.GOOGLE: "Sign in with Google",
    Provider.GENERIC: "Sign in with your provider",
}
_REDIRECT_WORDS = {
    Provider.MICROSOFT: "Microsoft shows AADSTS50011 or AADSTS500113.",
    Provider.GOOGLE: "Google shows “Error 400: redirect_uri_mismatch”.",
    Provider.GENERIC: "It may be called “invalid redirect_uri” or “redirect_uri mismatch”.",
}


class WayShown(NamedTuple):
    """A way to sign in: its name, its button, and when it is the right one."""

    way: str
    button: str
    words: str


_WAYS = {
    Way.BROWSER: WayShown(
        "browser", "Sign in in this browser", "The browser runs on the computer that runs DataPallas."
    ),
    Way.REDIRECT: WayShown(
        "redirect", "Sign in in this browser", "The provider sends the browser back to this page."
    ),
    Way.PASTE: WayShown(
        "paste",
        "Sign in and paste the address",
        "DataPallas runs on another computer than this browser: sign in here, then paste the address the browser ends at.",
    ),
    Way.DEVICE: WayShown(
        "device",
        "Sign in with a code",
        "The mailbox's owner has a telephone or another computer at hand: they open a short address and enter a code.",
    ),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Everything the templates of the third step ask for as `box`.

    Attributes:
        connection: what is signed in to.
        row: its line in the list; None when nothing is stored.
        ways: what can be started, the usual way first.
        findings: of the form; what blocks a sign-in is among them.
        work, version, state: the sign-in that is shown, or empty, 0 and None.
        now: wall time, so that the page can count down.
        gone: the sign-in that was asked for is not known any more.
        paste_problem: why the pasted text was not taken, or empty.
        ended: what became of the sign-in that was just ended, or empty.
        invited: the owner of the mailbox looks at it, on a page of their own.
    """

    connection: Connection
    row: Row | None
    ways: Sequence[WayShown]
    findings: Sequence[Finding] = ()
    work: str = ""
    version: int = 0
    state: SignInState | None = None
    now: float = 0.0
    gone: bool = False
    paste_problem: str = ""
    ended: str = ""
    invited: bool = False

    @property
    def code(self) -> str:
        """The connection's code."""
        return self.connection.code

    @property
    def running(self) -> bool:
        """Something is under way."""
        return self.state is not None and not self.state.finished

    @property
    def just_connected(self) -> bool:
        """The sign-in that is shown has worked."""
        return self.state is not None and bool(self.state.account) and self.state.stage == "connected"

    @property
    def account(self) -> str:
        """Who is signed in, or empty."""
        if self.just_connected and self.state is not None:
            return self.state.account
        return (
            (self.row.account or "unknown")
            if self.row and self.row.ok and self.row.provider != "NONE"
            else ""
        )

    @property
    def trouble(self) -> str:
        """Why the stored sign-in does not work, or empty."""
        never = self.row is None or self.row.health == "never" or self.row.provider == "NONE"
        return "" if never or self.row is None or self.row.ok else self.row.state

    @property
    def lines(self) -> list[str]:
        """What else is known about the sign-in."""
        return sign_in_lines(self.row, self.now) if self.row and self.account else []

    @property
    def blocked(self) -> list[Finding]:
        """What must be filled in or corrected before a sign-in can start."""
        return [
            finding
            for finding in self.findings
            if finding.severity is Severity.ERROR
            or (finding.severity is Severity.MISSING and finding.before is not Before.SENDING)
        ]

    @property
    def start(self) -> str:
        """Where a sign-in is begun."""
        return "/invited/sign-in" if self.invited else "/sign-ins"

    @property
    def wrong_account(self) -> bool:
        """It failed because another account signed in; the person may say that this is meant."""
        problem = self.state.problem if self.state is not None else None
        return problem is not None and problem.id == "wrong-account" and not self.invited

    @property
    def button(self) -> str:
        """The words on the button."""
        return _BUTTONS.get(self.connection.provider, "Sign in")

    @property
    def provider_name(self) -> str:
        """The provider as a sentence calls it."""
        return PROVIDER_NAMES[self.connection.provider]

    @property
    def provider_link(self) -> str:
        """Where an application is registered, or empty."""
        return PROVIDER_HELP[self.connection.provider].link

    @property
    def expected(self) -> str:
        """Who should sign in, or empty."""
        return expected_mailbox(self.connection)

    @property
    def redirect_uri(self) -> str:
        """What must be registered at the provider for this sign-in."""
        if self.state is not None and self.state.redirect_uri:
            return self.state.redirect_uri
        client = self.connection.credential
        return redirect_uri_to_register(client) if isinstance(client, OAuth2Client) else ""

    @property
    def redirect_words(self) -> str:
        """What the provider shows when it is not registered."""
        return _REDIRECT_WORDS.get(self.connection.provider, "")

    @property
    def qr(self) -> bool:
        """There is an address worth a QR code."""
        return self.state is not None and bool(self.state.verification_uri)


def shown_ways(connection: Connection, settings: Settings, issuer: str = "") -> list[WayShown]:
    """How one can sign in to a connection here, the usual way first."""
    served = settings.mode is Mode.SERVED
    found = ways(connection, served=served, codes=settings.device_code, issuer=issuer)
    return [_WAYS[way] for way in found]


def sign_in_lines(row: Row, now: float) -> list[str]:
    """When the token was last refreshed, and how many days are left, in words."""
    lines = []
    if row.refreshed_at:
        lines.append(f"Token last refreshed {ago(row.refreshed_at, now)}.")
    if row.days_left is not None:
        days = max(0, round(row.days_left))
        lines.append(f"{days} {'day' if days == 1 else 'days'} left if it is not used.")
    return lines


def ago(iso: str, now: float) -> str:
    """How long ago, in words: ``3 hours ago``; the day itself after a month."""
    try:
        then = dt.datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return iso
    seconds = max(0.0, now - then)
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = int(seconds // size)
        if name == "day" and count > 30:  # noqa: PLR2004 - then the date says more
            return f"on {iso[:10]}"
        if count:
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"
