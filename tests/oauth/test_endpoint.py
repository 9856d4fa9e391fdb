"""Requests to a provider: bounded in time and size, never redirected, never past a bad certificate."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest
import trustme

from datapallas.errors import ConfigurationError, ProtocolError, TlsRefused, Unreachable
from datapallas.oauth.answers import read_object
from datapallas.oauth.discovery import discover
from datapallas.oauth.endpoint import Endpoint, Limits
from datapallas.oauth.exchange import ask
from datapallas.oauth.grants import Form
from datapallas.secret import Secret
from oauth.scripted import Idp, Raw, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from oauth.conftest import FakeClock

FORM = Form((("grant_type", "refresh_token"), ("refresh_token", Secret("cnry-refresh"))))
SHORT = Limits(connect=0.3, total=0.6)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Contoso Web Filter")


@pytest.fixture
def tls_idp(authority: trustme.CA) -> Iterator[Callable[[str], Idp]]:
    """The scripted provider behind TLS, with a certificate for the given name."""
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Idp:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            running = stack.enter_context(serving(Idp(), context))
            running.url = running.url.replace("http:", "https:").replace("127.0.0.1", "localhost")
            return running

        yield start


def test_a_client_for_this_machine_costs_next_to_nothing(idp: Idp, endpoint: Endpoint) -> None:
    """Talking to the sandbox reads no authorities: under 20 ms of work for a whole request, the least of ten."""
    idp.metadata = {"x": 1}
    url = f"{idp.url}/.well-known/openid-configuration"
    endpoint.get(url)
    times = []
    for _ in range(10):
        start = time.thread_time()  # not the clock: the machine may be busy
        endpoint.get(url)
        times.append(time.thread_time() - start)
    assert min(times) < 0.02


def test_a_redirect_is_not_followed(idp: Idp, endpoint: Endpoint) -> None:
    """A token goes to the address in the connection and nowhere else."""
    idp.script = [Raw(307, {"Location": f"{idp.url}/elsewhere"})]
    with pytest.raises(ProtocolError) as caught:
        endpoint.post(f"{idp.url}/token", FORM)
    assert caught.value.code == "redirect"
    assert len(idp.requests) == 1


def test_a_huge_answer_is_cut(idp: Idp, endpoint: Endpoint) -> None:
    """A gigabyte is not read: memory stays small and the request ends."""
    sent = 0

    def gigabyte() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(16_384):
            sent += 65_536
            yield bytes(65_536)

    idp.script = [Raw(pieces=gigabyte)]
    with pytest.raises(ProtocolError, match="more than 64 KiB"):
        endpoint.post(f"{idp.url}/token", FORM)
    assert sent < 32 * 1024 * 1024


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_server_that_drips_is_left_after_the_whole_time(idp: Idp, where: str) -> None:
    """A byte now and then does not keep us: the limit is for the whole request."""
    stop = threading.Event()

    def drip() -> Iterator[bytes]:
        for _ in itertools.count():
            if stop.wait(0.05):
                return
            yield b" "

    try:
        start = time.monotonic()
        idp.script = [Raw(pieces=drip)]
        with _dripping_headers(stop) as headers_url:
            url = headers_url if where == "headers" else f"{idp.url}/token"
            with pytest.raises(Unreachable) as caught:
                Endpoint(limits=SHORT).post(url, FORM)
    finally:
        stop.set()
    assert caught.value.facts["phase"] == "timeout" and caught.value.facts["sent"] == "yes"
    assert 0.5 < time.monotonic() - start < 30


class _dripping_headers:  # noqa: N801 - reads as a function
    """A server that sends one header byte at a time."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/token"

    def _run(self) -> None:
        self._listener.settimeout(0.2)
        try:
            link, _ = self._listener.accept()
        except TimeoutError:
            return
        with link:
            link.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not self._stop.wait(0.05):
                try:
                    link.sendall(b"x")
                except OSError:
                    return

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()


def test_a_server_that_never_answers_the_connection_is_left(idp: Idp) -> None:
    """TLS that never begins: the limit for connecting holds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            Endpoint(limits=SHORT).post(f"https://127.0.0.1:{silent.getsockname()[1]}/token", FORM)
    assert caught.value.facts["phase"] == "timeout" and caught.value.facts.get("sent") != "yes"
    assert time.monotonic() - start < 30


def test_a_name_that_does_not_exist_is_said_so() -> None:
    """The phase of the failure tells what to look at."""
    with pytest.raises(Unreachable) as caught:
        Endpoint().post("https://no-such-host.invalid/token", FORM)
    assert caught.value.facts["phase"] == "dns"
    assert caught.value.facts["host"] == "no-such-host.invalid"


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example/token",
        "ftp://login.example/",
        "https://user:pw@login.example/",
        "https:///token",
        "https://login.example:99999/",
        "https://login.example/#x",
        "https://login.example/a b",
        "",
        "http://127.0.0.1.evil.example/",
    ],
)
def test_only_https_addresses_are_used(url: str) -> None:
    """A secret never goes over plain http to another machine, nor to something that is not an address."""
    with pytest.raises(ConfigurationError):
        Endpoint().post(url, FORM)


def test_a_certificate_nobody_vouches_for_is_refused_and_its_issuer_named(
    tls_idp: Callable[[str], Idp],
) -> None:
    """A filter that opens TLS is recognised by its name; nothing was sent to it."""
    idp = tls_idp("localhost")
    with pytest.raises(TlsRefused) as caught:
        Endpoint().post(f"{idp.url}/token", FORM)
    assert "Contoso Web Filter" in caught.value.facts["issuer"]
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.raw
    assert idp.requests == []


def test_an_authority_of_ones_own_is_trusted_by_ssl_cert_file(
    tls_idp: Callable[[str], Idp], authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a company's filter, SSL_CERT_FILE names its authority and all works; a wrong name is still refused."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    good = tls_idp("localhost")
    assert endpoint_answer(good) == 400
    wrong = tls_idp("login.example")
    with pytest.raises(TlsRefused):
        endpoint_answer(wrong)
    assert wrong.requests == []


def endpoint_answer(idp: Idp) -> int:
    return Endpoint().post(f"{idp.url}/token", FORM).status


def test_a_certificate_file_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE with a typing error names itself."""
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        Endpoint().post("https://login.example/token", FORM)


