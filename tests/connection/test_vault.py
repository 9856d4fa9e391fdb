"""Sealed values: they open for what they were sealed for, whole, or not at all."""

from __future__ import annotations

import base64
import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection.identity import identity
from datapallas.connection.model import Connection, OAuth2Client, Password, Provider, Sealed, Server
from datapallas.connection.vault import MAX_TEXT, Grant, Keyring, Opened, Vault, is_ours, kid_in, kid_of
from datapallas.errors import KeyProblem, SealBroken
from datapallas.secret import Secret

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
VAULT = Vault(Keyring(kid_of(KEY), {kid_of(KEY): KEY}, source="file:/keys"))
CONNECTION = Connection(
    code="eml-office",
    server=Server(host="smtp.example", port="587"),
    from_address="a@b.example",
    credential=OAuth2Client(provider=Provider.GENERIC, client_id="c", token_url="https://t.example/token"),
)
BOUND = identity(CONNECTION, "refresh_token")


def test_a_value_opens_to_what_was_sealed() -> None:
    """The secret and what was sealed beside it come back."""
    grant = Grant(7, "2026-05-01T10:00:00Z", "tenant", "subject")
    opened = VAULT.open(VAULT.seal(Secret("tökén"), BOUND, grant), BOUND)
    assert opened == Opened(Secret("tökén"), grant)
    assert "tökén" not in repr(opened)


def test_the_form_is_the_documented_one() -> None:
    """ENC(v1.A256GCM.<kid>.<nonce>.<ciphertext>): strict, on one line, its length a step function of the secret's."""
    texts = {n: VAULT.seal(Secret("x" * n), BOUND).text for n in (0, 20, 170, 1200, 2500)}
    for text in texts.values():
        assert re.fullmatch(r"ENC\(v1\.A256GCM\.[0-9a-f]{16}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+\)", text)
        assert kid_in(text) == kid_of(KEY)
    assert len(texts[0]) == len(texts[20]) == len(texts[170])
    assert 1700 < len(texts[1200]) <= 1900
    assert len({VAULT.seal(Secret("same"), BOUND).text for _ in range(50)}) == 50


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_any_secret_survives(value: str) -> None:
    """Whatever characters a password has, it comes back; the sealed text is a multiple of 256 bytes inside."""
    sealed = VAULT.seal(Secret(value), BOUND)
    assert VAULT.open(sealed, BOUND).value.reveal() == value
    cipher = sealed.text[4:-1].split(".")[4]
    assert (len(base64.urlsafe_b64decode(cipher + "==")) - 16) % 256 == 0


def test_any_changed_character_fails() -> None:
    """Each character of a sealed token, changed three ways, missing or doubled: not one opens."""
    text = VAULT.seal(Secret("r" * 1200), BOUND).text
    assert len(text) > 1700
    for at, old in enumerate(text):
        for new in {"A", "B", "0", "", old * 2} - {old}:
            with pytest.raises((SealBroken, KeyProblem)):
                VAULT.open(Sealed(text[:at] + new + text[at + 1 :]), BOUND)


def test_another_spelling_of_the_same_bytes_fails() -> None:
    """base64url has one canonical spelling: unused bits set, padding or white space are refused."""
    text = next(t for t in iter(lambda: VAULT.seal(Secret("x"), BOUND).text, "") if t[-2] in "AQgw")
    loose = text[:-2] + chr(ord(text[-2]) + 1) + ")"
    for wrong in (loose, text[:-1] + "=)", text + "\n", " " + text, text.replace("A256GCM", "a256gcm")):
        with pytest.raises(SealBroken):
            VAULT.open(Sealed(wrong), BOUND)


def _moves() -> dict[str, Connection]:
    client = CONNECTION.credential
    assert isinstance(client, OAuth2Client)
    replace = dataclasses.replace
    return {
        "file": replace(CONNECTION, code="eml-other"),
        "provider": replace(CONNECTION, credential=replace(client, provider=Provider.GOOGLE)),
        "token address": replace(
            CONNECTION, credential=replace(client, token_url="https://evil.example/token")
        ),
        "client": replace(CONNECTION, credential=replace(client, client_id="other")),
        "mailbox": replace(CONNECTION, credential=replace(client, user_email="other@b.example")),
        "host": replace(CONNECTION, server=Server(host="evil.example", port="587")),
        "port": replace(CONNECTION, server=Server(host="smtp.example", port="2525")),
    }


@pytest.mark.parametrize("move", [*_moves(), "field"])
def test_a_moved_value_does_not_open(move: str) -> None:
    """Sealed for one file, field, provider, token address, client, mailbox and server: elsewhere it stays closed."""
    sealed = VAULT.seal(Secret("r"), BOUND)
    where = identity(_moves().get(move, CONNECTION), "client_secret" if move == "field" else "refresh_token")
    with pytest.raises(SealBroken) as caught:
        VAULT.open(sealed, where)
    assert "r" not in caught.value.facts.values()
    assert caught.value.facts["connection"] == where["code"]


def test_what_does_not_matter_keeps_a_value_open() -> None:
    """A new display name, sender's name or spelling of the host leaves the sign-in alone."""
    sealed = VAULT.seal(Secret("r"), BOUND)
    renamed = dataclasses.replace(
        CONNECTION, name="New", from_name="New", default=True, server=Server(host="SMTP.example", port="587")
    )
    assert VAULT.open(sealed, identity(renamed, "refresh_token")).value == Secret("r")


