"""The advice fits the connection: its provider, its sender, the place where it failed."""

from __future__ import annotations

import pytest

from datapallas import errors
from datapallas.diagnosis.catalogue import rows
from datapallas.diagnosis.explain import explain

PASSWORD = {"provider": "NONE", "connection": "eml-plain", "mailbox": "a@contoso.example"}
GOOGLE = {"provider": "GOOGLE", "connection": "eml-gmail", "mailbox": "a@contoso.example"}


def _refused(code: int, enhanced: str, text: str) -> errors.SmtpRefused:
    return errors.SmtpRefused("Refused.", step="AUTH", reply_code=code, enhanced=enhanced, text=text)


FAILURES = {
    "gmail": _refused(535, "5.7.8", "Username and Password not accepted. BadCredentials a1 - gsmtp"),
    "gmail-second-factor": _refused(534, "5.7.9", "Application-specific password required - gsmtp"),
    "exchange": _refused(535, "5.7.3", "Authentication unsuccessful"),
    "postfix": _refused(535, "5.7.8", "Error: authentication failed:"),
    "seal": errors.SealBroken("It does not open."),
    "changed": errors.SealBroken("It does not open.", case="identity-changed"),
    "java": errors.SealBroken("It does not open.", case="seal-java"),
    "malformed": errors.SealBroken("It does not open.", case="seal-malformed"),
    "key-unknown": errors.KeyProblem("Another key.", case="key-unknown"),
    "key-lost": errors.KeyProblem("The key is missing.", case="lost"),
    "no-password": errors.NotSignedIn("No password is stored for eml-plain."),
    "not-set": errors.ConfigurationError("The password is not set.", case="not-set", field="password"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_password_connection_is_never_told_to_sign_in_in_a_browser(name: str) -> None:
    """Who signs in with a password is told to set the password, with the command for it."""
    fix = explain(FAILURES[name], PASSWORD).fix
    assert "oauth2 sign-in" not in fix
    assert "datapallas connection set eml-plain --password ask" in fix


@pytest.mark.parametrize("name", ["gmail", "postfix", "seal", "changed", "java", "key-unknown"])
def test_an_oauth2_connection_is_told_to_sign_in(name: str) -> None:
    """The same refusals ask an OAuth2 mailbox for a new sign-in, and mention no password."""
    fix = explain(FAILURES[name], GOOGLE).fix
    assert "oauth2 sign-in --connection eml-gmail" in fix
    assert "--password" not in fix


def test_advice_for_one_provider_is_an_imperative_sentence_too() -> None:
    """Each provider's own advice is written for people as the usual one is, and differs from it."""
    found = [(row, name) for row in rows() for name in row.fix_for]
    assert len(found) > 10
    for row, name in found:
        assert row.fix_for[name][0].isupper() and row.fix_for[name].endswith("."), row.id
        assert row.fix_for[name] != row.fix


def test_a_provider_out_of_reach_is_not_told_about_mail_ports() -> None:
    """An issuer that cannot be reached sends nobody to look for port 587; a mail server does."""
    for phase in ("dns", "connect", "timeout"):
        provider = errors.Unreachable(
            "No answer.", phase=phase, case="provider", host="login.x.example", port=443
        )
        diagnosis = explain(provider)
        assert diagnosis.id.startswith("provider-") and "587" not in diagnosis.fix
        assert "login.x.example" in diagnosis.fix
    mail = errors.Unreachable("No answer.", phase="connect", host="smtp.x.example", port=587)
    assert explain(mail).id == "connection-refused"


def test_a_word_alone_is_explained() -> None:
    """Somebody types the one word they remember."""
    assert explain("invalid_grant").id == "grant-refused"
    assert explain("  redirect_uri_mismatch ").id == "google-redirect"
    assert explain("invalid_grant: Token has been expired or revoked.").id == "google-invalid-grant"
    assert explain("my_variable").id == "unknown"
