"""Secrets are looked for everywhere they could come out: answers, streams, what the server prints, files, the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.sandbox.person import browse
from datapallas.web.who import Role
from web.api.client import Api
from web.api.test_flows import ALICE, CODE, ONE, ended_at, started, until

if TYPE_CHECKING:
    import pytest

    from datapallas.sandbox import Sandbox
    from web.page import Page

TYPED = {"password": "canary-Passw0rd-typed", "client-secret": "canary-S3cret-typed"}


def made(sandbox: Sandbox) -> set[str]:
    """Everything secret the provider has given out, and what it knows people and clients by."""
    ledger = sandbox.provider.ledger
    given = {name for table in (ledger.accesses, ledger.refreshes, ledger.codes) for name in table}
    return given | {sandbox.client_secret.reveal(), sandbox.password.reveal()}


def test_no_secret_comes_out(
    api: Api, page: Page, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    """After a whole day's work no token, code, secret or password stands anywhere but sealed or with its owner."""
    page.services.home.folder.create(sandbox.connection())
    for login, account in (("paste", ALICE), ("browser", ALICE)):
        id_ = started(api, login)
        events = api.events(f"/sign-ins/{id_}/events")
        url = until(events, "waiting")["url"]
        if login == "paste":
            api.problem(
                "POST",
                f"/sign-ins/{id_}/answer",
                {"pasted": "http://127.0.0.1/callback?code=canary-code-of-another&state=x"},
            )
            api.good("POST", f"/sign-ins/{id_}/answer", {"pasted": ended_at(url)})
        else:
            browse(url, login=account)
        assert until(events, "connected")["account"] == account
    for body in ({}, {"fields": {"port": "1"}}, {"secrets": {"client-secret": TYPED["client-secret"]}}):
        id_ = api.good("POST", f"{ONE}/test-emails", body, 202)["id"]
        assert [*api.events(f"/test-emails/{id_}/events")][-1].data["finished"]
        api.ask("GET", f"/test-emails/{id_}/report")
    for path in ("", "/check", "/sign-ins"):
        method = "PATCH" if not path else "POST"
        more = {"way": "paste"} if path == "/sign-ins" else {}
        api.ask(method, f"{ONE}{path}", more | {"secrets": {"client-secret": TYPED["client-secret"]}})
        api.problem(method, "/connections/eml-no" + path, more | {"secrets": TYPED})
        api.ask(method, f"{ONE}{path}", more | {"secrets": TYPED, "oops": TYPED["password"]})
    api.good("POST", f"{ONE}/doctor")
    api.good("GET", "/connections")
    api.good("POST", f"{ONE}/sign-out")
    secrets = made(sandbox) | set(TYPED.values()) | {"canary-code-of-another"}
    assert len(secrets) > 8 and api.token.startswith("dp_")
    said = "".join(api.said) + "".join(capfd.readouterr())
    assert CODE in said
    written = b"\n".join(p.read_bytes() for p in page.services.home.root.rglob("*") if p.is_file())
    for secret in secrets | {api.token}:
        assert secret not in said
        assert secret.encode() not in written


def test_a_fault_of_ours_says_nothing_of_what_was_sent(
    page: Page, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """When something breaks inside, the answer is a calm 500 without the values."""
    api = Api(page, page.token(Role.ADMIN))

    def broken(*_: object, **__: object) -> None:
        raise ValueError(f"cannot do with {TYPED}")

    monkeypatch.setattr(page.services.home.folder, "create", broken)
    body = {"provider": "NONE", "fields": {"name": "A"}, "secrets": {"password": TYPED["password"]}}
    assert api.problem("POST", "/connections", body)["status"] == 500
    assert TYPED["password"] not in "".join(api.said)
