"""Text from outside, made fit to be shown: no secret, no control character, not endless.

Must stay true: what leaves here drives no terminal, stays on one line, and holds nothing that looks like a token.
Masking what only looks like a secret is fine; showing one is not.
"""

from __future__ import annotations

import itertools
import re

from datapallas.secret import MASK

LONGEST = 2000  # characters of raw text that are shown
_MOST = 8000  # characters that are looked at for it
_TAIL = 100  # what a cut leaves of a token is at most this long, or long enough to be masked
_BREAKS = re.compile(r"[\r\n\v\f\u0085\u2028\u2029][\r\n\v\f\u0085\u2028\u2029 \t]*")
# ECMA-48: CSI and OSC sequences as wholes, so that their letters do not stay behind as rubbish.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")

_NAMED = (
    "access_token|refresh_token|id_token|token|client_secret|client_assertion|assertion|password|passwd|"
    "userpassword|oauth2refreshtoken|oauth2clientsecret|code_verifier|device_code|secret"
)
_SECRETS = (
    (re.compile(r"ENC\([^)\s]*\)?"), f"ENC({MASK})"),
    (re.compile(r"eyJ[\w-]{5,}(?:\.[\w-]*){1,4}"), MASK),  # a JWT (RFC 7519)
    (re.compile(r"(?i)(\bbearer[ =]+)(?=\S{8})(?![^\s\"']*[\"':{])[^\s\"',;\x01]+"), rf"\1{MASK}"),
    # In a server's own list of mechanisms what follows is the next one.
    (
        re.compile(r"(?i)(?<!250[ -])(\bAUTH (?:XOAUTH2|OAUTHBEARER|PLAIN|LOGIN) )\S+"),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)(\b(?:proxy-)?authorization:\s*\w+ )\S+"), rf"\1{MASK}"),
    (
        re.compile(
            rf"(?i)([\"'<?&\s]?\b(?:{_NAMED})[\"']?\s*[:=>]\s*[\"']?)(?=[^\s\"'&<>]{{6}})[^\s\"'&<>]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)([?&;\s](?:code|state|nonce)=)[^\s&\"'<>]{6,}"), rf"\1{MASK}"),
    (
        re.compile(r"(?i)(\b[a-z]{2,10}://[^\s:/@]{0,100}:)[^\s/@]{1,200}(?=@)"),
        rf"\1{MASK}",
    ),  # a password inside a URL
    (re.compile(r"1//[\w-]{20,}"), MASK),  # Google's refresh token
    (re.compile(r"ya29\.[\w.-]{10,}"), MASK),  # Google's access token
    (re.compile(r"GOCSPX-[\w-]{6,}"), MASK),  # Google's client secret
    (re.compile(r"\b[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}"), MASK),  # Microsoft's client secret
    (re.compile(r"\b[01]\.A[\w-]{20,}(?:\.[\w-]+)*"), MASK),  # Microsoft's refresh token
    (re.compile(r"\b[0-9A-Fa-f]{40,}\b"), MASK),
)
_OPAQUE = re.compile(r"[A-Za-z0-9+/_~-]{32,}={0,2}")
_RUN = re.compile(r"[A-Za-z0-9+]{20,}")
_CHANGES = 0.45  # random base64 changes between capitals, small letters and digits at 65 % of its places; words rarely do


def mask(text: str) -> str:
    """`text` with everything that looks like a secret replaced by `******`."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return _OPAQUE.sub(lambda found: MASK if _looks_random(found[0]) else found[0], text)


def one_line(text: str, longest: int = LONGEST) -> str:
    """`text` on one line, without secrets and without anything that could drive a terminal."""
    text = _ESCAPES.sub("", text.strip())
    text = mask(text) if len(text) <= _MOST else shortened(text, _MOST)
    text = _BREAKS.sub(" | ", text).replace("\t", " ").replace("\xa0", " ")
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= longest else text[: longest - 4] + " ..."


def shortened(text: str, longest: int) -> str:
    """The beginning of `text`, masked; half a token at the cut does not escape by being short."""
    return mask(text[:longest])[:-_TAIL]


def _looks_random(word: str) -> bool:
    kinds = [_kind(c) for c in word.rstrip("=")]
    if not {"A", "a", "0"} <= set(kinds):
        return False
    changes = sum(one != two for one, two in itertools.pairwise(kinds)) / (len(kinds) - 1)
    return changes >= _CHANGES or any(
        {"A", "a", "0"} <= {_kind(c) for c in run} for run in _RUN.findall(word)
    )


def _kind(character: str) -> str:
    if character.isdigit():
        return "0"
    if character.isalpha():
        return "a" if character.islower() else "A"
    return "-"
