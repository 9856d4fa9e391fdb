"""DataPallas as a user has it: a home, connections to the strangers, and a person who signs in."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection.model import Connection, OAuth2Client, Provider, Security, Server
from datapallas.home import Home
from datapallas.mail.mailbox import Mailbox
from datapallas.mail.message import Message
from datapallas.mail.transport import BearerSource, Options
from datapallas.oauth.sign_in import SignIn
from strangers.identity_provider import CLIENT, SCOPE
from strangers.person import Person

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.connection.provider_help import ProviderHelp
    from datapallas.oauth.device import DeviceCode
    from datapallas.oauth.source import TokenSource
    from datapallas.oauth.token import SignedIn
    from strangers.identity_provider import IdentityProvider
    from strangers.mail_server import MailServer

ALICE = "alice@example.test"
CODE = "eml-strangers"


class Dialogue:
    """What was said to and by the mail server, as a user may see it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, direction: str, line: str) -> None:
        self.lines.append(f"{direction}: {line}")

    def count(self, start: str) -> int:
        """How many lines begin so."""
        return sum(line.startswith(start) for line in self.lines)


class SilentGuide:
    """Shows nothing; keeps the notices."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def register(self, redirect_uri: str, help_: ProviderHelp) -> None: ...

    def visit(self, url: str, *, opened: bool) -> None: ...

    def type_code(self, code: DeviceCode) -> None: ...

    def waiting(self, seconds: float) -> None: ...

    def notice(self, sentence: str) -> None:
        self.notices.append(sentence)


class Installation:
    """A home with one connection, CODE, from Alice's mailbox through the strangers."""

    def __init__(self, root: Path, provider: IdentityProvider) -> None:
        self.root, self.provider = root, provider
        self.home = Home(root, {})

    def connect(self, server: Server | None = None, **client: object) -> Connection:
        """Create the connection; `client` are fields of OAuth2Client that differ."""
        oauth2 = OAuth2Client(
            provider=Provider.GENERIC,
            client_id=CLIENT,
            scope=SCOPE,
            authorize_url=self.provider.authorize_url,
            token_url=self.provider.token_url,
        )
        oauth2 = dataclasses.replace(oauth2, **client)  # type: ignore[arg-type]  # the test knows the fields
        return self.home.folder.create(
            Connection(
                code=CODE, name="Strangers", server=server or Server(), from_address=ALICE, credential=oauth2
            )
        )

    def sign_in(self, person: Person | None = None, **changed: object) -> SignedIn:
        """The person signs in, in a browser of their own; `changed` are fields of SignIn that differ."""
        opens = (person or Person(ALICE)).open_browser()
        way = SignIn(endpoint=self.home.endpoint, guide=SilentGuide(), open_browser=opens, seconds=20)
        return dataclasses.replace(way, **changed).connect(self.home.folder, CODE)  # type: ignore[arg-type]

    def connection(self) -> Connection:
        """As it is stored now."""
        return self.home.folder.load(CODE)

    def mailbox(self, tokens: TokenSource, dialogue: Dialogue | None = None, **options: object) -> Mailbox:
        """The mailbox, with a token source that outlives it."""
        chosen = Options(watch=dialogue, **options)  # type: ignore[arg-type]
        return Mailbox(self.connection(), BearerSource(ALICE, tokens), chosen)


def server(mail: MailServer, name: str, port: int = 0) -> Server:
    """One of the ways in, see `mail_server.LISTENERS`; `port` when something stands before it."""
    return Server(
        host="localhost",
        port=str(port or mail.ports[name]),
        security=Security.TLS if name.endswith("-tls") else Security.STARTTLS,
        root_certificate=str(mail.ca),
    )


def letter(number: int = 1, to: str = "bob@any.test") -> Message:
    """A short message whose subject tells it apart; its text has what SMTP may get wrong."""
    return Message(to=to, subject=f"mail {number}", text=f"Zahl {number}: für dich\n.\n..two\nFrom here\n")
