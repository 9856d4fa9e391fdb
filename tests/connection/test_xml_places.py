"""What expat says about places, which the splicing stands on; and random files, edited."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection import xml_codec
from datapallas.connection.model import Connection, OAuth2Client, Password, Provider, Sealed, Server
from datapallas.connection.xml_scan import scan
from datapallas.errors import BrokenConnection, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf", b'<?xml version="1.0" encoding="ISO-8859-1"?>\r\n'])
@pytest.mark.parametrize(
    "element",
    [
        b"<b/>",
        b"<b />",
        b"<b x='/>' y=\"'>\"/>",
        b"<b></b>",
        b"<b x='>'>t</b >",
        b"<b>\xc2\xa0&amp;&#65;<![CDATA[</b>]]></b\n>",
        b"<b><!-- </b> --><?p </b>?></b>",
        b"<b\n\tx = '1'\r\n>a\r\nb</b>",
    ],
)
def test_places_are_exact(head: bytes, element: bytes) -> None:
    """Start and end of an element are found in every spelling XML allows."""
    data = head + b"<a>\r\n " + element + b"<c/>\n</a> <!-- end -->"
    found, _ = scan(data)
    first, second = found.children
    assert data[first.start : first.end] == element
    assert data[second.start : second.end] == b"<c/>"
    inside = data[first.inner_start : first.inner_end]
    assert element.rstrip().endswith(b"/>") == first.empty
    assert first.empty or element.startswith(data[first.start : first.inner_start] + inside + b"</b")


_SPACE = st.sampled_from(["", " ", "\n", "\r\n", "\n        ", "\r\n\t", "\n\n    "])
_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff<&]"), max_size=12
)
_JUNK = st.one_of(
    _TEXT.filter(lambda t: "--" not in t and not t.endswith("-")).map(lambda t: f"<!--{t}-->"),
    _TEXT.map(lambda t: f"<unknown a='&lt;'>{t}</unknown>"),
    st.just("<unknown/>"),
    st.just("<?keep me?>"),
    st.just("<nested><host>inner</host></nested>"),
)
_VALUES = {
    "host": _TEXT.map(str.strip),
    "port": st.sampled_from(["25", "587", "${p}"]),
    "fromaddress": st.just("a@b.example"),
    "name": _TEXT.map(str.strip),
    "oauth2clientid": st.just("client"),
    "oauth2refreshtoken": st.just("ENC(v1.x)"),
    "usetls": st.sampled_from(["true", "false", "1"]),
    "userid": st.just("someone"),
    "weburl": st.just("kept"),
}


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A connection file with elements in any order, junk between them, any spelling and any line ends."""
    names = draw(st.lists(st.sampled_from(sorted(_VALUES)), unique=True))
    parts = []
    for name in names:
        value = draw(_VALUES[name])
        form = draw(st.sampled_from(["plain", "cdata", "attribute"]))
        if form == "cdata":
            parts.append(f"<{name}><![CDATA[{value}]]></{name}>")
        else:
            extra = " x='>'" if form == "attribute" else ""
            parts.append(f"<{name}{extra}>{value}</{name} >")
    parts += draw(st.lists(_JUNK, max_size=4))
    parts = draw(st.permutations(parts))
    kind = draw(
        st.sampled_from(
            ["", "<oauth2provider>NONE</oauth2provider>", "<oauth2provider>google</oauth2provider>"]
        )
    )
    body = "".join(draw(_SPACE) + part for part in [kind, *parts]) + draw(_SPACE)
    server = "<emailserver/>" if draw(st.booleans()) and not parts else f"<emailserver>{body}</emailserver>"
    head = draw(st.sampled_from(["", "\ufeff", '<?xml version="1.0" encoding="UTF-8"?>\r\n']))
    code = draw(_SPACE) + "<code>eml-a</code>" + draw(_SPACE)
    order = draw(st.sampled_from([code + server, server + code]))
    return (
        f"{head}<documentburster>{draw(_SPACE)}<connection>{order}</connection></documentburster>\n".encode()
    )


@given(files())
def test_reading_and_writing_gives_the_same_bytes(data: bytes) -> None:
    """Whatever the file looks like: saved unchanged, it is unchanged."""
    assert xml_codec.encode(xml_codec.decode(data), data) == data


def _server(**change: str) -> Callable[[Connection], Connection]:
    return lambda c: dataclasses.replace(c, server=dataclasses.replace(c.server, **change))  # type: ignore[arg-type]


_EDITS: list[Callable[[Connection], Connection]] = [
    _server(host="new.example"),
    _server(host=""),
    _server(root_certificate="/ca.pem"),
    lambda c: dataclasses.replace(c, name="New <&> name"),
    lambda c: dataclasses.replace(c, from_name=""),
]


@given(files(), st.sampled_from(_EDITS))
def test_one_edit_leaves_every_other_byte(data: bytes, edit: Callable[[Connection], Connection]) -> None:
    """A change is one run of bytes replaced; before and behind it the file is as it was, and it reads as wished."""
    wanted = edit(xml_codec.decode(data))
    again = xml_codec.encode(wanted, data)
    assert xml_codec.decode(again) == wanted
    before = next(
        (i for i, (a, b) in enumerate(zip(data, again, strict=False)) if a != b), min(len(data), len(again))
    )
    behind = 0
    while behind < min(len(data), len(again)) - before and data[-1 - behind] == again[-1 - behind]:
        behind += 1
    taken, put = data[before : len(data) - behind], again[before : len(again) - behind]
    # At most one element's inside, or one element with its line, or an empty parent opened.
    assert taken.count(b"<host") <= 1 and b"unknown" not in taken and b"keep" not in taken
    assert len(put) < 120
    back = xml_codec.encode(xml_codec.decode(data), again)
    assert xml_codec.decode(back) == xml_codec.decode(data)


@given(files(), st.sampled_from([Provider.NONE, Provider.GOOGLE, Provider.GENERIC]), _TEXT)
def test_several_edits_at_once_mean_what_they_say(data: bytes, provider: Provider, text: str) -> None:
    """Many elements changed, added and removed in one save still read as wished, and unknown ones are all there."""
    if provider is Provider.NONE:
        credential: Password | OAuth2Client = Password(user=text.strip(), password=Sealed("ENC(v1.p)"))
    else:
        credential = OAuth2Client(provider=provider, client_secret=Sealed("ENC(v1.s)"), scope=text.strip())
    wanted = Connection(code="eml-b", server=Server(host="h", chunking=False), credential=credential)
    again = xml_codec.encode(wanted, data)
    assert xml_codec.decode(again) == wanted
    for kept in (b"unknown", b"<?keep me?>", b"<nested><host>inner</host></nested>", b"<weburl"):
        assert again.count(kept) == data.count(kept)


@given(st.binary(max_size=200) | files().flatmap(lambda d: st.integers(0, len(d)).map(lambda n: d[:n])))
def test_any_bytes_are_a_connection_or_a_told_error(data: bytes) -> None:
    """No input gives anything but a connection or BrokenConnection."""
    try:
        connection = xml_codec.decode(data)
    except BrokenConnection as broken:
        told = broken.facts["reason"]
    else:
        told = "" if xml_codec.encode(connection, data) != data else "unchanged"
    assert told


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_comes_back_as_it_went_or_is_refused(name: str, host: str) -> None:
    """There is no text that is stored as something else."""
    wanted = Connection(code="eml-a", name=name, server=Server(host=host))
    try:
        data = xml_codec.encode(wanted)
    except ConfigurationError as refused:
        right = refused.facts["element"] in {"name", "host"}
    else:
        right = xml_codec.decode(data) == wanted
    assert right
