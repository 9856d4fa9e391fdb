"""From any failure to what a person can do about it."""

from __future__ import annotations

import errno
import json
import socket
import ssl

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas import errors
from datapallas.diagnosis.catalogue import WHO
from datapallas.diagnosis.explain import Diagnosis, explain, explain_all


def _refused(code: int, status: str, text: str, step: str = "AUTH", **facts: str) -> errors.SmtpRefused:
    return errors.SmtpRefused(
        "The mail server refused the sign-in.",
        step=step,
        reply_code=code,
        enhanced=status,
        text=text,
        **facts,
    )


def test_one_number_with_two_meanings_is_told_apart_by_its_text() -> None:
    """550 5.7.30 is a retired password at Microsoft and missing TLS elsewhere; a third text gets neither name."""
    basic = _refused(550, "5.7.30", "5.7.30 Basic authentication is not supported for Client Submission.")
    hop = _refused(550, "5.7.30", "5.7.30 REQUIRETLS support required", step="MAIL")
    other = _refused(550, "5.7.30", "5.7.30 No.", step="MAIL")
    assert [explain(one).id for one in (basic, hop, other)] == [
        "exchange-basic-retired",
        "requiretls-unsupported",
        "status-5-7-30",
    ]


def test_a_microsoft_refusal_names_cause_fix_and_correlation_id() -> None:
    """A refused refresh token says why, what to do, and which id Microsoft's support asks for."""
    problem = errors.TokenRefused(
        "Microsoft refused the stored sign-in.",
        error="invalid_grant",
        description="AADSTS700082: The refresh token has expired due to inactivity.",
        error_codes=(700082,),
        correlation_id="01234567-89ab-cdef-0123-456789abcdef",
        connection="eml-office365",
    )
    diagnosis = explain(problem)
    assert diagnosis.id == "microsoft-token-idle"
    assert diagnosis.title == "Microsoft refused the stored sign-in."
    assert "datapallas oauth2 sign-in --connection eml-office365" in diagnosis.fix
    assert diagnosis.who == "mailbox owner"
    assert not diagnosis.passes_by_itself
    assert diagnosis.correlation_id == "01234567-89ab-cdef-0123-456789abcdef"
    assert "AADSTS700082" in diagnosis.raw


def test_a_parked_connection_is_explained_by_what_the_provider_said() -> None:
    """What was stored when the connection was parked still leads to the cause, weeks later."""
    problem = errors.Parked(
        "eml-office365 is parked: the provider refused the stored sign-in.",
        raw="invalid_grant: AADSTS50173",
        error="invalid_grant",
        error_codes="50173",
        correlation_id="01234567-89ab-cdef-0123-456789abcdef",
        provider="MICROSOFT",
        connection="eml-office365",
    )
    assert explain(problem).id == "microsoft-revoked"
    assert explain(problem).correlation_id == "01234567-89ab-cdef-0123-456789abcdef"
    assert (
        explain(errors.Parked("Parked.", error="invalid_grant", error_codes="50173")).id
        == "microsoft-revoked"
    )
    assert (
        explain(errors.Parked("Parked.", error="invalid_grant", provider="GOOGLE")).id
        == "google-invalid-grant"
    )
    assert explain(errors.Parked("Parked.")).id == "parked"


@pytest.mark.parametrize(
    ("problem", "wanted"),
    [
        (errors.KeyProblem("x", case="none"), "no-key"),
        (errors.KeyProblem("x", case="exposed", command="chmod 600 keyring.json"), "key-exposed"),
        (errors.KeyProblem("x", case="exists"), "key-exists"),
        (errors.ConfigurationError("x", case="exists"), "connection-exists"),
        (errors.KeyProblem("x", case="something-new"), "key"),
        (errors.SealBroken("x", case="identity-changed", changed="the SMTP host"), "identity-changed"),
        (errors.SealBroken("x", case="seal-java"), "seal-java"),
        (errors.TlsRefused("x", reason="stripped"), "starttls-missing"),
        (errors.TlsRefused("x", reason="plain"), "no-encryption"),
        (errors.SignInRejected("x", code="wrong-account", mailbox="a@b.example"), "wrong-account"),
    ],
    ids=repr,
)
def test_one_code_is_told_apart_by_its_case(problem: errors.DataPallasError, wanted: str) -> None:
    """The same class of failure has different things to do; an unknown case falls back to its class."""
    assert explain(problem).id == wanted
    assert all(
        value in explain(problem).fix + explain(problem).cause
        for name, value in problem.facts.items()
        if name in {"command", "changed", "mailbox"}
    )


