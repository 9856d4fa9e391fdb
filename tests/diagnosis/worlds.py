"""The worlds of the doctor: forty ways in which sending fails, each with its one cause, and some in which all is well."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from datapallas.connection.model import Flow, OAuth2Client, Password, Provider, Security
from datapallas.errors import DataPallasError
from datapallas.secret import Secret
from diagnosis.worlds_kit import CODE, client_with, pointed_at, server_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.model import Connection
    from datapallas.diagnosis.doctor_case import Case
    from diagnosis.worlds_kit import Workshop


class World(NamedTuple):
    """One world: what is wrong in it, where the doctor stops, with which diagnosis and exit code, what it must say."""

    title: str
    stops_at: str
    diagnosis: str
    exit_code: int
    build: Callable[[Workshop], Case]
    says: str = ""


MICROSOFT, GOOGLE, GENERIC, PASSWORD = Provider.MICROSOFT, Provider.GOOGLE, Provider.GENERIC, Provider.NONE
_OFF = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
_NOT_OWNED = (
    "553 5.7.1 <alice@sandbox.example>: Sender address rejected: not owned by user bob@sandbox.example"
)
_AUDIENCE = "https://outlook.office.com"


def _fault(
    where: str, what: str, provider: Provider = GENERIC, seconds: float = 0.0
) -> Callable[[Workshop], Case]:
    """All is made well, and goes wrong at one place of the sandbox, always."""

    def build(shop: Workshop) -> Case:
        case = shop.made(provider)
        shop.sandbox.faults.next(where, what, times=0, seconds=seconds)
        return case

    return build


def _app(
    provider: Provider = MICROSOFT,
    spoil: Callable[[Workshop], object] = lambda _: None,
    **claims: object,
) -> Callable[[Workshop], Case]:
    """An app that opens a mailbox by itself; `spoil` is what is then wrong with it, `claims` what its token says."""

    def build(shop: Workshop) -> Case:
        flow = Flow.SERVICEACCOUNT if provider is GOOGLE else Flow.APPONLY
        found = shop.sandbox.service_connection(provider, flow, certificate=True)
        shop.home.folder.create(dataclasses.replace(found, code=CODE, default=True))
        if claims:
            shop.tokens_say(**claims)
        spoil(shop)
        return shop.case()

    return build


def _home_exposed(shop: Workshop) -> Case:
    case = shop.made()
    shop.file.parent.chmod(0o777)
    return case


def _file_broken(shop: Workshop) -> Case:
    case = shop.made()
    shop.file.write_bytes(shop.file.read_bytes().replace(b"</documentburster>", b""))
    return case


def _unknown(shop: Workshop) -> Case:
    return dataclasses.replace(shop.made(), code="eml-elsewhere")


def _key(change: Callable[[Workshop], object]) -> Callable[[Workshop], Case]:
    def build(shop: Workshop) -> Case:
        case = shop.made()
        change(shop)
        return case

    return build


def _keyring(shop: Workshop) -> None:
    (shop.root / "data" / "keys" / "keyring.json").unlink()


def _moved(shop: Workshop) -> Case:
    case = shop.made()
    port = str(shop.sandbox.smtp_port).encode()
    shop.file.write_bytes(shop.file.read_bytes().replace(port, b"2525"))
    return case


def _reaching(address: Callable[[Workshop], str]) -> Callable[[Workshop], Case]:
    return lambda shop: shop.made(change=pointed_at(address(shop)))


def _behind_proxy(shop: Workshop) -> Case:
    shop.proxy()
    return shop.made(MICROSOFT, pointed_at("https://login.contoso.example"))


def _proxy_down(shop: Workshop) -> Case:
    os.environ["HTTPS_PROXY"] = f"http://127.0.0.1:{shop.closed_port()}"
    return shop.made(MICROSOFT, pointed_at("https://login.contoso.example"))


def _intercepted(shop: Workshop) -> Case:
    shop.trust(shop.authority("The authority we know"))
    return shop.made(change=pointed_at(shop.front(authority=shop.authority("Contoso Inspection"))))


def _intercepted_by_proxy(shop: Workshop) -> Case:
    shop.trust(shop.authority("The authority we know"))
    front = shop.front(authority=shop.authority("Contoso Inspection"))
    shop.proxy(to=int(front.rpartition(":")[2]))
    return shop.made(change=pointed_at("https://login.contoso.example"))


def _revoked(provider: Provider) -> Callable[[Workshop], Case]:
    def build(shop: Workshop) -> Case:
        case = shop.made(provider)
        shop.sandbox.provider.ledger.revoke_user(shop.sandbox.users[0])
        return case

    return build


def _parked(shop: Workshop) -> Case:
    case = _revoked(MICROSOFT)(shop)
    try:
        shop.case().tokens.token()
    except DataPallasError:
        return case
    raise AssertionError("it should be parked")


def _token_says(provider: Provider = MICROSOFT, **claims: object) -> Callable[[Workshop], Case]:
    def build(shop: Workshop) -> Case:
        shop.tokens_say(**claims)
        return shop.made(provider)

    return build


def _certificate(shop: Workshop, name: str) -> Case:
    shop.start(names=[name])
    return shop.made()


def _own_certificate(shop: Workshop) -> Case:
    other = shop.scratch / "other.pem"
    other.write_bytes(shop.authority("The authority we know").cert_pem.bytes())
    return shop.made(change=server_with(root_certificate=str(other)))


def _expired(shop: Workshop) -> Case:
    authority = shop.authority("The authority we know")
    file = shop.scratch / "authority.pem"
    file.write_bytes(authority.cert_pem.bytes())
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    leaf = authority.issue_cert("127.0.0.1", not_after=yesterday, not_before=yesterday - dt.timedelta(days=9))
    case = shop.made(change=server_with(root_certificate=str(file)))
    leaf.configure_cert(shop.sandbox._tls)
    return case


def _network(*numbers: int, open_ports: tuple[int, ...] = ()) -> Callable[[Workshop], Case]:
    """A network that cannot be built on loopback: what connecting says is given."""

    def dial(host: str, port: int, seconds: float) -> socket.socket:
        if port in open_ports:
            return socket.socket()
        raise ExceptionGroup("all tries failed", [OSError(number, "as it is here") for number in numbers])

    def build(shop: Workshop) -> Case:
        return dataclasses.replace(shop.made(change=server_with(port="587")), dial=dial)

    return build


def _mechanisms(shop: Workshop) -> Case:
    shop.sandbox.settings.mechanisms = ("PLAIN", "LOGIN")
    return shop.made()


def _wrong_password(shop: Workshop) -> Case:
    user = shop.sandbox.users[0]
    wrong = Password(user=user, password=Secret("not the one"))
    return shop.made(PASSWORD, lambda found: dataclasses.replace(found, credential=wrong))


def _other_port(**changes: str) -> Callable[[Workshop], Case]:
    def build(shop: Workshop) -> Case:
        port = changes.get("port") or str(shop.closed_port())
        return shop.made(change=server_with(**{"host": "127.0.0.2", **changes, "port": port}))

    return build


def _other_tenant(found: Connection) -> Connection:
    assert isinstance(found.credential, OAuth2Client)
    nobody = "99999999-0000-4000-8000-000000000000"
    url = found.credential.token_url.replace(found.credential.tenant_id, nobody)
    return client_with(tenant_id=nobody, token_url=url)(found)


def _fault_and_token(what: str) -> Callable[[Workshop], Case]:
    def build(shop: Workshop) -> Case:
        shop.tokens_say(aud="mail")
        return _fault("token", what)(shop)

    return build


def _trusted(shop: Workshop) -> Case:
    authority = shop.authority("Contoso Inspection")
    shop.trust(authority)
    return shop.made(change=pointed_at(shop.front(authority=authority)))


def _through_proxy(shop: Workshop) -> Case:
    authority = shop.authority("Contoso Inspection")
    shop.trust(authority)
    shop.proxy(to=int(shop.front(authority=authority).rpartition(":")[2]))
    return shop.made(change=pointed_at("https://login.contoso.example"))


def _tenant_by_name(shop: Workshop) -> Case:
    """Microsoft's metadata name a tenant by its number, whatever it was asked by."""
    front = shop.front(instead=("/sandbox.example/v2.0", f"/{shop.sandbox.tenant_id}/v2.0"))

    def change(found: Connection) -> Connection:
        assert isinstance(found.credential, OAuth2Client)
        url = found.credential.token_url.replace(found.credential.tenant_id, "sandbox.example")
        return pointed_at(front)(client_with(tenant_id="sandbox.example", token_url=url)(found))

    return shop.made(MICROSOFT, change)


