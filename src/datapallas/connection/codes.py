"""The names connections go by.

Must stay true: a code is also a file name, so it can name nothing but one plain file in the folder, on any system.
"""

from __future__ import annotations

import re
import unicodedata

from datapallas.errors import ConfigurationError, UsageError

PREFIX = "eml-"
MAX_CODE = 63
_CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
# Names Windows keeps for devices, with or without an extension.
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(10))})
# Letters that do not fall apart into a plain letter and an accent.
_PLAIN = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "ð": "d", "þ": "th"})  # fmt: skip


def is_code(text: str) -> bool:
    """True when `text` can be the code of a connection."""
    return _CODE.fullmatch(text) is not None and text not in _RESERVED


def check_code(text: str) -> str:
    """Give `text` back when it can be a code; ConfigurationError (fact `case` is `bad-code`) says why it cannot."""
    if is_code(text):
        return text
    if text in _RESERVED:
        reason = "Windows keeps this name for a device"
    else:
        reason = f"a code is 1 to {MAX_CODE} small letters a-z, digits and hyphens, and starts with a letter or digit"
    raise ConfigurationError(f"{text!r} cannot be the code of a connection: {reason}.", case="bad-code")


def kebab(name: str) -> str:
    """The code for a connection called `name`: `Office 365` becomes `eml-office-365`.

    UsageError when no letter or digit is left, or when the result is too long.
    """
    flat = unicodedata.normalize("NFKD", name.translate(_PLAIN))
    flat = "".join(c for c in flat if not unicodedata.combining(c))
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", flat)
    words = re.findall(r"[a-z0-9]+", spaced.lower())
    if words[:1] == ["eml"]:
        words = words[1:]
    code = PREFIX + "-".join(words)
    if not words or not is_code(code):
        raise UsageError(
            f"The name {name!r} gives no code: it needs 1 to {MAX_CODE - len(PREFIX)} letters a-z or digits.",
            case="bad-code",
        )
    return code
