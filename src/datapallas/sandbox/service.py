"""The sandbox's own app: its key and certificate as a PEM file, and the same as Google's JSON file.

Must stay true: the files are private from the first byte, lie in the sandbox's folder, and are made when asked for.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import TYPE_CHECKING

from datapallas import files
from datapallas.sandbox import clients
from datapallas.sandbox.assertions import Registered

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = "sandbox-service"


def make(folder: Path, days: float = 365.0) -> tuple[Path, Path, Registered]:
    """The PEM file, the JSON file, and what the provider is to know; the certificate ends in `days`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "DataPallas sandbox service")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files.private_directory(folder)
    chain, account = folder / "service.pem", folder / "service-account.json"
    files.replace(chain, certificate.public_bytes(serialization.Encoding.PEM) + pem)
    files.replace(account, json.dumps(_google(pem.decode()), indent=2).encode())
    print_ = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    return chain, account, Registered(key.public_key(), print_)


def _google(pem: str) -> dict[str, str]:
    """As Google's console writes it, addresses included (which a careful program does not believe)."""
    return {
        "type": "service_account",
        "project_id": "sandbox",
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
        "private_key": pem,
        "client_email": clients.CLIENTS[SERVICE].account,
        "client_id": "100000000000000000001",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
