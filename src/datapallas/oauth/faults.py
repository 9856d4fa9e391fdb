"""What went wrong on the way to a provider, from the HTTP library's words into ours.

Must stay true: an error names host, port and phase, and never holds a request's body or headers.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

from datapallas.errors import ConfigurationError, DataPallasError, ProtocolError, TlsRefused, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK = 3.0  # seconds to ask a server whose certificate was refused who issued it


def unreachable(host: str, port: int, phase: str, raw: str = "") -> Unreachable:
    """No answer; `phase` is dns, connect, proxy, timeout or closed."""
    sentence = {
        "dns": f"The name {host} was not found.",
        "connect": f"{host} could not be reached on port {port}.",
        "proxy": f"The proxy did not let us through to {host}.",
        "timeout": f"{host} did not answer in time.",
        "closed": f"{host} closed the connection before it had answered.",
    }[phase]
    return Unreachable(sentence, raw=raw, host=host, port=port, phase=phase, case="provider")


def translate(problem: Exception, host: str, port: int, *, by_proxy: bool) -> DataPallasError:
    """Any exception of an httpx2 request as one of ours."""
    if isinstance(problem, DataPallasError):
        return problem
    raw = f"{type(problem).__name__}: {problem}"[:500]
    for cause in _causes(problem):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause, host, port, "" if by_proxy else issuer_at(host, port))
        if isinstance(cause, ssl.SSLError) and not isinstance(
            cause, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            sentence = f"No safe TLS connection to {host} was possible."
            return TlsRefused(sentence, case="handshake", raw=raw, host=host, port=port)
    if phase := _phase(problem, by_proxy=by_proxy):
        return unreachable(host, port, phase, raw)
    if type(problem).__name__ == "RemoteProtocolError":
        return ProtocolError(
            f"{host} answered with something that is not HTTP.", case="not-http", raw=raw, host=host
        )
    return ConfigurationError(
        f"{host} cannot be asked ({type(problem).__name__}). Look at HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE.",
        code="http-settings",
        host=host,
    )


def _phase(problem: Exception, *, by_proxy: bool) -> str:
    """Where a request stopped, or empty when that is not the network's doing."""
    import httpx2

    connecting = isinstance(problem, httpx2.ConnectError | httpx2.ConnectTimeout)
    if isinstance(problem, httpx2.ProxyError) or (connecting and by_proxy):
        return "proxy"
    if isinstance(problem, httpx2.TimeoutException):
        return "timeout"
    if connecting:
        causes = list(_causes(problem))
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return "dns"
        return "closed" if any(isinstance(cause, ssl.SSLError) for cause in causes) else "connect"
    not_http = isinstance(problem, httpx2.RemoteProtocolError) and "disconnected" not in str(problem)
    return "closed" if isinstance(problem, httpx2.TransportError) and not not_http else ""


def issuer_at(host: str, port: int) -> str:
    """Who issued the certificate a server shows, or empty. For advice only: nothing is sent on this connection.

    A TLS-inspecting proxy is recognised by its name here.
    """
    from cryptography import x509

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(OSError, ValueError):
        with (
            socket.create_connection((host, port), _LOOK) as plain,
            context.wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            shown = wrapped.getpeercert(binary_form=True) or b""
        return x509.load_der_x509_certificate(shown).issuer.rfc4514_string()[:300]
    return ""


def _certificate(problem: ssl.SSLCertVerificationError, host: str, port: int, issuer: str) -> TlsRefused:
    reason = problem.verify_message or "it is not trusted"
    by = f" It was issued by {issuer}." if issuer else ""
    return TlsRefused(
        f"The certificate of {host} was refused: {reason}.{by}",
        case="certificate",
        raw=f"CERTIFICATE_VERIFY_FAILED: {reason}",
        host=host,
        port=port,
        reason=reason,
        issuer=issuer,
    )


def _causes(problem: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = problem
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
