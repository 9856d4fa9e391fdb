"""The API as OpenAPI: what FastAPI reads from the routes, and what the guard adds to every one of them.

Must stay true: each status an operation can answer with stands here, failures as `application/problem+json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from datapallas.web.api.shown import ProblemShown
from datapallas.web.problems import PROBLEM_JSON
from datapallas.web.roles import need_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import FastAPI

TAGS = (
    ("connections", "Mailboxes one can send from."),
    (
        "sign-ins",
        "The act that ends with a stored refresh token; it goes on in the background while you watch.",
    ),
    ("test emails", "The real thing, sent once, step by step."),
    ("messages", "Mail that is promised, sent at the provider's pace, and accounted for."),
    ("jobs", "The messages of one report, one program, one command, and the mailboxes they leave through."),
    ("reports", "Rows of a file or a database, each an email with its documents; checked, previewed, run."),
    ("diagnoses", "What went wrong, why, and one thing to do."),
    ("about", "This server, and you."),
)
ABOUT = (
    "Send `Authorization: Bearer TOKEN`; `datapallas token create NAME --role ROLE` makes a token. Bodies are JSON. "
    "Failures are problems (RFC 9457). 300 requests a minute are answered. Secrets go in and never come out."
)
GOOD = {
    "200": "It worked.",
    "201": "It was made; Location says where it is.",
    "202": "It has begun; Location says where to watch it.",
    "204": "It worked; there is nothing to say.",
}
ALWAYS = {
    400: "What was asked for has no meaning.",
    401: "No token, or one that is not known.",
    403: "The role is too low, or the request comes from a page that is not ours.",
    421: "The Host is not this server's.",
    422: "A value is not valid; `errors` names which. It is never repeated.",
    429: "Too many requests, or too much under way. For requests, Retry-After says when.",
    500: "A fault of ours.",
    503: "The disk is full, or a file is locked or may not be written. Nothing was lost.",
}
FOUND = {404: "There is no such thing."}
STORED = {409: "A file, a setting or a key stands in the way, or the change ends something that is stored."}
BODY = {413: "More than 64 KiB.", 415: "The body is not JSON."}
WATCHED = {"watch_sign_in": "SignInShown", "watch_test_email": "TestEmailShown"}
"""Operations that answer with a stream, and the object in its events."""
NAMES = {"datapallas__home__test_state__Mark": "StepMark", "datapallas__diagnosis__doctor__Mark": "CheckMark"}
"""Names for what two of our modules call the same."""
_SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token: `datapallas token create NAME --role ROLE`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "datapallas-PORT",
        "description": "A browser's session. A change also needs the header X-CSRF-Token and an Origin that is ours.",
    },
}


def description(app: FastAPI) -> dict[str, Any]:
    """The document; made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _made(app)
    return app.openapi_schema


def _made(app: FastAPI) -> dict[str, Any]:
    routes = [one for one in app.routes if isinstance(one, APIRoute) and one.include_in_schema]
    document = get_openapi(
        title="DataPallas",
        version=app.version,
        summary="Set mailboxes up and try them.",
        description=ABOUT,
        routes=routes,
    )
    document["tags"] = [{"name": name, "description": words} for name, words in TAGS]
    document["security"] = [{"token": []}, {"session": []}]
    schemas = document["components"]["schemas"]
    document["components"]["securitySchemes"] = _SECURITY
    problem = ProblemShown.model_json_schema(ref_template="#/components/schemas/{model}", mode="validation")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for route in routes:
        for method in route.methods or ():
            _complete(document["paths"][route.path_format][method.lower()], route)
    document["components"]["schemas"] = {_short(name): one for name, one in schemas.items()}
    renamed: dict[str, Any] = _renamed(document)
    return renamed


def _short(name: str) -> str:
    """An object as programs call it: `SignInShown` is our word for what is shown of a `SignIn`."""
    before, slash, last = name.rpartition("/")
    return before + slash + NAMES.get(last, last.removesuffix("Shown"))


def _renamed(part: Any) -> Any:
    """The document with every reference, and every object's title, short."""
    if isinstance(part, list):
        return [_renamed(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        name: _short(one) if name in {"$ref", "title"} and isinstance(one, str) else _renamed(one)
        for name, one in part.items()
    }


def _complete(operation: dict[str, Any], route: APIRoute) -> None:
    """Add to one operation what it needs and how it fails."""
    role = need_of(route)
    operation["description"] = f"{operation.get('description', '')}\n\nNeeds the role {role}.".strip()
    operation["x-role"] = str(role)
    operation["summary"] = route.name.replace("_", " ").capitalize()
    for status, words in GOOD.items():
        if status in operation["responses"]:
            operation["responses"][status]["description"] = words
    failures = dict(ALWAYS)
    if "{" in route.path:
        failures |= FOUND
    if any(
        part in route.path for part in ("/connections", "/jobs", "/messages", "/outbox", "/reports", "/runs")
    ):
        failures |= STORED
    if "requestBody" in operation:
        failures |= BODY
    if route.name == "send_message":
        failures |= {404: "No connection has this code.", 413: "More than 40 MiB."}
    if route.name in WATCHED:
        operation["responses"]["204"] = {"description": "The last event has come already."}
        operation["responses"]["200"] = _events(WATCHED[route.name])
    if operation["responses"].get("201") or operation["responses"].get("202"):
        _with_location(operation["responses"])
    operation["responses"].pop("422", None)
    operation["responses"] |= {str(status): _failure(words) for status, words in sorted(failures.items())}


def _with_location(responses: dict[str, Any]) -> None:
    made = responses.get("201") or responses["202"]
    made["headers"] = {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}


def _events(state: str) -> dict[str, Any]:
    """A stream of events whose data is the object `state` (`itemSchema` is OpenAPI 3.2's word for what repeats)."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{state}"},
    }
    properties = {"id": {"type": "string"}, "event": {"const": "state"}, "data": data}
    item = {"type": "object", "properties": properties, "required": ["id", "event", "data"]}
    return {"description": "The events.", "content": {"text/event-stream": {"itemSchema": item}}}


def _failure(words: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": words, "content": {PROBLEM_JSON: {"schema": schema}}}


def operations(document: dict[str, Any], tag: str) -> Iterable[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of each operation with this tag."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if tag in operation["tags"]:
                yield method.upper(), path, operation
