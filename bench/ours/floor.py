"""No client: one write and one read of a ready transaction over Python's TLS socket, nothing checked.

It shows what Python itself costs, so that the rest of DataPallas' time can be told apart from it.
"""

from __future__ import annotations

import base64
import socket
import ssl

from bench.meter import RECIPIENT, SENDER, Job, measure

job = Job.given()
octets = job.octets()
envelope = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nBDAT {len(octets)} LAST\r\n"


class Floor:
    """Three replies are taken to have come when three line ends have."""

    def open(self) -> None:
        context = ssl.create_default_context(cafile=job.ca)
        self._sock = socket.create_connection((job.host, job.port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._say(b"", b"220 ")
        self._say(b"EHLO floor\r\n", b"250 ")
        self._say(b"STARTTLS\r\n", b"220 ")
        self._sock = context.wrap_socket(self._sock, server_hostname=job.host)
        self._say(b"EHLO floor\r\n", b"250 ")
        login = base64.b64encode(f"\0{SENDER}\0{job.secret}".encode())
        self._say(b"AUTH PLAIN " + login + b"\r\n", b"235 ")
        self._write, self._read = self._sock.send, self._sock.recv_into
        self._input = memoryview(bytearray(4096))

    def _say(self, line: bytes, wanted: bytes) -> None:
        self._sock.sendall(line)
        said = b""
        while not said.endswith(b"\n") or wanted not in said:
            said += self._sock.recv(4096)

    def send(self, index: int) -> None:  # noqa: ARG002 - all are the same
        self._write(envelope.encode() + octets)
        said = b""
        while said.count(b"\n") < 3:
            said += self._input[: self._read(self._input)]

    def close(self) -> None:
        self._say(b"QUIT\r\n", b"221 ")
        self._sock.close()


measure(job, Floor)
