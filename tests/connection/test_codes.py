"""The names connections go by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection.codes import check_code, is_code, kebab
from datapallas.errors import ConfigurationError, UsageError


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("office365", "eml-office365"),
        ("Office 365", "eml-office-365"),
        ("MyMailBox", "eml-my-mail-box"),
        ("Büro Straße", "eml-buro-strasse"),
        ("eml-contact", "eml-contact"),
        ("a_b.c@d", "eml-a-b-c-d"),
        ("../../etc/passwd", "eml-etc-passwd"),
    ],
)
def test_a_name_gives_a_code(name: str, code: str) -> None:
    """The code is the name in small letters and hyphens, behind eml-."""
    assert kebab(name) == code


@pytest.mark.parametrize("name", ["", "   ", "日本", "eml", "x" * 80])
def test_a_name_without_letters_gives_none(name: str) -> None:
    """A name that leaves nothing, or too much, is refused."""
    with pytest.raises(UsageError):
        kebab(name)


@given(st.text(max_size=70))
def test_a_code_is_always_safe(name: str) -> None:
    """Whatever the name: the code is a plain file name."""
    try:
        code = kebab(name)
    except UsageError:
        return
    assert is_code(code) and set(code) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    "code",
    [
        "",
        "-a",
        "A",
        "a/b",
        "..",
        "a.b",
        "a b",
        "a\n",
        "a\0",
        "eml-ä",
        "x" * 64,
        "con",
        "nul",
        "com1",
        "a:b",
        "e\u0301",
    ],
)
def test_other_names_are_no_codes(code: str) -> None:
    """Paths, devices, upper case, Unicode and streams are refused."""
    assert not is_code(code)
    with pytest.raises(ConfigurationError, match="cannot be the code"):
        check_code(code)
