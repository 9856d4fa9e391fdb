"""The server's machine, in dialogues: what a client says (C), what it gets (S), octet by octet as well."""

from __future__ import annotations

import base64

import pytest

from datapallas.smtp.reply import Reply
from datapallas.smtp.server.policy import Dropped, Limits, Offer, StartTls, Text
from datapallas.smtp.server.state import State
from smtp.server_harness import Desk, plain, signed_in


def b64(text: str) -> str:
    """Base64 as it goes over the wire."""
    return base64.b64encode(text.encode()).decode()


XOAUTH2 = b64("user=u@x.example\1auth=Bearer {}\1\1".format("bad-token"))
GOOD_XOAUTH2 = b64("user=u@x.example\1auth=Bearer {}\1\1".format("good-token"))
GOOD_BEARER = b64("n,a=u=2C@x.example,\1host=h\1port=1\1auth=bearer {}\1\1".format("good-token"))
SPACE = " "
EHLO = """C: EHLO c.example
S: 250-mx.example greets you
S: 250-PIPELINING
S: 250-SIZE 36700160
S: 250-AUTH XOAUTH2 OAUTHBEARER PLAIN LOGIN
S: 250-8BITMIME
S: 250-ENHANCEDSTATUSCODES
S: 250-CHUNKING
S: 250 SMTPUTF8
"""
SIGNED_IN = f"{EHLO}C: {plain()}\nS: 235 2.7.0 Authentication successful\n"
MAIL = """C: MAIL FROM:<u@x.example>
S: 250 2.1.0 Sender OK
C: RCPT TO:<r@y.example>
S: 250 2.1.5 Recipient OK
"""
DIALOGUES = {
    "a mail by DATA": f"""{SIGNED_IN}{MAIL}C: DATA
S: 354 Go ahead, end with CRLF . CRLF
C: Subject: x
C:
C: ..stuffed
C: .
S: 250 2.0.0 OK
C: QUIT
S: 221 2.0.0 Bye
""",
    "a mail by chunks": f"""{SIGNED_IN}{MAIL}C: BDAT 7
C: 12345
S: 250 2.0.0 7 octets received
C: BDAT 0
S: 250 2.0.0 0 octets received
C: BDAT 3 LAST
C: .
S: 250 2.0.0 OK
""",
    "an empty mail": f"{SIGNED_IN}{MAIL}C: DATA\nS: 354 Go ahead, end with CRLF . CRLF\nC: .\nS: 250 2.0.0 OK\n",
    "an empty last chunk": f"{SIGNED_IN}{MAIL}C: BDAT 0 LAST\nS: 250 2.0.0 OK\n",
    "nothing before EHLO": """C: MAIL FROM:<u@x.example>
S: 503 5.5.1 EHLO first
C: NOOP
S: 250 2.0.0 OK
C: HELP
S: 214 2.0.0 See RFC 5321 and RFC 6409
C: VRFY u
S: 252 2.5.0 Send some mail, I will try
C: EXPN list
S: 500 5.5.2 Command not known
C: HELO c.example
S: 250 mx.example
C: AUTH
S: 501 5.5.4 AUTH needs an argument
""",
    "no mail without AUTH": f"""{EHLO}C: MAIL FROM:<u@x.example>
S: 530 5.7.0 Authentication required
C: RCPT TO:<r@y.example>
S: 503 5.5.1 Not now: bad sequence of commands
C: DATA
S: 503 5.5.1 Not now: bad sequence of commands
C: BDAT 6 LAST
C: QUIT
S: 503 5.5.1 Not now: bad sequence of commands
""",
    "no recipient was good": f"""{SIGNED_IN}C: MAIL FROM:<u@x.example>
S: 250 2.1.0 Sender OK
C: RCPT TO:<550-r@y.example>
S: 550 As asked
C: DATA
S: 554 5.5.1 No valid recipients
C: BDAT 3
C: x
S: 554 5.5.1 No valid recipients
C: RCPT TO:<r@y.example>
S: 250 2.1.5 Recipient OK
C: RSET
S: 250 2.0.0 OK
C: RCPT TO:<r@y.example>
S: 503 5.5.1 Not now: bad sequence of commands
""",
    "parameters": f"""{SIGNED_IN}C: MAIL FROM:<u@x.example> SIZE=36700161
S: 552 5.3.4 The message is larger than this server takes
C: MAIL FROM:<u@x.example> SIZE=x
S: 501 5.5.4 Bad value of a parameter
C: MAIL FROM:<u@x.example> BODY=BINARYMIME
S: 501 5.5.4 Bad value of a parameter
C: MAIL FROM:<u@x.example> RET=FULL
S: 555 5.5.4 Parameter not known or not offered
C: MAIL FROM:<ü@x.example>
S: 553 5.6.7 This address needs SMTPUTF8
C: MAIL FROM:<u@x.example> SMTPUTF8=1
S: 501 5.5.4 Bad value of a parameter
C: MAIL FROM:<u@x.example> SIZE=5 SIZE=5
S: 501 5.5.4 A parameter is doubled or malformed
C: MAIL FROM:<> SIZE=5 BODY=8BITMIME SMTPUTF8 AUTH=<>
S: 250 2.1.0 Sender OK
C: RCPT TO:<ü@y.example>
S: 250 2.1.5 Recipient OK
C: RCPT TO:<r@y.example> NOTIFY=NEVER
S: 555 5.5.4 Parameter not known or not offered
C: RCPT TO:<>
S: 553 5.1.3 Not an address: it is not of the form name@domain
""",
    "a bearer token is refused with its reason": f"""{EHLO}C: AUTH XOAUTH2 {XOAUTH2}
S: 334 {b64('{"status":"400"}')}
C:
S: 535 5.7.8 No
C: AUTH XOAUTH2
S: 334{SPACE}
C: {GOOD_XOAUTH2}
S: 235 2.7.0 Authentication successful
C: AUTH XOAUTH2
S: 503 5.5.1 Already signed in
""",
    "OAUTHBEARER": f"{EHLO}C: AUTH oauthbearer {GOOD_BEARER}\nS: 235 2.7.0 Authentication successful\n",
    "LOGIN": f"""{EHLO}C: AUTH LOGIN
S: 334 {b64("Username:")}
C: {b64("u@x.example")}
S: 334 {b64("Password:")}
C: {b64("good-password")}
S: 235 2.7.0 Authentication successful
""",
    "AUTH goes wrong": f"""{EHLO}C: AUTH CRAM-MD5
S: 504 5.5.4 This mechanism is not offered here
C: AUTH LOGIN
S: 334 {b64("Username:")}
C: *
S: 501 5.7.0 Cancelled
C: AUTH PLAIN =
S: 501 5.5.2 This is not what the mechanism asks for
C: AUTH PLAIN !!
S: 501 5.5.2 Invalid base64
C: NOOP
S: 250 2.0.0 OK
C: {plain(password="wrong")}
S: 535 5.7.8 No
C: {plain(password="wrong")}
S: 535 5.7.8 No
C: {plain(password="wrong")}
S: 535 5.7.8 No
S: 421 4.7.0 Too many failed sign-ins
""",
    "RSET, EHLO and MAIL in the middle": f"""{SIGNED_IN}{MAIL}C: MAIL FROM:<u@x.example>
S: 503 5.5.1 Not now: bad sequence of commands
C: BDAT 2
C:
S: 250 2.0.0 2 octets received
C: DATA
S: 503 5.5.1 Not now: bad sequence of commands
C: RSET
S: 250 2.0.0 OK
C: BDAT 2 LAST
C:
S: 503 5.5.1 Not now: bad sequence of commands
C: HELO c.example
S: 250 mx.example
{MAIL}C: DATA
S: 354 Go ahead, end with CRLF . CRLF
C: RSET
C: .
S: 250 2.0.0 OK
""",
    "a chunk nobody understands": f"""{SIGNED_IN}{MAIL}C: BDAT x LAST
S: 501 5.5.4 BDAT needs a size, and perhaps LAST
S: 421 4.7.0 BDAT not understood, closing
""",
}


