"""Messages on the wire, read back by the standard library, which shares no code with us."""

from __future__ import annotations

import datetime as dt
import email
import email.message
import email.policy
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapallas.errors import AttachmentError, UsageError
from datapallas.mail.address import NamedAddress
from datapallas.mail.attachment import Attachment
from datapallas.mail.compose import Composed, Composer
from datapallas.mail.encoding import base64_lines
from datapallas.mail.message import Message
from datapallas.mail.shelf import Shelf
from datapallas.mail.source import IN_MEMORY, Octets

if TYPE_CHECKING:
    from collections.abc import Callable

REPORTS = NamedAddress("Reports", "reports@contoso.example")
PNG = b"\x89PNG\r\n\x1a\n and the rest"
LINE = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=60)
BODY = st.text(st.characters(codec="utf-8"), max_size=2000) | st.text(" .\n\r=\tFé-", max_size=300)


def compose(message: Message, envelope_from: str | None = None) -> Composed:
    return Composer(REPORTS).compose(message, envelope_from=envelope_from)


def parse(composed: Composed) -> email.message.EmailMessage:
    """Check what must hold for every message, then parse it."""
    data = bytes(composed)
    assert len(data) == composed.size
    assert data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n")
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert data.endswith(b"\r\n")
    parsed = email.message_from_bytes(data, policy=email.policy.SMTP)
    for part in parsed.walk():
        assert not part.defects, part.defects
    assert isinstance(parsed, email.message.EmailMessage)
    return parsed


def content(part: email.message.Message | None) -> str:
    """The text of a part, with line feeds."""
    assert part is not None
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")


def lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(subject=LINE, text=BODY, html=BODY, name=LINE.map(str.strip), value=LINE)
@settings(deadline=None)
def test_any_message_is_read_back_as_it_was_meant(
    subject: str, text: str, html: str, name: str, value: str
) -> None:
    """Whatever the fields hold, a reader finds exactly these headers, recipients and bodies."""
    message = Message(
        to=[NamedAddress(name, "a@x.example"), "b@x.example"],
        bcc="secret@x.example",
        subject=subject,
        text=text or "t",
        html=html or "h",
        headers={"X-Row": value},
        attachments=[Attachment("data.bin", text.encode())],
    )
    composed = compose(message)
    parsed = parse(composed)
    expected = ["From", "To", "Subject", "Date", "Message-ID", "X-Row", "MIME-Version", "Content-Type"]
    assert parsed.keys() == expected
    assert [one.addr_spec for one in parsed["To"].addresses] == ["a@x.example", "b@x.example"]
    plain, rich, data = [part for part in parsed.walk() if not part.is_multipart()]
    # A body ends with the line end that was in it, and a mail server cannot tell whether there was none.
    assert content(plain) == lines(text or "t")
    assert content(rich) == lines(html or "h")
    assert data.get_payload(decode=True) == text.encode()
    assert b"secret" not in bytes(composed)
    assert composed.envelope.recipients == ("a@x.example", "b@x.example", "secret@x.example")
    assert not composed.smtputf8


