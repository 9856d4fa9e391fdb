"""The OpenAPI document as the page shows it: for each operation what it takes, what it gives, and a command to copy. Pure."""

from __future__ import annotations

import dataclasses
import json
import shlex
from typing import Any, NamedTuple

from datapallas.web.api.description import TAGS, operations

_LONGEST = 72  # characters of a body that stands on the command's line
_SAMPLES = {"code": "eml-office-365", "id": "ID", "job": "JOB", "message": "1", "run": "RUN"}


class Member(NamedTuple):
    """A parameter, or a member of an object."""

    name: str
    kind: str
    required: bool
    words: str


class Outcome(NamedTuple):
    """An answer: its status, and when it comes."""

    status: str
    words: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation."""

    id: str
    method: str
    path: str
    title: str
    words: list[str]
    role: str
    parameters: list[Member]
    body: list[Member]
    gives: str
    outcomes: list[Outcome]
    failures: list[Outcome]
    command: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The operations of one tag."""

    name: str
    words: str
    operations: list[Operation]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The whole page."""

    version: str
    words: str
    origin: str
    groups: list[Group]
    objects: list[tuple[str, str, list[Member]]]


def reference(document: dict[str, Any], origin: str) -> Reference:
    """The page for an OpenAPI document, with commands for a server at `origin`."""
    schemas = document["components"]["schemas"]
    groups = [
        Group(
            name=tag[:1].upper() + tag[1:],
            words=words,
            operations=[_operation(*one, schemas, origin) for one in operations(document, tag)],
        )
        for tag, words in TAGS
    ]
    whole = {name: schema for name, schema in schemas.items() if schema.get("properties")}
    inline = [one for schema in whole.values() for one in schema["properties"].values()]
    whole |= {one["title"]: one for one in inline if one.get("properties")}
    objects = [(name, one.get("description", ""), _members(one)) for name, one in sorted(whole.items())]
    return Reference(
        version=document["info"]["version"],
        words=document["info"]["description"],
        origin=origin,
        groups=groups,
        objects=objects,
    )


def _operation(
    method: str, path: str, found: dict[str, Any], schemas: dict[str, Any], origin: str
) -> Operation:
    body = _body(found, schemas)
    outcomes = [Outcome(status, one["description"]) for status, one in found["responses"].items()]
    return Operation(
        id=found["operationId"],
        method=method,
        path=path,
        title=found["summary"],
        words=[one for one in found["description"].split("\n\n") if not one.startswith("Needs the role")],
        role=found["x-role"],
        parameters=[
            Member(one["name"], _kind(one["schema"]), one.get("required", False), one.get("description", ""))
            for one in found.get("parameters", [])
        ],
        body=_members(body),
        gives=_gives(found["responses"]),
        outcomes=[one for one in outcomes if one.status < "400"],
        failures=[one for one in outcomes if one.status >= "400"],
        command=_command(method, path, found, body, origin),
    )


def _body(found: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    if "requestBody" not in found:
        return {}
    schema: dict[str, Any] = found["requestBody"]["content"]["application/json"]["schema"]
    return schemas[schema["$ref"].rpartition("/")[2]]  # type: ignore[no-any-return]


def _members(schema: dict[str, Any]) -> list[Member]:
    required = schema.get("required", [])
    return [
        Member(name, _kind(one), name in required, one.get("description", ""))
        for name, one in schema.get("properties", {}).items()
    ]


def _kind(schema: dict[str, Any]) -> str:
    """The type of a value, in a few words; an object's by its name."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("title") if schema.get("properties") else schema.get("type", "any"))


def _gives(responses: dict[str, Any]) -> str:
    """What a good answer holds."""
    for status, one in responses.items():
        for media, content in one.get("content", {}).items():
            if status < "300":
                return _kind(content["schema"]) if media == "application/json" else media
    return ""


def _command(method: str, path: str, found: dict[str, Any], body: dict[str, Any], origin: str) -> str:
    """The operation as a curl command."""
    filled = path.format_map(_SAMPLES)
    stream = "-N " if path.endswith("/events") else ""
    verb = "" if method == "GET" else f"-X {method} "
    lines = [f"curl -s {stream}{verb}{origin}{filled}", '-H "Authorization: Bearer $TOKEN"']
    if "requestBody" in found:
        sample = body.get("examples", [_sample(body)])[0]
        text = json.dumps(sample)
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(text if len(text) <= _LONGEST else json.dumps(sample, indent=2))}")
    return " \\\n  ".join(lines)


def _sample(body: dict[str, Any]) -> dict[str, Any]:
    """A small body from the examples of its members."""
    return {
        name: one.get("examples", [""])[0]
        for name, one in body.get("properties", {}).items()
        if name in body.get("required", [])
    } or {"fields": {"from-name": "Contoso reports"}}
