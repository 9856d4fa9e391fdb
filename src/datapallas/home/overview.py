"""The list of connections: one row for each file, with the state of its sign-in in words.

Must stay true: needs no key and asks nobody; a file that cannot be read is a row like the others and hides none.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING

from datapallas.connection.folder import Broken
from datapallas.connection.identity import PASSWORD
from datapallas.connection.model import Flow, OAuth2Client, Password, Sealed
from datapallas.connection.vault import is_ours
from datapallas.errors import DataPallasError

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.folder import Entry
    from datapallas.connection.model import Connection
    from datapallas.connection.record import Refusal
    from datapallas.oauth.source import ConnectionTokenSource
    from datapallas.oauth.status import Status

    Changed = Callable[[Connection, str, Sealed], str]


class Health(StrEnum):
    """How a connection is, in one word; `Row.state` says it in a sentence.

    CONNECTED: somebody is signed in, or nobody needs to (app-only). REFUSED: signed in, but the provider refuses since, for a reason that is not the
    sign-in (the client, a policy). NEVER: nobody has signed in yet. PARKED: the provider refused the sign-in, which
    is kept. UNREADABLE: the stored sign-in or password does not open. PASSWORD: signs in with a password, or needs
    no sign-in.
    NO_PASSWORD: it needs a password that is not there. BROKEN: the file cannot be read.
    """

    CONNECTED = "connected"
    REFUSED = "refused"
    NEVER = "never"
    PARKED = "parked"
    UNREADABLE = "unreadable"
    PASSWORD = "password"
    NO_PASSWORD = "no-password"
    BROKEN = "broken"


_APP_ONLY = frozenset({Flow.APPONLY.value, Flow.SERVICEACCOUNT.value})
_GOOD = frozenset({Health.CONNECTED, Health.PASSWORD})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the list of connections.

    Attributes:
        code, name, provider, mailbox, path: as in the file; a broken file has only code (its name) and path.
        health: in one word.
        state: the same in words, with who, since when and why.
        ok: True when mail can be sent as far as is known here.
        default: the default connection.
        app_only: nobody signs in, so nobody is to be asked to.
        account: who signed in, or empty.
        issued_at: when the refresh token was issued, ISO 8601 UTC, or empty.
        refreshed_at: when a token last came, ISO 8601 UTC, or empty.
        days_left: until the sign-in ends when it is not used, app-only until the certificate ends; None where that
            is not known.
        refused_at: since when the provider refuses, ISO 8601 UTC, or empty.
        line, reason: where and why a file cannot be read, or empty.
        warnings: whole sentences a person should read.
    """

    code: str
    path: str
    health: Health
    state: str
    ok: bool = False
    name: str = ""
    provider: str = ""
    mailbox: str = ""
    default: bool = False
    app_only: bool = False
    account: str = ""
    issued_at: str = ""
    refreshed_at: str = ""
    days_left: float | None = None
    refused_at: str = ""
    line: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()


def row(entry: Entry, tokens: Callable[[str], ConnectionTokenSource], changed: Changed) -> Row:
    """The row of one file; never raises for what is in it. `changed` is `Seals.changed`."""
    found = entry.connection
    if isinstance(found, Broken):
        return _broken(found)
    bare = Row(
        code=found.code,
        path=str(entry.path),
        health=Health.BROKEN,
        state="",
        name=found.name,
        provider=found.provider.value,
        mailbox=found.mailbox,
        default=found.default,
        app_only=found.app_only,
        warnings=tuple(
            f"a secret stands in clear in {entry.path.name} ({name}); it is sealed at the next save."
            for name in entry.plain
        ),
    )
    try:
        return _with_state(bare, found, tokens, changed)
    except DataPallasError as problem:  # two files with one code; it does not hide the others
        return dataclasses.replace(bare, state=problem.message, reason=problem.message)


def _broken(found: Broken) -> Row:
    where = f" (line {found.line})" if found.line else ""
    return Row(
        code=found.path.stem,
        path=str(found.path),
        health=Health.BROKEN,
        state=f"broken file{where}: {found.reason}",
        line=found.line,
        reason=found.reason,
    )


def _with_state(
    bare: Row, found: Connection, tokens: Callable[[str], ConnectionTokenSource], changed: Changed
) -> Row:
    match found.credential:
        case Password() as login:
            health, state = _password_state(found, login, changed)
            return dataclasses.replace(bare, health=health, state=state, ok=health in _GOOD)
        case OAuth2Client():
            status = tokens(found.code).status()
            health, state = _sign_in_state(status)
            return dataclasses.replace(
                bare,
                health=health,
                state=state,
                ok=health in _GOOD,
                account=status.account,
                issued_at=status.issued_at,
                refreshed_at=status.refreshed_at,
                days_left=status.days_left,
                refused_at=status.refusal.at if status.refusal else "",
                reason=status.problem.message if status.problem else "",
            )


def _password_state(found: Connection, login: Password, changed: Changed) -> tuple[Health, str]:
    """As far as it can be known without the key: what it was sealed for is noted."""
    match login.password:
        case None:
            return (Health.NO_PASSWORD if login.user else Health.PASSWORD), "no password"
        case Sealed(text=text) if not is_ours(text):
            return Health.UNREADABLE, "the password was not sealed here; set it again"
        case Sealed() as sealed if why := changed(found, PASSWORD, sealed):
            return Health.UNREADABLE, f"the password does not open: {why}"
        case _:
            return Health.PASSWORD, "password set"


def _sign_in_state(status: Status) -> tuple[Health, str]:
    if status.flow in _APP_ONLY:
        return _app_only_state(status)
    match status.state:
        case "signed-in" if status.refusal is not None:
            who = f"signed in as {status.account}" if status.account else "signed in"
            return Health.REFUSED, f"{who}, but {_refused(status.refusal)}"
        case "signed-in":
            return Health.CONNECTED, f"connected as {status.account}" if status.account else "connected"
        case "parked" if status.refusal is not None:
            since = f" since {status.refusal.at[:10]}" if status.refusal.at else ""
            why = status.refusal.error or "no reason given"
            return Health.PARKED, f"parked: the provider refuses it{since} ({why}); sign in again"
        case "unreadable" if status.problem is not None:
            return Health.UNREADABLE, f"cannot be read: {status.problem.message}"
        case _:
            return Health.NEVER, "never signed in"


def _app_only_state(status: Status) -> tuple[Health, str]:
    """Nobody signs in, so the words never ask for it."""
    if status.problem is not None:
        return Health.UNREADABLE, f"app-only, but it cannot be used: {status.problem.message}"
    if status.refusal is not None:
        return Health.REFUSED, f"app-only as {status.account}, but {_refused(status.refusal)}"
    return Health.CONNECTED, f"app-only as {status.account}"


def _refused(refusal: Refusal) -> str:
    since = f" since {refusal.at[:10]}" if refusal.at else ""
    return f"refused{since}: {refusal.error or 'no reason given'}"
