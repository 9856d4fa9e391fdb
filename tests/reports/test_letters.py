"""What was filled in becomes a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.errors import AddressError
from datapallas.mail.address import NamedAddress
from datapallas.mail.compose import Composer
from datapallas.mail.message import Message
from datapallas.outbox.letters import Splitter
from datapallas.reports.letters import addresses, message_of, message_or_problem
from datapallas.reports.model import Document, Limits, Problem, Rendered
from reports.making import recipient, report

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a@x.example, b@x.example", ["a@x.example", "b@x.example"]),
        ("a@x.example;b@x.example; ", ["a@x.example", "b@x.example"]),
        (' Ann <a@x.example>;\n"Doe; John, Jr" <j@x.example>', ["a@x.example", "j@x.example"]),
        ("", []),
    ],
)
def test_addresses_are_separated_by_commas_or_semicolons(text: str, found: list[str]) -> None:
    """People write lists both ways; a semicolon in a quoted name is part of the name."""
    assert [person.address for person in addresses(text)] == found


def test_message_has_all_that_was_filled_in(tmp_path: Path) -> None:
    """Addresses, bodies, documents and images become one message."""
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\r\n")
    rendered = Rendered(
        to="Ann <a@x.example>",
        cc="c@x.example",
        reply_to="r@x.example",
        sender="Sales <s@x.example>",
        subject="Invoice",
        text="text",
        html='<img src="cid:logo.png">',
        documents=(Document("a.pdf", b"%PDF"),),
        inline=(Document("logo.png", path=tmp_path / "logo.png"),),
    )
    message = message_of(report(tmp_path), rendered)
    assert message.to == (NamedAddress("Ann", "a@x.example"),)
    assert message.sender == NamedAddress("Sales", "s@x.example")
    assert [one.name for one in message.attachments] == ["a.pdf"]
    assert [cid for cid, _ in message.inline] == ["logo.png"]


def test_report_in_test_mode_reaches_the_tester_only(tmp_path: Path) -> None:
    """With a test address, nobody else gets anything; the message says who would have."""
    one = report(tmp_path, test_to="me@x.example")
    message = message_of(one, Rendered(to="a@x.example", cc="b@x.example", bcc="c@x.example", subject="x"))
    assert message.recipients == ("me@x.example",)
    assert message.headers == (("X-DataPallas-Test-For", "a@x.example, b@x.example, c@x.example"),)
    with pytest.raises(AddressError):
        message_of(one, Rendered(to="not an address"))


@pytest.mark.parametrize(
    ("rendered", "code", "says"),
    [
        (Rendered(to="nobody"), "address", "nobody"),
        (Rendered(to=" "), "address", "There is no address"),
        (Rendered(to="a@x.example\r\nBcc: b@x.example"), "address", "Bcc"),
        (Rendered(to="a@x.example", subject="a\nb"), "template", "a line feed"),
        (Rendered(to="a@x.example", documents=(Document("a.pdf", b"x" * 90_000),)), "size", "octets"),
    ],
)
def test_what_cannot_be_sent_is_a_problem(tmp_path: Path, rendered: Rendered, code: str, says: str) -> None:
    """A bad address or a message that is too large is told with the row it came from."""
    one = report(tmp_path, limits=Limits(message_octets=100_000))
    found = message_or_problem(one, recipient("7"), rendered)
    assert isinstance(found, Problem)
    assert (found.code, found.place, found.key) == (code, "line 7", "7")
    assert says in found.text


def test_file_of_all_recipients_is_one_content(tmp_path: Path) -> None:
    """A file that a thousand recipients get is in the outbox once."""
    (tmp_path / "terms.pdf").write_bytes(bytes(range(256)) * 400)
    one = report(tmp_path)
    composer, splitter = Composer(NamedAddress("", "me@x.example")), Splitter()
    for number in range(20):
        rendered = Rendered(
            to=f"a{number}@x.example", documents=(Document("terms.pdf", path=tmp_path / "terms.pdf"),)
        )
        message = message_or_problem(one, recipient(str(number)), rendered)
        assert isinstance(message, Message)
        splitter.take(composer.compose(message))
    assert len(splitter.fresh) == 1