def test_the_same_word_means_more_at_google() -> None:
    """Google's invalid_grant names the seven days of Testing; another provider's does not."""
    google = errors.TokenRefused(
        "Refused.", error="invalid_grant", description="Bad Request", provider="GOOGLE"
    )
    other = errors.TokenRefused("Refused.", error="invalid_grant")
    assert explain(google).id == "google-invalid-grant"
    assert explain(other).id == "grant-refused"
    assert explain(other, {"provider": "GOOGLE"}).id == "google-invalid-grant"


def test_an_unknown_number_keeps_text_id_and_nearest_family() -> None:
    """A number nobody knows still gives Microsoft's words, the correlation id and where to look."""
    diagnosis = explain("AADSTS999999: New. Trace ID: x Correlation ID: 01234567-89ab-cdef-0123-456789abcdef")
    assert diagnosis.id == "microsoft-unknown"
    assert diagnosis.correlation_id == "01234567-89ab-cdef-0123-456789abcdef"
    assert "AADSTS999999" in diagnosis.raw
    assert explain("550 5.7.987 No.").id == "smtp-auth-family"
    assert explain("498 Eh?").id == "smtp-temporary"
    assert explain("498 Eh?").passes_by_itself
    assert explain("598 Eh?").id == "smtp-permanent"
    assert explain("what?").id == "unknown"


def test_the_reason_inside_a_334_refusal_is_used() -> None:
    """Google puts the reason into a challenge before its 535; it names the token."""
    problem = errors.SmtpRefused(
        "The mail server refused the sign-in.",
        step="AUTH",
        reply_code=535,
        enhanced="5.7.8",
        text="5.7.8 Username and Password not accepted.",
        challenge='{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}',
    )
    assert explain(problem).id == "token-refused-by-mail-server"


