"""Connections by the API: made, seen, changed, checked, deleted; and every refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from datapallas.connection import form
from datapallas.connection.fields import FIELDS
from datapallas.connection.file_store import FileStore
from datapallas.connection.identity import PASSWORD
from datapallas.web.api.given import Secrets

if TYPE_CHECKING:
    from datapallas.sandbox import Sandbox
    from web.api.client import Api
    from web.page import Page

CLIENT = "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"
MICROSOFT = {
    "provider": "MICROSOFT",
    "fields": {"name": "Reports", "from": "reports@contoso.example", "client-id": CLIENT},
}
PASSWORD_ONE = {
    "provider": "NONE",
    "fields": {
        "name": "Alerts",
        "from": "alerts@contoso.example",
        "user": "alerts@contoso.example",
        "host": "mail.contoso.example",
    },
    "secrets": {"password": "canary-password"},
}
SANDBOX = "eml-sandbox"


@pytest.fixture
def signed_in(page: Page, sandbox: Sandbox) -> str:
    """A connection somebody has signed in to."""
    return page.services.home.folder.create(sandbox.connection(signed_in=True)).code


def fields_of(problem: dict[str, Any]) -> dict[str, str]:
    return {one["field"]: one["sentence"] for one in problem["errors"]}


def test_a_connection_is_made(api: Api, page: Page) -> None:
    """POST makes it with what the provider fills in, says where it is, what is missing, and what comes next."""
    answer = api.ask("POST", "/connections", MICROSOFT)
    assert answer.status_code == 201 and answer.headers["location"] == "/api/v1/connections/eml-reports"
    made = answer.json()
    assert made["code"] == "eml-reports" and made["provider"] == "MICROSOFT" and made["default"] is True
    assert (
        made["fields"]["host"] == "smtp.office365.com" and made["fields"]["from"] == "reports@contoso.example"
    )
    assert made["fields"].keys() == FIELDS.keys()
    assert made["stored_secrets"] == {"password": False, "client-secret": False, "signed_in": False}
    assert made["status"]["health"] == "never" and made["ways"] == ["browser", "paste", "device"]
    assert made["redirect_uri"] == "http://localhost" and made["next_step"]["doing"] == "sign-in"
    assert api.good("GET", "/connections/eml-reports") == made
    line = page.audit()[-1]
    assert line["what"] == "connection-created" and line["facts"] == {"connection": "eml-reports"}
    assert line["who"].startswith("token:admin") and line["from"] == "127.0.0.1"


def test_a_preset_fills_the_server_in(api: Api) -> None:
    """A well-known provider is named instead of its servers; GET /presets names them all."""
    presets = api.good("GET", "/presets")["presets"]
    assert {"name": "gmail", "title": "Gmail and Google Workspace", "note": ""} in presets
    body = {"preset": "gmail", "fields": {"name": "Gmail", "from": "a@gmail.com"}, "default": True}
    made = api.good("POST", "/connections", body, 201)
    assert made["provider"] == "GOOGLE" and made["fields"]["host"] == "smtp.gmail.com"


def test_an_issuer_fills_the_addresses_in(api: Api, sandbox: Sandbox) -> None:
    """For GENERIC the addresses are found at the issuer; an issuer where nothing is found is named as the problem."""
    body = {"provider": "GENERIC", "fields": {"name": "Sand"}, "issuer": sandbox.issuer}
    fields = api.good("POST", "/connections", body, 201)["fields"]
    assert fields["token-url"].startswith(sandbox.issuer) and fields["authorize-url"].startswith(
        sandbox.issuer
    )
    wrong = api.problem(
        "POST", "/connections", body | {"issuer": "http://127.0.0.1:1", "fields": {"name": "B"}}
    )
    assert wrong["status"] == 422 and fields_of(wrong).keys() == {"issuer"}
    assert wrong["diagnosis"]["fix"]
    wrong = api.problem("POST", "/connections", MICROSOFT | {"issuer": sandbox.issuer})
    assert wrong["status"] == 422 and fields_of(wrong).keys() == {"issuer"}


def test_a_secret_goes_in_and_never_comes_out(api: Api, page: Page) -> None:
    """A password is sealed with the connection; the answers say only that there is one."""
    made = api.good("POST", "/connections", PASSWORD_ONE, 201)
    assert made["stored_secrets"] == {"password": True, "client-secret": False, "signed_in": False}
    stored = page.services.home.folder.load("eml-alerts")
    assert page.services.home.folder.reveal(stored, PASSWORD).reveal() == "canary-password"
    api.good("PATCH", "/connections/eml-alerts", {"secrets": {"password": "canary-changed"}})
    stored = page.services.home.folder.load("eml-alerts")
    assert page.services.home.folder.reveal(stored, PASSWORD).reveal() == "canary-changed"
    assert page.audit()[-1]["facts"] == {"connection": "eml-alerts", "fields": [], "secrets": ["password"]}
    assert "canary" not in "".join(api.said) + str(page.audit())


def test_every_secret_of_a_form_is_one_of_the_api() -> None:
    """What can be typed into the page can be sent by a program."""
    names = {field.alias or name for name, field in Secrets.model_fields.items()}
    assert names == form.SECRETS.keys()


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"name"}),
        ({"fields": {"name": "   "}}, {"name"}),
        ({"fields": {"name": "a\nb"}}, {"name"}),
        ({"fields": {"name": "x" * 100}}, {"name"}),
        ({"fields": {"name": "A", "from": "canary"}}, {"from"}),
        ({"fields": {"name": "A", "port": "canary"}}, {"port"}),
        ({"fields": {"name": "A", "colour": "canary"}}, {"colour"}),
        ({"fields": {"name": "A", "client-id": "canary"}}, {"client-id"}),
        ({"fields": {"name": "A"}, "secrets": {"client-secret": "canary"}}, {"client-secret"}),
        ({"provider": "GOOGLE", "fields": {"name": "A"}, "secrets": {"password": "canary"}}, {"password"}),
        ({"preset": "canary", "fields": {"name": "A"}}, {"preset"}),
        ({"preset": "gmail", "provider": "MICROSOFT", "fields": {"name": "A"}}, {"preset"}),
        ({"provider": "canary", "fields": {"name": "A"}}, {"provider"}),
        ({"fields": {"name": "A", "from-name": 3}}, {"fields.from-name"}),
        ({"fields": {"name": "A", "from-name": "canary\ud800"}}, {"fields.from-name"}),
        ({"fields": {"name": "A", "from-name": "canary" * 2000}}, {"fields.from-name"}),
        ({"fields": {"name": "A"}, "secrets": {"password": "canary\udfff"}}, {"secrets.password"}),
        ({"fields": {"name": "A"}, "secrets": {"password": ["canary"]}}, {"secrets.password"}),
        ({"fields": {"name": "A"}, "secrets": {"token": "canary"}}, {"secrets.token"}),
        ({"fields": {"name": "A"}, "colour": "canary"}, {"colour"}),
        ({"fields": {"name": "A"}, "default": "yes"}, {"default"}),
        ([], {""}),
        (3, {""}),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_not_repeated(
    api: Api, page: Page, body: object, fields: set[str]
) -> None:
    """422 names each field and says what is wrong with it, in words, without the value; nothing is made."""
    problem = api.problem("POST", "/connections", body)
    assert problem["status"] == 422 and problem["code"] == "not-valid"
    assert fields_of(problem).keys() == fields and all(fields_of(problem).values())
    assert "canary" not in "".join(api.said)
    assert page.services.home.folder.list() == [] and page.audit() == []


@pytest.mark.parametrize("raw", [b"{", b"\xff", b"", b'{"fields": {"name": NaN}}', b"[" * 5000])
def test_a_body_that_is_no_json_is_refused(api: Api, raw: bytes) -> None:
    """What cannot be read as JSON is a problem of whoever sent it."""
    headers = api.headers | {"Content-Type": "application/json"}
    answer = api.page.ask("POST", "/api/v1/connections", headers, raw)
    assert answer.status_code in {400, 422} and answer.headers["content-type"] == "application/problem+json"


def test_a_name_that_is_taken_is_a_conflict(api: Api) -> None:
    """A second connection with the same code is refused with 409."""
    api.good("POST", "/connections", MICROSOFT, 201)
    problem = api.problem("POST", "/connections", MICROSOFT)
    assert problem["status"] == 409 and problem["diagnosis"]["id"] and "already" in problem["title"]


def test_the_list_has_every_connection_and_every_broken_file(api: Api, page: Page) -> None:
    """A file that cannot be read is a row with line and reason; it can be seen as a problem, and deleted."""
    assert api.good("GET", "/connections") == {"connections": []}
    api.good("POST", "/connections", MICROSOFT, 201)
    folder = FileStore(page.services.home.folder.store.root).connections
    (folder / "eml-broken.xml").write_text("<documentburster>\n<oops")
    broken, reports = api.good("GET", "/connections")["connections"]
    assert (
        broken["code"] == "eml-broken"
        and broken["health"] == "broken"
        and broken["line"]
        and broken["reason"]
    )
    assert (
        reports["state"] == "never signed in" and reports["file"] == "eml-reports.xml" and reports["default"]
    )
    assert str(folder) not in str(reports)
    problem = api.problem("GET", "/connections/eml-broken")
    assert problem["status"] == 409 and problem["code"] == "broken-connection"
    assert api.ask("DELETE", "/connections/eml-broken").status_code == 204
    assert [one["code"] for one in api.good("GET", "/connections")["connections"]] == ["eml-reports"]


def test_what_is_seen_can_be_sent_back(api: Api, page: Page) -> None:
    """PATCH with exactly what GET shows changes nothing, for either kind of connection."""
    for body in (MICROSOFT, PASSWORD_ONE):
        made = api.good("POST", "/connections", body, 201)
        before = page.services.home.folder.path_of(made["code"]).read_bytes()
        back = {"provider": made["provider"], "fields": made["fields"]}
        assert api.good("PATCH", f"/connections/{made['code']}", back) == made
        assert page.services.home.folder.path_of(made["code"]).read_bytes() == before


def test_only_what_is_given_changes(api: Api) -> None:
    """PATCH keeps the rest; an empty text clears a field."""
    made = api.good("POST", "/connections", MICROSOFT, 201)
    changed = api.good("PATCH", "/connections/eml-reports", {"fields": {"from-name": "Contoso"}})
    assert changed["fields"] == made["fields"] | {"from-name": "Contoso"}
    cleared = api.good("PATCH", "/connections/eml-reports", {"fields": {"from-name": ""}})
    assert cleared["fields"] == made["fields"]


def test_a_change_that_ends_the_sign_in_is_agreed_to_first(api: Api, signed_in: str) -> None:
    """409 says what changes; with `end_sign_in` it is saved and the sign-in is gone."""
    change = {"fields": {"host": "mail.elsewhere.example"}}
    checked = api.good("POST", f"/connections/{signed_in}/check", change)
    assert "the mail server (was 127.0.0.1" in checked["ends"]
    assert "refresh_token" in checked["lost_secrets"] and checked["next_step"]["doing"]
    before = api.good("GET", f"/connections/{signed_in}")
    assert before["stored_secrets"]["signed_in"] and before["status"]["health"] == "connected"
    problem = api.problem("PATCH", f"/connections/{signed_in}", change)
    assert problem["status"] == 409 and problem["code"] == "ends-sign-in"
    assert (
        "the mail server (was 127.0.0.1" in problem["detail"] and '"end_sign_in": true' in problem["detail"]
    )
    assert api.good("GET", f"/connections/{signed_in}") == before
    after = api.good("PATCH", f"/connections/{signed_in}", change | {"end_sign_in": True})
    assert after["fields"]["host"] == "mail.elsewhere.example" and not after["stored_secrets"]["signed_in"]


def test_a_check_saves_nothing(api: Api, signed_in: str, page: Page) -> None:
    """Check tells bad values, too, and leaves the file alone."""
    path = page.services.home.folder.path_of(signed_in)
    before = path.read_bytes()
    body = {"fields": {"port": "x", "from-name": "New"}, "secrets": {"client-secret": "canary"}}
    found = api.good("POST", f"/connections/{signed_in}/check", body)
    assert ("port", "error") in {(one["field"], one["severity"]) for one in found["findings"]}
    assert path.read_bytes() == before and page.audit() == []
    assert api.good("POST", f"/connections/{signed_in}/check", {})["ends"] == ""


def test_what_was_wrong_before_does_not_stand_in_the_way(api: Api, page: Page, sandbox: Sandbox) -> None:
    """A connection with an old mistake in it can be changed elsewhere."""
    import dataclasses

    wrong = sandbox.connection(signed_in=False)
    wrong = dataclasses.replace(wrong, server=dataclasses.replace(wrong.server, host="https://mail.example"))
    page.services.home.folder.create(wrong)
    before = api.good("GET", f"/connections/{SANDBOX}")
    assert any(one["severity"] == "error" for one in before["findings"])
    changed = api.good("PATCH", f"/connections/{SANDBOX}", {"fields": {"from-name": "New"}})
    assert changed["fields"]["from-name"] == "New"


def test_another_default_and_a_copy(api: Api, signed_in: str, page: Page) -> None:
    """Default moves; a copy has the fields and none of the secrets."""
    answer = api.ask("POST", f"/connections/{signed_in}/duplicate", {"name": "Second"})
    assert answer.status_code == 201 and answer.headers["location"] == "/api/v1/connections/eml-second"
    copy = answer.json()
    assert not copy["stored_secrets"]["signed_in"] and not copy["default"]
    assert api.good("POST", "/connections/eml-second/default")["default"] is True
    rows = api.good("GET", "/connections")["connections"]
    assert [row["code"] for row in rows if row["default"]] == ["eml-second"]
    assert [line["what"] for line in page.audit()] == ["connection-duplicated", "connection-default"]
    assert api.problem("POST", f"/connections/{signed_in}/duplicate", {"name": "Second"})["status"] == 409
    assert api.problem("POST", f"/connections/{signed_in}/duplicate", {"name": "\u2603"})["status"] == 422
    assert api.problem("POST", f"/connections/{signed_in}/duplicate", {"name": "a\x00"})["status"] == 422


def test_the_default_one_is_deleted_only_when_that_was_said(api: Api, page: Page) -> None:
    """409 without ?force=true; then it is gone."""
    api.good("POST", "/connections", MICROSOFT, 201)
    problem = api.problem("DELETE", "/connections/eml-reports")
    assert problem["status"] == 409 and problem["code"] == "default-connection"
    answer = api.ask("DELETE", "/connections/eml-reports?force=true")
    assert answer.status_code == 204 and answer.text == ""
    assert page.services.home.folder.list() == [] and page.audit()[-1]["what"] == "connection-deleted"


def test_signing_out_forgets_the_sign_in(operator: Api, signed_in: str, page: Page) -> None:
    """It is ended at the provider where that is possible, and gone here."""
    done = operator.good("POST", f"/connections/{signed_in}/sign-out")
    assert done["forgotten"] is True
    assert operator.good("GET", f"/connections/{signed_in}")["stored_secrets"]["signed_in"] is False
    assert page.audit()[-1]["what"] == "signed-out"
    again = operator.good("POST", f"/connections/{signed_in}/sign-out")
    assert again == {"forgotten": False, "revoked": False, "reason": ""}


@pytest.mark.parametrize("code", ["eml-nothing", "EML", "%2e%2e%2fkeys", "%00", "eml-\u00e4", "a" * 200])
def test_an_unknown_connection_is_404(api: Api, code: str) -> None:
    """Whatever is asked of a connection that is not there: 404, and what there is."""
    api.good("POST", "/connections", MICROSOFT, 201)
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("POST", "/default", None),
        ("POST", "/duplicate", {"name": "x"}),
        ("POST", "/sign-out", None),
        ("POST", "/check", {}),
        ("POST", "/sign-ins", {"way": "paste"}),
        ("POST", "/test-emails", {}),
        ("POST", "/doctor", None),
    ):
        assert api.problem(method, f"/connections/{code}{path}", body)["status"] in {404, 405}
    if code == "eml-nothing":
        problem = api.problem("GET", f"/connections/{code}")
        assert problem["code"] == "unknown-connection" and "eml-reports" in problem["title"]


def test_who_asks_is_told(api: Api, operator: Api, page: Page) -> None:
    """GET /me names the token and its role; a page's session is known, too."""
    assert operator.good("GET", "/me")["role"] == "operator"
    assert api.good("GET", "/me")["kind"] == "token"
    mine = page.entered().ask("GET", "/api/v1/me").json()
    assert mine == {"name": "local", "role": "admin", "kind": "session"}
    about = api.good("GET", "")
    for link in about["links"].values():
        assert page.ask("GET", link, api.headers).status_code in {200, 405}


def test_a_session_may_use_the_api_too(page: Page) -> None:
    """A page of ours with its X-CSRF-Token may send JSON; the audit names the person."""
    import json

    body = json.dumps(MICROSOFT).encode()
    answer = page.entered().ask("POST", "/api/v1/connections", body, Content_Type="application/json")
    assert answer.status_code == 201 and page.audit()[-1]["who"] == "local"
