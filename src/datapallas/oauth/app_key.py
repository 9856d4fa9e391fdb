"""The key an app proves itself with: a PEM file with key and certificate, or Google's JSON file of a service account.

Must stay true:
- a file that others may read is refused, and nothing of it is used;
- what is in it is neither copied, nor shown, nor part of any error;
- an address in Google's file is not believed: tokens are asked for where the connection says.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from datapallas import files
from datapallas.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

_LIMIT = 65536


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppKey:
    """A private key, and what stood beside it.

    Attributes:
        private: RSA, or EC on P-256.
        thumbprint: SHA-256 of the certificate (RFC 7515 section 4.1.8, base64url); empty where there is none.
        shown: the same as the Entra portal shows it for the same certificate: SHA-1 in hex.
        ends_at: when the certificate ends, wall seconds; None where there is none.
        key_id, account, account_id: of Google's file: the key's id, the service account and its number.
    """

    private: PrivateKey = dataclasses.field(repr=False)
    thumbprint: str = ""
    shown: str = ""
    ends_at: float | None = None
    key_id: str = ""
    account: str = ""
    account_id: str = ""

    @property
    def rsa(self) -> bool:
        """RSA, which every provider takes."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

        return isinstance(self.private, RSAPrivateKey)


def key_path(home: Path, certificate: str) -> Path:
    """Where the file is; a relative path is below the home, whoever runs the program where."""
    return home / Path(certificate).expanduser()


def read_app_key(path: Path) -> AppKey:
    """The key in `path`.

    Raises ConfigurationError (code ``app-key``), `case` says why: missing, exposed, unreadable, encrypted, no-key,
    not-its-certificate, kind.
    """
    data = _read(path)
    if data.lstrip().startswith(b"{"):
        return _google(path, data)
    return _pem(path, data)


def _read(path: Path) -> bytes:
    try:
        real = path.resolve(strict=True)  # mounted secrets and renewed certificates are links
        why = files.exposed(real)
        if why:
            _refuse(path, "exposed", f"Its file is not private: {why}")
        return files.read(real, limit=_LIMIT)
    except FileNotFoundError:
        _refuse(path, "missing", "There is no such file")
    except StorageError as problem:
        _refuse(path, "unreadable", f"The system refuses: {problem.facts.get('reason', 'unknown reason')}")
    except (OSError, RuntimeError) as problem:
        _refuse(path, "unreadable", f"The system refuses: {getattr(problem, 'strerror', None) or 'links'}")


def _google(path: Path, data: bytes) -> AppKey:
    try:
        value: dict[str, Any] = json.loads(data)
        texts = [
            value.get(name, "") for name in ("private_key", "client_email", "private_key_id", "client_id")
        ]
    except (ValueError, AttributeError, RecursionError):
        _refuse(path, "no-key", "It is not the JSON file of a service account")
    pem, account, key_id, account_id = (text if isinstance(text, str) else "" for text in texts)
    if not pem or not account:
        _refuse(path, "no-key", "It is not the JSON file of a service account")
    return AppKey(private=_private(path, pem.encode()), key_id=key_id, account=account, account_id=account_id)


def _pem(path: Path, data: bytes) -> AppKey:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    private = _private(path, data)
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError:
        return AppKey(private=private)
    mine = next((one for one in certificates if one.public_key() == private.public_key()), None)
    if mine is None:
        _refuse(path, "not-its-certificate", "The certificate in it is not that of the key in it")
    thumbprint = base64.urlsafe_b64encode(mine.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    return AppKey(
        private=private,
        thumbprint=thumbprint,
        shown=mine.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - to compare with what a portal shows
        ends_at=_end(mine).timestamp(),
    )


def _end(certificate: x509.Certificate) -> dt.datetime:
    return certificate.not_valid_after_utc


def _private(path: Path, data: bytes) -> PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(data, None)
    except TypeError:
        _refuse(
            path, "encrypted", "The key in it is locked with a passphrase, and nobody is there to type it"
        )
    except (ValueError, UnsupportedAlgorithm):
        _refuse(
            path, "no-key", "There is no private key in it that can be read (PEM, as in BEGIN PRIVATE KEY)"
        )
    if isinstance(found, rsa.RSAPrivateKey):
        return found
    if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, ec.SECP256R1):
        _refuse(path, "kind", "Its key is neither RSA nor EC on the curve P-256")
    return found


def _refuse(path: Path, case: str, why: str) -> NoReturn:
    raise ConfigurationError(
        f"The app's key in {path} cannot be used. {why}.", code="app-key", case=case, path=path
    )
