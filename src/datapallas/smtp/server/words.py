"""What our server says, word by word (RFC 5321 section 4.2.3, RFC 3463, RFC 4954 section 6).

Fixed texts: no reply ever shows an exception, a path or a secret. Must stay true: EHLO announces only what the session
then takes, so AUTH is announced where it may be used and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.smtp.reply import Reply

if TYPE_CHECKING:
    from datapallas.smtp.server.policy import Offer

OK = Reply.of(250, "OK", enhanced="2.0.0")
BYE = Reply.of(221, "Bye", enhanced="2.0.0")
HELP = Reply.of(214, "See RFC 5321 and RFC 6409", enhanced="2.0.0")
VRFY = Reply.of(252, "Send some mail, I will try", enhanced="2.5.0")
GO_AHEAD = Reply.of(354, "Go ahead, end with CRLF . CRLF")
TLS_READY = Reply.of(220, "Ready to start TLS", enhanced="2.0.0")
SENDER_OK = Reply.of(250, "Sender OK", enhanced="2.1.0")
RECIPIENT_OK = Reply.of(250, "Recipient OK", enhanced="2.1.5")
SIGNED_IN = Reply.of(235, "Authentication successful", enhanced="2.7.0")

UNKNOWN = Reply.of(500, "Command not known", enhanced="5.5.2")
NOT_OFFERED = Reply.of(502, "Not offered here", enhanced="5.5.1")
SEQUENCE = Reply.of(503, "Not now: bad sequence of commands", enhanced="5.5.1")
HELLO_FIRST = Reply.of(503, "EHLO first", enhanced="5.5.1")
NO_RECIPIENTS = Reply.of(554, "No valid recipients", enhanced="5.5.1")
ALREADY_SECURE = Reply.of(503, "TLS is active already", enhanced="5.5.1")
ALREADY_IN = Reply.of(503, "Already signed in", enhanced="5.5.1")
MECHANISM = Reply.of(504, "This mechanism is not offered here", enhanced="5.5.4")
TLS_FIRST = Reply.of(530, "Must issue a STARTTLS command first", enhanced="5.7.0")
LOGIN_FIRST = Reply.of(530, "Authentication required", enhanced="5.7.0")
ENCRYPT_FIRST = Reply.of(538, "Encryption required for this mechanism", enhanced="5.7.11")
TOO_MANY_RECIPIENTS = Reply.of(452, "Too many recipients", enhanced="4.5.3")
PARAMETER = Reply.of(555, "Parameter not known or not offered", enhanced="5.5.4")
PARAMETER_VALUE = Reply.of(501, "Bad value of a parameter", enhanced="5.5.4")
NEEDS_SMTPUTF8 = Reply.of(553, "This address needs SMTPUTF8", enhanced="5.6.7")

ENDLESS = Reply.of(421, "A line without end", enhanced="4.7.0")
TOO_MANY_ERRORS = Reply.of(421, "Too many errors", enhanced="4.7.0")
TOO_MANY_LOGINS = Reply.of(421, "Too many failed sign-ins", enhanced="4.7.0")
TOO_IDLE = Reply.of(421, "Too many commands without a message", enhanced="4.7.0")
OUT_OF_STEP = Reply.of(421, "BDAT not understood, closing", enhanced="4.7.0")
TIMED_OUT = Reply.of(421, "Waited too long", enhanced="4.4.2")
SHUTTING_DOWN = Reply.of(421, "Shutting down", enhanced="4.3.2")
TOO_BUSY = Reply.of(421, "Too many connections", enhanced="4.3.2")
TROUBLE = Reply.of(451, "Something went wrong here, try again later", enhanced="4.3.0")


def announce(offer: Offer, *, secure: bool, signed_in: bool) -> Reply:
    """Answer EHLO. RFC 3207 section 4.2 hides STARTTLS once TLS runs, RFC 4954 section 3 lets AUTH stay away."""
    lines = [f"{offer.host} greets you"]
    if offer.pipelining:
        lines.append("PIPELINING")
    if offer.announce_size:
        lines.append(f"SIZE {offer.size}")
    if offer.starttls and not secure:
        lines.append("STARTTLS")
    if offer.mechanisms and not signed_in and (secure or offer.login_without_tls):
        lines.append(f"AUTH {' '.join(offer.mechanisms)}")
    if offer.eightbit:
        lines.append("8BITMIME")
    if offer.enhanced:
        lines.append("ENHANCEDSTATUSCODES")
    if offer.chunking:
        lines.append("CHUNKING")
    if offer.smtputf8:
        lines.append("SMTPUTF8")
    return Reply.of(250, *lines)


def octets(size: int) -> Reply:
    """Say that a chunk has arrived (RFC 3030 section 4)."""
    return Reply.of(250, f"{size} octets received", enhanced="2.0.0")


def without_status(reply: Reply) -> Reply:
    """Give the reply as it is said to a client that was not offered ENHANCEDSTATUSCODES."""
    if not reply.enhanced:
        return reply
    return Reply(reply.code, tuple(line.removeprefix(reply.enhanced).lstrip(" ") for line in reply.lines))
