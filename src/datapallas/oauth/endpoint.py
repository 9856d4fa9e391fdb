"""One request to a provider, over HTTPS, and what came back.

Must stay true:
- https with verified certificates; plain http to this machine only, and then past any proxy;
- one try, no redirect is followed: a refresh token goes to the address in the connection and nowhere else;
- at most 10 s to connect and 15 s in all, names and slow drips included; at most 64 KiB are read;
- what we send appears in no log and no error (httpx2 logs addresses and headers of answers; ours hold no secret).
HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR are honoured, as httpx2 reads them.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

from datapallas.errors import ConfigurationError, DataPallasError, ProtocolError
from datapallas.oauth.addresses import LOOPBACK, host_of, port_of, provider_address
from datapallas.oauth.clock import Clock, SystemClock

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import httpx2

    from datapallas.oauth.grants import Form
    from datapallas.secret import Secret

BODY_LIMIT = 65536
SKEW_TOLD = 300.0  # seconds: below this, a clock that is off does no harm


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How long a request may take, in seconds: until it is on its way, and in all."""

    connect: float = 10.0
    total: float = 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: never 3xx.
        headers: names in lower case.
        body: whole, at most BODY_LIMIT bytes.
        clock_skew: seconds the provider's clock is ahead of ours, when that is more than five minutes; else 0.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    clock_skew: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""


class Endpoint:
    """Sends requests; safe to share among threads. Making one costs nothing: TLS is set up when it is first needed."""

    def __init__(self, *, clock: Clock | None = None, limits: Limits | None = None) -> None:
        self.clock = clock or SystemClock()
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def post(self, url: str, form: Form) -> Answer:
        """Send `form`.

        Raises:
            Unreachable: no answer; `phase` says where it stopped, `sent` is yes when the request may have arrived.
            TlsRefused: the other side could not prove who it is; nothing was sent.
            ProtocolError: a redirect, more than 64 KiB, or not HTTP.
            ConfigurationError: an address that is not https, or proxy and certificate settings that make no sense.
        """
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if basic := form.authorization():
            headers["authorization"] = basic
        return self._send(_Request("POST", url, headers, form.body()))

    def post_json(self, url: str, body: bytes) -> Answer:
        """Send a JSON document. Raises as `post`."""
        return self._send(_Request("POST", url, {"content-type": "application/json"}, body))

    def get(self, url: str, bearer: Secret | None = None) -> Answer:
        """Fetch `url`, as the holder of `bearer` when one is given. Raises as `post`."""
        headers = {"authorization": f"Bearer {bearer.reveal()}"} if bearer else {}
        return self._send(_Request("GET", url, headers))

    def _send(self, request: _Request) -> Answer:
        provider_address(request.url, "provider's address")
        client = self._client(host_of(request.url), local=request.url.startswith("http:"))
        try:
            answer = _Call(client, request, self.limits).result()
        finally:
            client.close()
        return dataclasses.replace(answer, clock_skew=self._skew(answer))

    def _client(self, host: str, *, local: bool) -> httpx2.Client:
        """A client per request: connections are not kept, a refresh an hour does not need them."""
        import ssl

        import httpx2

        try:
            # For http the context is never used; an empty one saves reading all authorities (20 to 40 ms).
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if local else self._tls()
            return httpx2.Client(verify=context, trust_env=host not in LOOPBACK, follow_redirects=False)
        except (OSError, ValueError, ImportError, httpx2.InvalidURL) as problem:
            raise ConfigurationError(
                "The settings for proxy or certificates (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE) cannot be used.",
                code="http-settings",
                # A proxy's address may hold a password, so only a file's error is told in full.
                raw=f"{type(problem).__name__}: {problem}"
                if isinstance(problem, OSError)
                else type(problem).__name__,
            ) from None

    def _tls(self) -> ssl.SSLContext:
        import httpx2

        with self._lock:
            if self._context is None:
                self._context = httpx2.create_ssl_context()
            return self._context

    def _skew(self, answer: Answer) -> float:
        from email.utils import parsedate_to_datetime

        try:
            theirs = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except (TypeError, ValueError, IndexError, OverflowError):
            return 0.0
        ahead = theirs - self.clock.wall()
        return ahead if abs(ahead) > SKEW_TOLD else 0.0