def test_the_whole_structure() -> None:
    """Text, HTML, inline image and attachment are nested as mail programs expect it."""
    message = Message(
        to="Ann Übermut <a@x.example>, b@x.example",
        cc='"Doe, John" <c@x.example>',
        reply_to="answers@contoso.example",
        subject="Zahlen für März",
        text="Grüße\n",
        html='<p>Grüße <img src="cid:logo"></p>',
        inline={"logo": PNG},
        attachments=[Attachment("Übersicht.pdf", b"%PDF"), Attachment("rows.csv", io.BytesIO(b"a,b\r\n"))],
        date=dt.datetime(2026, 11, 24, 12, 30, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        message_id="fixed@contoso.example",
    )
    parsed = parse(compose(message))
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/mixed",
        "multipart/related",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "image/png",
        "application/pdf",
        "text/csv",
    ]
    assert parsed["From"] == "Reports <reports@contoso.example>"
    assert parsed["Subject"] == "Zahlen für März"
    assert parsed["Date"].datetime == message.date
    assert parsed["Message-ID"] == "<fixed@contoso.example>"
    assert parsed["Reply-To"] == "answers@contoso.example"
    assert [one.display_name for one in parsed["To"].addresses] == ["Ann Übermut", ""]
    assert parsed["Cc"].addresses[0].display_name == "Doe, John"
    assert [part.get_filename() for part in parsed.iter_attachments()] == ["Übersicht.pdf", "rows.csv"]
    related = next(part for part in parsed.walk() if part.get_content_type() == "multipart/related")
    assert related.get_param("type") == "multipart/alternative"
    image = next(part for part in parsed.walk() if part.get_content_type() == "image/png")
    assert image["Content-ID"] == "<logo>"
    assert image.get_payload(decode=True) == PNG


def test_it_says_what_the_standard_library_would_say() -> None:
    """The same message built by EmailMessage has the same headers, parts and contents."""
    reference = email.message.EmailMessage(policy=email.policy.SMTP)
    reference["From"] = "Reports <reports@contoso.example>"
    reference["To"] = "Jörg <a@x.example>, b@x.example"
    reference["Subject"] = "Figures, März " + "and more " * 12
    reference.set_content("text é\n")
    reference.add_alternative("<p>html é</p>\n", subtype="html")
    reference.add_attachment(b"%PDF" * 100, maintype="application", subtype="pdf", filename="figures.pdf")
    theirs = email.message_from_bytes(reference.as_bytes(), policy=email.policy.SMTP)
    ours = parse(
        compose(
            Message(
                to="Jörg <a@x.example>, b@x.example",
                subject=str(reference["Subject"]),
                text="text é\n",
                html="<p>html é</p>\n",
                attachments=[Attachment("figures.pdf", b"%PDF" * 100)],
            )
        )
    )
    for name in ("From", "To", "Subject", "MIME-Version"):
        assert str(ours[name]) == str(theirs[name])
    for our, their in zip(ours.walk(), theirs.walk(), strict=True):
        assert our.get_content_type() == their.get_content_type()
        assert our.get_filename() == their.get_filename()
        assert our.get_content_disposition() == their.get_content_disposition()
        if not our.is_multipart():
            assert content(our) == content(their)


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"text": "t"}, ["text/plain"]),
        ({"html": "h"}, ["text/html"]),
        ({}, ["text/plain"]),
        ({"attachments": [Attachment("a", b"")]}, ["multipart/mixed", "application/octet-stream"]),
        ({"html": "h", "inline": {"i": PNG}}, ["multipart/related", "text/html", "image/png"]),
        ({"text": "t", "html": "h"}, ["multipart/alternative", "text/plain", "text/html"]),
    ],
)
def test_no_more_structure_than_needed(fields: dict[str, object], kinds: list[str]) -> None:
    """A plain text message is just that; multiparts appear only with what they hold."""
    parsed = parse(compose(Message(to="a@x.example", **fields)))  # type: ignore[arg-type]
    assert [part.get_content_type() for part in parsed.walk()] == kinds


def test_only_bcc_still_has_a_to_header() -> None:
    """A message with hidden recipients only names none of them, and servers that want a To header get one."""
    composed = compose(Message(bcc=["a@x.example", "b@x.example"], subject="s"))
    assert b"x.example" not in bytes(composed).replace(b"contoso.example", b"")
    assert parse(composed)["To"] == "undisclosed-recipients:;"


