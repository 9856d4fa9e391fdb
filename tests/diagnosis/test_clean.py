"""What is shown holds no secret and drives no terminal."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas import errors
from datapallas.diagnosis.clean import LONGEST, mask, one_line
from datapallas.diagnosis.explain import LARGEST, explain, explain_all

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL291dGxvb2sub2ZmaWNlLmNvbSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Bearer {JWT}", "eyJh"),
        (f"token was {JWT}.", "c2ln"),
        ("refresh_token=0.AXoAabcdefghijklmnopqrstuvwxyz-012345.AgABAAEAAAD", "AXoA"),
        ('{"refresh_token": "1//0gabcdefghijklmnopqrstuvwxyz", "x": 1}', "0gabc"),
        ("sent 1//0gabcdefghijklmnopqrstuvwxyz", "0gabc"),
        ("ya29.a0AfH6SMBabcdefghij", "a0Af"),
        ("client GOCSPX-abcdefghijklm", "abcdefg"),
        ("secret is abc8Q~abcdefghijklmnopqrstuvwxyz0123456", "8Q~"),
        ("<oauth2refreshtoken>ENC(v1.A256GCM.0123456789abcdef.AAAA.BBBB)</oauth2refreshtoken>", "A256GCM"),
        ("ENC(v1.A256GCM.cut", "A256GCM"),
        ("<userpassword>hunter2hunter2</userpassword>", "hunter2"),
        ("C: AUTH PLAIN AGJvYgBodW50ZXIy", "AGJv"),
        ("C: AUTH XOAUTH2 dXNlcj1h", "dXNl"),
        ("Authorization: Basic Ym9iOmh1bnRlcjI=", "Ym9i"),
        ("http://localhost:5000/callback?code=0.AAA-short&state=abcdefgh", "AAA-short"),
        ("http://localhost:5000/callback?code=0.AAA-short&state=abcdefgh", "abcdefgh"),
        ("https://bob:hunter2@proxy.example:3128", "hunter2"),
        ("password: hunter2hunter2", "hunter2"),
        ("glewlwyd gave 6f1ed002ab5595859014ebf0951522d9aabbccddeeff", "6f1ed"),
    ],
)
def test_a_secret_is_masked(text: str, secret: str) -> None:
    """A token, password, code or sealed value in an error is shown as stars."""
    assert secret in text
    assert secret not in one_line(text)
    assert "******" in one_line(text)
    assert secret not in explain(text).render()
    assert secret not in explain(errors.ProtocolError(text, raw=text, path=text)).render()


@given(st.binary(min_size=48, max_size=120))
def test_anything_random_is_masked(data: bytes) -> None:
    """Every opaque token of 64 characters or more disappears, whatever it is called."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        token = encode(data).decode()
        if len(set(data)) > 24:  # random bytes, not a pattern such as all zeros
            assert token not in mask(f"the server said {token} and closed")


@pytest.mark.parametrize(
    "text",
    [
        "535 5.7.3 Authentication unsuccessful [LO6P265CA0005.GBRP265.PROD.OUTLOOK.COM 2026-11-02T10:00:00.000Z 08DE1A2B3C4D5E6F]",
        "AADSTS50011: The redirect URI 'http://localhost:51234/callback' specified in the request does not match",
        "AADSTS700016: Application with identifier '11111111-2222-3333-4444-555555555555' was not found",
        "Correlation ID: 01234567-89ab-cdef-0123-456789abcdef",
        "/home/bob/projects/datapallas/config/connections/eml-office365.xml",
        "/Users/Bob/Documents/Reports2024/Quarterly-Report-Final-2024-v2.pdf",
        "Set-CASMailbox -Identity reports@contoso.example -SmtpClientAuthenticationDisabled $false",
        '{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}',
        "STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message",
        "https://outlook.office.com/SMTP.Send offline_access openid email profile",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        "client_secret is missing.",
        '{"error":"invalid_request","error_description":"x","error_codes":[900144]}',
        "state the bearer of this password policy",
    ],
)
def test_words_are_not_masked(text: str) -> None:
    """Server names, paths, ids and commands stay readable."""
    assert one_line(text) == text


def test_nothing_drives_the_terminal() -> None:
    """A server cannot clear the screen, forge a line or turn the text around."""
    hostile = "550 \x1b[2J\x1b]0;owned\x07No\r\nDo this: \x9b31mrun me\u202e\u2028x\x00\x08"
    shown = explain(hostile).render()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\x9b" not in shown
    assert len([line for line in shown.splitlines() if line.strip().startswith("Do this:")]) == 1
    assert one_line(hostile).isprintable()


def test_an_endless_text_is_cut() -> None:
    """A megabyte of noise is shown as its beginning, and read in a moment."""
    assert len(one_line("word " * 200_000)) <= LONGEST
    start = time.process_time()
    for noise in (
        "a" * LARGEST,
        "535 " * (LARGEST // 4),
        "eyJ." * (LARGEST // 4),
        "Az0" * (LARGEST // 3),
        "(" * LARGEST,
    ):
        explain(noise)
        explain_all(noise)
    assert time.process_time() - start < 20


def test_facts_from_outside_are_cleaned_too() -> None:
    """A file name with an escape sequence or a token does not reach the terminal through the advice."""
    problem = FileNotFoundError(2, "No such file or directory", f"\x1b[31m{JWT}\n.pdf")
    shown = explain(problem).render()
    assert "\x1b" not in shown
    assert "eyJh" not in shown
