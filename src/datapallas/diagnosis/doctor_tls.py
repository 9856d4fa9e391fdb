"""Who issued the certificate a server shows, when it was refused: so that what opens TLS on the way is named.

Must stay true: for advice only. Nothing but a greeting is said on these connections, and no answer decides anything.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from typing import TYPE_CHECKING

from datapallas.connection.model import Security

if TYPE_CHECKING:
    from datapallas.smtp.target import Target

_SECONDS = 5.0
_LONGEST = 65536


def issuer_through(proxy: tuple[str, int], host: str, port: int) -> str:
    """Who issued the certificate shown for `host` behind an HTTP proxy; empty when that cannot be seen."""
    with contextlib.suppress(OSError, ValueError), socket.create_connection(proxy, _SECONDS) as plain:
        plain.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        said = b""
        while b"\r\n\r\n" not in said and len(said) < _LONGEST:
            piece = plain.recv(1)  # not one octet more: what follows belongs to TLS
            if not piece:
                return ""
            said += piece
        with _trusting().wrap_socket(plain, server_hostname=host) as wrapped:
            return _issuer(wrapped)
    return ""


def issuer_at_mail_server(target: Target) -> str:
    """Who issued the certificate a mail server shows; empty when that cannot be seen."""
    with contextlib.suppress(OSError, ValueError, smtplib.SMTPException):
        if target.security is Security.TLS:
            with (
                socket.create_connection((target.host, target.port), _SECONDS) as plain,
                _trusting().wrap_socket(plain, server_hostname=target.host) as wrapped,
            ):
                return _issuer(wrapped)
        with smtplib.SMTP(target.host, target.port, timeout=_SECONDS) as session:
            session.starttls(context=_trusting())
            return _issuer(session.sock) if isinstance(session.sock, ssl.SSLSocket) else ""
    return ""


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _issuer(wrapped: ssl.SSLSocket) -> str:
    from cryptography import x509

    shown = wrapped.getpeercert(binary_form=True) or b""
    return x509.load_der_x509_certificate(shown).issuer.rfc4514_string()[:300]
