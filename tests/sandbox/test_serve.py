"""The sandbox to play with: what it tells, that it stops, that nothing is left behind."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datapallas.sandbox import Sandbox
from datapallas.sandbox.running import Ports
from datapallas.sandbox.serve import describe, running

if TYPE_CHECKING:
    from collections.abc import Sequence


def value(arguments: Sequence[str], name: str) -> str:
    """What stands behind an option."""
    return arguments[arguments.index(name) + 1]


def test_it_tells_everything_that_is_needed(tmp_path: Path) -> None:
    """The printed arguments point a connection at the running servers, and the folder is the given one."""
    with running(tmp_path / "box") as (sandbox, serving):
        assert serving == describe(sandbox)
        assert value(serving.create, "--issuer") == serving.issuer
        assert value(serving.create, "--port") == str(serving.smtp_port)
        assert Path(value(serving.create, "--root-certificate")).read_text().startswith("-----BEGIN CERT")
        assert Path(serving.mail_folder).parent == tmp_path / "box"
        assert "sandbox-secret" not in repr(sandbox.connection())
        assert serving.to_dict()["users"] == tuple(sandbox.users)
    assert (tmp_path / "box" / "ca.pem").exists()


def test_ports_can_be_fixed_and_a_taken_one_is_told(tmp_path: Path) -> None:
    """Coming back to the same ports works at once; a port in use is an error and leaves no thread."""
    with running() as (first, _):
        ports = Ports(web=int(first.issuer.rpartition(":")[2]), smtp=first.smtp_port)
        before = set(threading.enumerate())
        for taken in (Ports(web=ports.web), Ports(smtp=ports.smtp), Ports(smtps=ports.smtp)):
            with pytest.raises(OSError, match="in use"), running(ports=taken):
                pass
        assert not set(threading.enumerate()) - before  # one of an earlier test may have ended meanwhile
    with running(ports=ports) as (again, _):
        assert again.smtp_port == ports.smtp


def test_nothing_is_left_behind() -> None:
    """After the end there is no folder, no thread and nobody listening; open connections do not hold it up."""
    before = set(threading.enumerate())
    with Sandbox() as sandbox:
        folder, port = sandbox.folder, sandbox.smtp_port
        open_ones = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(5)]
        web = socket.create_connection(("127.0.0.1", int(sandbox.issuer.rpartition(":")[2])), 60)
        signed_in = smtplib.SMTP("127.0.0.1", port, timeout=60)
        signed_in.starttls(context=ssl.create_default_context(cafile=str(sandbox.ca_file)))
        signed_in.login(sandbox.users[0], sandbox.password.reveal())
    assert not folder.exists()
    assert not set(threading.enumerate()) - before  # one of an earlier test may have ended meanwhile
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 60)
    signed_in.close()
    for link in (*open_ones, web):
        link.close()


def test_the_private_key_is_nobody_elses(tmp_path: Path) -> None:
    """Certificates and keys are readable by their owner only, and the authority signs nothing but this."""
    with Sandbox(tmp_path / "box") as sandbox:
        assert (sandbox.folder / "server.pem").stat().st_mode & 0o077 == 0
        assert "PRIVATE" not in sandbox.ca_file.read_text()
        found = ssl.create_default_context(cafile=str(sandbox.ca_file)).get_ca_certs()
        assert len(found) == 1


def test_waiting_for_mail_ends_with_a_sentence(tmp_path: Path) -> None:
    """A test that waits for mail that does not come is told how much came."""
    with Sandbox(tmp_path) as sandbox, pytest.raises(TimeoutError, match="0 of 1 mails arrived"):
        sandbox.wait(1, seconds=0.01)