def read(dialogue: str) -> tuple[bytes, str]:
    """What the client says in all, and what it is to get in all."""
    lines = dialogue.rstrip("\n").split("\n")
    said = "".join(line[3:] + "\r\n" for line in lines if line.startswith("C:"))
    got = "".join(line[3:] + "\r\n" for line in lines if line.startswith("S:"))
    return said.encode(), got


@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize("name", DIALOGUES)
def test_a_dialogue_goes_as_written(name: str, piece: int) -> None:
    """All at once (pipelined), octet by octet, and in pieces: the replies are the same."""
    said, got = read(DIALOGUES[name])
    desk = Desk()
    assert desk.hear(said, piece).removeprefix("220 mx.example ESMTP\r\n") == got


def test_what_arrives_is_what_was_sent() -> None:
    """Dots are taken away, chunks are put together, the envelope is the agreed one."""
    desk = signed_in()
    desk.hear(read(MAIL)[0] + b"RCPT TO:<550-x@y.example>\r\nDATA\r\n..a\r\nb\r\n.\r\n")
    desk.hear(
        b"MAIL FROM:<> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<r@y.example>\r\nBDAT 3\r\n..\rBDAT 2 LAST\r\n\n."
    )
    (first, text), (second, chunks) = desk.mails
    assert (str(first.sender), [str(r) for r in first.recipients], first.user) == (
        "u@x.example",
        ["r@y.example"],
        "u@x.example",
    )
    assert (text, chunks) == (b".a\r\nb\r\n", b"..\r\n.")
    assert (first.smtputf8, first.eightbit) == (False, False)
    assert (second.sender, second.smtputf8, second.eightbit) == (None, True, True)