@pytest.mark.parametrize(
    ("problem", "wanted"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "figures.pdf"), "file-missing"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "file-forbidden"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), "file-is-folder"),
        (OSError(errno.ENOSPC, "No space left on device"), "no-space"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "address-in-use"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no-route"),
        (OSError(errno.EIO, "Input/output error"), "file-problem"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection-refused"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "connection-lost"),
        (TimeoutError("timed out"), "no-answer"),
        (TimeoutError(), "no-answer"),
        (socket.gaierror(-2, "Name or service not known"), "name-not-found"),
        (ssl.SSLCertVerificationError("certificate verify failed: unable to get local issuer certificate"), "certificate-authority"),
        (ssl.SSLCertVerificationError("certificate verify failed: something new"), "certificate-refused"),
        (ssl.SSLError("[SSL: WRONG_VERSION_NUMBER] wrong version number"), "tls-wrong-port"),
        (ssl.SSLError("new"), "tls-failed"),
        (UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid"), "not-text"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("a bug"), "internal"),
        (httpx2.ConnectError("[Errno 111] Connection refused"), "connection-refused"),
        (httpx2.ConnectError("All connection attempts failed"), "unreachable"),
        (httpx2.ConnectTimeout(""), "no-answer"),
        (httpx2.ReadTimeout(""), "no-answer"),
        (httpx2.ProxyError("407 Proxy Authentication Required"), "proxy"),
        (httpx2.RemoteProtocolError("Server disconnected without sending a response."), "connection-lost"),
    ],
    ids=repr,
)  # fmt: skip
def test_ordinary_errors_of_python_are_explained(problem: BaseException, wanted: str) -> None:
    """A failure that nobody wrapped still tells a person what to do."""
    assert explain(problem).id == wanted


def test_what_led_to_a_failure_is_read_too() -> None:
    """A general failure is explained by the exact one underneath it."""
    try:
        try:
            raise socket.gaierror(-2, "Name or service not known")
        except OSError as problem:
            raise errors.Unreachable(
                "No answer from smtp.contoso.example.", host="smtp.contoso.example"
            ) from problem
    except errors.Unreachable as problem:
        diagnosis = explain(problem)
    assert diagnosis.id == "name-not-found"
    assert diagnosis.title == "No answer from smtp.contoso.example."
    assert "smtp.contoso.example" in diagnosis.fix


@pytest.mark.parametrize(
    ("phase", "wanted"),
    [
        ("dns", "name-not-found"),
        ("connect", "connection-refused"),
        ("timeout", "no-answer"),
        ("closed", "connection-lost"),
        ("proxy", "proxy"),
        ("", "unreachable"),
    ],
)
def test_where_a_connection_ended_decides_its_diagnosis(phase: str, wanted: str) -> None:
    """DNS, a refused port, silence, a cut and a proxy are five different things to do."""
    assert explain(errors.Unreachable("No answer.", host="h", port="587", phase=phase)).id == wanted


@pytest.mark.parametrize(("extension", "wanted"), [("STARTTLS", "starttls-missing"), ("SMTPUTF8", "smtputf8"), ("AUTH", "auth-not-offered"), ("X", "smtp-unsupported")])  # fmt: skip
def test_a_missing_extension_is_named(extension: str, wanted: str) -> None:
    """What the server lacks decides what to do about it."""
    assert explain(errors.SmtpUnsupported("It lacks it.", extension=extension)).id == wanted


def test_a_fault_of_the_command_is_not_explained_by_words_in_it() -> None:
    """A message about an address is about the address, also when the address looks like an error."""
    assert explain(errors.AddressError("'550 5.1.1 user unknown' is not an address.")).id == "address"
    assert explain(errors.UsageError("There is no option --connection-refused.")).id == "usage"


LOG = """\
2026-11-02 10:00:01 C: AUTH XOAUTH2
2026-11-02 10:00:01 S: 535-5.7.8 Username and Password not accepted. For more information, go to
2026-11-02 10:00:01 S: 535 5.7.8  https://support.google.com/mail/?p=BadCredentials a1-20020a05600c0000b00 - gsmtp
INFO took 550 ms, port 587, version 5.7.3, 192.0.2.4.5.1.1
Traceback (most recent call last):
  File "/usr/lib/python3.11/smtplib.py", line 535, in connect
ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not valid for 'mail'. (_ssl.c:1000)
{"error":"invalid_grant","error_description":"AADSTS50173: The provided grant has expired due to it being revoked.","error_codes":[50173],"correlation_id":"01234567-89ab-cdef-0123-456789abcdef"}
smtplib.SMTPRecipientsRefused: {'a@x.example': (550, b'5.1.1 <a@x.example>: Recipient address rejected: User unknown')}
535 5.7.8 Username and Password not accepted - gsmtp
"""


def test_everything_known_in_a_pasted_log_is_found_once() -> None:
    """A whole log is pasted; each cause is named once, in order, and ordinary numbers are not taken for errors."""
    found = explain_all(LOG)
    assert [one.id for one in found] == [
        "google-credentials",
        "certificate-name",
        "microsoft-revoked",
        "recipient-unknown",
    ]
    assert "go to | https://support.google.com" in found[0].raw


def test_a_bounce_is_understood() -> None:
    """The text of a bounce message names the recipient's fault."""
    bounce = (
        "Reporting-MTA: dns;mail.contoso.example\n\nFinal-Recipient: rfc822;nobody@x.example\nAction: failed\n"
        "Status: 5.1.10\nDiagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found\n"
    )
    assert [one.id for one in explain_all(bounce)] == ["recipient-unknown"]


def test_a_text_without_an_error_gives_nothing() -> None:
    """Prose, addresses and versions are not explained away."""
    assert explain_all("It took 550 seconds to build 5.7.1 at 10.5.7.1:587 on line 535, id 421.") == []
    assert explain_all("Build 1550 5.1.1 of x-550-5.1.1 and 2.535 5.7.3 are out.") == []
    assert explain_all("") == []


def test_a_vague_word_is_left_out_beside_a_named_cause() -> None:
    """invalid_grant alone says little; beside Microsoft's own number it is not repeated."""
    vague = '  "error": "invalid_grant",'
    number = '  "error_description": "AADSTS50173: The provided grant has expired due to it being revoked."'
    assert [one.id for one in explain_all(f"{{\n{vague}\n{number}\n}}")] == ["microsoft-revoked"]
    assert [one.id for one in explain_all(vague)] == ["grant-refused"]


def test_a_challenge_in_other_words_is_used_as_well() -> None:
    """RFC 7628 asks only for a status in the JSON of a refusal."""
    problem = errors.SmtpRefused(
        "Refused.", step="AUTH", reply_code=535, text="Nope", challenge='{"status":"invalid_token"}'
    )
    assert explain(problem).id == "token-refused-by-mail-server"


def test_a_diagnosis_is_a_few_lines_and_plain_json() -> None:
    """The terminal shows what failed, why, what to do, who, and the raw text; scripts get the same as JSON."""
    diagnosis = explain("535 5.7.3 Authentication unsuccessful [X]")
    lines = diagnosis.render().splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["Why", "Do this", "Who", "Said", "See"]
    assert Diagnosis(**json.loads(json.dumps(diagnosis.to_dict()))) == diagnosis


def test_every_class_of_error_has_a_diagnosis_of_its_own() -> None:
    """Whatever DataPallas raises is explained by the row of its class at least."""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, errors.DataPallasError)
        and kind not in {errors.TokenRefused, errors.SmtpRefused, errors.RecipientsRefused}
    ]
    assert len(kinds) > 15
    for kind in kinds:
        assert explain(kind("It failed.")).id not in {"unknown", "internal"} or kind is errors.DataPallasError
    assert (
        explain(errors.RecipientsRefused("None.", receipt=None, transient=False)).id == "recipients-refused"
    )


