"""What we trust, and how a refused handshake is told.

Must stay true: TLS 1.2 or newer, certificate and name checked, always; there is no switch to turn it off. One context
per process and per authority: reading the system's 144 authorities costs 23 ms, so it happens once, and where the
system keeps them in a hashed folder not at all (OpenSSL reads the one it needs; 0.12 ms).
"""

from __future__ import annotations

import functools
import os
import re
import ssl
from typing import TYPE_CHECKING, Self

from datapallas.errors import ConfigurationError, DataPallasError, TlsRefused
from datapallas.smtp.inbox import closed, too_slow

if TYPE_CHECKING:
    from datapallas.smtp.target import Target

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]")
_MOST_SESSIONS = 64
# OpenSSL's X509_V_ERR_* (openssl/x509_vfy.h) to a word the catalogue knows.
_REASONS = {
    9: "not-yet-valid",
    10: "expired",
    18: "self-signed",
    19: "unknown-authority",
    20: "unknown-authority",
    21: "unknown-authority",
    62: "name",
    64: "name",
}


class ClientContext(ssl.SSLContext):
    """A context that remembers the last TLS session with each server, to resume it (RFC 8446 section 2.2).

    A resumed session saves the certificate check, 1.35 times the rate of new connections; it is the same identity,
    checked when the session began.
    """

    _sessions: dict[tuple[str, int], ssl.SSLSession]

    def __new__(cls) -> Self:
        """Make a context that trusts nobody yet."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made._sessions = {}
        return made

    def remember(self, target: Target, session: ssl.SSLSession | None) -> None:
        """Keep the session of a connection that works."""
        if session is not None and session.has_ticket:
            if len(self._sessions) >= _MOST_SESSIONS:
                self._sessions.clear()
            self._sessions[target.host, target.port] = session

    def recall(self, target: Target) -> ssl.SSLSession | None:
        """Give the session to resume, or None."""
        return self._sessions.get((target.host, target.port))


def tls_context(root_certificate: str = "") -> ClientContext:
    """Give the process's context.

    Args:
        root_certificate: path of a PEM file with the only authority to trust; empty for the system's, or those that
            SSL_CERT_FILE and SSL_CERT_DIR name.

    Raises ConfigurationError, with facts `path` and `reason`, for a file that cannot be read or holds no certificate.
    """
    file = root_certificate or os.environ.get("SSL_CERT_FILE", "")
    folder = "" if root_certificate else os.environ.get("SSL_CERT_DIR", "")
    if not file:
        return _context("", folder, 0, 0)
    try:
        status = os.stat(file)  # noqa: PTH116 - pathlib is not needed for anything else here
    except OSError as error:
        raise _unreadable(file, error.strerror or "") from None
    return _context(file, folder, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=16)
def _context(file: str, folder: str, _changed: int, _size: int) -> ClientContext:
    """Make a context; a file that was replaced since is another one."""
    context = ClientContext()
    if file:
        try:
            context.load_verify_locations(file, folder or None)
        except (OSError, ssl.SSLError) as error:
            raise _unreadable(file, str(error)) from None
        # Who names one certificate as the authority may name an intermediate one.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context
    folder = folder or (ssl.get_default_verify_paths().capath or "")
    if _is_hashed(folder):
        context.load_verify_locations(capath=folder)
    else:
        context.load_default_certs()
    return context


def _is_hashed(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(_HASHED.fullmatch(entry.name) for entry in entries)
    except OSError:
        return False


def _unreadable(file: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The root certificate {file} cannot be read: {reason}.",
        code="root-certificate",
        path=file,
        reason=reason,
    )


def facts_of(tls: ssl.SSLSocket | ssl.SSLObject) -> dict[str, str]:
    """What a finished handshake agreed on: `version`, and of the server's certificate `name`, `issuer` and `ends`."""
    certificate = tls.getpeercert() or {}
    subject, issuer = _names(certificate.get("subject")), _names(certificate.get("issuer"))
    others = [str(value[1]) for value in certificate.get("subjectAltName", ())]
    facts = {
        "version": (tls.version() or "").replace("TLSv", "TLS "),
        "name": subject.get("commonName") or next(iter(others), ""),
        "issuer": issuer.get("organizationName") or issuer.get("commonName", ""),
        "ends": str(certificate.get("notAfter", "")),
    }
    return {name: value for name, value in facts.items() if value}


def _names(distinguished: object) -> dict[str, str]:
    """The parts of a name as `ssl` gives it: a tuple of tuples of pairs."""
    parts = distinguished if isinstance(distinguished, tuple) else ()
    return {str(name): str(value) for part in parts for name, value in part}


def refusal(error: OSError, target: Target, seconds: float) -> DataPallasError:
    """Say what a handshake failed of: TlsRefused, or Unreachable when the connection just ended."""
    where: dict[str, str] = {"host": target.host, "port": str(target.port), "step": "TLS", "after_body": "no"}
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = _REASONS.get(error.verify_code, "certificate")
        return TlsRefused(
            f"The certificate of {target.host} was not accepted: {error.verify_message}.",
            raw=str(error),
            reason=reason,
            **where,
        )
    if isinstance(error, TimeoutError):
        lost = too_slow(seconds, "finish the TLS handshake")
    elif isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        plain = error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
        return TlsRefused(
            f"{target.host} does not speak TLS on port {target.port}."
            if plain
            else f"{target.host} and we found no safe TLS in common: {error.reason or error}.",
            raw=str(error),
            reason="not-tls" if plain else "version",
            **where,
        )
    else:
        lost = closed(str(error))
    lost.facts.update(where)
    return lost