def test_nothing_said_in_clear_counts_after_tls() -> None:
    """Commands sent along with STARTTLS are dropped, the session begins anew, AUTH is offered only then."""
    desk = Desk(secure=False)
    before = desk.hear(b"EHLO c.example\r\nAUTH PLAIN x\r\nSTARTTLS\r\nRSET\r\nEHLO injected.example\r\n")
    assert "AUTH" not in before and "STARTTLS" in before and "538 5.7.11" in before
    assert before.endswith("220 2.0.0 Ready to start TLS\r\n")
    assert isinstance(desk.events[-1], StartTls)
    assert desk.hear(b"NOOP\r\n") == ""  # between 220 and the handshake
    desk.server.secured()
    desk.work()
    assert desk.hear(b"MAIL FROM:<u@x.example>\r\n") == "503 5.5.1 EHLO first\r\n"
    after = desk.hear(b"EHLO c.example\r\nSTARTTLS\r\n")
    assert "STARTTLS" not in after.replace("503 5.5.1", "") and "AUTH XOAUTH2" in after
    assert after.endswith("503 5.5.1 TLS is active already\r\n")


def test_a_sign_in_does_not_survive_tls() -> None:
    """Who signed in in clear, where that is allowed, signs in again inside TLS (RFC 3207 section 4.2)."""
    desk = signed_in(secure=False, offer=Offer(host="mx.example", login_without_tls=True))
    desk.hear(b"STARTTLS\r\n")
    desk.server.secured()
    assert desk.server.user == ""


def test_only_what_is_offered_is_taken() -> None:
    """A server without extensions has no TLS, no AUTH, no chunks, no parameters and no enhanced statuses."""
    bare = Offer(
        host="mx.example",
        announce_size=False,
        pipelining=False,
        chunking=False,
        eightbit=False,
        smtputf8=False,
        enhanced=False,
        starttls=False,
        mechanisms=(),
        login_needed=False,
    )
    desk = Desk(offer=bare, secure=False)
    assert desk.hear(b"EHLO c.example\r\n").endswith("\r\n250 mx.example greets you\r\n")
    for command in (b"STARTTLS", b"AUTH PLAIN x"):
        assert desk.hear(command + b"\r\n") == "502 Not offered here\r\n"
    for parameter in (b"SIZE=1", b"BODY=8BITMIME", b"SMTPUTF8", b"AUTH=x"):
        assert desk.hear(b"MAIL FROM:<u@x.example> " + parameter + b"\r\n").startswith("555 Parameter")
    assert desk.hear(read(MAIL)[0] + b"BDAT 6 LAST\r\nQUIT\r\nRSET\r\n").endswith(
        "502 Not offered here\r\n250 OK\r\n"
    )
    desk.hear(read(MAIL)[0] + b"DATA\r\nx\r\n.\r\n")
    assert desk.mails[0][1] == b"x\r\n"


