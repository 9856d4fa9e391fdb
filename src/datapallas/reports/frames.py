"""What passes between a Renderer and its child processes.

A frame: 8 octets with its length, 4 with the length of its head, the head, and blobs. Down, the head is a pickle: the
parent is trusted. Up, it is JSON that names the lengths of the blobs: a child that was taken over by a template can
send nothing but texts and octets, at most `MOST` of them.
"""

from __future__ import annotations

import json
import pickle
import struct
from typing import TYPE_CHECKING, Any

from datapallas.reports.model import Document, Problem, Rendered, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

LENGTH = struct.Struct("!QI")
_ROOM = 1024 * 1024  # for the head of a message of the largest size
_TEXTS = ("to", "cc", "bcc", "reply_to", "sender", "subject", "text", "html")


class Torn(Exception):
    """What came is not a frame."""


def down(value: Any) -> bytes:
    """Frame a value for a child."""
    head = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(head) + 4, len(head)) + head


def read_down(body: bytes) -> Any:
    """Take a value from the parent."""
    return pickle.loads(body)  # noqa: S301 - from the parent that started this process


def up(head: dict[str, Any], blobs: Sequence[bytes] = ()) -> list[bytes]:
    """Frame an answer, in pieces to be written one after the other."""
    data = json.dumps(head | {"blobs": [len(blob) for blob in blobs]}, ensure_ascii=True).encode()
    return [LENGTH.pack(4 + len(data) + sum(map(len, blobs)), len(data)) + data, *blobs]


def read_up(head_length: int, body: memoryview) -> tuple[dict[str, Any], list[bytes]]:
    """Take an answer apart. Raises Torn."""
    try:
        head = json.loads(bytes(body[:head_length]))
        sizes = head["blobs"]
        if not isinstance(head, dict) or not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise Torn
    except (ValueError, TypeError, KeyError) as problem:
        raise Torn from problem
    if head_length + sum(sizes) != len(body):
        raise Torn
    blobs, at = [], head_length
    for size in sizes:
        blobs.append(bytes(body[at : at + size]))
        at += size
    return head, blobs


def most(message_octets: int) -> int:
    """Octets an answer may have when messages may have so many; JSON may take six for one."""
    return message_octets * 6 + _ROOM


def rendered_up(rendered: Rendered) -> list[bytes]:
    """Frame one recipient's email."""
    head: dict[str, Any] = {"kind": "rendered"}
    for name in _TEXTS:
        if value := getattr(rendered, name):
            head[name] = value
    blobs: list[bytes] = []
    for what, documents in (("documents", rendered.documents), ("inline", rendered.inline)):
        if documents:
            head[what] = [[one.name, str(one.path) if one.path else None] for one in documents]
            blobs += [one.data for one in documents if one.path is None]
    return up(head, blobs)


def rendered_of(head: dict[str, Any], blobs: list[bytes]) -> Rendered:
    """The email a child made. Raises Torn."""
    from pathlib import Path

    left = iter(blobs)
    try:
        texts = {name: head[name] for name in _TEXTS if name in head}
        if not all(isinstance(value, str) for value in texts.values()):
            raise Torn
        parts = {
            what: tuple(
                [
                    Document(str(name), path=Path(path))
                    if path is not None
                    else Document(str(name), next(left))
                    for name, path in head.get(what, ())
                ]
            )
            for what in ("documents", "inline")
        }
    except (TypeError, ValueError, StopIteration) as problem:
        raise Torn from problem
    given: dict[str, Any] = {"to": "", **texts, **parts}
    return Rendered(**given)


def problem_of(head: dict[str, Any], key: str, place: str) -> Problem:
    """The problem a child met. Raises Torn."""
    code, text = head.get("code"), head.get("text")
    if not isinstance(code, str) or not isinstance(text, str):
        raise Torn
    return Problem(code=code, text=text, severity=Severity.ERROR, place=place, key=key)
