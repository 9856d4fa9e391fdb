"""Bodies and attachments on the wire: decoded by the standard library, they are what they were."""

from __future__ import annotations

import base64
import os
import quopri
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datapallas.mail.encoding import BLOCK, LINE, base64_block, base64_lines, base64_size, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable

DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "7bit": bytes,
    "quoted-printable": quopri.decodestring,
    "base64": base64.b64decode,
}


@pytest.mark.parametrize(
    "size", [0, 1, 2, 3, LINE - 1, LINE, LINE + 1, 2 * LINE, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5]
)
def test_base64_is_what_the_standard_library_makes(size: int) -> None:
    """Lines of 76 characters, CR LF between them, and a size that is known beforehand."""
    data = os.urandom(size)
    made = base64_lines(data)
    assert len(made) == base64_size(size)
    assert made + b"\r\n" * bool(made) == base64.encodebytes(data).replace(b"\n", b"\r\n")
    blocks = [base64_block(data[at : at + BLOCK]) for at in range(0, size, BLOCK)]
    assert b"\r\n".join(blocks) == made


@given(
    st.text(st.characters(codec="utf-8"), max_size=300)
    | st.text(" .\t\n\r=Aé-\0", max_size=300)
    | st.integers(0, 4).map(lambda lines: ("word " * 300 + "é\n") * lines)
    | st.integers(900, 1100).map("x".__mul__)
)
@settings(deadline=None)
def test_any_text_survives(text: str) -> None:
    """A text is read back as it was, its line ends as CR LF; every line is ASCII and short enough for any server."""
    name, coded = encode_text(text)
    expected = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert DECODERS[name](coded).decode() == expected
    assert coded.isascii() and b"\0" not in coded
    assert coded.count(b"\r") == coded.count(b"\n") == coded.count(b"\r\n")
    assert max(map(len, coded.split(b"\r\n"))) <= (998 if name == "7bit" else 76)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("plain words\n", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("a\0b", "quoted-printable"),
        ("Zahlen für März, mit vielen Wörtern\n", "quoted-printable"),
        ("数字報告", "base64"),
        ("", "7bit"),
    ],
)
def test_the_shortest_readable_encoding_is_chosen(text: str, name: str) -> None:
    """ASCII stays as it is, a few accents stay readable, other scripts take the shorter form."""
    assert encode_text(text)[0] == name
