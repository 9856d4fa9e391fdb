"""Cutting and stuffing the text of a message."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.errors import MessageError
from datapallas.smtp.body import BytesBody, Octets, pieces, stuffed

lines = st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\r", b".").replace(b"\n", b"")))
texts = st.builds(lambda said, ended: b"\r\n".join(said) + b"\r\n" * ended, lines, st.booleans())


def cut(data: bytes, cuts: list[int]) -> list[Octets]:
    """Cut into pieces, every other one a memoryview."""
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    found = [data[start:end] for start, end in itertools.pairwise(at)]
    return [memoryview(piece) if number % 2 else piece for number, piece in enumerate(found)]


@given(texts, st.lists(st.integers(0, 100)), st.integers(1, 5))
def test_dots_are_stuffed_wherever_the_pieces_end(text: bytes, cuts: list[int], limit: int) -> None:
    """The text of DATA is the same however the message is cut, and comes out again as it went in."""
    data = b"".join(stuffed(cut(text, cuts), limit))
    whole = text if text.endswith(b"\r\n") or not text else text + b"\r\n"
    said = [b"." + line if line.startswith(b".") else line for line in whole.split(b"\r\n")]
    assert data == b"\r\n".join(said) + b".\r\n"


@given(
    st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"x"]), max_size=12).map(b"".join),
    st.lists(st.integers(0, 30)),
    st.integers(1, 5),
)
def test_no_bare_line_end_leaves(text: bytes, cuts: list[int], limit: int) -> None:
    """A bare CR or LF, by which mail is smuggled, is refused wherever the pieces end; nothing else is."""
    rest = text.replace(b"\r\n", b"")
    if b"\r" in rest or b"\n" in rest:
        with pytest.raises(MessageError):
            b"".join(stuffed(cut(text, cuts), limit))
        with pytest.raises(MessageError):
            BytesBody(text)
    else:
        assert b"".join(stuffed(cut(text, cuts), limit)).endswith(b"\r\n.\r\n" if text else b".\r\n")
        assert BytesBody(text).size == len(text)


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 40))
def test_pieces_are_whole_and_not_too_large(chunks: list[bytes], limit: int) -> None:
    """Grouping loses nothing, and no group is larger than it may be."""
    groups = list(pieces(chunks, limit))
    assert b"".join(bytes(part) for group in groups for part in group) == b"".join(chunks)
    sizes = [sum(map(len, group)) for group in groups]
    assert all(0 < size <= limit for size in sizes)


def test_a_large_piece_is_not_copied() -> None:
    """A message in memory is cut by views, not by copies."""
    data = b"x" * 1000
    for group in pieces([data], 300):
        (part,) = group
        assert isinstance(part, memoryview)
        assert part.obj is data


def test_a_body_says_what_it_needs() -> None:
    """Octets above 127 are announced."""
    assert not BytesBody(b"plain\r\n").eightbit
    assert BytesBody("grün\r\n".encode()).eightbit
    assert BytesBody(b"x\r\n").size == 3