def _unparked(shop: Workshop) -> Case:
    case = shop.made(MICROSOFT)
    shop.sandbox.faults.next("token", "AADSTS50173")
    try:
        shop.case().tokens.token()
    except DataPallasError:
        return case
    raise AssertionError("it should be parked")


BROKEN: tuple[World, ...] = (
    World("everybody may change the folder of connections", "home", "home-exposed", 78, _home_exposed, "chmod o-w"),
    World("the connection's file is cut off", "connection", "broken-connection", 78, _file_broken),
    World("there is no such connection", "connection", "unknown-connection", 78, _unknown, CODE),
    World("the client id is not set", "connection", "incomplete-client", 78, lambda shop: shop.made(change=client_with(client_id=""))),
    World("GENERIC without addresses", "connection", "no-provider-address", 78, lambda shop: shop.made(change=client_with(token_url=""))),
    World("the connection has no mail server", "connection", "no-mail-server", 78, lambda shop: shop.made(change=server_with(host=""))),
    World("the key is gone", "key", "key-lost", 78, _key(_keyring), "keyring.json"),
    World("others may read the key", "key", "key-exposed", 78, _key(lambda shop: (shop.root / "data/keys/keyring.json").chmod(0o644)), "chmod 600"),
    World("the key file is empty", "key", "key-empty", 78, _key(lambda shop: (shop.root / "data/keys/keyring.json").write_bytes(b""))),
    World("the mail server was changed by hand in the file", "secrets", "identity-changed", 78, _moved, "the mail server"),
    World("others may read the app's key", "secrets", "app-key-exposed", 78, _app(spoil=lambda shop: (shop.sandbox.folder / "service.pem").chmod(0o644)), "chmod 600"),
    World("the app's certificate has ended", "secrets", "app-key-ended", 78, _app(spoil=lambda shop: shop.sandbox.service_key(days=-0.5))),
    World("the provider's name does not exist", "provider-name", "provider-not-found", 75, _reaching(lambda _: "https://login.nowhere.invalid")),
    World("the proxy wants a sign-in (407)", "provider", "proxy-sign-in", 75, _behind_proxy),
    World("the proxy is down", "proxy", "proxy", 75, _proxy_down),
    World("nobody listens at the provider's address", "provider", "provider-not-there", 75, _reaching(lambda shop: f"https://127.0.0.2:{shop.closed_port()}")),
    World("the way to the provider is dropped", "provider", "provider-silent", 75, _reaching(lambda shop: f"http://127.0.0.1:{shop.dropping_port()}"), "HTTPS_PROXY"),
    World("a firewall opens TLS on the way to the provider", "provider", "provider-certificate", 78, _intercepted, "Contoso Inspection"),
    World("a proxy opens TLS on the way to the provider", "provider", "provider-certificate", 78, _intercepted_by_proxy, "Contoso Inspection"),
    World("the clock is two hours behind", "clock", "clock", 78, lambda shop: shop.made(change=pointed_at(shop.front(ahead=7200))), "120 minutes behind"),
    World("the clock is a day ahead", "clock", "clock", 78, lambda shop: shop.made(change=pointed_at(shop.front(ahead=-86400))), "ahead"),
    World("the provider answers 503", "metadata", "provider-error", 75, _fault("discovery", "503")),
    World("a page of the network answers for the provider", "metadata", "provider-answer", 75, _fault("discovery", "html", MICROSOFT)),
    World("Microsoft does not know the tenant", "tenant", "microsoft-tenant-unknown", 78, lambda shop: shop.made(MICROSOFT, _other_tenant)),
    World("the provider's token address answers 503", "token", "provider-error", 75, _fault("token", "503")),
    World("the client secret has expired", "token", "microsoft-secret-expired", 78, _fault("token", "AADSTS7000222", MICROSOFT)),
    World("the sign-in was revoked at Microsoft", "token", "microsoft-revoked", 77, _revoked(MICROSOFT)),
    World("the sign-in was revoked at Google", "token", "google-invalid-grant", 77, _revoked(GOOGLE)),
    World("the connection was parked before", "token", "microsoft-revoked", 77, _parked),
    World("a Conditional Access policy blocks the mailbox", "token", "microsoft-conditional-access", 77, _fault("token", "AADSTS53003", MICROSOFT)),
    World("the app's certificate is not registered", "token", "microsoft-assertion", 78, _app(spoil=lambda shop: shop.sandbox.provider.assertions.keys.clear())),
    World("the service account may not act for the mailbox", "token", "google-delegation", 78, _app(GOOGLE, lambda shop: shop.sandbox.faults.next("token", "google:delegation", times=0)), "setup-script"),
    World("the right to send was taken back", "rights", "token-scope", 77, _fault("token", "narrower-scope", MICROSOFT), "SMTP.Send"),
    World("the token is for Graph", "rights", "token-audience", 77, _token_says(aud="https://graph.microsoft.com", scp="Mail.Send"), "graph.microsoft.com"),
    World("the token has another right than to send", "rights", "token-scope", 77, _token_says(aud="https://outlook.office.com", scp="IMAP.AccessAsUser.All"), "SMTP.Send"),
    World("nobody has consented to SMTP.SendAsApp", "rights", "app-right", 77, _app(aud=_AUDIENCE, roles=["User.Read.All"]), "step 2"),
    World("the mail server's name does not exist", "mail-name", "name-not-found", 75, _other_port(host="smtp.nowhere.invalid")),
    World("nobody listens at the mail server's port", "port", "connection-refused", 75, _other_port()),
    World("the mail server's port is dropped", "port", "port-blocked", 75, lambda shop: shop.made(change=server_with(port=str(shop.dropping_port()))), "blocked"),
    World("a firewall rejects the way (no route to host)", "port", "port-blocked", 75, _network(errno.EHOSTUNREACH)),
    World("port 587 is dropped and 465 is open", "port", "port-blocked-other-open", 75, _network(errno.ETIMEDOUT, open_ports=(465,)), "port=465 security=TLS"),
    World("this machine has no network", "port", "no-route", 75, _network(errno.ENETUNREACH)),
    World("the mail server closes at once", "tls", "connection-lost", 75, _fault("connect", "die")),
    World("the mail server is too busy", "tls", "server-busy", 75, _fault("connect", "421 4.3.2 Service not available")),
    World("STARTTLS is taken out on the way", "tls", "starttls-missing", 78, _fault("ehlo", "strip-starttls")),
    World("TLS is set at a port for STARTTLS", "tls", "tls-wrong-port", 78, lambda shop: shop.made(change=server_with(security=Security.TLS))),
    World("the mail server's certificate is for another name", "tls", "certificate-name", 78, lambda shop: _certificate(shop, "mail.other.example")),
    World("the mail server's certificate is of an unknown authority", "tls", "certificate-authority", 78, _own_certificate, "DataPallas sandbox CA"),
    World("the mail server's certificate has expired", "tls", "certificate-expired", 78, _expired),
    World("nobody has signed in yet", "sign-in", "sign-in", 77, lambda shop: shop.made(signed_in=False)),
    World("the connection asks for no encryption", "sign-in", "no-encryption", 69, lambda shop: shop.made(change=server_with(security=Security.NONE)), "security=STARTTLS"),
    World("SMTP AUTH is off for the mailbox", "sign-in", "exchange-smtp-auth-off-mailbox", 77, _fault("auth", f"{_OFF}Mailbox.", MICROSOFT), "Set-CASMailbox -Identity alice@sandbox.example"),
    World("SMTP AUTH is off for the tenant", "sign-in", "exchange-smtp-auth-off-tenant", 77, _fault("auth", f"{_OFF}Tenant.", MICROSOFT)),
    World("Exchange refuses a token that is right", "sign-in", "exchange-auth-token-good", 77, _fault("auth", "535 5.7.3 Authentication unsuccessful", MICROSOFT)),
    World("Exchange does not know the app", "sign-in", "exchange-app-unknown", 77, _app(spoil=lambda shop: shop.sandbox.faults.next("auth", "535 5.7.3 Authentication unsuccessful", times=0)), "steps 4 and 5"),
    World("another account signed in (opaque token)", "sign-in", "account-mismatch", 77, _fault("token", "other-user"), "bob@sandbox.example"),
    World("another account signed in (readable token)", "sign-in", "account-mismatch", 77, _fault_and_token("other-user"), "bob@sandbox.example"),
    World("the mail server takes no OAuth2", "sign-in", "auth-not-offered", 69, _mechanisms),
    World("the mail server cannot ask its provider", "sign-in", "smtp-auth-temporary", 75, _fault("introspect", "503")),
    World("three others use the mailbox", "sign-in", "exchange-concurrent", 75, _fault("auth", "432 4.3.2 Concurrent connections limit exceeded", MICROSOFT)),
    World("the password is wrong, in Gmail's words", "sign-in", "google-credentials", 77, _wrong_password, "--password ask"),
    World("the password is wrong, in Postfix's words", "sign-in", "smtp-credentials", 77, _fault("auth", "535 5.7.8 Error: authentication failed:", PASSWORD), "--password ask"),
    World("the sender belongs to somebody else", "sender", "sender-not-owned", 69, _fault("mail", _NOT_OWNED)),
    World("the mailbox may not send as the From address", "sender", "send-as-denied", 69, lambda shop: shop.made(MICROSOFT, lambda found: dataclasses.replace(found, from_address="boss@sandbox.example")), "boss@sandbox.example"),
)  # fmt: skip

