"""Dialogues as text, many of them recorded from real servers, played without a socket and with both drivers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datapallas.errors import DataPallasError
from smtp.harness import MESSAGE, Dialogue, Driver, Script, in_memory, play, tell

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from datapallas.smtp.tls import ClientContext

DIALOGUES = [Dialogue.read(path) for path in sorted((Path(__file__).parent / "dialogues").glob("*.txt"))]
each = pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.name)


@each
def test_the_engine_says_what_the_dialogue_says(dialogue: Dialogue) -> None:
    """Each recorded dialogue ends as its file says, whatever pieces the replies come in."""
    outcome, seen = in_memory(dialogue)
    assert outcome == dialogue.head["outcome"]
    shown = "\n".join(seen)
    assert dialogue.token not in shown
    assert "pässword" not in shown
    assert MESSAGE.decode().splitlines()[2] not in shown
    if "C: AUTH" in shown:
        assert "******" in shown


@each
def test_both_drivers_say_what_the_dialogue_says(
    dialogue: Dialogue,
    driver: Driver,
    script: Callable[..., Script],
    trust: ClientContext,
    server_tls: ssl.SSLContext,
) -> None:
    """Over a real socket, with replies octet by octet, the outcome is the same."""
    server = script(play(dialogue, server_tls))
    target = dialogue.target("localhost", server.port, trust)
    where = target.host
    try:
        with driver.open(target, login=dialogue.login) as session:
            outcome = tell(session.send("me@sender.example", dialogue.recipients, dialogue.message))
    except DataPallasError as error:
        outcome = tell(error)
        where = error.facts["host"]
    assert outcome == dialogue.head["outcome"]
    assert where == "localhost"


def test_there_are_dialogues() -> None:
    """The folder of dialogues is found, and each file says what it shows."""
    assert len(DIALOGUES) > 25
    assert all(dialogue.head["about"] for dialogue in DIALOGUES)
