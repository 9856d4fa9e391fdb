"""Signing out ends the sign-in at the provider, where it publishes an address for that, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from datapallas.connection import record as records
from datapallas.connection.model import Provider
from datapallas.home import Home
from datapallas.oauth.endpoint import Endpoint
from datapallas.oauth.revoking import revoke_url
from datapallas.sandbox import Sandbox
from oauth.scripted import Idp, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datapallas.connection.folder import Folder
    from datapallas.oauth.source import ConnectionTokenSource


@pytest.fixture
def other() -> Iterator[Idp]:
    """Somebody else's server."""
    with serving(Idp()) as running:
        yield running


def published(idp: Idp, **change: Any) -> dict[str, Any]:
    usual = {
        "issuer": idp.url,
        "authorization_endpoint": f"{idp.url}/authorize",
        "token_endpoint": f"{idp.url}/token",
        "revocation_endpoint": f"{idp.url}/revoke",
    }
    return usual | change


def note_issuer(folder: Folder, code: str, issuer: str) -> None:
    with folder.locked_update(code) as update:
        record = records.Record(seals=update.record.seals, issuer=issuer)
        update.save_record(record, must=True)


def asked(idp: Idp) -> list[tuple[str, str]]:
    return [(seen.path, seen.form.get("token", "")) for seen in idp.requests]


@pytest.mark.parametrize("provider", [Provider.GENERIC, Provider.MICROSOFT, Provider.GOOGLE])
def test_a_sign_in_is_ended_at_the_sandbox(tmp_path: Path, provider: Provider) -> None:
    """Found by discovery: the refresh token is dead at the provider, and forgotten here."""
    with Sandbox() as sandbox:
        home = Home(tmp_path, {})
        connection = home.folder.create(sandbox.connection(provider=provider, signed_in=True))
        if provider is Provider.MICROSOFT:  # what a sign-in there leaves: the issuer names the tenant
            note_issuer(home.folder, connection.code, f"{sandbox.issuer}/{sandbox.tenant_id}/v2.0")
        home.tokens(connection.code).refresh()
        done = home.tokens(connection.code).sign_out()
        assert done.forgotten and done.revoked is (provider is not Provider.GOOGLE)
        grants = {id(row.grant): row.grant for row in sandbox.provider.ledger.refreshes.values()}
        assert [grant.revoked for grant in grants.values()] == [done.revoked]
        assert not home.tokens(connection.code).sign_out().forgotten


def test_the_issuer_of_the_sign_in_is_asked_first(
    idp: Idp, folder: Folder, source: ConnectionTokenSource, signed_in: str
) -> None:
    """A provider with several realms publishes at its issuer, not at its host."""
    idp.metadata = published(idp, issuer=f"{idp.url}/realm")
    found: dict[str, Any] = {}
    real = idp.answer

    def answer(seen: Any) -> Any:
        found[seen.path] = seen.form
        if seen.path == "/realm/.well-known/openid-configuration":
            seen.path = "/.well-known/openid-configuration"
        elif seen.path == "/.well-known/openid-configuration":
            raise AssertionError("the host was asked although the issuer is known")
        if seen.path == "/revoke":
            return idp.refuse("none", 200)
        return real(seen)

    idp.answer = answer  # type: ignore[method-assign]
    note_issuer(folder, "eml-reports", f"{idp.url}/realm")
    source.sign_out()
    assert found["/revoke"]["token"] == signed_in


@pytest.mark.parametrize(
    "change",
    [
        {"revocation_endpoint": None},
        {"token_endpoint": "https://elsewhere.example/token"},
        {"revocation_endpoint": "https://elsewhere.example/revoke"},
        {"issuer": "https://elsewhere.example"},
    ],
)
def test_a_token_is_sent_to_nobody_else(
    idp: Idp, source: ConnectionTokenSource, signed_in: str, change: dict[str, Any]
) -> None:
    """Metadata that is for another token address, or names another host, is not believed."""
    idp.metadata = published(idp, **change)
    done = source.sign_out()
    assert done.forgotten and not done.revoked and "no address" in done.reason
    assert all(token == "" for _, token in asked(idp))


def test_whoever_edits_the_record_gets_no_token(
    idp: Idp, other: Idp, folder: Folder, source: ConnectionTokenSource, signed_in: str
) -> None:
    """The record is not sealed: an issuer on another host is not even asked, whatever it would publish."""
    other.metadata = published(other, token_endpoint=f"{idp.url}/token")
    note_issuer(folder, "eml-reports", other.url)
    assert not source.sign_out().revoked
    assert other.requests == []


def test_microsoft_and_google_are_not_asked(idp: Idp) -> None:
    """Microsoft has no such address and Google's is known: signing out waits for no discovery."""
    endpoint = Endpoint()
    endpoint.get = None  # type: ignore[method-assign,assignment]
    assert (
        revoke_url(endpoint, idp.client(provider=Provider.MICROSOFT, token_url="", authorize_url=""), "")
        == ""
    )
    google = idp.client(provider=Provider.GOOGLE, token_url="", authorize_url="")
    assert revoke_url(endpoint, google, "") == "https://oauth2.googleapis.com/revoke"
