"""Where a message ends, and what is refused in it: smuggling, bare line ends, long lines, size, in any pieces."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datapallas.smtp.server.content import BARE, LONG_LINE, NUL, TOO_BIG, DotReader, Inspection, Intake
from datapallas.smtp.server.policy import Limits, Offer
from smtp.server_harness import Desk, signed_in

START = b"MAIL FROM:<u@x.example>\r\nRCPT TO:<r@y.example>\r\n"
SMUGGLED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<r@y.example>\r\nDATA\r\nsmuggled\r\n.\r\n"
# What other servers took for the end of DATA (CVE-2023-51764, -51765, -51766, 2024-27305 and the reports on them).
FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n\n.\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
]
ALPHABET = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"a", b"\x00", b"\xff"]), max_size=40
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("end", FALSE_ENDS)
@pytest.mark.parametrize("piece", [0, 1])
def test_no_second_message_can_be_smuggled(end: bytes, piece: int) -> None:
    """What only looks like the end of DATA ends nothing; the message is refused, and no command in it is obeyed."""
    desk = signed_in()
    said = desk.hear(START + b"DATA\r\nbefore" + end + SMUGGLED + b"QUIT\r\n", piece)
    assert not desk.mails
    assert "354" in said and "evil" not in said
    assert said.count("250 2.1.0") == 1
    assert re.search(r"554 5\.6\.(11|0) ", said)
    assert said.endswith("221 2.0.0 Bye\r\n")


def test_chunks_cannot_smuggle_either() -> None:
    """Octets of a chunk are never commands, and a bare line end in them is refused as well."""
    desk = signed_in()
    inside = b"x\r\n.\r\n" + SMUGGLED
    said = desk.hear(START + b"BDAT %d LAST\r\n" % len(inside) + inside)
    assert said.endswith("250 2.0.0 OK\r\n") and len(desk.mails) == 1 and desk.mails[0][1] == inside
    said = desk.hear(START + b"BDAT 3\r\na\nbBDAT 2 LAST\r\n\r\nNOOP\r\n")
    assert said.endswith(
        "554 5.6.11 Bare CR or LF is not allowed in a message\r\n"
        "503 5.5.1 Not now: bad sequence of commands\r\n250 2.0.0 OK\r\n"
    )
    assert len(desk.mails) == 1


def test_a_bare_line_end_in_a_command_is_refused_and_not_obeyed() -> None:
    """A command cannot be hidden behind a lone LF or CR."""
    desk = signed_in()
    assert desk.hear(b"NOOP\nQUIT\r\n").startswith("500 5.5.2 Lines end with CR LF\r\n221")
    desk = signed_in()
    assert desk.hear(b"NOOP\rQUIT\r\n") == "500 5.5.2 Control characters are not allowed\r\n"


@given(ALPHABET, st.lists(st.integers(0, 10_000), max_size=8))
@example([b"\r\n.", b"\r\n"], [])
@example([b".", b"\r\n"], [1, 2])
def test_data_ends_at_the_first_true_end(parts: list[bytes], places: list[int]) -> None:
    """However it is cut: the text is what stands before the first CR LF . CR LF, with one leading dot a line less."""
    wire = b"".join(parts) + b"\r\n.\r\nrest"
    whole = b"\r\n" + wire
    end = whole.find(b"\r\n.\r\n")
    expected = whole[: end + 2].replace(b"\r\n.", b"\r\n")[2:]
    reader, text, after = DotReader(), b"", None
    for piece in cut(wire, places):
        if after is not None:
            after += piece
            continue
        more, after = reader.feed(piece)
        text += more
    assert (text, after) == (expected, whole[end + 5 :])


@given(ALPHABET, st.lists(st.integers(0, 10_000), max_size=8), st.integers(2, 12), st.integers(0, 60))
def test_inspection_does_not_depend_on_the_pieces(
    parts: list[bytes], places: list[int], line: int, size: int
) -> None:
    """A message is refused exactly when it has a bare CR or LF, a NUL, a long line, or is too big."""
    data = b"".join(parts)
    inspection = Inspection(max_size=size, max_line=line)
    for piece in cut(data, places):
        inspection.take(piece)
    stripped = data.replace(b"\r\n", b"")
    lines = data.split(b"\n")
    # A line may have `line` octets with its LF; the last, unfinished one as many without.
    too_long = any(len(one) > line - 1 for one in lines)
    bad = b"\r" in stripped or b"\n" in stripped or b"\0" in data or too_long or len(data) > size
    assert (inspection.end() is not None) is bad
    assert inspection.size == len(data)


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"a" * 998 + b"\r\n", None),
        (b"a" * 999 + b"\r\n", LONG_LINE),
        (b"ok\r\n" + b"a" * 5000, LONG_LINE),
        (b"a\0", NUL),
        (b"a\rb", BARE),
        (b"a\nb", BARE),
        (b"a\r", BARE),
        (b"ab\r\n" * 2501, TOO_BIG),
        (b"ab\r\n" * 2500, None),
    ],
)
def test_each_refusal_has_its_words(data: bytes, refusal: object) -> None:
    """The reply says which it was."""
    inspection = Inspection(max_size=10_000, max_line=1000)
    inspection.take(data)
    assert inspection.end() is refusal


def test_a_dot_put_in_for_transparency_does_not_make_a_line_too_long() -> None:
    """998 octets that begin with a dot travel as 999 and are taken."""
    desk = signed_in()
    line = b"." + b"a" * 997
    assert desk.hear(START + b"DATA\r\n." + line + b"\r\n.\r\n").endswith("250 2.0.0 OK\r\n")
    assert desk.mails[0][1] == line + b"\r\n"


def test_an_intake_gives_back_what_came_after() -> None:
    """What follows a chunk in the same piece is not the chunk's."""
    intake = Intake(max_size=100, max_line=100)
    intake.expect(3)
    assert intake.feed(b"ab") == (b"ab", None)
    assert intake.feed(b"cNOOP") == (b"c", b"NOOP")


