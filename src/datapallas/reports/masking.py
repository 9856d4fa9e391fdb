"""Hides the secrets of a report.toml from those who look at it, and puts them back when it is saved. Pure.

Must stay true: what is shown holds no database password, sealed or in clear, whatever is wrong with the file; a text
that comes back as it was shown is the text that was stored.
"""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"""ENC\([^)\n]*\)"""
    r"""|(?<=://)(?P<login>[^/@\s"']*:)(?P<word>[^@\s"']+)(?=@)"""
    r"""|(?P<key>(?m:^)[ \t]*["']?password["']?[ \t]*=[ \t]*)"""
    r"""(?P<value>\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"[^"\n]*"|'[^'\n]*'|[^\n]*)"""
)
_MARK = re.compile(r"«hidden (\d{1,4})»")
_HEADER = re.compile(r"(?m)^[ \t]*\[+[ \t]*([^\]\n]*?)[ \t]*\]+")
_FILE = re.compile(r"""(?m)^[ \t]*["']?password_file["']?[ \t]*=[ \t]*["']([^"'\n]+)["']""")


def masked(text: str) -> str:
    """The text as it is shown."""
    return _masked(text)[0]


def unmasked(text: str, stored: str) -> str:
    """What somebody typed, with the secrets of the stored text where they were left as they were shown."""
    secrets = _masked(stored)[1]

    def back(mark: re.Match[str]) -> str:
        number = int(mark[1])
        return secrets[number - 1] if 0 < number <= len(secrets) else mark[0]

    return _MARK.sub(back, text)


def password_files(text: str) -> set[str]:
    """The files beside report.toml that hold a password: never shown, never given out."""
    return {name.removeprefix("./") for name in _FILE.findall(text)}


def _masked(text: str) -> tuple[str, list[str]]:
    secrets: list[str] = []

    def hide(secret: str) -> str:
        secrets.append(secret)
        return f"«hidden {len(secrets)}»"

    def one(found: re.Match[str]) -> str:
        if found["word"] is not None:
            return f"{found['login']}{hide(found['word'])}"
        if found["key"] is None:
            return hide(found[0])
        if _section(text, found.start()) != "rows":
            return found[0]  # the password of a document: a text with columns
        value = found["value"]
        quoted = len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]
        quote, inner = (value[0], value[1:-1]) if quoted else ("", value)
        return f"{found['key']}{quote}{hide(inner)}{quote}" if inner else found[0]

    return _SECRET.sub(one, text), secrets


def _section(text: str, at: int) -> str:
    last = ""
    for header in _HEADER.finditer(text, 0, at):
        last = header[1].strip("\"' ")
    return last
