"""The description of the API: whole, true to the routes, and a page one can read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from datapallas.connection.fields import FIELDS
from datapallas.web.api.description import description
from datapallas.web.app import make_app
from datapallas.web.problems import Code
from datapallas.web.roles import need_of
from datapallas.web.services import Mode
from datapallas.web.who import Role
from web.page import Page, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.routing import APIRoute

APP = make_app(cast("Any", None))
DOCUMENT = description(APP)
ROUTES = [route for route in cast("list[APIRoute]", APP.routes) if route.path.startswith("/api/v1")]
GUIDE = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_of_the_api_is_described() -> None:
    """Nothing of /api/v1 is left out, and nothing else is in it; each operation has a name of its own."""
    routes = {f"{method} {route.path}" for route in ROUTES for method in route.methods or ()}
    assert {name for name, _ in operations()} == routes
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-z_]+", one) for one in ids)


@pytest.mark.parametrize(("name", "operation"), list(operations()))
def test_an_operation_says_all_of_itself(name: str, operation: dict[str, Any]) -> None:
    """Words, a tag, the role, and each way it fails as a problem."""
    method, _, path = name.partition(" ")
    assert operation["summary"] and operation["description"].count(".") >= 2 and len(operation["tags"]) == 1
    route = next(one for one in ROUTES if one.path == path and method in (one.methods or ()))
    assert operation["x-role"] == need_of(route)
    responses = operation["responses"]
    assert {"400", "401", "403", "421", "422", "429", "500", "503"} <= responses.keys()
    names_something = "{" in path or operation["operationId"] == "send_message"  # its body names a connection
    assert ("404" in responses) is names_something
    assert ("413" in responses) is ("415" in responses) is ("requestBody" in operation)
    for status, one in responses.items():
        if status >= "400":
            assert one["content"].keys() == {"application/problem+json"}
        elif status != "204":
            assert one["content"], name


def test_everything_in_it_is_described() -> None:
    """Each member of each object has words; each name an object is called by is there; security is named."""
    for schema in DOCUMENT["components"]["schemas"].values():
        assert schema.get("description") or schema.get("enum")
        for member, one in schema.get("properties", {}).items():
            assert one.get("description") or "$ref" in one, member
    names = DOCUMENT["components"]["schemas"].keys()
    assert not [name for name in names if name.endswith("Shown") or not name.isalpha()]
    named = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert named <= DOCUMENT["components"]["schemas"].keys()
    assert DOCUMENT["components"]["securitySchemes"].keys() == {"token", "session"}
    draft = DOCUMENT["components"]["schemas"]["Draft"]["properties"]["fields"]
    assert draft["properties"].keys() == FIELDS.keys() and draft["additionalProperties"] is False


def test_no_answer_has_a_place_for_a_secret() -> None:
    """What is written only stands in bodies that are sent, and in no answer."""
    answers = {
        name: schema
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if not any(f"/{name}'" in str(operation.get("requestBody")) for _, operation in operations())
    }
    hidden = {name for name, schema in answers.items() if "writeOnly" in str(schema)}
    assert hidden == {"Secrets"}


def test_the_guide_names_every_operation_and_every_problem() -> None:
    """docs/api.md has each path, and each code of a problem."""
    for name, _ in operations():
        assert f"`{name.replace('/api/v1', '', 1) if name != 'GET /api/v1' else name}`" in GUIDE, name
    for code in Code:
        assert f"`{code}`" in GUIDE, code


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Page]]:
    with (
        served(tmp_path_factory.mktemp("local")) as local,
        served(tmp_path_factory.mktemp("served"), Mode.SERVED, proxies=frozenset({"127.0.0.0/8"})) as public,
    ):
        yield [local, public]


def test_the_page_shows_it_without_anything_from_elsewhere(pages: list[Page]) -> None:
    """Every operation with a command for this server; every address in it is ours."""
    for page, role in zip(pages, (None, Role.VIEWER), strict=True):
        text = page.entered(role).ask("GET", "/api/docs").text
        for _, operation in operations():
            assert f'id="{operation["operationId"]}"' in text
        assert f"{page.origin}/api/v1/connections" in text
        assert not [one for one in re.findall(r'(?:src|href)="([^"]*)"', text) if not re.match("[/#]", one)]
        assert page.entered(role).ask("GET", "/api/openapi.json").json() == DOCUMENT


def test_the_commands_on_the_page_are_whole() -> None:
    """Each command names the token, and sends a body that the operation takes."""
    import json
    import shlex

    from datapallas.web.api.reference import reference

    for group in reference(DOCUMENT, "http://127.0.0.1:8125").groups:
        assert group.operations
        for one in group.operations:
            words = shlex.split(one.command.replace("\\\n", " "))
            assert words[:2] == ["curl", "-s"] and "Authorization: Bearer $TOKEN" in words
            if one.body:
                body = json.loads(words[words.index("-d") + 1])
                assert body.keys() <= {member.name for member in one.body}
                assert {member.name for member in one.body if member.required} <= body.keys()
