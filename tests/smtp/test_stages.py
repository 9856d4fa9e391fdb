"""How the opening of a session is told, stage by stage, to whoever watches: the same by both drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.connection.model import Security
from datapallas.errors import DataPallasError
from datapallas.sandbox import Sandbox
from datapallas.secret import Secret
from datapallas.smtp.body import BytesBody
from datapallas.smtp.sasl import BearerLogin, PasswordLogin
from datapallas.smtp.target import Stage, Target
from datapallas.smtp.tls import tls_context
from smtp.harness import MESSAGE, Driver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ALICE = "alice@sandbox.example"


class Seen:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.facts: dict[Stage, Mapping[str, str]] = {}

    def began(self, stage: Stage) -> None:
        self.events.append(f"{stage} began")

    def ended(self, stage: Stage, facts: Mapping[str, str]) -> None:
        self.events.append(f"{stage} ended")
        self.facts[stage] = facts


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def target(sandbox: Sandbox, security: Security) -> Target:
    server = sandbox.server(security)
    return Target(server.host, server.port_number, security, tls_context(server.root_certificate))


@pytest.mark.parametrize(
    ("security", "order"),
    [
        (
            Security.STARTTLS,
            "connect began, connect ended, tls began, tls ended, sign-in began, sign-in ended, ready began",
        ),
        (
            Security.TLS,
            "connect began, tls began, tls ended, connect ended, sign-in began, sign-in ended, ready began",
        ),
    ],
)
def test_the_stages_of_an_opening(driver: Driver, sandbox: Sandbox, security: Security, order: str) -> None:
    """Each stage begins and ends in its order, with what was found; a message adds nothing."""
    seen = Seen()
    login = BearerLogin(ALICE, sandbox.access_token())
    with driver.open(target(sandbox, security), login=login, stages=seen) as session:
        session.send(ALICE, [ALICE], BytesBody(MESSAGE))
    assert seen.events == order.split(", ")
    assert "sandbox.example" in seen.facts[Stage.CONNECT]["greeting"]
    assert seen.facts[Stage.TLS]["version"].startswith("TLS 1.")
    assert seen.facts[Stage.TLS].keys() >= {"name", "issuer", "ends"}
    assert seen.facts[Stage.SIGN_IN]["mechanism"] == "XOAUTH2" and seen.facts[Stage.SIGN_IN]["user"] == ALICE
    assert login.token.reveal() not in str(seen.facts)


@pytest.mark.parametrize(
    ("where", "what", "last"),
    [
        ("connect", "554 5.7.1 no", "connect began"),
        ("ehlo", "strip-starttls", "tls began"),
        ("starttls", "454 4.7.0 no", "tls began"),
        ("auth", "535 5.7.8 no", "sign-in began"),
    ],
)
def test_what_fails_has_begun_and_not_ended(
    driver: Driver, sandbox: Sandbox, where: str, what: str, last: str
) -> None:
    """The stage that was begun last is the one that failed."""
    sandbox.faults.next(where, what)
    seen = Seen()
    login = PasswordLogin(ALICE, sandbox.password)
    with pytest.raises(DataPallasError):
        driver.open(target(sandbox, Security.STARTTLS), login=login, stages=seen)
    assert seen.events[-1] == last


def test_a_watcher_may_end_it(driver: Driver, sandbox: Sandbox) -> None:
    """What a watcher raises ends the session before the next step: nothing is sent after that."""

    class Stops(Seen):
        def began(self, stage: Stage) -> None:
            if stage is Stage.SIGN_IN:
                raise KeyboardInterrupt

    login = PasswordLogin(ALICE, Secret("canary"))
    with pytest.raises(KeyboardInterrupt):
        driver.open(target(sandbox, Security.STARTTLS), login=login, stages=Stops())
