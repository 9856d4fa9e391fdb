"""What can be said in a message, and what is refused with a sentence before anything is sent."""

from __future__ import annotations

import datetime as dt
import io
import os
from typing import TYPE_CHECKING, Any

import pytest

from datapallas.connection.model import Connection, Server
from datapallas.errors import AddressError, AttachmentError, DataPallasError, MessageError
from datapallas.mail.address import NamedAddress, parse_many
from datapallas.mail.attachment import Attachment
from datapallas.mail.envelope import Envelope
from datapallas.mail.message import Message, test_message
from datapallas.mail.source import IN_MEMORY, File, Spooled

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a@x.example", [("", "a@x.example")]),
        ("a@x.example, b@x.example,", [("", "a@x.example"), ("", "b@x.example")]),
        ("Ann B. <a@x.example>", [("Ann B.", "a@x.example")]),
        ('"Doe, John" <a@x.example>, b@x.example', [("Doe, John", "a@x.example"), ("", "b@x.example")]),
        (r'"A \"B\" \\" <a@x.example>', [('A "B" \\', "a@x.example")]),
        ('"odd,local"@x.example', [("", '"odd,local"@x.example')]),
        ("a@x.example <A@x.example>", [("a@x.example", "A@x.example")]),
        (
            ["Ann <a@x.example>", NamedAddress("B, C", "b@x.example")],
            [("Ann", "a@x.example"), ("B, C", "b@x.example")],
        ),
        ("a@Bücher.example", [("", "a@xn--bcher-kva.example")]),
        ("a@straße.example", [("", "a@xn--strae-oqa.example")]),
        ("用户@x.example", [("", "用户@x.example")]),
        ("a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
    ],
)
def test_addresses_as_people_write_them(given: Any, expected: list[tuple[str, str]]) -> None:
    """One address, a list in one text, a sequence, names with commas, other scripts."""
    assert [(one.name, one.address) for one in parse_many(given)] == expected


@pytest.mark.parametrize(
    "given",
    [
        "a@x.example\r\nBcc: evil@x.example",
        "a@x.example\n",
        "a@x>\r\nRCPT TO:<evil@x.example",
        "a\0@x.example",
        "a b@x.example",
        "nobody",
        "@x.example",
        "a@",
        "a@x..example",
        "a@x.example; b@x.example",
        "a@x.example b@x.example",
        "a@x.example; B <b@x.example>",
        "a@x.example B <b@x.example>",
        '"open <a@x.example>',
        "Doe, John <a@x.example>",
        "Ann\r\nBcc: evil@x.example <a@x.example>",
        ["a@x.example, b@x.example"],
        ["Doe, John <a@x.example>"],
        [""],
        [7],
        "a" * 65 + "@x.example",
        "a@" + "x" * 64 + ".example",
        "a@" + "x." * 130 + "example",
        "Ann \ud800 <a@x.example>",
        "a@xn--a.\u2028example",
    ],
)
def test_what_is_no_address_is_refused_and_never_repaired(given: Any) -> None:
    """A line break, a space, a second address in one item: an error with a sentence, and no address is cut short."""
    with pytest.raises(AddressError) as caught:
        parse_many(given)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"to": ""}, "no recipient"),
        ({"to": []}, "no recipient"),
        ({"subject": "a\r\nBcc: evil@x.example"}, "subject holds a carriage return"),
        ({"subject": "a\n"}, "subject holds a line feed"),
        ({"subject": "a\0"}, "subject holds a NUL"),
        ({"subject": None}, "subject is a text, not NoneType"),
        ({"headers": {"X-A": "1\nX-B: 2"}}, "header X-A holds a line feed"),
        ({"headers": {"X-A: 1\r\nX-B": "2"}}, "not the name of a header"),
        ({"headers": {"": "2"}}, "not the name of a header"),
        ({"headers": {"Bcc": "a@x.example"}}, "Give bcc instead"),
        ({"headers": {"content-type": "text/html"}}, "not a message's own"),
        ({"headers": [("Received", "x")]}, "not a message's own"),
        ({"text": "half \ud800"}, "half a character"),
        ({"html": b"<p>"}, "html body is a text, not bytes"),
        ({"inline": {"logo": b"x"}}, "need an html body"),
        ({"html": "h", "inline": {"lo>go": b"x"}}, "cannot be the cid"),
        ({"html": "h", "inline": [("a", Attachment("a", b"")), ("a", Attachment("a", b""))]}, "the same cid"),
        ({"date": dt.datetime(1, 1, 1, tzinfo=dt.UTC)}, "not one a message can have"),
        ({"date": "2026-11-24"}, "not a moment"),
        ({"message_id": "no at"}, "not a Message-ID"),
        ({"message_id": "<a@b>\r\nX: y"}, "not a Message-ID"),
        ({"attachments": "figures.pdf"}, "a list"),
        ({"attachments": ["/does/not/exist.pdf"]}, "exist.pdf does not exist"),
        ({"attachments": ["/tmp"]}, "is a folder"),
        ({"attachments": ["/dev/null"]}, "not a plain file"),
        ({"attachments": ["a\0b"]}, "not the path"),
        ({"attachments": [b"octets"]}, "needs a name"),
        ({"attachments": [7]}, "not int"),
    ],
)
def test_what_cannot_be_sent_is_refused_when_it_is_said(fields: dict[str, Any], sentence: str) -> None:
    """Every mistake in a message is one plain sentence at once, and exit code 65."""
    with pytest.raises(MessageError, match=sentence) as caught:
        Message(**{"to": "a@x.example", **fields})
    assert caught.value.exit_code == 65
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["a\r\nb.pdf", "../a.pdf", "..", "", "a" * 256, "a\0.pdf", "\udcff.pdf"])
def test_bad_attachment_names(name: str) -> None:
    """A name that would add a header line, or leave the folder on the other side, is refused."""
    with pytest.raises(AttachmentError):
        Attachment(name, b"")