def test_addresses_of_other_scripts() -> None:
    """A domain in other letters is sent in ASCII; a name before the @ in other letters needs SMTPUTF8, and says so."""
    plain = compose(Message(to="Anna <anna@bücher.example>"))
    assert plain.envelope.recipients == ("anna@xn--bcher-kva.example",)
    assert not plain.smtputf8 and not plain.eightbit
    unicode = compose(Message(to="Jörg <jörg@bücher.example>", subject="é"))
    assert unicode.smtputf8 and unicode.eightbit
    assert "To: =?utf-8?b?SsO2cmc=?= <jörg@xn--bcher-kva.example>\r\n" in bytes(unicode).decode()
    hidden = compose(Message(to="a@x.example", bcc="jörg@x.example"))
    assert hidden.smtputf8 and not hidden.eightbit


def test_who_it_is_from() -> None:
    """From is the mailbox unless the message says otherwise; the envelope follows it unless told otherwise."""
    other = Message(to="a@x.example", sender="Ann <ann@fabrikam.example>")
    composed = compose(other)
    assert parse(composed)["From"] == "Ann <ann@fabrikam.example>"
    assert composed.envelope.sender == "ann@fabrikam.example"
    assert composed.message_id.endswith("@fabrikam.example>")
    assert compose(other, "bounces@contoso.example").envelope.sender == "bounces@contoso.example"
    assert compose(other, "").envelope.sender == ""


def test_every_message_has_its_own_id_and_boundary() -> None:
    """Two sendings of one message can be told apart, and nobody can guess a boundary."""
    message = Message(to="a@x.example", text="t", html="h")
    one, two = bytes(compose(message)), bytes(compose(message))
    for pattern in (rb"Message-ID: (.*)\r", rb'boundary="(.*)"'):
        assert re.findall(pattern, one) != re.findall(pattern, two)


def test_a_job_shares_its_attachments(tmp_path: Path) -> None:
    """The messages of a job differ in what is theirs and share the attachment that was encoded once."""
    file = tmp_path / "figures.pdf"
    file.write_bytes(b"%PDF" * 20_000)
    composer = Composer(REPORTS)
    template = Message(to="nobody@x.example", subject="Figures", text="t", html="h", attachments=[file])
    skeleton = composer.skeleton(template)
    file.unlink()
    made = [
        skeleton.compose(to=f"p{n}@x.example", subject=f"Figures {n}", text=f"Dear {n}") for n in range(3)
    ]
    for number, composed in enumerate(made):
        parsed = parse(composed)
        assert parsed["To"] == f"p{number}@x.example"
        assert parsed["Subject"] == f"Figures {number}"
        assert [part.get_payload(decode=True) for part in parsed.iter_attachments()] == [b"%PDF" * 20_000]
    shared = [[chunk for chunk in composed.chunks() if len(chunk) > 100_000] for composed in made]
    assert shared[0][0] is shared[1][0] is shared[2][0]
    with pytest.raises(UsageError, match="share"):
        skeleton.compose(to="a@x.example", attachments=[])


def test_equal_attachments_are_encoded_once_without_asking() -> None:
    """A program that attaches the same file, or equal octets, to each message does not pay for it each time."""
    composer = Composer(REPORTS)

    def encoded(attachment: Attachment) -> object:
        composed = composer.compose(Message(to="a@x.example", attachments=[attachment]))
        return next(chunk for chunk in composed.chunks() if len(chunk) > 100_000)

    octets = [encoded(Attachment("x", bytes(bytearray(b"%PDF" * 20_000)))) for _ in range(2)]
    assert octets[0] is octets[1]
    # A file that nobody changed just now; so fresh a time stamp as that of a new one would not be trusted.
    files = [encoded(Attachment("", zipfile.__file__)) for _ in range(2)]
    assert files[0] is files[1]


def test_what_is_kept_is_bounded() -> None:
    """A mailbox that sends ever other attachments does not grow: the ones not used for longest are forgotten."""
    shelf = Shelf(budget=1_000_000)
    sources = [Octets(bytes([number]) * 100_000) for number in range(10)]
    first = shelf.encoded(sources[0])
    for source in sources:
        assert shelf.encoded(source) == base64_lines(source.data)
        assert shelf.encoded(sources[0]) is first
    assert shelf._weight <= 1_000_000
    assert shelf.encoded(sources[9]) is shelf.encoded(sources[9])
    again = shelf.encoded(sources[1])
    assert again == base64_lines(sources[1].data)