HEALTHY: tuple[tuple[str, Callable[[Workshop], Case]], ...] = (
    ("a generic provider, STARTTLS", lambda shop: shop.made()),
    ("Microsoft, opaque tokens", lambda shop: shop.made(MICROSOFT)),
    ("Microsoft, readable tokens", _token_says(aud=_AUDIENCE, scp="SMTP.Send")),
    ("Microsoft, a token for the old name of the service", _token_says(aud="https://outlook.office365.com/", scp="SMTP.Send")),
    ("Microsoft, a token for the service's number", _token_says(aud="00000002-0000-0ff1-ce00-000000000000", scp="SMTP.Send openid")),
    ("Microsoft, an app-only token", _token_says(aud="https://outlook.office365.com", roles=["SMTP.SendAsApp"])),
    ("Microsoft, the account's name is an alias of the mailbox", _token_says(aud=_AUDIENCE, scp="SMTP.Send", upn="a.lice@sandbox.example")),
    ("Microsoft, the tenant given by its domain", _tenant_by_name),
    ("a generic provider that names rights its own way in the token", _token_says(GENERIC, aud="mail", scope="urn:send")),
    ("Google", lambda shop: shop.made(GOOGLE)),
    ("Microsoft, app-only with a certificate", _app(aud="https://outlook.office365.com", roles=["SMTP.SendAsApp"])),
    ("a Google service account", _app(GOOGLE)),
    ("a generic provider, app-only", _app(GENERIC)),
    ("a password", lambda shop: shop.made(PASSWORD)),
    ("implicit TLS", lambda shop: shop.made(change=server_with(port=str(shop.sandbox.smtps_port), security=Security.TLS))),
    ("a clock that is two minutes off", lambda shop: shop.made(change=pointed_at(shop.front(ahead=120)))),
    ("a provider without metadata", _fault("discovery", "400")),
    ("a provider behind its own, trusted authority", _trusted),
    ("a provider through a proxy", _through_proxy),
    ("a connection parked for a reason that has passed", _unparked),
)  # fmt: skip
