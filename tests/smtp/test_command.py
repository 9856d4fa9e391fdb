"""The grammar of commands and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.errors import AddressError
from datapallas.smtp import command
from datapallas.smtp.address import Address, wire
from datapallas.smtp.command import BadCommand, parse_command

local = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~.-é漢", min_size=1, max_size=20)
label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
addresses = st.builds(
    lambda name, domain: f"{name}@{'.'.join(domain)}", local, st.lists(label, min_size=1, max_size=3)
)


@given(addresses)
def test_what_the_client_writes_the_server_reads(address: str) -> None:
    """Every address that may be sent comes out of the command as it went in."""
    mail = parse_command(command.mail_from(address, ("SIZE=10", "SMTPUTF8")).removesuffix(b"\r\n"))
    assert (mail.verb, str(mail.address), mail.params) == ("MAIL", address, {"SIZE": "10", "SMTPUTF8": ""})
    rcpt = parse_command(command.rcpt_to(address).removesuffix(b"\r\n"))
    assert (rcpt.verb, str(rcpt.address)) == ("RCPT", address)


@given(st.text(max_size=60), addresses)
def test_no_text_becomes_a_second_command(text: str, address: str) -> None:
    """Whatever is put into an address, the command stays one line with one address, or is refused."""
    for made in (text, f"{text}@x.example", address[:3] + text + address[3:]):
        try:
            line = command.rcpt_to(made)
        except AddressError:
            continue
        assert line.count(b"\r") == line.count(b"\n") == 1
        assert line.count(b"<") == line.count(b">") == 1
        assert b" " not in line[len("RCPT ") :]
        assert str(parse_command(line[:-2]).address) == wire(made)


def reply_to(line: bytes) -> int:
    """Give the code of the refusal, or 0 for a line that is a command."""
    try:
        parse_command(line)
    except BadCommand as bad:
        return bad.reply.code
    return 0


@given(st.binary(max_size=80))
def test_no_line_breaks_the_parser(line: bytes) -> None:
    """A line is a command or a refusal with a reply to give; nothing else."""
    for made in (line, b"MAIL FROM:<" + line + b">", b"RCPT TO:" + line, b"BDAT " + line):
        assert reply_to(made) in {0, 500, 501, 553}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@x.example",
        "a@",
        "a@x>\r\nRCPT TO:<b@y",
        "a@x.example\n",
        "a\0@x.example",
        "a b@x.example",
        "<a@x.example>",
        "a@x.example>",
        "a@x..example",
        "a@.example",
        "a@x.example.",
        "a@-x.example",
        "a@x_.example-",
        "a@b@x.example",
        "a,b@x.example",
        "a@x.example,b@y.example",
        "a@[127.0.0.1",
        "a@[x y]",
        '"a@x.example',
        '"a b"@x.example',
        "a\u00a0b@x.example",
        "a\u2028@x.example",
        "a\ud800@x.example",
        "x" * 65 + "@x.example",
        "a@" + "x" * 64 + ".example",
        "a@" + ".".join(["x" * 60] * 5),
        "a@ex\u2003ample",
        "a@\u200b",
    ],
)
def test_what_is_no_address_is_refused_and_not_repaired(text: str) -> None:
    """An address with a line end, a space or an angle bracket is refused, with the reason."""
    with pytest.raises(AddressError) as caught:
        wire(text)
    assert caught.value.facts["reason"]
    assert caught.value.facts["address"].isascii()


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a@x.example", "a@x.example"),
        ("o'neil+tag@x.example", "o'neil+tag@x.example"),
        ("a..b@docomo.example", "a..b@docomo.example"),
        ('"a@b"@x.example', '"a@b"@x.example'),
        ("a@localhost", "a@localhost"),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ("a@straße.example", "a@xn--strae-oqa.example"),
        ("a@MÜLLER.example", "a@xn--mller-kva.example"),
        ("jürgen@müller.example", "jürgen@xn--mller-kva.example"),
        ("a@intra_net.example", "a@intra_net.example"),
    ],
)
def test_addresses_people_have_are_sent(text: str, sent: str) -> None:
    """Odd but real addresses pass; an international domain goes out in the form every server takes."""
    address = Address.parse(text)
    assert str(address) == wire(text) == sent
    assert address.is_ascii is sent.isascii()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL", 501),
        (b"MAIL FROM:a@x.example", 501),
        (b"MAIL TO:<a@x.example>", 501),
        (b"MAIL FROM:<a@x.example> SIZE=1 SIZE=2", 501),
        (b"MAIL FROM:<a@x.example> =1", 501),
        (b"MAIL FROM:<a@x.example>SIZE=1", 501),
        (b"RCPT TO:<>", 553),
        (b"RCPT TO:<a>", 553),
        (b"DATA now", 501),
        (b"QUIT x", 501),
        (b"EHLO", 501),
        (b"BDAT", 501),
        (b"BDAT -1", 501),
        (b"BDAT 1 FIRST", 501),
        (b"BDAT 99999999999999999999", 501),
        (b"NOOP \x00", 500),
        (b"NOOP \r", 500),
        (b"RCPT TO:<a@x>\nRSET", 500),
        (b"\xff\xfe", 500),
    ],
)
def test_bad_commands_get_their_reply(line: bytes, code: int) -> None:
    """Each way to get a command wrong has its reply, with an enhanced status."""
    with pytest.raises(BadCommand) as caught:
        parse_command(line)
    assert caught.value.reply.code == code
    assert caught.value.reply.enhanced


def test_commands_are_read() -> None:
    """Lower case, source routes, null paths and spaces that clients put where none belongs are understood."""
    assert parse_command(b"mail from: <>").address is None
    assert str(parse_command(b"RCPT TO:<@a.example,@b.example:c@d.example>").address) == "c@d.example"
    chunk = parse_command(b"bdat 17 last")
    assert (chunk.verb, chunk.size, chunk.last) == ("BDAT", 17, True)
    assert parse_command(command.bdat(5, last=False)[:-2]).last is False
    assert parse_command(b"NOOP").argument == ""
    assert parse_command(b"ehlo [192.0.2.1]").argument == "[192.0.2.1]"
    assert parse_command(b"FOO bar") == command.Command("FOO", "bar")
    assert command.mail_from("") == b"MAIL FROM:<>\r\n"
    assert command.helo("x.example") == b"HELO x.example\r\n"


@pytest.mark.parametrize("name", ["", "a b", "a\r\nMAIL", "ä"])
def test_a_greeting_is_one_line(name: str) -> None:
    """The name we greet with cannot carry a second command."""
    with pytest.raises(AddressError):
        command.ehlo(name)