def test_a_client_secret_stays_open_when_the_mailbox_changes() -> None:
    """A client secret is bound to where it goes, not to whose mailbox it is for."""
    sealed = VAULT.seal(Secret("s"), identity(CONNECTION, "client_secret"))
    moves = _moves()
    for harmless in ("mailbox", "host", "port"):
        assert VAULT.open(sealed, identity(moves[harmless], "client_secret")).value == Secret("s")
    for harmful in ("file", "provider", "token address", "client"):
        with pytest.raises(SealBroken):
            VAULT.open(sealed, identity(moves[harmful], "client_secret"))


def test_two_identities_never_look_alike() -> None:
    """Moving a letter from one part of the identity to the next makes another identity."""
    one = Connection(code="eml-a", server=Server(host="h:1", port="25"), credential=Password(user="ab"))
    two = Connection(code="eml-a", server=Server(host="h", port="1:25"), credential=Password(user="ab"))
    sealed = VAULT.seal(Secret("p"), identity(one, "password"))
    assert identity(one, "password") == identity(two, "password")  # the same server in other words
    other = dataclasses.replace(one, code="eml-aa", credential=Password(user="b"))
    with pytest.raises(SealBroken):
        VAULT.open(sealed, identity(other, "password"))


def test_a_value_of_the_java_product_is_recognised() -> None:
    """It says where the value came from and what to do, and does not try to open it."""
    text = "ENC(" + base64.b64encode(bytes(12 + 40 + 16)).decode() + ")"
    for field, todo in [("refresh_token", "sign in again"), ("password", "set it again")]:
        with pytest.raises(SealBroken, match=f"Java DataPallas.*{todo}") as caught:
            VAULT.open(Sealed(text), identity(CONNECTION, field))
        assert caught.value.facts["case"] == "seal-java"
    assert not is_ours(text)


@pytest.mark.parametrize(
    ("text", "case"),
    [
        ("ENC(v2.A256GCM.0011223344556677.AAAAAAAAAAAAAAAA.AAAA)", "seal-version"),
        ("ENC(v1.A256GCMSIV.0011223344556677.AAAAAAAAAAAAAAAA.AAAA)", "seal-version"),
        ("ENC(v1.none...)", "seal-version"),
        ("ENC(v1.A256GCM.0011223344556677.AAAAAAAAAAAAAAAA)", "seal-malformed"),
        ("ENC(v1.A256GCM.0011223344556677.AAAAAAAAAAAAAAAA.AAAA)", "seal-malformed"),
        ("ENC()", "seal-malformed"),
        ("ENC(", "seal-malformed"),
        ("ENC(hunter2)", "seal-malformed"),
        ("ENC(v1.A256GCM.0011223344556677.AAAAAAAAAAAAAAAA." + "A" * MAX_TEXT + ")", "seal-malformed"),
    ],
)
def test_what_is_not_a_whole_value_is_refused(text: str, case: str) -> None:
    """An unknown version or a damaged text is an error; it is never taken for the secret itself."""
    with pytest.raises(SealBroken) as caught:
        VAULT.open(Sealed(text), BOUND)
    assert caught.value.facts["case"] == case
    assert "hunter2" not in caught.value.message


def test_a_missing_key_is_named() -> None:
    """The error names the key a value was sealed with and the keys that are here."""
    other = Vault(Keyring(kid_of(OTHER), {kid_of(OTHER): OTHER}, source="file:/keys"))
    with pytest.raises(KeyProblem, match=rf"{kid_of(KEY)}.*file:/keys holds {kid_of(OTHER)}"):
        other.open(VAULT.seal(Secret("x"), BOUND), BOUND)
    retired = Vault(Keyring(kid_of(OTHER), {kid_of(OTHER): OTHER}, (kid_of(KEY),), "file:/keys"))
    with pytest.raises(KeyProblem, match="was retired"):
        retired.open(VAULT.seal(Secret("x"), BOUND), BOUND)


def test_a_key_with_a_stolen_name_opens_nothing() -> None:
    """A wrong key under the right id does not open a value."""
    wrong = Vault(Keyring(kid_of(KEY), {kid_of(KEY): OTHER}))
    with pytest.raises(SealBroken):
        wrong.open(VAULT.seal(Secret("x"), BOUND), BOUND)


def test_a_secret_too_long_for_the_file_is_refused() -> None:
    """Eight KiB sealed is the end; what is longer is refused, not cut."""
    assert len(VAULT.seal(Secret("x" * 5500), BOUND).text) <= MAX_TEXT
    with pytest.raises(SealBroken, match="too long"):
        VAULT.seal(Secret("x" * 7000), BOUND)


def test_keys_do_not_show_themselves() -> None:
    """A keyring's repr holds ids, no keys."""
    assert repr(KEY)[2:20] not in repr(VAULT.keyring)
    assert kid_of(KEY) in repr(VAULT.keyring)


def test_the_key_id_is_pinned() -> None:
    """The derivation never changes, or no stored value would open: one known answer."""
    assert kid_of(bytes(32)) == PINNED


# HKDF-SHA256 of 32 zero bytes, no salt, info "datapallas/kid/v1", 8 bytes.
PINNED = "4bb0f6fc63a0e3d5"


def test_the_pinned_id_is_hkdf() -> None:
    """RFC 5869 by hand gives the same id."""
    import hmac

    prk = hmac.digest(bytes(32), bytes(32), "sha256")
    assert hmac.digest(prk, b"datapallas/kid/v1" + b"\x01", "sha256")[:8].hex() == PINNED
