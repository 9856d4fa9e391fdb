"""Where the page is served: from the words of a command to settings and a listening socket, or a refusal in words.

Must stay true: without a public URL nothing but 127.0.0.1 is listened on; with one, TLS is ours or a named proxy's.
"""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from datapallas.errors import ConfigurationError, UsageError
from datapallas.web.services import Mode, Settings

if TYPE_CHECKING:
    from pathlib import Path

PORT = 8125
LOOPBACK = "127.0.0.1"
EVERYWHERE = "::"
_PORTS = {"https": 443, "http": 80}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command says.

    Attributes:
        port: the local port; None: the usual one, else any that is free.
        public_url: where browsers reach us; empty: local.
        listen: ADDRESS:PORT; empty: what fits.
        certificate, key: files of our own TLS.
        proxies: addresses or networks of the proxies before us.
        device_code: offer sign-in with a code also when served.
    """

    port: int | None = None
    public_url: str = ""
    listen: str = ""
    certificate: Path | None = None
    key: Path | None = None
    proxies: tuple[str, ...] = ()
    device_code: bool = False


@dataclasses.dataclass(slots=True)
class Place:
    """A socket that listens, and how it is reached."""

    settings: Settings
    socket: socket.socket


def take(wanted: Wanted) -> Place:
    """Listen where the command says. Raises UsageError (what does not fit), ConfigurationError (what is not free)."""
    return _served(wanted) if wanted.public_url else _local(wanted)


def _local(wanted: Wanted) -> Place:
    if wanted.listen or wanted.proxies or wanted.certificate or wanted.key:
        raise UsageError("--listen, --proxy and --tls-cert need --public-url: without it the page is local.")
    if wanted.port is not None:
        listening = _listen(LOOPBACK, wanted.port)
    else:
        try:
            listening = _listen(LOOPBACK, PORT)
        except ConfigurationError:  # somebody else has the usual one
            listening = _listen(LOOPBACK, 0)
    port = listening.getsockname()[1]
    names = (LOOPBACK, "localhost")
    settings = Settings(
        origin=f"http://{LOOPBACK}:{port}", hosts=frozenset(f"{name}:{port}" for name in names)
    )
    return Place(settings, listening)


def _served(wanted: Wanted) -> Place:
    host, port = _public(wanted.public_url)
    if wanted.port is not None:
        raise UsageError("--port is for a local page; with --public-url, give --listen ADDRESS:PORT.")
    if bool(wanted.certificate) is not bool(wanted.key):
        raise UsageError("--tls-cert and --tls-key belong together.")
    if not wanted.certificate and not wanted.proxies:
        raise UsageError(
            "Passwords must not travel in clear: give --tls-cert and --tls-key, or --proxy with the address of the "
            "proxy that does TLS for this page.",
            code="serve-without-tls",
        )
    for one in wanted.proxies:
        _network(one)
    name = host if port == _PORTS["https"] else f"{host}:{port}"
    settings = Settings(
        mode=Mode.SERVED,
        origin=f"https://{name}",
        hosts=frozenset({name}),
        proxies=frozenset(wanted.proxies),
        device_code=wanted.device_code,
    )
    default = (EVERYWHERE, port) if wanted.certificate else (LOOPBACK, PORT)
    return Place(settings, _listen(*(_address(wanted.listen) if wanted.listen else default)))


def _public(url: str) -> tuple[str, int]:
    """Host and port of the public URL, which has nothing else."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or _PORTS["https"]
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    name = f"[{host}]" if ":" in host else host
    bare = f"https://{name}" if ":" not in parts.netloc.rpartition("]")[2] else f"https://{name}:{port}"
    if not host or not host.isascii() or url.lower().removesuffix("/") != bare:
        raise UsageError(
            f"{url!r} is no public URL: it must be https://HOST or https://HOST:PORT, without a path."
        )
    return name, port


def _network(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError(
            f"--proxy takes an IP address or a network, such as 127.0.0.1 or 10.0.0.0/24, not {text!r}."
        ) from None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = ""
    if not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise UsageError(f"--listen takes ADDRESS:PORT, such as 0.0.0.0:443 or [::1]:8125, not {text!r}.")
    return host, int(port)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        dual = host == EVERYWHERE and socket.has_dualstack_ipv6()
        if host == EVERYWHERE and not dual:
            host, family = "0.0.0.0", socket.AF_INET  # noqa: S104 - asked for: a public URL with TLS of our own
        made = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=dual)
    except OSError as problem:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        taken = problem.errno == errno.EADDRINUSE
        reason = "another program listens there" if taken else problem.strerror or str(problem)
        raise ConfigurationError(
            f"Cannot listen on {where}: {reason}.", code="serve-address", address=where, reason=reason
        ) from problem
    return made
