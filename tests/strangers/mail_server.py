"""Debian's Postfix and Dovecot as a submission server that asks the identity provider about every token.

Needs root: Postfix starts its parts as other users. Both keep to a folder of their own and touch nothing under
/etc or /var; whatever is accepted lands in one Maildir. Their configuration is in `postfix_dovecot/`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email
import email.policy
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

from strangers import needs
from strangers.process import HOST, free_ports, listens, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import EmailMessage

    from strangers.identity_provider import IdentityProvider

TEMPLATES = Path(__file__).parent / "postfix_dovecot"
PASSWORD = "app-password"  # what PLAIN and LOGIN take, for every user
STARTS = 3  # another program may take a port between our choosing and Postfix's binding it

# Each way in is a port of its own, so that a test chooses what a server offers by choosing the port.
_BEHIND = "smtpd_sasl_auth_enable=no smtpd_tls_security_level=none smtpd_sender_restrictions= mynetworks=127.0.0.0/8"
LISTENERS: Mapping[str, str] = {
    "xoauth2": "smtpd_sasl_mechanism_filter=xoauth2",
    "oauthbearer": "smtpd_sasl_mechanism_filter=oauthbearer",
    "xoauth2-tls": "smtpd_sasl_mechanism_filter=xoauth2 smtpd_tls_wrappermode=yes",
    "oauthbearer-tls": "smtpd_sasl_mechanism_filter=oauthbearer smtpd_tls_wrappermode=yes",
    "password": "smtpd_sasl_mechanism_filter=plain,login",
    "no-chunking": "smtpd_discard_ehlo_keywords=chunking",
    "lockstep": "smtpd_discard_ehlo_keywords=chunking,pipelining",
    "wrong-name": "smtpd_tls_chain_files=@STATE@/conf/other.pem",
    # What Dovecot's submission service hands on to; nobody signs in there.
    "behind": f"{_BEHIND} smtpd_recipient_restrictions=permit_mynetworks,reject smtpd_relay_restrictions=permit_mynetworks,reject",
}
DOVECOT = "dovecot"  # Dovecot's own submission service, with STARTTLS


@dataclasses.dataclass(frozen=True, slots=True)
class MailServer:
    """One running server.

    Attributes:
        ca: the PEM file with the authority to trust; the certificate is for 127.0.0.1 and localhost.
        ports: by the names in LISTENERS, and DOVECOT.
    """

    state: Path
    ports: Mapping[str, int]

    @property
    def ca(self) -> Path:
        return self.state / "conf" / "ca.pem"

    def mails(self) -> list[EmailMessage]:
        """What was delivered since `clear`: one for each recipient."""
        folder = self.state / "maildir" / "new"
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP) for path in paths]

    def delivered(self, count: int) -> list[EmailMessage]:
        """The mails, as soon as there are `count`: Postfix answers before it delivers."""
        folder = self.state / "maildir" / "new"
        wait_for(
            lambda: folder.is_dir() and sum(1 for _ in folder.iterdir()) >= count,
            f"{count} mails to be delivered",
        )
        return self.mails()

    def clear(self) -> None:
        """Forget what was delivered, once nothing more is under way."""
        for queue in ("maildrop", "incoming", "active"):
            folder = self.state / "queue" / queue
            wait_for(lambda folder=folder: not any(folder.iterdir()), f"the {queue} queue to empty")  # type: ignore[misc]
        for path in (self.state / "maildir" / "new").glob("*"):
            path.unlink()

    def logs(self) -> str:
        """What Postfix and Dovecot wrote."""
        return "".join(path.read_text() for path in sorted(self.state.glob("*.log")))


@contextlib.contextmanager
def mail_server(provider: IdentityProvider) -> Iterator[MailServer]:
    """Start both; they are gone, with their files, at the end."""
    master, dovecot = _programs()
    # Not pytest's tmp_path: Postfix's own users must get in, and the paths of sockets must stay short.
    with tempfile.TemporaryDirectory(prefix="strangers-") as folder:
        for left in reversed(range(STARTS)):
            names = [*LISTENERS, DOVECOT]
            server = MailServer(Path(folder), dict(zip(names, free_ports(len(names)), strict=True)))
            _configure(server, provider)
            conf, log = server.state / "conf", server.state / "start.log"
            with (
                running([dovecot, "-F", "-c", str(conf / "dovecot.conf")], log) as first,
                running([master, "-c", str(conf), "-d"], log) as second,
            ):

                def up(server: MailServer = server) -> bool:
                    return all(map(listens, server.ports.values()))

                wait_for(
                    lambda: up() or not (first.poll() is second.poll() is None), "the ports to open", 120
                )
                if up():
                    yield server
                    return
            assert left, f"Postfix or Dovecot did not start:\n{server.logs()}"


def _programs() -> tuple[str, str]:
    needs.program("postfix", needs.MAIL_PACKAGES)
    dovecot = needs.program("dovecot", needs.MAIL_PACKAGES)
    ask = ["postconf", "-d", "-h", "daemon_directory"]
    daemons = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    if not Path("/usr/lib/dovecot/submission").exists():
        needs.missing(f"Dovecot's submission service is not installed: {needs.MAIL_PACKAGES}")
    if os.geteuid() != 0:
        needs.missing("Postfix and Dovecot start as root only")
    return str(Path(daemons, "master")), dovecot


def _configure(server: MailServer, provider: IdentityProvider) -> None:
    state = server.state
    state.chmod(0o755)
    shutil.rmtree(state / "queue", ignore_errors=True)
    for name in ("conf", "queue", "data", "maildir", "home"):
        (state / name).mkdir(parents=True, exist_ok=True)
    nobody, postfix = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
    os.chown(state / "data", postfix.pw_uid, -1)
    for name in ("maildir", "home"):
        os.chown(state / name, nobody.pw_uid, nobody.pw_gid)
    _certificates(state / "conf")
    values = {
        "LISTENERS": "\n".join(_listener(server.ports[name], options) for name, options in LISTENERS.items()),
        "STATE": str(state),
        "UID": str(nobody.pw_uid),
        "GID": str(nobody.pw_gid),
        "PASSWORD": PASSWORD,
        "SUBMISSION": str(server.ports[DOVECOT]),
        "BEHIND": str(server.ports["behind"]),
        "ISSUER": provider.issuer,
        "INTROSPECTION": provider.issuer.replace("://", "://mail-server:mail-server-secret@")
        + "/token/introspection",
    }
    for template in TEMPLATES.glob("*.in"):
        text = template.read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        (state / "conf" / template.stem).write_text(text)
    subprocess.run(["postfix", "-c", state / "conf", "check"], check=True)


def _listener(port: int, options: str) -> str:
    return f"{HOST}:{port} inet n - n - - smtpd" + "".join(f"\n  -o {option}" for option in options.split())


def _certificates(conf: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(conf / "ca.pem")
    for file, names in {"server.pem": [HOST, "localhost"], "other.pem": ["other.example.test"]}.items():
        certificate = authority.issue_cert(*names)
        (conf / file).touch(mode=0o600)
        certificate.private_key_and_cert_chain_pem.write_to_path(conf / file)
