"""What each command does to a session, in the order a message is handed in.

Must stay true:
- nothing that came before a TLS handshake counts after it (RFC 3207 section 4.2);
- the octets of a chunk are never read as commands, however the chunk was refused (RFC 3030 section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.smtp import command as c
from datapallas.smtp.reply import Reply
from datapallas.smtp.server import words
from datapallas.smtp.server.content import Intake
from datapallas.smtp.server.envelope import Transaction, wrong_with_mail, wrong_with_recipient
from datapallas.smtp.server.login import LoginExchange, challenge
from datapallas.smtp.server.policy import (
    ContentAsked,
    Dropped,
    LoginAsked,
    MailAsked,
    MessageAsked,
    RecipientAsked,
    StartTls,
    Text,
    TlsAsked,
)
from datapallas.smtp.server.state import END, MORE, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datapallas.smtp.command import Command
    from datapallas.smtp.sasl import Login
    from datapallas.smtp.server.policy import Question, Verdict
    from datapallas.smtp.server.session import Session


def hello(session: Session, command: Command) -> None:
    """EHLO, HELO: begin, or begin anew. No enhanced status in these (RFC 2034 section 4)."""
    _begin_anew(session, command)
    if command.verb == c.HELO:
        session.send(Reply.of(250, session.offer.host))
    else:
        session.send(words.announce(session.offer, secure=session.secure, signed_in=bool(session.user)))


def reset(session: Session, command: Command) -> None:
    """RSET: forget the message that was begun."""
    _begin_anew(session, command)
    session.send(words.OK)


def _begin_anew(session: Session, command: Command) -> None:
    if session.state is State.CHUNKED:
        session.events.append(Dropped())
    session.move(command.verb)


def start_tls(session: Session, _command: Command) -> None:
    """STARTTLS."""
    session.events.append(TlsAsked())


def auth(session: Session, command: Command) -> None:
    """AUTH: begin an exchange. Raises BadCommand."""
    session.login = LoginExchange(command.argument)
    session.move(c.AUTH)
    _exchange(session, session.login.begin())


def respond(session: Session, line: bytes) -> None:
    """A line of an AUTH exchange. Raises BadCommand."""
    if session.login.final is not None:  # the client has read why it is refused (RFC 7628 section 3.2.3)
        session.move(END)
        session.refused_login(session.login.final)
    else:
        _exchange(session, session.login.respond(line))


def _exchange(session: Session, step: Reply | Login) -> None:
    if isinstance(step, Reply):
        session.send(step)
    else:
        session.events.append(LoginAsked(session.login.mechanism, step))


def judge(session: Session, login: Login, verdict: Verdict) -> None:
    """The answer to a sign-in."""
    if not verdict.reply.positive and verdict.challenge:
        session.login.final = verdict.reply
        session.send(challenge(verdict.challenge.encode()))
        return
    session.move(END)
    if verdict.reply.positive:
        session.user = login.user
        session.send(verdict.reply)
    else:
        session.refused_login(verdict.reply)


def mail(session: Session, command: Command) -> None:
    """MAIL: begin a message."""
    refusal = wrong_with_mail(command, session.offer)
    if refusal is not None:
        session.send(refusal)
    else:
        session.events.append(MailAsked(command.address, command.params))


def recipient(session: Session, command: Command) -> None:
    """RCPT: one more recipient."""
    refusal = wrong_with_recipient(command, session.mail, session.limits.recipients)
    if refusal is not None or command.address is None:
        session.send(refusal or words.PARAMETER)
    else:
        session.events.append(RecipientAsked(command.address, command.params))


def content(session: Session, command: Command) -> None:
    """DATA, BDAT: the text is to come, or goes on."""
    if session.state is State.RCPT:
        session.intake = Intake(max_size=session.offer.size, max_line=session.limits.text_line)
        session.events.append(ContentAsked())
    else:
        session.wait_for_chunk(command)


def begin_text(session: Session, answer: Reply) -> None:
    """There is a place for the text, or none."""
    if session.command.verb == c.BDAT:
        session.after = State.READY
        session.wait_for_chunk(session.command, None if answer.positive else answer)
        return
    session.send(answer)
    if answer.positive:
        session.intake.expect_dot()
        session.move(c.DATA)


def read_text(session: Session) -> bool:
    """Use the octets that are there as text; False when more are needed."""
    data = session.lines.take()
    if not data and session.intake.left:
        return False
    text, rest = session.intake.feed(data)
    if text:
        session.events.append(Text(text))
    if rest is not None:
        session.lines.held += rest
        _end_text(session)
    return True


def _end_text(session: Session) -> None:
    whole = session.state is State.DATA or session.command.last
    refusal = session.intake.refusal(whole=whole)
    if refusal is not None:
        session.send(refusal)
        session.events.append(Dropped())
        session.move(END)
        session.state, session.after = session.after, State.READY
    elif whole:
        session.events.append(MessageAsked(session.mail.taken(session.user)))
    else:
        session.send(words.octets(session.command.size))
        session.move(MORE)


def took(session: Session, question: Question) -> None:
    """A question about the session's command was answered with yes."""
    if isinstance(question, MailAsked):
        session.mail = Transaction.of(question.sender, question.params)
    elif isinstance(question, RecipientAsked):
        session.mail.recipients.append(question.address)
    elif isinstance(question, TlsAsked):
        session.lines.take()  # what was sent along with STARTTLS, in clear, is nobody's (RFC 3207 section 4.2)
        session.user = ""
        session.events.append(StartTls())
    session.move(session.command.verb)


DO: Mapping[str, Callable[[Session, Command], None]] = {
    c.EHLO: hello,
    c.HELO: hello,
    c.RSET: reset,
    c.STARTTLS: start_tls,
    c.AUTH: auth,
    c.MAIL: mail,
    c.RCPT: recipient,
    c.DATA: content,
    c.BDAT: content,
    c.NOOP: lambda session, _command: session.send(words.OK),
    c.HELP: lambda session, _command: session.send(words.HELP),
    c.VRFY: lambda session, _command: session.send(words.VRFY),
    c.QUIT: lambda session, _command: session.end(words.BYE),
}
