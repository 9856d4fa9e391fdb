"""HTTP/1.1 on loopback: bytes become a `Request`, an `Answer` becomes bytes (RFC 9112).

Must stay true: heads over 16 KiB, bodies over 64 KiB and slow senders are refused; every answer ends its connection;
a request whose Host is not exactly ours gets 421 and nothing else, so no page elsewhere can read us by a DNS trick.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from datapallas.sandbox.http import Answer, Request, page_answer, parse
from datapallas.sandbox.pages import told

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
_HEAD = 16_384
_BODY = 65_536
_SECONDS = 30.0
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})


class WebServer:
    """Serves `answer`, which is set once the port is known, on loopback. One task per connection, one request each."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Answer] = _nothing_yet
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one. Raises OSError."""
        self._server = await asyncio.start_server(self._client, "127.0.0.1", port, limit=_HEAD, backlog=128)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _safe(self, request: Request) -> Answer:
        try:
            return self.answer(request)
        except Exception:  # noqa: BLE001 - one request must not end the others
            _log.exception(
                "a request to the sandbox met a fault of ours"
            )  # no request in it: it may hold a token
            return page_answer(told("Sorry", "The sandbox has met a fault of its own."), 500)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                await self._serve(reader, writer)
            finally:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                request = await _read(reader)
        except (TimeoutError, asyncio.IncompleteReadError):
            return
        except (_Bad, asyncio.LimitOverrunError) as bad:
            code = bad.status if isinstance(bad, _Bad) else 431
            await _send(
                writer, page_answer(told("Not understood", "This is not a request."), code), head=False
            )
            return
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        if request.headers.get("host") not in hosts:
            answer = page_answer(told("Not here", "This server answers to its own address only."), 421)
        else:
            answer = self._safe(request)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.drop:
            writer.transport.abort()
            return
        await _send(writer, answer, head=request.method == "HEAD")


def _nothing_yet(_request: Request) -> Answer:
    return page_answer(told("Starting", "Try again in a moment."), 503)


class _Bad(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def _read(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    try:
        first, *lines = head[:-4].decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise _Bad(400) from None
    words = first.split(" ")
    if len(words) != 3 or words[0] not in _METHODS or not words[1].startswith("/"):  # noqa: PLR2004
        raise _Bad(400)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if (
            not colon
            or not name
            or name.strip() != name
            or (name in headers and name in {"host", "content-length"})
        ):
            raise _Bad(400)
        headers[name] = value.strip()
    if "transfer-encoding" in headers:
        raise _Bad(411)  # no client of ours streams a form
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise _Bad(400)
    if len(length) > 6 or int(length) > _BODY:  # noqa: PLR2004 - more digits than _BODY has
        raise _Bad(413)
    body = await reader.readexactly(int(length))
    try:
        return parse(words[0], words[1], headers, body)
    except ValueError:
        raise _Bad(400) from None


async def _send(writer: asyncio.StreamWriter, answer: Answer, *, head: bool) -> None:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += [f"Content-Length: {len(answer.body)}", "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + (b"" if head else answer.body))
    await writer.drain()