def test_many_small_files_are_not_all_held(tmp_path: Path) -> None:
    """Fifty files of 2 MB are streamed like one large one."""
    file = tmp_path / "page.bin"
    file.write_bytes(b"x" * IN_MEMORY)
    composed = compose(Message(to="a@x.example", attachments=[file] * 50))
    held = sum(len(segment) for segment in composed._segments if isinstance(segment, bytes))
    assert held < 24_000_000
    assert composed.size > 140_000_000


def test_a_rewritten_file_is_sent_as_it_is_now(tmp_path: Path) -> None:
    """A report that is written anew between two messages goes out in its new form, however quickly it was done."""
    file = tmp_path / "figures.pdf"
    composer = Composer(REPORTS)
    for number in range(50):
        file.write_bytes(b"%06d" % number)
        parsed = parse(composer.compose(Message(to="a@x.example", attachments=[file])))
        assert next(parsed.iter_attachments()).get_payload(decode=True) == b"%06d" % number


@pytest.mark.parametrize("size", [IN_MEMORY + 1, 3 * 1024 * 1024 + 57, 57 * 1024 * 40])
def test_a_large_file_is_streamed_and_arrives_whole(tmp_path: Path, size: int) -> None:
    """A large attachment is never in memory as a whole, its size is known before, and it arrives as it was."""
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    for content_ in (file, file.open("rb")):
        composed = compose(
            Message(to="a@x.example", text="t", attachments=[Attachment("large.bin", content_)])
        )
        assert max(map(len, composed.chunks())) < 100_000
        assert next(parse(composed).iter_attachments()).get_payload(decode=True) == file.read_bytes()
        if not isinstance(content_, Path):
            content_.close()


@pytest.mark.parametrize("change", ["shorter", "longer", "other", "gone"])
def test_a_file_that_changes_is_never_sent_as_complete(tmp_path: Path, change: str) -> None:
    """When a file changes between the first and the last octet, the message is broken off before its end."""
    file = tmp_path / "growing.log"
    file.write_bytes(b"0123456789" * 400_000)
    composed = compose(Message(to="a@x.example", text="t", attachments=[file]))
    given_: list[bytes | memoryview] = []

    def read() -> None:
        for chunk in composed.chunks():
            given_.append(chunk)
            if len(given_) == (5 if change == "other" else 1):
                CHANGES[change](file)

    with pytest.raises(AttachmentError, match=r"changed|does not exist"):
        read()
    assert not b"".join(given_).endswith(b"--\r\n")
    assert sum(map(len, given_)) < composed.size


CHANGES: dict[str, Callable[[Path], object]] = {
    "shorter": lambda file: file.write_bytes(b"0123"),
    "longer": lambda file: file.write_bytes(b"0123456789" * 400_001),
    "other": lambda file: file.write_bytes(b"9876543210" * 400_000),
    "gone": lambda file: file.unlink(),
}


MEASURE = """
import sys
from datapallas.mail.address import NamedAddress
from datapallas.mail.compose import Composer
from datapallas.mail.message import Message

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

composer = Composer(NamedAddress("", "a@x.example"))
before = peak()
composed = composer.compose(Message(to="b@x.example", text="t", attachments=[sys.argv[1]]))
size = sum(map(len, composed.chunks()))
assert size == composed.size, (size, composed.size)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_file_of_100_mb_costs_little_memory(tmp_path: Path) -> None:
    """An attachment of 100 MB raises the peak memory of composing by a few megabytes."""
    file = tmp_path / "large.bin"
    with file.open("wb") as out:
        out.truncate(100 * 1024 * 1024)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file)], capture_output=True, text=True, check=True, timeout=180
    )
    assert int(done.stdout) < 8 * 1024
