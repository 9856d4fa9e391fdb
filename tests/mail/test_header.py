"""Headers: what is given is what a stranger's parser reads, and nothing can be added to a message by its data."""

from __future__ import annotations

import base64
import email
import email.header
import email.policy
import email.utils
import quopri
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from datapallas.errors import MessageError
from datapallas.mail import header
from datapallas.mail.address import NamedAddress, control_in

if TYPE_CHECKING:
    from email.headerregistry import AddressHeader

WORDS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")) | st.sampled_from('  =?_"\\,;<>@()'),
    max_size=200,
)
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("    "), max_size=400)


def unfolded(field: str) -> str:
    """Undo folding as RFC 5322 section 2.2.3 says: remove each CR LF that is followed by a space."""
    assert "\r\n " in field or "\r\n" not in field
    return field.replace("\r\n ", " ")


def decoded(field: str) -> str:
    """Decode a field the old way: the library's second, independent decoder of encoded words."""
    return str(email.header.make_header(email.header.decode_header(unfolded(field).partition(":")[2][1:])))


def check_lines(field: str, width: int = header.WIDTH) -> None:
    for line in field.split("\r\n"):
        assert len(line) <= (width if "=?" in line else header.MAX_LINE)
        assert line.strip(" "), "a line of nothing but spaces ends the header for some readers"
        assert "\r" not in line and "\n" not in line
        for kind, coded in re.findall(
            r"=\?utf-8\?([bq])\?([^?]*)\?=", line
        ):  # RFC 2047 section 5: whole characters
            octets = base64.b64decode(coded) if kind == "b" else quopri.decodestring(coded, header=True)
            octets.decode()


@given(WORDS)
@example("=?utf-8?q?not_encoded?=")
@example(" leading and trailing ")
@example("   ")
@example("a" * 30 + "\U0001f600" * 40)
@example("Zahlen für März " * 20)
@example("数字報告" * 30)
@settings(deadline=None)
def test_any_subject_arrives_as_it_was_written(value: str) -> None:
    """Whatever a subject holds, the reader sees the same."""
    try:
        field = header.field("Subject", value)
    except MessageError:
        pytest.fail("a subject of fewer than 998 characters was refused")
    check_lines(field)
    assert field.isascii()
    if "=?" in field:
        assert decoded(field) == value
    else:
        assert unfolded(field).partition(":")[2].removeprefix(" ") == value


@given(ASCII)
@example("word" * 8 + " " * 60 + "next" * 9)
@settings(deadline=None)
def test_ascii_headers_stay_readable(value: str) -> None:
    """Plain words are folded at their spaces and never encoded, so that structured headers keep their meaning."""
    assume(value == value.strip(" ") and "=?" not in value)
    field = header.field("X-Words", value)
    check_lines(field)
    assert "=?" not in field
    assert not any(line.endswith(" ") for line in field.split("\r\n"))
    assert unfolded(field).partition(":")[2].removeprefix(" ") == value
    parsed = email.message_from_string(field + "\r\n\r\n", policy=email.policy.SMTP)
    assert str(parsed["X-Words"]) == value


def test_folding_keeps_lines_short() -> None:
    """A long list of references is folded to short lines."""
    value = " ".join(f"<{number:030}@x.example>" for number in range(30))
    lines = header.field("References", value).split("\r\n")
    assert len(lines) > 10
    assert max(map(len, lines)) <= header.WIDTH


def test_a_word_longer_than_a_line_is_refused() -> None:
    """A header that no line can hold is refused with a sentence, not sent broken."""
    with pytest.raises(MessageError, match="longer than 998"):
        header.field("X-Long", "a" * 1200)


@given(
    st.lists(st.tuples(WORDS, st.sampled_from(["a@x.example", "b.c@y.example", "d+e@z.example"])), min_size=1)
)
@example(
    [("Doe, John", "a@x.example"), ('Quote " \\', "b.c@y.example"), ("x <evil@x.example>", "a@x.example")]
)
@example([("=?utf-8?q?evil=40x=2Eexample=2C?=", "a@x.example")])
@settings(deadline=None)
def test_no_name_can_add_a_recipient(people: list[tuple[str, str]]) -> None:
    """A name that looks like a list of addresses is still one name of one recipient."""
    named = [NamedAddress(name.strip(" "), address) for name, address in people]
    field = header.addresses("To", named)
    check_lines(field)
    found = email.utils.getaddresses([unfolded(field).partition(":")[2]])
    assert [address for _, address in found] == [one.address for one in named]
    for (name, _), one in zip(found, named, strict=True):
        assert str(email.header.make_header(email.header.decode_header(name))) == one.name
    parsed: AddressHeader = email.message_from_string(field + "\r\n\r\n", policy=email.policy.SMTP)["To"]
    assert [address.addr_spec for address in parsed.addresses] == [one.address for one in named]


def test_ten_thousand_recipients_fit_a_header() -> None:
    """A header with 10,000 recipients is folded between them."""
    named = [NamedAddress(f"Person {number}", f"person.{number}@x.example") for number in range(10_000)]
    field = header.addresses("To", named)
    assert max(map(len, field.split("\r\n"))) <= header.WIDTH
    assert len(email.utils.getaddresses([unfolded(field).partition(":")[2]])) == 10_000


@pytest.mark.parametrize("local", ["a..b", ".a", "a."])
def test_dots_in_unusual_places_are_quoted(local: str) -> None:
    """Addresses that some carriers gave out are written so that a strict reader accepts them."""
    field = header.addresses("To", [NamedAddress("", f"{local}@x.example")])
    assert field == f'To: "{local}"@x.example'


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=120))
@example('a"; filename="evil.exe')
@example("=?utf-8?q?evil?=.pdf")
@example("Übersicht März.pdf")
@settings(deadline=None)
def test_any_file_name_arrives_and_adds_no_parameter(name: str) -> None:
    """The recipient sees the file name as it was given, and only the file name."""
    field = "Content-Disposition: attachment" + header.parameter("filename", name)
    assert max(map(len, field.split("\r\n"))) <= 78
    part = email.message_from_string(field + "\r\n\r\n", policy=email.policy.compat32)
    assert email.utils.collapse_rfc2231_value(part.get_param("filename", "", "content-disposition")) == name
    assert len(part.get_params([], "content-disposition")) == 2


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_dates_are_read_back(seconds: int) -> None:
    """The Date header is the moment that was given."""
    assert email.utils.parsedate_to_datetime(header.date(seconds)).timestamp() == seconds


@given(st.text())
def test_control_characters_are_found(value: str) -> None:
    """A character that could end a line, or hide one, is named."""
    bad = any(
        ord(one) < 32 or 127 <= ord(one) < 160 or one in "\u2028\u2029" or 0xD800 <= ord(one) < 0xE000
        for one in value
    )
    assert bool(control_in(value)) is bad
    if bad:
        with pytest.raises(MessageError):
            header.field("Subject", value)
