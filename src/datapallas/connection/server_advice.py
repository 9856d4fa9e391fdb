"""What can be seen wrong in a mail server and a sender, without asking anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datapallas.connection.finding import Before, error, missing, warning
from datapallas.connection.model import Cloud, OAuth2Client, Password, Provider, Security, Transport
from datapallas.connection.presets import PRESETS
from datapallas.connection.provider import MICROSOFT, PERSONAL_HOST, PERSONAL_TENANT
from datapallas.connection.shapes import fixed, is_address, is_this_machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from datapallas.connection.finding import Finding
    from datapallas.connection.model import Connection, Server

# Hosts people take from other settings, and the one that takes mail.
_NOT_FOR_SENDING: Mapping[str, str] = {
    "outlook.office365.com": "smtp.office365.com",
    "outlook.office.com": "smtp.office365.com",
    "office365.com": "smtp.office365.com",
    "graph.microsoft.com": "smtp.office365.com",
    "login.microsoftonline.com": "smtp.office365.com",
    "imap-mail.outlook.com": PERSONAL_HOST,
    "pop-mail.outlook.com": PERSONAL_HOST,
    "outlook.com": PERSONAL_HOST,
    "outlook.live.com": PERSONAL_HOST,
    "hotmail.com": PERSONAL_HOST,
    "gmail.com": "smtp.gmail.com",
    "mail.google.com": "smtp.gmail.com",
    "imap.gmail.com": "smtp.gmail.com",
    "pop.gmail.com": "smtp.gmail.com",
    "gmail.googleapis.com": "smtp.gmail.com",
}
_INCOMING = (".mail.protection.outlook.com", ".mx.microsoft", ".l.google.com", ".psmtp.com")
_OWNERS = {
    Provider.MICROSOFT: (
        "office365.com",
        "outlook.com",
        "office365.us",
        "partner.outlook.cn",
        "hotmail.com",
        "live.com",
    ),
    Provider.GOOGLE: ("gmail.com", "googlemail.com", "google.com"),
}
NAMES = {
    Provider.MICROSOFT: "Microsoft",
    Provider.GOOGLE: "Google",
    Provider.GENERIC: "another provider",
    Provider.NONE: "a password",
}


class _Port(NamedTuple):
    """What a port is really for."""

    sentence: str
    wrong: bool = True


_PORTS: Mapping[str, _Port] = {
    "25": _Port(
        "Port 25 is for mail servers among themselves, and often blocked. Use 587 with STARTTLS.", wrong=False
    ),
    "110": _Port("Port 110 is for receiving mail (POP). For sending use 587 with STARTTLS."),
    "995": _Port("Port 995 is for receiving mail (POP). For sending use 587 with STARTTLS, or 465 with TLS."),
    "143": _Port("Port 143 is for receiving mail (IMAP). For sending use 587 with STARTTLS."),
    "993": _Port(
        "Port 993 is for receiving mail (IMAP). For sending use 587 with STARTTLS, or 465 with TLS."
    ),
    "80": _Port("Port 80 is for web pages. For sending use 587 with STARTTLS."),
    "443": _Port("Port 443 is for web pages. For sending use 587 with STARTTLS."),
}
_PERSONAL = frozenset(
    {"outlook.com", "hotmail.com", "live.com", "msn.com", "outlook.de", "hotmail.de", "live.de"}
    | {"outlook.fr", "hotmail.fr", "live.fr", "hotmail.co.uk", "live.co.uk", "hotmail.it", "hotmail.es"}
)
_GMAIL = frozenset({"gmail.com", "googlemail.com"})


def server_findings(connection: Connection) -> Iterator[Finding]:
    """What is wrong with host, port, security, transport, and how they go together with the provider."""
    server = connection.server
    host = fixed(server.host).lower()
    if not server.host:
        yield missing(
            "host", Before.SENDING, "The mail server is not set. Enter its name, such as smtp.example.com."
        )
    elif host:
        yield from _host(host) or _owner(connection, host)
    yield from _port(server)
    if server.security is Security.NONE and host and not is_this_machine(host):
        yield _open(connection)
    if connection.transport not in {Transport.AUTO, Transport.SMTP}:
        yield error("transport", "This version sends by SMTP only. Set the transport to AUTO or SMTP.")


def _host(host: str) -> list[Finding]:
    if "://" in host or "/" in host:
        words = "This is a web address. Enter only the name of the mail server, such as smtp.example.com."
    elif "@" in host:
        words = "This is a mail address. Enter the name of the mail server, such as smtp.example.com."
    elif any(c.isspace() or c in ",;" for c in host):
        words = "A mail server's name has no blanks, commas or semicolons. Enter one name."
    elif host.count(":") == 1:
        words = (
            "The port has a field of its own. Take the colon and the number away from the mail server's name."
        )
    elif host in _NOT_FOR_SENDING:
        words = f"This server does not take mail to be sent. Use {_NOT_FOR_SENDING[host]}."
    elif host.startswith(("imap.", "imaps.", "pop.", "pop3.")):
        words = (
            "This is a server for receiving mail. Enter the one for sending; its name often begins with smtp."
        )
    elif host.endswith(_INCOMING):
        words = "This server receives mail for a domain and lets nobody sign in. Enter the one for sending."
    elif "." not in host and ":" not in host and not is_this_machine(host):
        return [
            warning("host", "This name has no domain. Most mail servers are called like smtp.example.com.")
        ]
    else:
        return []
    return [error("host", words)]


def owner(host: str) -> Provider | None:
    """Whose mail server this is, as far as its name tells; NONE for one that is known to take passwords only."""
    for provider, domains in _OWNERS.items():
        if host.endswith(tuple(f".{domain}" for domain in domains)) or host in domains:
            return provider
    return next((known.provider for known in PRESETS.values() if known.server.host == host), None)


def _owner(connection: Connection, host: str) -> Iterator[Finding]:
    whose, provider = owner(host), connection.provider
    if whose is None or whose is provider:
        yield from _office(connection, host)
    elif provider is Provider.NONE:
        if whose is Provider.MICROSOFT:
            yield warning(
                "provider",
                "Microsoft is ending passwords for sending mail. Choose the provider Microsoft and sign in instead.",
            )
        elif whose is Provider.GOOGLE:
            yield warning(
                "provider",
                "Google takes an app password here, not the one you sign in with. "
                "Make one, or choose the provider Google and sign in.",
            )
    elif provider is Provider.GENERIC:
        if whose in NAMES and whose is not Provider.NONE:
            name = NAMES[whose]
            yield warning(
                "provider",
                f"This mail server is {name}'s. Choose the provider {name}: most fields fill themselves.",
            )
    else:
        asked = NAMES[provider]
        usual = "smtp.gmail.com" if provider is Provider.GOOGLE else "smtp.office365.com"
        yield error(
            "host",
            f"This mail server does not know sign-ins of {asked}. Use {usual}, or choose the provider it belongs to.",
        )


def _office(connection: Connection, host: str) -> Iterator[Finding]:
    """Microsoft has one server for work accounts, one for personal ones, and one for each national cloud."""
    client = connection.credential
    if not isinstance(client, OAuth2Client) or client.provider is not Provider.MICROSOFT:
        return
    tenant = fixed(client.tenant_id).lower()
    personal = tenant in {"consumers", PERSONAL_TENANT}
    if client.cloud is Cloud.GLOBAL:
        if personal and host == MICROSOFT[Cloud.GLOBAL].host:
            yield warning(
                "host", f"Personal Microsoft accounts send through {PERSONAL_HOST}. Use that mail server."
            )
        elif tenant not in {"", "common"} and not personal and host == PERSONAL_HOST:
            yield warning(
                "host", "Work and school accounts send through smtp.office365.com. Use that mail server."
            )
    elif owner(host) is Provider.MICROSOFT and host != MICROSOFT[client.cloud].host:
        yield warning("host", f"In this Microsoft cloud mail is sent through {MICROSOFT[client.cloud].host}.")


def _port(server: Server) -> Iterator[Finding]:
    port = fixed(server.port)
    if not port:
        if not server.port:
            yield missing("port", Before.SENDING, "The port is not set. Most mail servers take 587.")
    elif not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):  # noqa: PLR2004
        yield error("port", "The port must be a number from 1 to 65535. Most mail servers take 587.")
    elif port in _PORTS:
        known = _PORTS[port]
        yield (error if known.wrong else warning)("port", known.sentence)
    elif port == "465" and server.security is not Security.TLS:
        yield error(
            "security", "Port 465 is encrypted from the first byte. Choose TLS, or port 587 with STARTTLS."
        )
    elif port == "587" and server.security is Security.TLS:
        yield error(
            "security",
            "Port 587 begins in the open and then switches. Choose STARTTLS, or port 465 with TLS.",
        )


def _open(connection: Connection) -> Finding:
    if isinstance(connection.credential, Password) and not connection.credential.user:
        return warning(
            "security",
            "Mail is sent unencrypted over the network. Choose STARTTLS or TLS if the server has it.",
        )
    return error(
        "security",
        "Without encryption no password or token is sent to another machine, so nobody can sign in. "
        "Choose STARTTLS (port 587) or TLS (port 465).",
    )


def sender_findings(connection: Connection) -> Iterator[Finding]:
    """What is wrong with the sender's address, and whether it fits the provider."""
    address = fixed(connection.from_address).lower()
    if not connection.from_address and not connection.mailbox:
        yield missing(
            "from", Before.SENDING, "The sender's address is not set. Enter the mailbox you send from."
        )
    elif connection.from_address and not address:
        return
    elif address and not is_address(address):
        yield error("from", "This is not a mail address. It looks like reports@contoso.com.")
    else:
        yield from _somebody_elses(connection, address)
        yield from _free_mail(connection, address.rpartition("@")[2])