LINES = [
    (b"x" * 999, "500 5.5.2 Line too long"),
    (b"MAIL FROM:<" + b"x" * 2000 + b"@x.example>", "500 5.5.2 Line too long"),
    (b"\x00", "500 5.5.2 Control"),
    (b"NOOP \x7f", "500 5.5.2 Control"),
    (b"NOOP \xff\xfe", "500 5.5.2 Not UTF-8"),
    (b"", "500 5.5.2 Command not known"),
    (b" NOOP", "500 5.5.2 Command not known"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "500 5.5.2"),
    (b"GET / HTTP/1.1", "500 5.5.2 Command not known"),
    (b"MAIL FROM: u@x.example", "501 5.1.7"),
    (b"MAIL FROM:<a b@x.example>", "501 5.1.7"),
    (b"MAIL FROM:<u@x.example>x", "501 5.1.7"),
    (b"MAIL FROM:<u@x.example", "501 5.1.7"),
    (b"MAIL TO:<u@x.example>", "501 5.5.4"),
    (b"MAIL", "501 5.5.4"),
    (b"RCPT FROM:<u@x.example>", "501 5.5.4"),
    (b"DATA now", "501 5.5.4"),
    (b"QUIT now", "501 5.5.4"),
    (b"STARTTLS now", "501 5.5.4"),
    (b"BDAT", "501 5.5.4"),
    (b"BDAT -1", "501 5.5.4"),
    (b"BDAT 99999999999999999999", "501 5.5.4"),
    (b"AUTH", "501 5.5.4"),
]


@pytest.mark.parametrize(("line", "reply"), LINES)
def test_malformed_lines_get_one_refusal(line: bytes, reply: str) -> None:
    """Each gets its reply and nothing happens; the session goes on, but after a BDAT nobody understands."""
    desk = signed_in()
    said = desk.hear(line + b"\r\nNOOP\r\n")
    assert said.startswith(reply)
    assert said.endswith(
        "421 4.7.0 BDAT not understood, closing\r\n" if b"BDAT" in line else "250 2.0.0 OK\r\n"
    )
    assert not desk.mails


def test_a_line_without_end_ends_the_session_and_is_not_held() -> None:
    """Megabytes without a line end are not kept in memory."""
    desk = signed_in()
    for _ in range(100):
        desk.hear(b"x" * 10_000)
    assert desk.said.endswith(b"421 4.7.0 A line without end\r\n") and desk.closed
    assert len(desk.server._session.lines.held) == 0


def test_long_lines_are_for_sign_ins_only() -> None:
    """A token of 8,000 characters is taken inside AUTH; one over 12,288 octets is not."""
    desk = Desk()
    desk.hear(b"EHLO c.example\r\nAUTH PLAIN\r\n")
    assert desk.hear(b"A" * 8000 + b"\r\n").startswith("501 ")
    desk.hear(b"AUTH PLAIN\r\n")
    assert desk.hear(b"A" * 13_000 + b"\r\n") == "500 5.5.2 Line too long\r\n"
    assert desk.hear(b"NOOP\r\n") == "250 2.0.0 OK\r\n"


WORDS = [
    b"EHLO c\r\n",
    b"AUTH PLAIN AHVAeC5leGFtcGxlAGdvb2QtcGFzc3dvcmQ=\r\n",
    b"AUTH XOAUTH2\r\n",
    b"*\r\n",
    b"MAIL FROM:<u@x.example>\r\n",
    b"RCPT TO:<r@y.example>\r\n",
    b"RCPT TO:<550-r@y.example>\r\n",
    b"DATA\r\n",
    b".\r\n",
    b"BDAT 4\r\n",
    b"BDAT 4 LAST\r\n",
    b"ab\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"STARTTLS\r\n",
    b"\r\n",
    b"\n",
    b"\x80",
]


@given(
    st.lists(st.sampled_from(WORDS) | st.binary(max_size=30), max_size=40), st.integers(0, 9), st.booleans()
)
def test_no_input_breaks_the_machine(parts: list[bytes], piece: int, secure: bool) -> None:
    """Any octets in any order: every reply is well formed, and the same octets one by one give the same replies."""
    octets = b"".join(parts)
    offer = Offer(host="mx.example", login_needed=False)
    one, other = (Desk(offer=offer, limits=Limits(errors=1000), secure=secure) for _ in range(2))
    said = one.hear(octets, piece)
    assert said == other.hear(octets, 1)
    for line in said.splitlines():
        assert re.match(r"[2345][0-9][0-9][ -]", line), line
    assert [mail for _, mail in one.mails] == [mail for _, mail in other.mails]
