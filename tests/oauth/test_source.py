"""Access tokens for a connection: reused, refreshed, stored before use, parked and paced."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from datapallas import files
from datapallas.connection import provider
from datapallas.connection import record as records
from datapallas.connection.file_store import FileStore
from datapallas.connection.model import Connection, OAuth2Client, Password, Provider
from datapallas.connection.update import Granted
from datapallas.errors import (
    NotSignedIn,
    Parked,
    ProtocolError,
    SealBroken,
    SignInRejected,
    StorageError,
    TokenRefused,
    Unreachable,
)
from datapallas.oauth.clock import iso
from datapallas.oauth.source import ConnectionTokenSource
from datapallas.secret import Secret
from oauth.conftest import CODE, FakeClock
from oauth.scripted import Idp, Raw, Seen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datapallas.connection.folder import Folder
    from datapallas.oauth.endpoint import Endpoint


def stored(folder: Folder) -> str:
    return folder.reveal(folder.load(CODE), "refresh_token").reveal()


def test_one_request_serves_a_process_until_five_minutes_before_the_end(
    source: ConnectionTokenSource, idp: Idp, clock: FakeClock
) -> None:
    """A thousand messages cost one token request, and a token that is about to end is not handed out."""
    first = source.token()
    clock.run(3299)
    assert source.token() is first
    assert len(idp.token_requests()) == 1
    clock.run(2)
    assert source.token().value != first.value
    assert len(idp.token_requests()) == 2


def test_a_short_lived_token_is_used_for_half_its_life(
    source: ConnectionTokenSource, idp: Idp, clock: FakeClock
) -> None:
    """A provider with tokens of two minutes is not asked before each message."""
    idp.expires_in = "120"
    first = source.token()
    clock.run(59)
    assert source.token() is first
    clock.run(2)
    assert source.token() is not first


@pytest.mark.parametrize("jump", [31_536_000, -31_536_000])
def test_a_clock_that_jumps_a_year_changes_nothing(
    source: ConnectionTokenSource, idp: Idp, clock: FakeClock, jump: float
) -> None:
    """Somebody sets the date: sending goes on with the token at hand."""
    first = source.token()
    clock.now += jump
    assert source.token() is first


def test_the_new_refresh_token_is_on_disk_before_the_access_token_is_handed_out(
    source: ConnectionTokenSource, idp: Idp, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens after we have an access token, the sign-in that belongs to it is stored."""
    synced: list[bool] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(len(idp.token_requests()) == 1)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    source.token()
    (tokens,) = idp.families.values()
    assert stored(folder) == tokens[-1]
    assert synced.count(True) >= 2  # file and folder, after the reply
    assert folder.opened(folder.load(CODE), "refresh_token").generation == 2


def test_a_provider_that_does_not_rotate_keeps_its_token(
    source: ConnectionTokenSource, idp: Idp, folder: Folder, signed_in: str
) -> None:
    """No new refresh token in the answer means: keep the old one."""
    idp.rotate = False
    source.token()
    assert stored(folder) == signed_in


def test_forty_threads_that_ask_at_once_cost_one_request(source: ConnectionTokenSource, idp: Idp) -> None:
    """Many senders start together; the provider sees one refresh."""
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(source.token().value.reveal())) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 40
    assert len(idp.token_requests()) == 1


def test_sources_of_several_processes_use_the_newest_token(
    source: ConnectionTokenSource, new_source: Callable[[], ConnectionTokenSource], idp: Idp, clock: FakeClock
) -> None:
    """Somebody else has refreshed meanwhile: the token they stored is used, not the one we remember."""
    other = new_source()
    for _ in range(3):
        source.token()
        other.token()
        clock.run(3600)
    assert idp.reuses == 0
    assert len(idp.token_requests()) == 6


