"""What the pictures show: a sandbox that stands for the providers, homes with connections, and real servers over them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from datapallas.connection.codes import kebab
from datapallas.connection.model import Connection, Password, Provider, Security, Server
from datapallas.errors import DataPallasError
from datapallas.home import Home
from datapallas.sandbox import Sandbox, certificates, clients
from datapallas.secret import Secret
from elsewhere import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT_ID = "7c3d1f52-9b0e-4a6d-8c25-1e0f6b7a9d41"
TENANT_ID = clients.TENANT_ID
REPORTS, INVOICES, TEAM = "reports@contoso.example", "invoices@contoso.example", "team@contoso.example"
PASSWORD = "a password of some length"
_BROKEN = """<?xml version="1.0"?>
<documentburster>
  <connection>
    <code>eml-warehouse</code>
    <name>Warehouse & Co</name>
  </connection>
</documentburster>
"""


class World:
    """The sandbox, and the environment in which its certificate is trusted and names lead to it."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox = folder, sandbox
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
        self.environ = {
            **kept,
            "SSL_CERT_FILE": str(sandbox.ca_file),
            "DATAPALLAS_PICTURES_PORT": str(sandbox.smtp_port),
            "DATAPALLAS_PICTURES_LOGIN": sandbox.issuer,
        }

    def run(self, home: Path, *words: str, stdin: str = "") -> None:
        """One command, which must work."""
        subprocess.run(
            self._command(home, words),
            env=self.environ,
            input=stdin,
            text=True,
            check=True,
            capture_output=True,
        )

    @contextlib.contextmanager
    def served(self, home: Path, *words: str) -> Iterator[dict[str, Any]]:
        """`datapallas serve` over `home`, until the block ends; gives what it tells."""
        command = self._command(home, ("serve", "--json", "--no-browser", *words))
        with subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            text = ""
            while "\n}" not in text:
                line = running.stdout.readline()
                if not line:
                    raise RuntimeError("datapallas serve did not start")
                text += line
            try:
                yield json.loads(text)
            finally:
                running.terminate()

    def several_people(self, home: Path) -> tuple[str, tuple[str, ...]]:
        """A user, a certificate and the options of `serve` for a page of several people; gives its address too."""
        self.run(home, "user", "add", "anna", "--role", "admin", "--password", "-", stdin=PASSWORD)
        certificates.make(self.folder / "tls")
        chain = str(self.folder / "tls" / "server.pem")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        url = f"https://localhost:{port}"
        tls = ("--tls-cert", chain, "--tls-key", chain, "--listen", f"127.0.0.1:{port}")
        return url, ("--public-url", url, *tls)

    def fill(self, root: Path) -> None:
        """Put the connections beside the first one into a home: one for each state worth a picture."""
        home, sandbox = Home(root, {}), self.sandbox
        signed_in = sandbox.connection(INVOICES, Provider.MICROSOFT, signed_in=True)
        invoices = home.folder.create(_named("Invoices", "smtp.office365.com", signed_in))
        sandbox.faults.next("token:refresh_token", "AADSTS50173")
        with contextlib.suppress(DataPallasError):  # that is the point: it is parked
            home.tokens(invoices.code).token(force=True)
        google = sandbox.connection(TEAM, Provider.GOOGLE, signed_in=True)
        team = home.folder.create(_named("Gmail of the team", "smtp.gmail.com", google))
        home.tokens(team.code).token()
        shop = sandbox.connection("shop@contoso.example", Provider.GENERIC)
        home.folder.create(_named("Web shop", "mail.contoso.example", shop))
        scanner = dataclasses.replace(
            shop,
            from_address="scanner@contoso.example",
            credential=Password(user="scanner@contoso.example", password=Secret("scans-to-mail")),
        )
        home.folder.create(_named("Scanner", "mail.contoso.example", scanner))
        broken = root / "config" / "connections" / "eml-warehouse.xml"
        broken.write_text(_BROKEN, "utf-8")

    def _command(self, home: Path, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("elsewhere.py")), "--home", str(home), *words]


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A world, as long as the block."""
    ours = clients.Client(CLIENT_ID, clients.Secrecy.OPTIONAL, Secret("sandbox-secret"))
    clients.CLIENTS = MappingProxyType({**clients.CLIENTS, CLIENT_ID: ours})
    with tempfile.TemporaryDirectory(prefix="datapallas-pictures-") as name:
        folder = Path(name)
        people = [REPORTS, INVOICES, TEAM, "shop@contoso.example"]
        with Sandbox(folder / "sandbox", users=people, names=(*certificates.NAMES, *NAMES)) as sandbox:
            yield World(folder, sandbox)


def _named(name: str, host: str, made: Connection) -> Connection:
    server = Server(host=host, port="587", security=Security.STARTTLS)
    return dataclasses.replace(made, code=kebab(name), name=name, server=server)