def _somebody_elses(connection: Connection, address: str) -> Iterator[Finding]:
    """The account that signed in is not the sender: a shared mailbox, or a mistake."""
    client = connection.credential
    account = client.user_email.lower() if isinstance(client, OAuth2Client) and client.refresh_token else ""
    if address and account and address != account:
        yield warning(
            "from",
            "Another account is signed in. It needs the right to send as this address (Send As); else sign in again.",
        )


def _free_mail(connection: Connection, domain: str) -> Iterator[Finding]:
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        return
    if domain in _PERSONAL and client.provider is Provider.GOOGLE:
        yield error(
            "from", "This mailbox is at Microsoft. Choose the provider Microsoft, or enter a Google mailbox."
        )
    elif domain in _GMAIL and client.provider is Provider.MICROSOFT:
        yield error(
            "from", "This mailbox is at Google. Choose the provider Google, or enter a Microsoft mailbox."
        )
    elif domain in _PERSONAL and client.provider is Provider.MICROSOFT:
        tenant = fixed(client.tenant_id).lower()
        if tenant not in {"", "common", "consumers", PERSONAL_TENANT} and "${" not in client.tenant_id:
            yield error(
                "tenant-id", "This is a personal Microsoft mailbox. Its tenant is the word consumers."
            )
        if fixed(connection.server.host).lower() == MICROSOFT[Cloud.GLOBAL].host:
            yield warning(
                "host", f"Personal Microsoft mailboxes send through {PERSONAL_HOST}. Use that mail server."
            )
