"""What the replies to a transaction mean for its recipients and for the session (RFC 5321 section 4.3.2).

Must stay true: a reply that ends the message for all its recipients is raised, never taken for one recipient's; where
the server may have the message although the connection ended, the error says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.errors import ProtocolError
from datapallas.smtp import command
from datapallas.smtp.client import LAST, State
from datapallas.smtp.inbox import CLOSING
from datapallas.smtp.target import Sent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.smtp.client import Client
    from datapallas.smtp.reply import Reply

# RFC 5321 section 4.2.4: not implemented, out of order. To the first chunk of a good envelope they mean that the server
# announces CHUNKING and does not do it.
_NO_BDAT = frozenset({500, 502, 503, 504})


class ChunkingRefused(ProtocolError):
    """The server announces CHUNKING and refuses BDAT.

    It may have taken the message for commands, so this session is over; the message was not accepted.
    """

    code = "chunking-refused"


def hear(client: Client, said: Sequence[str], replies: Sequence[Reply], *, final: bool = False) -> None:
    """Take replies; `final` when the end of a message is out. Raises ProtocolError for one that has no place."""
    try:
        client.heard(said, replies)
    except ProtocolError as error:
        error.facts["after_body"] = "yes" if final else "no"
        raise


def concluded(client: Client, said: Sequence[str], replies: Sequence[Reply], *, final: bool) -> Sent:
    """Say what became of a message that went out whole, its replies heard: fewer than `said` when the session ended.

    Raises what ends the message for all its recipients; ChunkingRefused.
    """
    due = len(said)
    if client.state is State.READY and len(replies) == due:  # by the table: the message was accepted
        return Sent(tuple(replies[said.index(command.RCPT) : -1]), replies[-1])
    recipients = recipients_of(client, said[:-1], replies, final=final)
    if not anybody(recipients):
        return Sent(recipients, None)
    if len(replies) < due:
        raise client.broken(LAST, final=final)
    return Sent(recipients, unless_no_bdat(client, replies[-1]))


def recipients_of(
    client: Client, said: Sequence[str], replies: Sequence[Reply], *, final: bool = False
) -> tuple[Reply, ...]:
    """Give the recipients' replies. Raises what ends the message for all of them."""
    for verb, reply in zip(said, replies, strict=False):
        if reply.code == CLOSING or (verb is not command.RCPT and not reply.positive):
            raise client.refused(verb, reply)
    if len(replies) < len(said):
        raise client.broken(said[len(replies)], final=final)
    return tuple(replies[said.index(command.RCPT) : len(said)])


def anybody(recipients: Sequence[Reply]) -> bool:
    """Say whether one of them was taken."""
    return any(reply.code < 300 for reply in recipients)  # noqa: PLR2004 - RFC 5321 section 4.2.1


def unless_no_bdat(client: Client, final: Reply) -> Reply:
    """Give the reply to BDAT itself. Raises ChunkingRefused when it says that there is no such command."""
    if final.code in _NO_BDAT:
        raise ChunkingRefused(
            f"{client.target.host} announces CHUNKING and refuses BDAT.",
            raw="\n".join(final.wire_lines()),
            after_body="no",
            **client.where,
        )
    return final