def test_a_forced_refresh_asks_again_but_not_for_ever(
    source: ConnectionTokenSource, idp: Idp, clock: FakeClock
) -> None:
    """A mail server that refuses good tokens does not make us flood the provider."""
    source.token()
    for _ in range(20):
        source.token(force=True)
    assert len(idp.token_requests()) == 4
    clock.run(61)
    source.token(force=True)
    assert len(idp.token_requests()) == 5


def test_a_full_disk_costs_no_request(
    source: ConnectionTokenSource, idp: Idp, folder: Folder, monkeypatch: pytest.MonkeyPatch, signed_in: str
) -> None:
    """Where a new token could not be stored, none is asked for; when there is space again, sending goes on."""

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = folder.path_of(CODE).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(StorageError) as caught:
            source.token()
    assert caught.value.code == "disk-full"
    assert idp.token_requests() == []
    assert folder.path_of(CODE).read_bytes() == before
    assert source.token().value


def test_a_folder_that_may_not_be_written_costs_no_request(
    source: ConnectionTokenSource, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights are proven before the provider is asked."""

    real = files.Reserved.__enter__

    def refused(self: files.Reserved) -> files.Reserved:
        if self.path.suffix == ".xml":
            raise StorageError("Cannot prepare: Permission denied.")
        return real(self)

    monkeypatch.setattr(files.Reserved, "__enter__", refused)
    with pytest.raises(StorageError, match="denied"):
        source.token()
    assert idp.token_requests() == []


def test_an_answer_that_cannot_be_saved_is_kept_and_saved_by_the_next_call(
    source: ConnectionTokenSource, idp: Idp, folder: Folder, monkeypatch: pytest.MonkeyPatch, signed_in: str
) -> None:
    """The disk fails between reply and save: nothing is lost while the process lives, and no token is handed out."""
    real = files.Reserved.commit

    def fails(self: files.Reserved, data: bytes) -> None:
        if len(idp.token_requests()) == 1:
            raise StorageError("Cannot save: Input/output error.")
        real(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(files.Reserved, "commit", fails)
        patch.setattr("datapallas.oauth.rotation._SAVE_PAUSE", 0.0)
        with pytest.raises(StorageError) as caught:
            source.token()
    assert caught.value.facts["unsaved"] == "yes"
    assert stored(folder) == signed_in
    token = source.token()
    (tokens,) = idp.families.values()
    assert stored(folder) == tokens[-1] != signed_in
    assert len(idp.token_requests()) == 1
    assert source.token() is token
    assert idp.reuses == 0


def test_a_refused_refresh_token_parks_and_nothing_is_deleted(
    source: ConnectionTokenSource, idp: Idp, folder: Folder, signed_in: str
) -> None:
    """invalid_grant stops the connection with the provider's words; the token stays, and no more requests go out."""
    idp.ended.update(idp.families)
    with pytest.raises(Parked) as caught:
        source.token()
    assert "the sign-in was ended" in caught.value.raw
    assert caught.value.facts["error"] == "invalid_grant"
    assert stored(folder) == signed_in
    for _ in range(3):
        with pytest.raises(Parked):
            source.token()
    assert len(idp.token_requests()) == 1
    status = source.status()
    assert status.state == "parked"
    assert status.refusal is not None and status.refusal.description == "the sign-in was ended"


def test_a_person_can_have_a_parked_connection_tried_again(
    source: ConnectionTokenSource, idp: Idp, signed_in: str
) -> None:
    """`oauth2 refresh` asks the provider even when parked; a success un-parks."""
    idp.ended.update(idp.families)
    with pytest.raises(Parked):
        source.token()
    idp.ended.clear()
    source.refresh()
    assert source.status().state == "signed-in"
    assert source.token().value


def test_a_new_sign_in_unparks(
    source: ConnectionTokenSource, idp: Idp, folder: Folder, new_source: Callable[[], ConnectionTokenSource]
) -> None:
    """After a new sign-in the same process sends again."""
    idp.ended.update(idp.families)
    with pytest.raises(Parked):
        source.token()
    fresh = idp.new_family()
    with folder.locked_update(CODE) as update, update.reserve():
        update.store_refresh_token(Secret(fresh), Granted(user_email="reports@contoso.example"))
    assert new_source().token().value


def test_a_token_that_was_changed_by_hand_is_tried_before_parking(
    source: ConnectionTokenSource, idp: Idp, folder: Folder, signed_in: str
) -> None:
    """The file is read once more when the provider refuses: somebody may have put a newer sign-in there."""
    fresh = idp.new_family()
    idp.ended.add(next(iter(idp.families)))

    def rewrite(seen: Seen) -> None:
        data = path.read_bytes()
        start, end = data.index(b"ENC("), data.index(b"</oauth2refreshtoken>")
        path.write_bytes(data[:start] + fresh.encode() + data[end:])

    path = folder.path_of(CODE)
    idp.script = [rewrite]
    assert source.token().value
    assert [seen.form["refresh_token"] for seen in idp.token_requests()] == [signed_in, fresh]


@pytest.mark.parametrize(
    "answer",
    [
        Raw(500, body=b"<html>down</html>"),
        Raw(429, {"Retry-After": "7"}, b"{}"),
        Raw(503, body=b""),
        Raw(400, body=b'{"error":"temporarily_unavailable"}'),
        Raw(401, body=b'{"error":"invalid_client"}'),
        Raw(400, body=b""),
        Raw(302, {"Location": "http://evil.example/"}),
        Raw(200, {"Content-Type": "text/html"}, b"<html>sign in to the hotel</html>"),
        Raw(200, body=b'{"token_type":"Bearer"}'),
    ],
)
def test_no_failure_but_a_refused_sign_in_parks(
    source: ConnectionTokenSource, idp: Idp, clock: FakeClock, folder: Folder, answer: Raw
) -> None:
    """A provider that is down, busy or badly configured never costs the sign-in; later it works by itself."""
    before = stored(folder)
    idp.script = [answer]
    with pytest.raises((TokenRefused, ProtocolError)):
        source.token()
    assert source.status().state == "signed-in"
    assert stored(folder) == before
    clock.run(3600)
    assert source.token().value


def test_a_failing_connection_asks_at_most_once_a_minute(
    source: ConnectionTokenSource, idp: Idp, clock: FakeClock
) -> None:
    """Whatever keeps asking here, the provider hears from us once a minute, later once in about fifteen."""
    idp.script = [Raw(500)] * 1000
    for second in range(3600):
        with pytest.raises(TokenRefused) as caught:
            source.token()
        clock.run(1)
        assert len(idp.token_requests()) <= 1 + second // 60
    assert 5 <= len(idp.token_requests()) <= 12
    assert 0 < float(caught.value.facts["retry_in"]) <= 900


def test_what_the_provider_asks_for_in_retry_after_is_kept(
    source: ConnectionTokenSource, idp: Idp, clock: FakeClock
) -> None:
    """429 with Retry-After 3600: no request for an hour, then all is well."""
    idp.script = [Raw(429, {"Retry-After": "3600"})]
    for _ in range(10):
        with pytest.raises(TokenRefused):
            source.token()
        clock.run(350)
    assert len(idp.token_requests()) == 1
    clock.run(200)
    assert source.token().value


def test_no_reply_is_retried_once_with_the_same_token(
    source: ConnectionTokenSource, idp: Idp, signed_in: str
) -> None:
    """The line breaks after the request: the old token is tried once more, as providers with a grace time allow."""
    idp.script = [Raw(hang_up=True)]
    assert source.token().value
    assert [seen.form["refresh_token"] for seen in idp.token_requests()] == [signed_in, signed_in]


def test_two_lost_replies_are_an_error_that_passes(
    source: ConnectionTokenSource, idp: Idp, clock: FakeClock
) -> None:
    """More than two tries are not made; the connection is not parked."""
    idp.script = [Raw(hang_up=True), Raw(hang_up=True)]
    with pytest.raises(Unreachable) as caught:
        source.token()
    assert caught.value.transient and caught.value.facts["phase"] == "closed"
    with pytest.raises(Unreachable):
        source.token()
    assert len(idp.token_requests()) == 2
    clock.run(121)
    assert source.token().value


def test_a_lost_reply_of_a_strict_provider_is_named(
    source: ConnectionTokenSource, idp: Idp, signed_in: str
) -> None:
    """The one window that costs a sign-in: the provider rotated, the answer never came. The message says just that."""
    idp.script = [lambda seen: (idp.token(seen), Raw(hang_up=True))[1]]
    with pytest.raises(Parked, match="the provider rotated the token and the answer was lost; sign in once"):
        source.token()


def test_a_provider_that_cannot_be_reached_is_not_asked_twice(
    source: ConnectionTokenSource,
    folder: Folder,
    clock: FakeClock,
    new_source: Callable[[], ConnectionTokenSource],
) -> None:
    """Nothing was sent, so nothing can have been lost; the next try may come after seconds."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    other = folder.load(CODE)
    assert isinstance(other.credential, OAuth2Client)
    client = dataclasses.replace(
        other.credential,
        token_url=f"http://127.0.0.1:{port}/token",
        refresh_token=Secret("one in clear"),
    )
    folder.save(dataclasses.replace(other, credential=client), drop_sign_in=True)
    source = new_source()
    with pytest.raises(Unreachable) as caught:
        source.token()
    assert caught.value.facts["phase"] == "connect" and caught.value.facts["sent"] == "no"
    clock.run(7)
    with pytest.raises(Unreachable) as caught:
        source.token()
    assert "retry_in" not in caught.value.facts


def test_an_answer_for_somebody_else_is_refused(
    source: ConnectionTokenSource, idp: Idp, folder: Folder, connection: object
) -> None:
    """A refresh that comes back with another person's proof stores nothing and stops."""
    token = idp.new_family()
    with folder.locked_update(CODE) as update, update.reserve():
        update.store_refresh_token(Secret(token), Granted(subject="subject-1", user_email="a@b.example"))
    idp.claims = {"sub": "somebody-else", "aud": "client"}
    idp.extra = {"id_token": idp.id_token({"client_id": "client"})}
    with pytest.raises(SignInRejected) as caught:
        source.token()
    assert caught.value.code == "wrong-account"
    assert stored(folder) == token
    assert source.status().state == "parked"


def test_nobody_signed_in_is_said_without_a_request(
    connection: object, new_source: Callable[[], ConnectionTokenSource], idp: Idp
) -> None:
    """A connection without a sign-in asks for one."""
    with pytest.raises(NotSignedIn):
        new_source().token()
    assert idp.token_requests() == []
    assert new_source().status().state == "signed-out"


def test_signing_out_forgets_the_token(source: ConnectionTokenSource, folder: Folder) -> None:
    """After signing out nothing of the sign-in is left in the file; a second time there is nothing to do."""
    source.token()
    gone = source.sign_out()
    assert gone.forgotten and not gone.revoked and "no address" in gone.reason
    assert b"ENC(" not in folder.path_of(CODE).read_bytes()
    with pytest.raises(NotSignedIn):
        source.token()
    assert source.sign_out().forgotten is False


def test_the_status_tells_who_since_when_and_what_for(
    source: ConnectionTokenSource, clock: FakeClock, folder: Folder
) -> None:
    """`oauth2 status` needs no network and shows no secret."""
    status = source.status()
    assert (status.state, status.account, status.scopes) == (
        "signed-in",
        "reports@contoso.example",
        ("mail",),
    )
    assert status.age_days == pytest.approx(0, abs=1)
    clock.run(5 * 86400)
    assert source.status().age_days == pytest.approx(5, abs=1)
    assert "ENC(" not in repr(status)


def test_a_restored_backup_is_named(
    source: ConnectionTokenSource, folder: Folder, new_source: Callable[[], ConnectionTokenSource], idp: Idp
) -> None:
    """An old copy of the file is tried once; when the provider refuses it, the message says why."""
    path = folder.path_of(CODE)
    backup = path.read_bytes()
    source.token()
    path.write_bytes(backup)
    with pytest.raises(Parked, match="an older copy of its file was restored"):
        new_source().token()
    assert idp.reuses == 1


def test_a_damaged_record_costs_nothing(source: ConnectionTokenSource, folder: Folder, root: Path) -> None:
    """The notes beside the file may be lost; the sign-in is not."""
    FileStore(folder.store.root).record_path(CODE).write_bytes(b"{")
    assert records.load(FileStore(folder.store.root).record_path(CODE)).parked is None
    assert source.token().value


def test_ctrl_c_while_the_provider_answers_loses_nothing(
    source: ConnectionTokenSource, idp: Idp, folder: Folder, signed_in: str
) -> None:
    """The thread that asked is interrupted; the refresh it began is stored all the same."""
    came = threading.Event()

    def interrupted(seen: Seen) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        came.wait(60)

    idp.script = [interrupted]
    with pytest.raises(KeyboardInterrupt):
        source.token()
    came.set()
    for thread in threading.enumerate():
        if thread.name.startswith("refresh-"):
            thread.join(60)
    (tokens,) = idp.families.values()
    assert stored(folder) == tokens[-1] != signed_in


@pytest.mark.parametrize(("status", "revoked"), [(200, True), (503, False)])
def test_signing_out_ends_the_sign_in_at_the_provider_where_it_can(
    *,
    source: ConnectionTokenSource,
    idp: Idp,
    folder: Folder,
    signed_in: str,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    revoked: bool,
) -> None:
    """The token is revoked (RFC 7009); when the provider fails, it is forgotten here all the same, and that is said."""
    monkeypatch.setattr(provider, "revoke_url", lambda client: f"{idp.url}/revoke")
    idp.script = [Raw(status)]
    gone = source.sign_out()
    assert (gone.forgotten, gone.revoked, bool(gone.reason)) == (True, revoked, not revoked)
    assert [(seen.path, seen.form["token"]) for seen in idp.requests] == [("/revoke", signed_in)]
    assert b"ENC(" not in folder.path_of(CODE).read_bytes()


def test_days_left_are_counted_from_the_last_use(
    folder: Folder, endpoint: Endpoint, clock: FakeClock
) -> None:
    """A Microsoft sign-in ends after 90 days without use; the status counts down, and a password has no such end."""
    folder.create(
        Connection(
            code="eml-office",
            from_address="a@b.example",
            credential=OAuth2Client(provider=Provider.MICROSOFT, client_id="c"),
        )
    )
    with folder.locked_update("eml-office") as update:
        at = iso(clock.now)
        update.store_refresh_token(Secret("r"), Granted(at=at, issued_at=at, scope="SMTP.Send openid"))
    clock.run(20 * 86400)
    status = ConnectionTokenSource(folder, "eml-office", endpoint, clock).status()
    assert (status.state, status.missing) == ("signed-in", ())
    assert status.days_left == pytest.approx(70, abs=0.01)
    folder.create(Connection(code="eml-old", credential=Password(user="u@b.example")))
    old = ConnectionTokenSource(folder, "eml-old", endpoint, clock).status()
    assert (old.state, old.account, old.days_left) == ("password", "u@b.example", None)


def test_a_sign_in_that_does_not_open_is_a_state_with_its_reason(
    source: ConnectionTokenSource, folder: Folder, idp: Idp
) -> None:
    """The token address was edited: the status says so, and not a byte goes to the new address."""
    path = folder.path_of(CODE)
    path.write_text(path.read_text().replace(f"{idp.url}/token", f"{idp.url}/token2"))
    status = source.status()
    assert status.state == "unreadable"
    assert status.problem is not None and "token" in status.problem.message
    with pytest.raises(SealBroken):
        source.token()
    assert idp.requests == []
    assert source.sign_out().forgotten