class _Call:
    """One request in a thread of its own, so that a deadline holds whatever the network does.

    httpx2's time-outs are for one read each: a server that sends a byte a second, or a name server that does not
    answer, would hold us for ever. The thread is a daemon; past the deadline its socket is shut and it is forgotten.
    """

    def __init__(self, client: httpx2.Client, request: _Request, limits: Limits) -> None:
        self._client, self._request, self._limits = client, request, limits
        self._host, self._port = host_of(request.url), port_of(request.url)
        self._on_its_way = threading.Event()
        self._done = threading.Event()
        self._stream: Any = None
        self._by_proxy = False
        self._sent = False
        self._answer: Answer | None = None
        self._problem: DataPallasError | None = None

    def result(self) -> Answer:
        """The answer; every failure is one of our errors."""
        from datapallas.oauth.faults import unreachable

        threading.Thread(target=self._run, name="provider-request", daemon=True).start()
        end = time.monotonic() + self._limits.total  # the real clock, since the network is real
        try:
            if not self._on_its_way.wait(self._limits.connect):
                phase = "proxy" if self._by_proxy else "timeout"
                raise unreachable(self._host, self._port, phase, "no connection in time")
            if not self._done.wait(end - time.monotonic()):
                problem = unreachable(self._host, self._port, "timeout", "no answer in time")
                problem.facts["sent"] = "yes"
                raise problem
        finally:
            if not self._done.is_set():
                self._shut()
        if self._problem is not None:
            self._problem.facts["sent"] = "yes" if self._sent else "no"
            raise self._problem
        if self._answer is None:
            raise DataPallasError("A request ended without an answer or an error.")
        return self._answer

    def _run(self) -> None:
        try:
            self._answer = self._exchange()
        except Exception as problem:  # noqa: BLE001 - carried to the thread that waits
            from datapallas.oauth.faults import translate

            self._problem = translate(problem, self._host, self._port, by_proxy=self._by_proxy)
        finally:
            self._done.set()
            self._on_its_way.set()

    def _exchange(self) -> Answer:
        headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "datapallas"}
        request = self._client.build_request(
            self._request.method,
            self._request.url,
            headers=headers | self._request.headers,
            content=self._request.body or None,
            timeout=self._limits.connect,
            extensions={"trace": self._trace},
        )
        response = self._client.send(request, stream=True)
        try:
            return self._read(response)
        finally:
            response.close()

    def _read(self, response: httpx2.Response) -> Answer:
        status = response.status_code
        if 300 <= status < 400:  # noqa: PLR2004
            raise ProtocolError(
                f"{host_of(self._request.url)} sent us elsewhere; a provider's address is never followed to another.",
                code="redirect",
                raw=f"HTTP {status}",
                to=host_of(response.headers.get("location", "")) or "the same host",
            )
        body = bytearray()
        for chunk in response.iter_raw(8192):
            body += chunk
            if len(body) > BODY_LIMIT:
                raise ProtocolError(
                    f"{host_of(self._request.url)} answered with more than {BODY_LIMIT // 1024} KiB.",
                    case="too-big",
                )
        return Answer(status, {name.lower(): value for name, value in response.headers.items()}, bytes(body))

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """httpcore2's own events tell how far we are, and which socket to shut."""
        if event == "connection.connect_tcp.started":
            self._by_proxy = info["host"] != self._host
        elif event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]
        elif event == "http11.send_request_headers.started" and info["request"].method != b"CONNECT":
            self._by_proxy = False  # we are through: what fails from here on is the provider
            self._sent = True
            self._on_its_way.set()

    def _shut(self) -> None:
        import contextlib
        import socket

        stream = self._stream
        if stream is not None:
            found = stream.get_extra_info("socket")
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: it would take the TLS object from under the thread that reads.
                socket.socket.shutdown(found, socket.SHUT_RDWR)
