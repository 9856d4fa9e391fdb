"""The doctor in worlds of many kinds: it names the one cause that was built in, and raises no false alarm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datapallas.connection.model import OAuth2Client
from datapallas.diagnosis.doctor import CHECKS, Finding, Mark, examine
from datapallas.errors import SmtpRefused
from datapallas.mail.transport import target
from datapallas.smtp.sasl import BearerLogin
from datapallas.smtp.stream import Session
from diagnosis.doctor_table import page
from diagnosis.worlds import BROKEN, HEALTHY, World
from diagnosis.worlds_kit import CODE, Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.diagnosis.doctor_case import Case


ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    """A world to be built in."""
    with Workshop(tmp_path) as workshop:
        yield workshop


@pytest.mark.parametrize("world", BROKEN, ids=lambda world: world.title)
def test_the_doctor_names_the_cause(shop: Workshop, world: World) -> None:
    """In each broken world the doctor stops at what is broken, with one diagnosis, and looks no further."""
    found = list(examine(world.build(shop)))
    assert [one.name for one in found] == [check.name for check in CHECKS]
    failed = [one for one in found if one.mark is Mark.FAILED]
    assert len(failed) == 1
    [cause] = failed
    assert cause.problem is not None
    assert (cause.name, cause.problem.id, cause.exit_code) == (
        world.stops_at,
        world.diagnosis,
        world.exit_code,
    ), cause.problem.render()
    assert world.says in cause.problem.render()
    place = found.index(cause)
    assert {one.mark for one in found[:place]} <= {Mark.OK, Mark.SKIPPED}
    assert {one.mark for one in found[place + 1 :]} <= {Mark.NOT_REACHED}


@pytest.mark.parametrize("build", [build for _, build in HEALTHY], ids=[title for title, _ in HEALTHY])
def test_no_false_alarm(shop: Workshop, build: Callable[[Workshop], Case]) -> None:
    """Where mail can be sent, every check is passed or has nothing to look at, and nothing is sent."""
    found = list(examine(build(shop)))
    assert not [one for one in found if one.mark not in {Mark.OK, Mark.SKIPPED}], _shown(found)
    assert found[-1].name == "sender" and found[-1].mark is Mark.OK
    assert not shop.sandbox.messages


def test_the_sign_in_is_kept(shop: Workshop) -> None:
    """A provider that takes each refresh token once is asked three times: the new token is stored each time."""
    shop.made()
    tokens = set()
    for _ in range(3):
        assert all(one.mark is not Mark.FAILED for one in examine(shop.case()))
        client = shop.home.folder.load(CODE).credential
        assert isinstance(client, OAuth2Client)
        tokens.add(str(client.refresh_token))
    assert len(tokens) == 3


def test_no_secret_is_in_what_the_doctor_says(shop: Workshop) -> None:
    """Whatever world it is in, no token, password or key is in the findings."""
    for world in BROKEN[-8:]:
        with Workshop(_fresh(shop)) as other:
            shown = _shown(list(examine(world.build(other))))
            ledger = other.sandbox.provider.ledger
            for secret in (
                *ledger.accesses,
                *ledger.refreshes,
                other.sandbox.password.reveal(),
                "not the one",
            ):
                assert secret not in shown


def _fresh(shop: Workshop) -> Path:
    folder = shop.scratch / f"again-{len(list(shop.scratch.iterdir()))}"
    folder.mkdir()
    return folder


def _shown(found: list[Finding]) -> str:
    return "\n".join(f"{one} {one.problem.render() if one.problem else ''}" for one in found)


def test_the_page_about_the_doctor_is_made_from_its_tables() -> None:
    """docs/doctor.md has every check and every world; `python -m diagnosis.doctor_table --page` makes it."""
    assert (ROOT / "docs" / "doctor.md").read_text("utf-8") == page()
    assert len(BROKEN) >= 20 and len({world.title for world in BROKEN}) == len(BROKEN)


def test_a_sender_is_offered_and_taken_back(shop: Workshop) -> None:
    """What the last check says to the mail server: MAIL, RSET, QUIT; the session could send afterwards."""
    said: list[str] = []
    connection = shop.sandbox.connection()
    login = BearerLogin(connection.mailbox, shop.sandbox.access_token())
    with Session.open(
        target(connection), login=login, watch=lambda way, line: said.append(f"{way}: {line}")
    ) as session:
        session.try_sender("alice@sandbox.example")
        session.try_sender("alice@sandbox.example")
        with pytest.raises(SmtpRefused) as refused:
            session.try_sender("boss@sandbox.example")
        assert session.alive
    assert refused.value.step == "MAIL" and refused.value.facts["sender"] == "boss@sandbox.example"
    mine = [line.split()[1] for line in said if line.startswith("C: ")]
    assert mine[-6:] == ["MAIL", "RSET", "MAIL", "RSET", "MAIL", "QUIT"]
    assert not shop.sandbox.messages
