"""What a measurement needs before it can start: the C programs, the peers, a certificate, messages to send.

Everything lands in bench/.build and bench/.peers, which git ignores, and is made once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = BENCH / ".build"
PEERS = BENCH / ".peers"
SECRET = "a-token-of-forty-characters-for-the-sink"
PEOPLE = 1000

_CFLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]


class NotPossible(Exception):
    """This machine lacks something; the text says what to install."""


class Wrong(Exception):
    """A client failed, or the server did not get what the client says it sent: the figures would mean nothing."""


@dataclasses.dataclass(frozen=True)
class Rig:
    """Where things are.

    Attributes:
        work: a folder of this run's own.
        node: the Node.js program, or empty where there is none.
    """

    work: Path
    node: str

    @property
    def ca(self) -> Path:
        return self.work / "ca.pem"

    def file(self, name: str) -> str:
        """The path of one of the messages and files made by `_write_content`."""
        return str(self.work / name)


def build(name: str) -> Path:
    """Compile one of the C programs, unless it is newer than its source."""
    source, target = BENCH / "native" / f"{name}.c", BUILD / name
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return target
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NotPossible("There is no C compiler. Debian and Ubuntu: apt-get install gcc libssl-dev")
    BUILD.mkdir(exist_ok=True)
    command = [compiler, *_CFLAGS, str(source), "-o", str(target), "-lssl", "-lcrypto"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        hint = ""
        if "openssl/" in done.stderr:
            hint = "\nOpenSSL's headers are missing. Debian and Ubuntu: apt-get install libssl-dev"
        raise NotPossible(f"{source.name} does not compile:\n{done.stderr.strip()}{hint}")
    return target


def peers_python() -> Path:
    """Give the Python of the peers' environment, made and filled when its list has changed."""
    lock, python = BENCH / "peers" / "requirements-peers.lock", PEERS / "venv" / "bin" / "python"
    stamp = PEERS / "venv" / ".ready"
    if _fresh(stamp, lock):
        return python
    say("Installing the Python peers into bench/.peers ...")
    _run([sys.executable, "-m", "venv", "--clear", str(PEERS / "venv")])
    quiet = ["--quiet", "--disable-pip-version-check"]
    _run([str(python), "-m", "pip", "install", *quiet, "--no-deps", "--require-hashes", "-r", str(lock)])
    _mark(stamp, lock)
    return python


def node() -> str:
    """Give the Node.js program with Nodemailer installed, or an empty text where there is no Node.js."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        say("Node.js and npm are not installed: the rows of Nodemailer stay empty.")
        return ""
    lock, folder = BENCH / "peers" / "package-lock.json", PEERS / "node"
    if not _fresh(folder / ".ready", lock):
        say("Installing Nodemailer into bench/.peers ...")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(BENCH / "peers" / name, folder / name)
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)
        _mark(folder / ".ready", lock)
    return program


def _fresh(stamp: Path, source: Path) -> bool:
    return stamp.exists() and stamp.read_text() == hashlib.sha256(source.read_bytes()).hexdigest()


def _mark(stamp: Path, source: Path) -> None:
    stamp.write_text(hashlib.sha256(source.read_bytes()).hexdigest())


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotPossible(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr).strip()}")


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def prepare() -> Rig:
    """Make everything; the caller removes `work` at the end. Raises NotPossible."""
    if not sys.platform.startswith("linux"):
        raise NotPossible("The measurements need Linux: they read /proc and choose processors.")
    build("sink")
    build("client")
    peers_python()
    rig = Rig(Path(tempfile.mkdtemp(prefix="datapallas-bench-")), node())
    _write_certificates(rig.work)
    _write_content(rig.work)
    return rig


def _write_certificates(folder: Path) -> None:
    import trustme

    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    server = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))


def _write_content(folder: Path) -> None:
    """Write what is sent, the same in every run."""
    words = random.Random(5321)
    head = b"From: <sender@bench.example>\r\nTo: <to@bench.example>\r\nSubject: Figures\r\n"
    vocabulary = [
        "figures",
        "report",
        "quarter",
        "total",
        "net",
        "gross",
        "invoice",
        "payment",
        "customer",
        "tax",
    ]

    def prose(octets: int) -> str:
        lines: list[str] = []
        while sum(map(len, lines)) + 2 * len(lines) < octets:
            lines.append(" ".join(words.choices(vocabulary, k=9)))
        return "\r\n".join(lines)[: octets - 2] + "\r\n"

    (folder / "4k.eml").write_bytes((head + b"\r\n" + prose(4096).encode())[:4094] + b"\r\n")
    (folder / "4k.txt").write_text(prose(3800).replace("\r\n", "\n"))
    (folder / "1m.bin").write_bytes(words.randbytes(1024 * 1024))
    (folder / "1m.eml").write_bytes(head + _one_attachment((folder / "1m.bin").read_bytes()))
    (folder / "25m.bin").write_bytes(words.randbytes(25 * 1024 * 1024))
    (folder / "short.txt").write_text("The figures are attached.\n")
    (folder / "figures.pdf").write_bytes(b"%PDF-1.7\n" + words.randbytes(100 * 1024 - 9))
    (folder / "campaign.eml").write_bytes(head + _one_attachment((folder / "figures.pdf").read_bytes()))
    (folder / "people.json").write_text(json.dumps(_campaign(prose)), encoding="utf-8")


def _one_attachment(data: bytes) -> bytes:
    import base64

    encoded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    part = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    kind = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="==cut=="\r\n\r\n'
    return kind + b"--==cut==\r\n" + part + encoded + b"--==cut==--\r\n"


def _campaign(prose: object) -> dict[str, object]:
    assert callable(prose)
    greeting = "Dear {name},\n\nyour total is {amount} \u20ac. The figures are attached.\n\n"
    text = greeting + prose(900).replace("\r\n", "\n")
    rows = "".join(f"<tr><td>{row}</td><td>{{amount}}</td></tr>\n" for row in range(60))
    html = f"<html><body><p>Dear <b>{{name}}</b>,</p>\n<table>\n{rows}</table>\n<p>{prose(900)}</p></body></html>\n"
    names = ["Zo\u00eb", "J\u00fcrgen", "Anna", "Paul", "\u0141ukasz", "Mary"]
    people = [
        {
            "name": f"{names[index % len(names)]} {index}",
            "address": f"person{index}@bench.example",
            "amount": f"{index * 7 % 1000}.{index % 100:02}",
        }
        for index in range(PEOPLE)
    ]
    return {
        "subject": "Figures for {name}",
        "text": text,
        "html": html.replace("\r\n", "\n"),
        "people": people,
    }
