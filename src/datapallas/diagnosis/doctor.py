"""The doctor: tries out, in order, everything a message needs on its way, and names the first real cause.

Must stay true:
- nothing is sent to anybody: the last check offers a sender to the mail server and takes it back;
- a refresh goes through the token source, so no sign-in is lost; nothing else on this machine is changed;
- it stops at the first cause and gives one next step; what it has not reached is told as not reached.
"""

from __future__ import annotations

import dataclasses
import time
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from datapallas.diagnosis import doctor_home, doctor_mail, doctor_provider, doctor_token
from datapallas.diagnosis.explain import Diagnosis, explain
from datapallas.errors import EX_CONFIG, EX_SOFTWARE, DataPallasError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.diagnosis.doctor_case import Case


class Mark(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_REACHED = "not-reached"


class Examine(Protocol):
    """One check."""

    def __call__(self, case: Case) -> str:
        """Look; a few words about what was found. Raises DataPallasError when this is a cause."""
        ...


class Applies(Protocol):
    """Whether a check has anything to look at."""

    def __call__(self, case: Case) -> str:
        """Why the check makes no sense for this case; empty when it does."""
        ...


class Check(NamedTuple):
    """A row of the table below."""

    name: str
    title: str
    examine: Examine
    skip: Applies


CHECKS: tuple[Check, ...] = (
    Check("home", "Home and file modes", doctor_home.home, doctor_home.always),
    Check("connection", "Connection file", doctor_home.connection, doctor_home.without_connection),
    Check("key", "Key", doctor_home.key, doctor_home.always),
    Check("secrets", "Sealed values open", doctor_home.secrets, doctor_home.without_connection),
    Check("provider-name", "Provider's name (DNS)", doctor_provider.name, doctor_provider.without_provider),
    Check("proxy", "Proxy", doctor_provider.proxy, doctor_provider.without_proxy),
    Check("provider", "Provider reachable", doctor_provider.reach, doctor_provider.without_provider),
    Check("clock", "Clock", doctor_provider.clock, doctor_provider.without_provider),
    Check("metadata", "Provider's metadata", doctor_provider.metadata, doctor_provider.without_provider),
    Check("tenant", "Tenant", doctor_provider.tenant, doctor_provider.without_tenant),
    Check("token", "Token", doctor_token.token, doctor_token.without_token),
    Check("rights", "Rights in the token", doctor_token.rights, doctor_token.without_token),
    Check("account", "Account", doctor_token.account, doctor_token.without_token),
    Check("mail-name", "Mail server's name (DNS)", doctor_mail.name, doctor_mail.without_server),
    Check("port", "Mail server's port", doctor_mail.port, doctor_mail.without_server),
    Check("tls", "TLS and certificate", doctor_mail.tls, doctor_mail.without_server),
    Check("sign-in", "Sign-in at the mail server", doctor_mail.sign_in, doctor_mail.without_sign_in),
    Check("sender", "Sender", doctor_mail.sender, doctor_mail.without_sign_in),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        name: stable, for scripts.
        title: for people.
        mark: how it ended.
        detail: a few words; empty where there is nothing to say.
        seconds: how long it took.
        problem: the diagnosis, when it failed.
        exit_code: what a command that failed of this ends with; 0 otherwise.
    """

    name: str
    title: str
    mark: Mark
    detail: str = ""
    seconds: float = 0.0
    problem: Diagnosis | None = None
    exit_code: int = 0

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON; the problem stands beside the checks, not in them."""
        return {
            "name": self.name,
            "title": self.title,
            "mark": self.mark.value,
            "detail": self.detail,
            "seconds": round(self.seconds, 3),
        }


def examine(case: Case) -> Iterator[Finding]:
    """One finding after the other, as they are made; after the first that failed, the rest is not reached."""
    failed = False
    try:
        for check in CHECKS:
            if failed:
                yield Finding(name=check.name, title=check.title, mark=Mark.NOT_REACHED)
            else:
                found = _one(check, case)
                failed = found.mark is Mark.FAILED
                yield found
    finally:
        case.close()


def _one(check: Check, case: Case) -> Finding:
    why = check.skip(case)
    if why:
        return Finding(name=check.name, title=check.title, mark=Mark.SKIPPED, detail=why)
    begun = time.monotonic()
    try:
        detail = check.examine(case)
    except (DataPallasError, OSError) as problem:
        diagnosis = explain(problem, case.facts)
        return Finding(
            name=check.name,
            title=check.title,
            mark=Mark.FAILED,
            detail=diagnosis.title,
            seconds=time.monotonic() - begun,
            problem=diagnosis,
            exit_code=_exit_code(problem),
        )
    seconds = time.monotonic() - begun
    return Finding(name=check.name, title=check.title, mark=Mark.OK, detail=detail, seconds=seconds)


def _exit_code(problem: DataPallasError | OSError) -> int:
    if isinstance(problem, DataPallasError):
        return problem.exit_code
    return EX_CONFIG if isinstance(problem, PermissionError) else EX_SOFTWARE
