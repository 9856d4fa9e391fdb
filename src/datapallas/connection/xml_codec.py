"""A connection file, from bytes to a Connection and back.

Must stay true:
- what we do not change survives byte for byte: comments, CDATA, unknown elements, order, line ends, encoding;
- what is written has been read again and means what was asked for, before it is returned;
- a secret is never put into a file in clear: it was sealed before, or it stands there already.

The elements and their order are those of the existing product's files (docs/file-format.md); ours come last, and only
when set. Its editor's placeholders (`From Email Password`) count as not set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datapallas.connection import xml_edit
from datapallas.connection.elements import (
    ORDER,
    SECRETS,
    is_variable,
    read_connection,
    read_secret,
    write_elements,
)
from datapallas.connection.model import Provider, Sealed
from datapallas.connection.xml_scan import Element, broken, scan
from datapallas.errors import ConfigurationError
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.connection.elements import Path, Raw
    from datapallas.connection.model import Connection, Stored

_SERVER = ("connection", "emailserver")
_RANK = {path: rank for rank, path in enumerate(ORDER)}
_NEW = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<documentburster>\n    <connection>\n'
    "{connection}        <emailserver>\n{emailserver}        </emailserver>\n    </connection>\n</documentburster>\n"
)


class _File(NamedTuple):
    """A file's known elements: the two that hold the others, and each one's place."""

    connection: Element
    server: Element
    places: Mapping[Path, Element]
    encoding: str

    @property
    def raw(self) -> Raw:
        return {path: (element.text, element.line) for path, element in self.places.items()}


def decode(data: bytes) -> Connection:
    """The connection in a file; BrokenConnection (facts `line`, `reason`) when it holds none."""
    return read_connection(_open(data).raw)


def encode(connection: Connection, original: bytes | None = None) -> bytes:
    """The file for `connection`: `original` with only the differences changed, or a new file.

    Raises BrokenConnection for an `original` that cannot be read, and ConfigurationError (facts `case`, which is
    `unstorable`, and `element`) for a value that the file cannot hold as it is.
    """
    before = {} if original is None else _texts_before(original, connection)
    wanted = write_elements(connection)
    _no_new_secret_in_clear(connection, before)
    if original is None:
        data = _new(wanted)
    else:
        changes = {
            path: wanted.get(path) for path in {*before, *wanted} if before.get(path) != wanted.get(path)
        }
        data = _splice(original, changes)
    again = write_elements(decode(data))
    lost = [path for path in _RANK if wanted.get(path) != again.get(path)]
    if lost:
        raise _unstorable(
            lost[0][1], "it begins or ends with a blank, or it stands for `not set` in these files"
        )
    return data


def plain_secrets(data: bytes) -> tuple[str, ...]:
    """The names of elements whose secret stands in clear; BrokenConnection when the file cannot be read."""
    return tuple(secrets_in_clear(data))


def secrets_in_clear(data: bytes) -> dict[str, Secret]:
    """Element name to secret, for every one that stands in clear, used by the provider or left over."""
    return {
        name: stored
        for name, stored in _secrets(data).items()
        if isinstance(stored, Secret) and not is_variable(stored.reveal())
    }


def sealed_values(data: bytes) -> dict[str, Sealed]:
    """Element name to sealed value, for every one, used by the provider or left over."""
    return {name: stored for name, stored in _secrets(data).items() if isinstance(stored, Sealed)}


def _secrets(data: bytes) -> dict[str, Stored]:
    raw = _open(data).raw
    return {name: read_secret(raw, name) for name in SECRETS}


def as_password(data: bytes) -> Connection:
    """The connection in a file as it would be without OAuth2: what a left-over password belongs to."""
    return read_connection(_open(data).raw, Provider.NONE)


def with_secret(data: bytes, element: str, sealed: Sealed | None) -> bytes:
    """The file with one secret element set to a sealed value, or taken out."""
    return _splice(data, {("emailserver", element): sealed.text if sealed else None})


def _open(data: bytes) -> _File:
    root, encoding = scan(data)
    if root.name != "documentburster":
        broken(f"its root is <{root.name}>, not <documentburster>", root.line)
    connection = _only(root, "connection")
    server = _only(connection, "emailserver")
    places: dict[Path, Element] = {}
    for parent in (connection, server):
        for element in parent.children:
            path = (parent.name, element.name)
            if path in places and path in _RANK:
                broken(f"<{element.name}> stands twice (first in line {places[path].line})", element.line)
            if path in _RANK and path != _SERVER:
                if element.children:
                    broken(f"<{element.name}> holds other elements", element.children[0].line)
                places[path] = element
    return _File(connection, server, places, encoding)


def _only(parent: Element, name: str) -> Element:
    found = [element for element in parent.children if element.name == name]
    if not found:
        broken(f"<{parent.name}> has no <{name}>", parent.line)
    if len(found) > 1:
        broken(f"<{name}> stands twice (first in line {found[0].line})", found[1].line)
    return found[0]


def _texts_before(original: bytes, connection: Connection) -> dict[Path, str]:
    """What the file says now, in the words `write_elements` would use.

    When the kind of credential changes, the file is read both ways: so the old kind's elements are seen to go, and
    left-overs of the new kind are seen at all.
    """
    raw = _open(original).raw
    now = read_connection(raw)
    texts = write_elements(now)
    if (now.provider is Provider.NONE) != (connection.provider is Provider.NONE):
        texts = write_elements(read_connection(raw, connection.provider)) | texts
    return texts


def _no_new_secret_in_clear(connection: Connection, before: Mapping[Path, str]) -> None:
    for element, field in SECRETS.items():
        stored = getattr(connection.credential, field, None)
        if isinstance(stored, Secret):
            value = stored.reveal()
            if value != before.get(("emailserver", element)) and not is_variable(value):
                raise ValueError(f"{element} must be sealed before it is written")


def _splice(data: bytes, changes: Mapping[Path, str | None]) -> bytes:
    """`data` with these elements set or taken out; one after the other, so that no two edits can meet."""
    for path in sorted(changes, key=lambda path: (changes[path] is not None, _RANK[path])):
        text, file = changes[path], _open(data)
        place = file.places.get(path)
        if text is None:
            data = xml_edit.remove(data, place) if place else data
            continue
        value, tag = _escape(path[1], text, file.encoding), path[1].encode()
        if place is not None:
            data = xml_edit.fill(data, place, value)
        else:
            parent = file.connection if path[0] == "connection" else file.server
            new = b"<" + tag + b">" + value + b"</" + tag + b">"
            data = xml_edit.add(data, parent, new, _neighbours(path, file, parent))
    return data


def _neighbours(path: Path, file: _File, parent: Element) -> tuple[Element | None, Element | None]:
    """The nearest elements before and behind `path` in the usual order; else the first there is."""
    known = {**file.places, _SERVER: file.server}
    same = sorted((p for p in known if p[0] == path[0]), key=_RANK.__getitem__)
    behind = [known[p] for p in same if _RANK[p] < _RANK[path]]
    before = [known[p] for p in same if _RANK[p] > _RANK[path]] or parent.children
    return (behind[-1] if behind else None, before[0] if before else None)


def _new(wanted: Mapping[Path, str]) -> bytes:
    texts = {("emailserver", "useconn"): "false", **wanted}
    lines = {"connection": "", "emailserver": ""}
    for parent, name in ORDER:
        if (parent, name) in texts:
            indent = " " * (8 if parent == "connection" else 12)
            value = _escape(name, texts[parent, name], "utf-8").decode()
            lines[parent] += f"{indent}<{name}>{value}</{name}>\n"
    return _NEW.format(**lines).encode()


def _escape(element: str, text: str, encoding: str) -> bytes:
    try:
        return xml_edit.escape(text, encoding)
    except ValueError as problem:
        raise _unstorable(element, str(problem)) from None


def _unstorable(element: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The value of <{element}> cannot be stored: {reason}.", case="unstorable", element=element
    )