def test_a_proxy_is_used_and_its_refusal_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is honoured; what fails there is said to be the proxy, and its password appears nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        asked: list[bytes] = []

        def refuse() -> None:
            link, _ = proxy.accept()
            with link:
                asked.append(link.recv(4096))
                link.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:cnry-pw@127.0.0.1:{proxy.getsockname()[1]}")
        with pytest.raises(Unreachable) as caught:
            Endpoint().post("https://login.example/token", FORM)
        thread.join()
    assert asked[0].startswith(b"CONNECT login.example:443")
    assert caught.value.facts["phase"] == "proxy"
    assert "407" in caught.value.raw
    assert "cnry" not in f"{caught.value} {caught.value.raw} {caught.value.facts}"


def test_a_proxy_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy's address is wrong: the phase says proxy, not the provider."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(Unreachable) as caught:
            Endpoint().post("https://login.example/token", FORM)
    assert caught.value.facts["phase"] == "proxy"


def test_this_machine_is_never_reached_by_proxy(
    idp: Idp, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a proxy set and the sandbox on loopback, no token leaves the machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert endpoint.post(f"{idp.url}/token", FORM).status == 400


def test_settings_that_make_no_sense_are_told_without_their_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy address with a typing error is a matter of configuration."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:cnry@host:port")
    with pytest.raises(ConfigurationError) as caught:
        Endpoint().post("https://login.example/token", FORM)
    assert "cnry" not in f"{caught.value} {caught.value.raw} {caught.value.__cause__}"


def test_something_that_is_not_http_is_told(idp: Idp) -> None:
    """A mail server at the token port is a mistake that is named."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            link, _ = server.accept()
            with link:
                link.recv(4096)
                link.sendall(b"220 mail.example ESMTP\r\n\r\n")
                while link.recv(4096):
                    pass

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(ProtocolError):
            Endpoint().post(f"http://127.0.0.1:{server.getsockname()[1]}/token", FORM)
        thread.join()


@pytest.mark.parametrize(("off", "told"), [(600, 600), (-600, -600), (250, 0)])
def test_a_clock_that_is_off_by_more_than_five_minutes_is_told(
    idp: Idp, endpoint: Endpoint, clock: FakeClock, off: float, told: float
) -> None:
    """The provider's Date shows that this machine's clock is wrong."""
    idp.date = clock.now + off
    answer = endpoint.post(f"{idp.url}/token", FORM)
    assert answer.clock_skew == told


@pytest.mark.parametrize("style", ["basic_only", "post_only"])
def test_a_client_secret_reaches_providers_of_both_habits(idp: Idp, endpoint: Endpoint, style: str) -> None:
    """Some take the secret in a header, some in the form; each is found by itself."""
    setattr(idp, style, True)
    form = Form(
        (("grant_type", "refresh_token"), ("refresh_token", Secret(idp.new_family()))),
        ("client", Secret("s")),
    )
    tokens, _ = ask(endpoint, f"{idp.url}/token", form)
    assert tokens.access_token


def test_discovery_fills_in_the_addresses(idp: Idp, endpoint: Endpoint) -> None:
    """`--issuer` is all a person needs to know of a provider that publishes its metadata."""
    idp.metadata = {
        "issuer": idp.url,
        "authorization_endpoint": f"{idp.url}/authorize",
        "token_endpoint": f"{idp.url}/token",
        "userinfo_endpoint": f"{idp.url}/userinfo",
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": ["openid"],
    }
    found = discover(endpoint, idp.url + "/")
    assert (found.authorize_url, found.token_url) == (f"{idp.url}/authorize", f"{idp.url}/token")
    assert found.sends_issuer and found.scopes == {"openid"}


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://login.example/token"},
        {"token_endpoint": None},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": "S256"},
        {"issuer": 7},
    ],
)
def test_metadata_that_cannot_be_trusted_is_refused(
    idp: Idp, endpoint: Endpoint, change: dict[str, object]
) -> None:
    """Metadata for another issuer, without TLS, without PKCE: no sign-in begins with it."""
    idp.metadata = {
        "issuer": idp.url,
        "authorization_endpoint": f"{idp.url}/authorize",
        "token_endpoint": f"{idp.url}/token",
    } | change
    if change == {"code_challenge_methods_supported": "S256"}:
        assert discover(endpoint, idp.url).token_url  # a text that names it is clear enough
        return
    with pytest.raises(ConfigurationError):
        discover(endpoint, idp.url)


def test_a_provider_without_metadata_is_said_so(idp: Idp, endpoint: Endpoint) -> None:
    """Both well-known places are looked at, then the options to use instead are named."""
    with pytest.raises(ConfigurationError, match="--token-url"):
        discover(endpoint, f"{idp.url}/realm")
    assert [seen.path for seen in idp.requests] == [
        "/realm/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realm",
    ]


def test_json_that_is_no_object_is_not_metadata() -> None:
    """A list, a number or a deep nest is told as what it is."""
    for body in (b"[]", b"7", b"[" * 60_000, b"\xff"):
        with pytest.raises(ProtocolError):
            read_object(200, {}, body)
