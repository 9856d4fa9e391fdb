"""Reading what a server says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.errors import ProtocolError
from datapallas.smtp.inbox import Inbox
from datapallas.smtp.reply import MAX_REPLY, MAX_REPLY_LINE, Reply, ReplyParser

words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)
replies = st.builds(
    lambda code, lines: Reply.of(code, *lines),
    st.integers(200, 599),
    st.lists(words, min_size=1, max_size=5),
)


@given(st.lists(replies, max_size=5), st.lists(st.integers(1, 30)))
def test_replies_are_the_same_however_they_are_cut(said: list[Reply], cuts: list[int]) -> None:
    """What a server says means the same in one piece, octet by octet and in pieces of any size."""
    data = b"".join(reply.encode() for reply in said)
    whole = ReplyParser().feed(data)
    parser = ReplyParser()
    assert [reply for octet in data for reply in parser.feed(bytes([octet]))] == whole
    assert parser.empty
    parser, pieces = ReplyParser(), []
    for cut in [*cuts, len(data)]:
        pieces += parser.feed(data[:cut])
        data = data[cut:]
    assert pieces == whole
    assert [(reply.code, reply.lines) for reply in whole] == [(reply.code, reply.lines) for reply in said]


@given(st.binary(max_size=200), st.integers(0, 200))
def test_noise_is_refused_the_same_however_it_is_cut(data: bytes, cut: int) -> None:
    """Octets that are no reply give the same replies before them, and the same error, in one piece or two."""

    def outcome(*pieces: bytes) -> tuple[list[Reply], bool]:
        parser, heard = ReplyParser(), []
        try:
            for piece in pieces:
                heard += parser.feed(piece)
        except ProtocolError:
            pass
        return heard, parser.error is not None

    assert outcome(data) == outcome(data[:cut], data[cut:])


@pytest.mark.parametrize(
    ("line", "enhanced"),
    [
        (b"250 2.1.0 Ok\r\n", "2.1.0"),
        (b"535 5.7.139 Off\r\n", "5.7.139"),
        (b"250 5.1.1 not the class of 250\r\n", ""),
        (b"220 2.0.0.example.com\r\n", ""),
        (b"250 2.0.0\r\n", "2.0.0"),
        (b"250\r\n", ""),
        (b"250 Ok\n", ""),
    ],
)
def test_the_enhanced_status_is_read(line: bytes, enhanced: str) -> None:
    """An enhanced status counts only when it has the form and the class of RFC 2034."""
    (reply,) = ReplyParser().feed(line)
    assert reply.enhanced == enhanced


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\r\n",
        b"25\r\n",
        b"2500 x\r\n",
        b"199 x\r\n",
        b"600 x\r\n",
        b"250-a\r\n251 b\r\n",
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    """A server that does not speak SMTP is told from one that refuses."""
    with pytest.raises(ProtocolError):
        ReplyParser().feed(data)


def test_replies_before_nonsense_still_count() -> None:
    """A message that was accepted stays accepted, whatever nonsense follows in the same packet."""
    parser = ReplyParser()
    assert [reply.code for reply in parser.feed(b"250 queued\r\nnonsense\r\n")] == [250]
    with pytest.raises(ProtocolError):
        parser.feed(b"250 more\r\n")


def feed_without_end(piece: bytes) -> None:
    """Feed far more than any reply may have."""
    parser = ReplyParser()
    for _ in range(2 * MAX_REPLY // len(piece) + 1):
        parser.feed(piece)


@pytest.mark.parametrize("octets", [1, 100, 2 * MAX_REPLY_LINE])
def test_a_line_without_end_is_refused(octets: int) -> None:
    """A server cannot fill our memory with one line."""
    with pytest.raises(ProtocolError):
        feed_without_end(b"2" * octets)


def test_a_reply_without_end_is_refused() -> None:
    """A server cannot fill our memory with many lines of one reply."""
    with pytest.raises(ProtocolError):
        feed_without_end(b"250-" + b"x" * 100 + b"\r\n")


def test_control_characters_of_a_server_do_not_reach_a_terminal() -> None:
    """Escape sequences in a reply are shown as a replacement character."""
    (reply,) = ReplyParser().feed(b"550 \x1b[2Jno\x00 \xff\r\n")
    assert reply.text == "\ufffd[2Jno\ufffd \ufffd"


def test_a_reply_we_make_is_one_reply() -> None:
    """Whatever text a server of ours puts into a reply, it cannot become two."""
    data = Reply.of(550, "no\r\n250 yes", enhanced="5.1.1").encode()
    assert data == b"550 5.1.1 no??250 yes\r\n"


def test_a_reply_nobody_asked_for_ends_the_session() -> None:
    """A reply that comes before its command is not taken for the answer to it."""
    inbox = Inbox()
    inbox.feed(b"220 hello\r\n250 what for?\r\n")
    assert inbox.broken is not None
    assert [reply.code for reply in inbox.take(2)] == [220]
    inbox = Inbox()
    inbox.feed(b"220 hello\r\n25")
    assert inbox.broken is not None