@given(st.text())
def test_any_text_is_explained(text: str) -> None:
    """Nothing that can be pasted makes explain fail, and what it shows is one safe line."""
    for diagnosis in (explain(text), *explain_all(text)):
        assert diagnosis.raw.isprintable() or not diagnosis.raw
        assert diagnosis.who in WHO


_WORDS = st.sampled_from(["AADSTS", "50173", "535", " ", "-", "5.7.3", "\n", "error=", '"error":"', "invalid_grant", "S: ", "(550, b'", "[Errno ", "99999]", "{", "\x1b[2J", "Status: ", "eyJzdGF0dXMi", "=="])  # fmt: skip


@given(st.lists(_WORDS, max_size=30).map("".join))
def test_half_an_error_is_explained(text: str) -> None:
    """Pieces of errors in any order are read without failing."""
    explain(text)
    explain_all(text)


@given(st.text(), st.text(), st.text())
def test_any_error_is_explained(message: str, raw: str, path: str) -> None:
    """Whatever text an error carries, its explanation drives no terminal."""
    problem = errors.StorageError(message, raw=raw, path=path)
    assert explain(problem).render().replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("pasted", "wanted"),
    [
        ("AADST\nS700\n016: Application with identifier 'x' was not fo\nund.", ["microsoft-app-unknown"]),
        ("535 5.7.1\n39 Authentication unsuccess\nful, SmtpClientAuthentication is\ndisabled for the Tenant.", ["exchange-smtp-auth-off-tenant"]),
        ("Error 400: redirect_uri_mis\nmatch\nYou can't sign in to this app", ["google-redirect"]),
        ("You cannot access this right now. Your sign-in was\nsuccessful but does not meet the criteria to\naccess this resource.", ["microsoft-conditional-access"]),
        ("550 5.7.1\n5 recipients were refused", ["policy-refused"]),
        ("AADSTS50011\n3 more lines", ["microsoft-redirect"]),
    ],
)  # fmt: skip
def test_lines_that_a_screenshot_cut_are_read_as_one(pasted: str, wanted: list[str]) -> None:
    """A code cut in two by a narrow column is found as a whole; two lines that only stand below each other stay two."""
    assert [one.id for one in explain_all(pasted)] == wanted


@pytest.mark.parametrize(
    ("pasted", "wanted"),
    [
        ("Error 5.7.708 Servicio no disponible. Acceso denegado.", "exchange-sender-blocked"),
        ("MailKit.Security.AuthenticationException: 535: 5.7.3 Authentication unsuccessful [X.OUTLOOK.COM]", "exchange-auth-failed"),
        ("The server response was: 5.7.60 SMTP; Client does not have permissions to send as this sender", "send-as-denied"),
        ("Updated nodemailer to 4.6.8, TLS 1.2", "unknown"),
    ],
)  # fmt: skip
def test_a_status_without_its_reply_code_is_read(pasted: str, wanted: str) -> None:
    """.NET, PowerShell and translated bounces leave the three digits out; a version number is no status."""
    assert explain(pasted).id == wanted
