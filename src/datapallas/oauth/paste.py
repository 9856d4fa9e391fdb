"""From what a person pasted to what a browser would have brought: the query of a callback, or just the code.

Nobody listens where the browser is, so it shows an error page; the answer stands in its address. Whatever surrounds
it is taken away: line breaks, quotes, angle brackets, words before it, a mail filter's wrapping.
Must stay true:
- an address is believed by its `state`, as a callback is; one that belongs to another sign-in is told as such;
- just the code has no state. It is taken only here, where the person whose sign-in this is pastes it into this very
  one, and it is safe because of PKCE (RFC 9700 section 2.1.1): a code of another sign-in is refused by the token
  endpoint, since only this sign-in knows its verifier. The nonce and the account are checked as always;
- not even so where the provider promises `iss` (RFC 9207 section 2.4): then the whole address is needed.
Pure.
"""

from __future__ import annotations

import dataclasses
import hmac
import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote

from datapallas.errors import UsageError
from datapallas.oauth.authorization import StrayCallback, parse_query
from datapallas.secret import Secret

if TYPE_CHECKING:
    from datapallas.oauth.authorization import AuthorizationRequest

LONGEST = 65536  # characters that are looked at
_SHORTEST_CODE = 10  # a word somebody typed is not a code
_WRAPPED = (
    "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{DOUBLE LOW-9 QUOTATION MARK}<>()[]"
)
_QUOTED = re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE)  # a line of a mail that was answered
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_CODE_ALONE = re.compile(r"(?:\??code=)?([A-Za-z0-9._~+/=!*$%-]+)")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_CARRIED = ("url", "q", "u")  # where filters of mail and chat put the address they replaced


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """A query with a state that is this sign-in's."""

    query: str


@dataclasses.dataclass(frozen=True, slots=True)
class BareCode:
    """A code and nothing beside it."""

    code: Secret


def read(text: str, attempt: AuthorizationRequest) -> Query | BareCode:
    """What `text` holds for `attempt`.

    Raises UsageError, code ``pasted-answer``; fact `case` is nothing, no-answer, provider-page, incomplete or
    whole-address; code ``pasted-other-sign-in`` when it belongs to another sign-in. The wait goes on.
    """
    whole = _tidied(text)
    if not whole:
        raise _no("Nothing was pasted.", "nothing")
    for piece in dict.fromkeys((*_first_word(text), whole)):
        query = _query_in(piece)
        if query is not None and (found := _matching(query, attempt)):
            return found
    code = _CODE_ALONE.fullmatch(whole)
    if code and len(code[1]) >= _SHORTEST_CODE and not _words(text):
        return _bare(code[1], attempt)
    query = _query_in(whole)
    if query is not None:
        raise _explained(query)
    raise _no("What was pasted is neither the address the browser ended at nor a code.", "no-answer")


def _words(text: str) -> bool:
    """Whether there are blanks inside a line: somebody's words, and no code. Line breaks are a terminal's."""
    return any(len(line.split()) > 1 for line in _QUOTED.sub("", text[:LONGEST]).splitlines())


def _bare(text: str, attempt: AuthorizationRequest) -> BareCode:
    if attempt.issuer.advertised:
        raise _no(
            "This provider signs its answer with its name, so the code alone is not enough: "
            "paste the whole address the browser ended at.",
            "whole-address",
        )
    # Copied out of an address it is still encoded; a code itself has no percent sign at any provider.
    return BareCode(Secret(unquote(text) if _ENCODED.search(text) else text))


def _tidied(text: str) -> str:
    """`text` without what wrapping, quoting and copying added; blanks have no place in an address or a code."""
    plain = _QUOTED.sub("", text[:LONGEST])
    kept = "".join(c for c in plain if not c.isspace() and unicodedata.category(c) not in {"Cc", "Cf"})
    return _unwrapped(kept)


def _unwrapped(text: str) -> str:
    found = _ADDRESS.search(text)
    if found:
        text = text[found.start() :]  # words before it are somebody's
    return text.strip(_WRAPPED).rstrip(",;").strip(_WRAPPED)


def _first_word(text: str) -> list[str]:
    """The address up to the first blank, where words follow it on the same line."""
    found = _ADDRESS.search(text[:LONGEST])
    return [_unwrapped(text[found.start() :].split(maxsplit=1)[0])] if found else []


def _query_in(text: str) -> str | None:
    """The query of an address, or a query by itself; None when it is neither."""
    text = text.replace("&amp;", "&")
    head, mark, query = text.partition("?")
    if mark:
        return query.partition("#")[0]
    if _ADDRESS.match(text):
        return head.partition("#")[2]  # an address without a query; some put the answer behind the #
    named = re.match(r"(?:code|state|error|iss|session_state|scope)=", text.lstrip("&"))
    return text.lstrip("&").partition("#")[0] if named else None


def _matching(query: str, attempt: AuthorizationRequest, depth: int = 2) -> Query | None:
    """The answer in `query` when it is this sign-in's; also where a filter wrapped it into an address of its own."""
    try:
        found = parse_query(query)
    except StrayCallback:
        return None
    if _same(found.get("state", ""), attempt) and {"code", "error"} & found.keys():
        return Query(query)
    carried = next((found[name] for name in _CARRIED if _ADDRESS.match(found.get(name, ""))), "")
    inner = _query_in(carried) if carried and depth else None
    return _matching(inner, attempt, depth - 1) if inner else None


def _same(state: str, attempt: AuthorizationRequest) -> bool:
    return hmac.compare_digest(state.encode(), attempt.state.reveal().encode())


def _explained(query: str) -> UsageError:
    """Why the address is no answer to this sign-in."""
    try:
        found = parse_query(query)
    except StrayCallback:
        return _no("The address that was pasted cannot be read.", "no-answer")
    if "code_challenge" in found or "response_type" in found:
        return _no("That is the address of the provider's page. Sign in there first.", "provider-page")
    if {"code", "error"} & found.keys() and found.get("state"):
        return UsageError(
            "That address belongs to another sign-in, perhaps an earlier one.", code="pasted-other-sign-in"
        )
    if {"code", "error", "state"} & found.keys():
        return _no("The address that was pasted is not complete.", "incomplete")
    return _no("The address that was pasted holds no answer of the provider.", "no-answer")


def _no(sentence: str, case: str) -> UsageError:
    return UsageError(sentence, code="pasted-answer", case=case)
