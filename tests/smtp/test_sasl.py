"""Both sides of the mechanisms, joined."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.errors import SmtpUnsupported, UsageError
from datapallas.secret import Secret
from datapallas.smtp import sasl
from datapallas.smtp.command import BadCommand
from datapallas.smtp.sasl import BearerLogin, Login, PasswordLogin

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)
bearers = st.builds(
    BearerLogin, texts, st.from_regex(r"[A-Za-z0-9._~+/-]{1,50}=*", fullmatch=True).map(Secret)
)
passwords = st.builds(PasswordLogin, texts, texts.map(Secret))


def exchange(name: str, login: Login, *, initial: bool) -> Login:
    """Join a client and a server, with or without an initial response."""
    client = sasl.answer(name, login, "mail.example", 587)
    first = next(client)
    server = sasl.receive(name, first if initial else None)
    try:
        challenge = next(server)
        response = first if first is not None and not initial else client.send(challenge)
        while True:
            assert response is not None
            challenge = server.send(sasl.decode(sasl.encode(response) or b"="))
            response = client.send(challenge)
    except StopIteration as stop:
        return cast("Login", stop.value)


@pytest.mark.parametrize("name", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("initial", [True, False])
@given(login=bearers)
def test_a_token_arrives(name: str, initial: bool, login: BearerLogin) -> None:
    """The server reads the user and the token the client was given, in one step and in two."""
    assert exchange(name, login, initial=initial) == login


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False])
@given(login=passwords)
def test_a_password_arrives(name: str, initial: bool, login: PasswordLogin) -> None:
    """The server reads the user and the password the client was given, whatever letters they have."""
    assert exchange(name, login, initial=initial and name == "PLAIN") == login


def test_the_payloads_are_those_of_the_documents() -> None:
    """The octets are those of Google's and Microsoft's pages, RFC 7628 and RFC 4616."""
    token, password = (
        BearerLogin("u=,@x.example", Secret("vF9dft4qmT")),
        PasswordLogin("tim", Secret("tanstaaf")),
    )
    assert next(sasl.answer("XOAUTH2", token)) == b"user=u=,@x.example\1auth=Bearer vF9dft4qmT\1\1"
    assert next(sasl.answer("OAUTHBEARER", token, "server.example", 587)) == (
        b"n,a=u=3D=2C@x.example,\1host=server.example\1port=587\1auth=Bearer vF9dft4qmT\1\1"
    )
    assert next(sasl.answer("PLAIN", password)) == b"\0tim\0tanstaaf"


def test_a_refusal_is_answered_once() -> None:
    """After a challenge that refuses, XOAUTH2 says an empty line and OAUTHBEARER 0x01; then there is no more to say."""
    for name, answer in (("XOAUTH2", b""), ("OAUTHBEARER", b"\1")):
        client = sasl.answer(name, BearerLogin("u", Secret("t")))
        next(client)
        assert client.send(b'{"status":"401"}') == answer
        with pytest.raises(StopIteration):
            client.send(b"")


@pytest.mark.parametrize(
    ("login", "advertised", "name"),
    [
        (BearerLogin("u", Secret("t")), {"PLAIN", "OAUTHBEARER", "XOAUTH2"}, "XOAUTH2"),
        (BearerLogin("u", Secret("t")), {"PLAIN", "OAUTHBEARER"}, "OAUTHBEARER"),
        (PasswordLogin("u", Secret("p")), {"LOGIN", "PLAIN"}, "PLAIN"),
        (PasswordLogin("u", Secret("p")), {"LOGIN", "XOAUTH2"}, "LOGIN"),
    ],
)
def test_the_mechanism_is_one_both_have(login: Login, advertised: set[str], name: str) -> None:
    """A token is sent by XOAUTH2 or OAUTHBEARER only, a password by PLAIN or LOGIN only."""
    assert sasl.choose(login, advertised) == name


def test_no_mechanism_in_common_is_said() -> None:
    """A server that takes passwords only is named with what it takes."""
    with pytest.raises(SmtpUnsupported, match="LOGIN PLAIN") as caught:
        sasl.choose(BearerLogin("u", Secret("t")), {"PLAIN", "LOGIN"})
    assert caught.value.facts["advertised"] == "LOGIN PLAIN"


@pytest.mark.parametrize("user", ["a\1b", "a\0b", "a\r\nb"])
def test_a_user_name_cannot_carry_a_separator(user: str) -> None:
    """A user name with a control character would smuggle a second field into the exchange."""
    with pytest.raises(UsageError):
        sasl.answer("XOAUTH2", BearerLogin(user, Secret("t")))


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("XOAUTH2", b"user=u\1auth=Basic x\1\1"),
        ("XOAUTH2", b"auth=Bearer t\1\1"),
        ("XOAUTH2", b"user=u\1auth=Bearer \1\1"),
        ("OAUTHBEARER", b"n,,\1auth=Bearer t\1\1"),
        ("PLAIN", b"user\0password"),
        ("PLAIN", b"other\0user\0password"),
        ("PLAIN", b"\0\xff\0\xff"),
        ("CRAM-MD5", b""),
    ],
)
def test_the_server_refuses_what_is_not_by_the_mechanism(name: str, payload: bytes) -> None:
    """A payload that is not by the mechanism gets a 5yz, not a guess."""
    with pytest.raises(BadCommand):
        next(sasl.receive(name, payload))


@pytest.mark.parametrize(("line", "code"), [(b"*", "5.7.0"), (b"not base64!", "5.5.2"), (b"YQ", "5.5.2")])
def test_bad_base64_and_cancelling_have_their_replies(line: bytes, code: str) -> None:
    """A client may cancel with a star; what is no base64 is said to be none."""
    with pytest.raises(BadCommand) as caught:
        sasl.decode(line)
    assert caught.value.reply.enhanced == code


def test_no_secret_is_shown() -> None:
    """A login in a log line or a traceback shows a mask."""
    assert "hidden" not in repr(BearerLogin("u", Secret("hidden"))) + repr(
        PasswordLogin("u", Secret("hidden"))
    )
