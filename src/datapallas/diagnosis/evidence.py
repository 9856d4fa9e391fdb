"""From an exception or a pasted text to what is known about it.

Must stay true: reads, never raises for any text; what it finds is what was said, nothing is guessed.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from datapallas.diagnosis.catalogue import Evidence
from datapallas.errors import DataPallasError, SmtpRefused, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

_AADSTS = re.compile(r"AADSTS(\d{4,8})\b", re.IGNORECASE)
_OAUTH = re.compile(
    r"""(?:["']error["']\s*:\s*["']|[?&\s(]error=|^error=|["']error["'], ["'])([a-z][a-z_]{3,40})\b"""
)
_ALONE = re.compile(
    r"\s*([a-z]+(?:_[a-z]+){1,3})(?=\s*(?:[:.,;]|$))"
)  # a line that begins with such a word, or is one
_STATUS = r"[45]\.\d{1,3}\.\d{1,3}(?![.\d])"
# A reply: three digits where a reply can stand, or anywhere when an enhanced status follows. smtplib shows (535, b'5.7.3 ...').
_REPLY = re.compile(
    rf"(?<![\d.:\w-])([45]\d\d)(?:[ -]|: |, b?[\"'])#?({_STATUS})"
    r"|(?:^|[\"'>(]|\b(?:said|returned|reply|response|error|smtp|server)\b[:;]?|\b[SC<]:|<-+|<<)\s*[\"'b(]{0,4}([45]\d\d)(?:[ -](?=\S)|, b?[\"'])#?(?:("
    + _STATUS
    + r"))?",
    re.IGNORECASE,
)
# A status without a reply code, as .NET and PowerShell show it; a detail of three digits (5.7.139) is no version number.
_LONE_STATUS = re.compile(
    rf"(?:status:?\s*|#\s?<?\s?#?|^|\b(?:response|reply|returned|said|error|exception|was)\b[^\w\n]{{1,4}})({_STATUS})(?=[\s;:>,]|$)"
    r"|(?<![\d.])([45]\.[0-7]\.\d{3})(?![.\d])",
    re.IGNORECASE,
)
_HTTP = re.compile(r"\bHTTP(?:/\d(?:\.\d)?)?\s+(?:status\s+)?([45]\d\d)\b", re.IGNORECASE)
_ERRNO = re.compile(r"\[errno (-?\d+)\]", re.IGNORECASE)
_PYTHON = re.compile(
    r"^(?:[\w.]+\.)?([A-Z]\w*(?:Error|Exception|Disconnected|Interrupt|gaierror)|gaierror)\b(?=:|$)"
)
_GAI = re.compile(r"\bgaierror\b")
_CORRELATION = re.compile(r"correlation[ _-]?id[\"']?\s*[:=]?\s*[\"']?([0-9a-fA-F-]{36})\b", re.IGNORECASE)
_CHALLENGE = re.compile(
    r'\{[^{}]*"status"\s*:[^{}]*"(?:schemes|scope|openid-configuration)"[^{}]*\}|\beyJzdGF0dXMi[\w+/-]+=*'
)
_MOST_REPLIES = 20  # in one line
_GOOGLE = re.compile(r"\bgsmtp\b|google|gmail", re.IGNORECASE)
_BASES = {
    name: tuple(kind.__name__ for kind in error.__mro__)
    for name, error in vars(__import__("builtins")).items()
    if isinstance(error, type) and issubclass(error, BaseException)
}


def correlation_id(text: str) -> str:
    """The id Microsoft's support asks for, or empty."""
    found = _CORRELATION.search(text)
    return found[1] if found else ""


def challenge_in(text: str) -> str:
    """The JSON a mail server sent inside a 334 refusal (RFC 7628 section 3.2.2), decoded, or empty."""
    found = _CHALLENGE.search(text)
    if not found or found[0].startswith("{"):
        return found[0] if found else ""
    with contextlib.suppress(ValueError):  # binascii.Error is one
        padded = found[0].rstrip("=") + "=" * (-len(found[0].rstrip("=")) % 4)
        return base64.b64decode(padded, altchars=b"-_").decode("utf-8", "replace")
    return ""


def provider_in(text: str) -> str:
    """Who said it, where the text shows it."""
    if _AADSTS.search(text):
        return "MICROSOFT"
    return "GOOGLE" if _GOOGLE.search(text) else ""


def of_error(error: BaseException) -> Iterator[Evidence]:
    """What is known about `error` and about what led to it, the error itself first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield _of_one(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _of_one(error: BaseException) -> Evidence:
    if isinstance(error, DataPallasError):
        return _of_ours(error)
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    return Evidence(
        exceptions=tuple(kind.__name__ for kind in type(error).__mro__),
        errno=errno.errorcode.get(number, "") if number else "",
        text=text,
        provider=provider_in(text),
    )


def _of_ours(error: DataPallasError) -> Evidence:
    text = "\n".join(dict.fromkeys(part for part in (error.message, error.raw) if part))
    read = next(of_text(error.raw), Evidence())
    challenge = read.challenge
    oauth, codes, http, reply, status, step = read.error, read.aadsts, read.http, read.reply, read.status, ""
    if isinstance(error, TokenRefused):
        oauth, http = error.error or oauth, str(error.status)
        codes = codes | frozenset(error.error_codes)
    elif isinstance(error, SmtpRefused):
        reply, status, step = str(error.reply_code), error.enhanced, error.step
        challenge = error.challenge or challenge
    facts = error.facts
    codes = codes | {int(number) for number in re.findall(r"\d{4,8}", facts.get("error_codes", ""))}
    return Evidence(
        code=error.code,
        case=facts.get("case", ""),
        reason=facts.get("reason", ""),
        error=oauth or facts.get("error", ""),
        aadsts=codes,
        reply=reply,
        status=status,
        step=step,
        http=http,
        phase=facts.get("phase", ""),
        extension=facts.get("extension", ""),
        provider=facts.get("provider", "") or provider_in(text),
        errno=read.errno,
        challenge=challenge,
        text=text,
    )


def of_text(text: str) -> Iterator[Evidence]:
    """Every single thing one piece of a log says: each AADSTS number, each reply, else its OAuth2 word, its exception."""
    common = Evidence(text=text, provider=provider_in(text), challenge=challenge_in(text))
    word = _OAUTH.search(text) or _ALONE.match(text)
    error = word[1] if word else ""
    http = _HTTP.search(text)
    numbers = list(dict.fromkeys(int(number) for number in _AADSTS.findall(text)))[:_MOST_REPLIES]
    for number in numbers:
        yield replace(common, aadsts=frozenset({number}), error=error)
    replies = list(itertools.islice(_REPLY.finditer(text), _MOST_REPLIES))
    for place, found in enumerate(replies):
        end = replies[place + 1].start() if place + 1 < len(replies) else len(text)
        part = text[found.start() : end] if len(replies) > 1 else text
        yield replace(common, reply=found[1] or found[3], status=found[2] or found[4] or "", text=part)
    if numbers or replies:
        return
    lone = _LONE_STATUS.search(text)
    python = _PYTHON.search(text)
    name = python[1] if python else ""
    errors = _ERRNO.search(text)
    yield replace(
        common,
        error=error,
        status=(lone[1] or lone[2]) if lone else "",
        http=http[1] if http else "",
        errno=errno.errorcode.get(int(errors[1]), "") if errors else "",
        exceptions=_BASES.get(name, (name,)) if name else (),
    )