@pytest.mark.parametrize(
    "kind", ["pdf", "text/html; charset=x", "a/b\r\nX: y", "message/rfc822", "multipart/mixed"]
)
def test_bad_media_types(kind: str) -> None:
    """A media type that is none, or that would add a parameter, is refused."""
    with pytest.raises(AttachmentError):
        Attachment("a", b"", kind)


def test_streams(tmp_path: Path) -> None:
    """A short stream is kept in memory, a long one in a file that nobody else can open; text and closed ones are refused."""
    assert list(Attachment("a", io.BytesIO(b"abc")).content.read(3, 2)) == [b"ab", b"c"]
    data = os.urandom(IN_MEMORY * 2 + 7)
    spooled = Attachment("a", io.BytesIO(data)).content
    assert isinstance(spooled, Spooled)
    assert spooled.size() == len(data)
    assert b"".join(spooled.read(len(data), 1 << 16)) == data == b"".join(spooled.read(len(data), 1 << 20))
    with pytest.raises(AttachmentError, match="gives text"):
        Attachment("a", io.StringIO("abc"))  # type: ignore[arg-type]
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(AttachmentError, match="closed"):
        Attachment("a", closed)


def test_a_fresh_time_stamp_is_not_trusted(tmp_path: Path) -> None:
    """A file that was written just now is read again for the next message: another change could look the same."""
    file = tmp_path / "figures.csv"
    file.write_bytes(b"1")
    assert File(str(file)).version() is None
    assert File(os.__file__).version() is not None


def test_media_types_are_known_from_the_name() -> None:
    """The type comes from the ending, else from the first octets, else it is unknown; compressed is not the inside."""
    known = [
        ("a.PDF", b"", "application/pdf"),
        ("a.mp3", b"", "audio/mpeg"),
        ("logo", b"\x89PNG\r\n", "image/png"),
        ("a", b"", "application/octet-stream"),
        ("mail.eml", b"", "application/octet-stream"),
        ("a.tar.bz2", b"", "application/octet-stream"),
    ]
    for name, octets, kind in known:
        assert Attachment(name, octets).content_type == kind


def test_a_copy_is_checked_like_any_message() -> None:
    """A message can be changed into another one, and the change is checked."""
    message = Message(to="a@x.example", subject="one", attachments=[Attachment("a", b"a")])
    copy = message.replace(to=["b@x.example"], subject="two")
    assert (copy.recipients, copy.subject, copy.attachments) == (("b@x.example",), "two", message.attachments)
    with pytest.raises(MessageError):
        message.replace(subject="a\nb")


def test_ten_thousand_recipients_count_once_each() -> None:
    """A message to 10,000 people is fine, and who is named twice gets one copy."""
    people = [f"Person {number} <p{number}@x.example>" for number in range(10_000)]
    assert len(Message(to=people, cc=people[:10], bcc="p1@x.example").recipients) == 10_000


@pytest.mark.parametrize(
    ("sender", "recipients"),
    [("a@x", ()), ("a b@x", ("b@x",)), ("a@x", ("b@x>\r\nDATA",)), ("a@x\n", ("b@x",)), ("a@x", ("<b@x>",))],
)
def test_an_envelope_is_checked(sender: str, recipients: tuple[str, ...]) -> None:
    """No address can smuggle a command to the mail server."""
    with pytest.raises(DataPallasError):
        Envelope(sender, recipients)


def test_the_test_email_says_where_it_came_from() -> None:
    """The test email names the connection, and a name that looks like HTML stays text."""
    connection = Connection(
        code="eml-a", name="<b>A</b>", from_address="a@x.example", server=Server(host="<i>mail")
    )
    message = test_message(connection, "b@x.example")
    assert message.recipients == ("b@x.example",)
    assert "eml-a" in message.text and "eml-a" in message.html
    assert "<i>" not in message.html