def test_tls_can_be_needed_for_everything() -> None:
    """Where it is, nothing but EHLO, NOOP, RSET, STARTTLS and QUIT is taken before."""
    desk = Desk(offer=Offer(host="mx.example", tls_needed=True, login_needed=False), secure=False)
    desk.hear(b"EHLO c.example\r\n")
    for command in (b"MAIL FROM:<u@x.example>", b"VRFY u", b"HELP", plain().encode()):
        assert desk.hear(command + b"\r\n") == "530 5.7.0 Must issue a STARTTLS command first\r\n"
    assert desk.hear(b"NOOP\r\n") == "250 2.0.0 OK\r\n"


def test_a_temporary_refusal_of_a_sign_in_may_be_tried_again() -> None:
    """454 is the provider's trouble and does not count; three 535 end the session, reasons included."""
    desk = Desk(refuse_login=Reply.of(454, "Later", enhanced="4.7.0"))
    desk.hear(b"EHLO c.example\r\n")
    for _ in range(5):
        assert desk.hear(f"AUTH XOAUTH2 {GOOD_XOAUTH2}\r\n".encode()) == "454 4.7.0 Later\r\n"
    desk.refuse_login = None
    alive = []
    for _ in range(3):
        alive.append(not desk.closed)
        desk.hear(f"AUTH XOAUTH2 {XOAUTH2}\r\n\r\n".encode())
    assert alive == [True] * 3 and desk.closed


def test_no_place_for_the_text() -> None:
    """452 before DATA; with chunks the octets go by, and so do those of the chunks after it."""
    desk = signed_in(refuse_text=Reply.of(452, "Full", enhanced="4.3.1"))
    assert desk.hear(read(MAIL)[0] + b"DATA\r\n").endswith("452 4.3.1 Full\r\n")
    said = desk.hear(b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert said == "452 4.3.1 Full\r\n503 5.5.1 Not now: bad sequence of commands\r\n250 2.0.0 OK\r\n"
    assert not desk.mails and not any(isinstance(event, Text) for event in desk.events)


@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_what_is_half_in_is_dropped(way: str) -> None:
    """The other side goes away in the middle of a text: whoever keeps it is told to drop it."""
    desk = signed_in()
    desk.hear(read(MAIL)[0] + (b"DATA\r\nhalf" if way == "DATA" else b"BDAT 100\r\nhalf"))
    assert desk.text == (b"half")
    desk.server.end()
    desk.work()
    assert desk.closed and desk.text == b"" and not desk.mails
    assert any(isinstance(event, Dropped) for event in desk.events)
    assert desk.hear(b"NOOP\r\n") == ""


def test_limits_end_a_session() -> None:
    """Errors, idle commands and recipients have an end; a mail that is sent gives new credit."""
    limits = Limits(recipients=2, errors=3, idle_commands=4)
    desk = signed_in(limits=limits)
    desk.hear(b"MAIL FROM:<u@x.example>\r\n")
    desk.hear(b"RCPT TO:<a@y.example>\r\nRCPT TO:<b@y.example>\r\n")
    assert desk.hear(b"RCPT TO:<c@y.example>\r\n") == "452 4.5.3 Too many recipients\r\n"
    desk.hear(b"NONSENSE\r\nNONSENSE\r\nDATA\r\nx\r\n.\r\n")
    assert [str(r) for r in desk.mails[0][0].recipients] == ["a@y.example", "b@y.example"]
    assert "421" not in desk.hear(b"NONSENSE\r\nNONSENSE\r\n")
    assert desk.hear(b"NONSENSE\r\n").endswith("421 4.7.0 Too many errors\r\n") and desk.closed
    desk = signed_in(limits=limits)
    assert desk.hear(b"NOOP\r\n" * 3).count("250 ") == 3
    assert desk.hear(b"RSET\r\n") == "421 4.7.0 Too many commands without a message\r\n"


def test_pipelined_commands_after_a_refusal_are_no_errors() -> None:
    """A correct client that pipelines is not thrown out because its senders are refused."""
    desk = signed_in(limits=Limits(errors=3))
    for _ in range(20):
        desk.hear(b"MAIL FROM:<550-u@x.example>\r\nRCPT TO:<r@y.example>\r\nBDAT 3 LAST\r\nx\r\n")
    assert not desk.closed and desk.server.state is State.READY


def test_a_greeting_can_be_a_refusal() -> None:
    """554 instead of 220 closes at once."""
    desk = Desk()
    desk.server.greet(Reply.of(554, "No service"))
    desk.work()
    assert desk.closed and desk.said.endswith(b"554 No service\r\n")
