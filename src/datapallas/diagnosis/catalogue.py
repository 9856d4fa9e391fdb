"""What is known about failures: the rows of `catalogue.toml`, and which of them fits best.

Must stay true:
- a row explains and never decides: what to retry and what to park is decided where the failure happens (an AADSTS
  number is for people; Microsoft changes them without notice);
- the most specific row wins, by a score that depends on the row and the failure only, not on the order of the file;
- loading happens at the first failure, once. TOML and not JSON: the rows are prose that people edit, with comments;
  reading it takes about 40 ms, and a command that works never does.

`python -m datapallas.diagnosis.catalogue` prints docs/errors.md.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

WHO = ("you", "mailbox owner", "tenant administrator", "provider", "us")
_PROVIDERS = {"MICROSOFT": "Microsoft", "GOOGLE": "Google", "GENERIC": "provider GENERIC"}
_PROVIDERS |= {"NONE": "a password (provider NONE)", "OAUTH2": "OAuth2"}
_RANGE = re.compile(r"(\d\.\d+\.)(\d+)-(\d+)")
_GAP = re.compile(r"\{(\w+)\|([^{}]*)\}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about one failure; every part may be empty.

    Attributes:
        code: our own error code; `case` tells apart what has one code, `reason` and `phase` say more.
        error: OAuth2's word, such as `invalid_grant`.
        aadsts: Microsoft's numbers.
        reply: SMTP reply code, three digits.
        status: enhanced status such as `5.7.139` (RFC 3463).
        http: HTTP status, three digits.
        challenge: the JSON inside a 334 refusal (RFC 7628 section 3.2.2).
        exceptions: class names, the failure's own class first, then its bases.
        text: all that was said, as it came.
    """

    code: str = ""
    case: str = ""
    reason: str = ""
    error: str = ""
    aadsts: frozenset[int] = frozenset()
    reply: str = ""
    status: str = ""
    step: str = ""
    http: str = ""
    phase: str = ""
    extension: str = ""
    provider: str = ""
    errno: str = ""
    challenge: str = ""
    exceptions: tuple[str, ...] = ()
    text: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One cause; the fields are explained at the head of `catalogue.toml`."""

    id: str
    match: tuple[dict[str, tuple[Any, ...]], ...]
    title: str
    cause: str
    fix: str
    who: str
    fix_for: Mapping[str, str] = dataclasses.field(default_factory=dict)
    page: str = ""
    passes: bool = False
    family: bool = False
    source: str = ""
    seen: tuple[str, ...] = ()

    def score(self, evidence: Evidence) -> int:
        """How well this row fits: 0 not at all; the more, and the more exact, the conditions that hold, the higher.

        A family's score stays below every other row's.
        """
        best = max(score_entry(entry, evidence) for entry in self.match)
        if not self.family:
            return best and best + NAMED
        return min(best, _CLASS_ONLY) if evidence.code and self.only_code(evidence.code) else best

    def fix_at(self, provider: str) -> str:
        """What to do for a connection of `provider`; the usual fix where that is empty or makes no difference."""
        if not provider or provider in self.fix_for:
            return self.fix_for.get(provider, self.fix)
        return self.fix if provider == "NONE" else self.fix_for.get("OAUTH2", self.fix)

    def only_code(self, code: str) -> bool:
        """True when the row knows no more than that our own error has this code: any other family says more."""
        return any(entry == {"code": (code,)} for entry in self.match)


NAMED = 1000  # scores from here on are rows that name a cause; below are families
_CLASS_ONLY = 3  # above the row of last resort, below every other family
# How much a fitting condition says. A number of Microsoft's says more than a text, a text more than a code.
_WEIGHTS = {
    "aadsts": 400,
    "case": 350,
    "code": 300,
    "challenge": 200,
    "reason": 150,
    "phase": 150,
    "extension": 150,
}
_WEIGHTS |= {"errno": 120, "text": 100, "exception": 60, "status": 50, "error": 40, "reply": 40, "http": 30}
_WEIGHTS |= {"provider": 10, "step": 5}
_OWN_STATUS = 130  # a detail of three digits (5.7.139) is one provider's own number and names one cause
_WILD = 10  # a pattern with a wildcard says a tenth of an exact one


def score_entry(entry: Mapping[str, tuple[Any, ...]], evidence: Evidence) -> int:
    """The score of one entry: 0 as soon as one condition does not hold; see `Row.score`."""
    total = 1
    for name, wanted in entry.items():
        part: int = max(_TESTS[name](one, evidence) for one in wanted)
        if not part:
            return 0
        total += part
    return total


def _aadsts(wanted: int | str, evidence: Evidence) -> int:
    if wanted == "*":
        return _WEIGHTS["aadsts"] // _WILD if evidence.aadsts else 0
    return _WEIGHTS["aadsts"] if wanted in evidence.aadsts else 0


def _text(wanted: str, evidence: Evidence) -> int:
    if not wanted:
        return 1  # the row of last resort
    return _WEIGHTS["text"] if _compiled(wanted).search(evidence.text) else 0


def _challenge(wanted: str, evidence: Evidence) -> int:
    return _WEIGHTS["challenge"] if _compiled(wanted).search(evidence.challenge) else 0


def _exception(wanted: str, evidence: Evidence) -> int:
    """The nearer the class, the more it says: ConnectionRefusedError before ConnectionError before OSError."""
    if wanted not in evidence.exceptions:
        return 0
    return max(1, _WEIGHTS["exception"] - evidence.exceptions.index(wanted) * 5)


def _status(wanted: str, evidence: Evidence) -> int:
    exact = _OWN_STATUS if re.fullmatch(r"\d\.\d+\.\d{3}", evidence.status) else _WEIGHTS["status"]
    if wanted == evidence.status:
        return exact
    span = _RANGE.fullmatch(wanted)
    if span:
        stem, first, last = span.groups()
        detail = evidence.status.removeprefix(stem)
        inside = (
            evidence.status.startswith(stem) and detail.isdigit() and int(first) <= int(detail) <= int(last)
        )
        return inside * (exact - 1)
    stem, star, _ = wanted.partition("*")
    return bool(star and evidence.status.startswith(stem)) * (_WEIGHTS["status"] // _WILD + stem.count("."))


def _digits(name: str) -> Callable[[str, Evidence], int]:
    """`535`, or `5xx` for all of a class."""

    def test(wanted: str, evidence: Evidence) -> int:
        found: str = getattr(evidence, name)
        if wanted == found:
            return _WEIGHTS[name]
        same_class = wanted.endswith("xx") and found[:1] == wanted[0]
        return _WEIGHTS[name] // _WILD if same_class else 0

    return test


def _same(name: str) -> Callable[[str, Evidence], int]:
    def test(wanted: str, evidence: Evidence) -> int:
        return _WEIGHTS[name] if wanted == getattr(evidence, name) else 0

    return test


_TESTS: dict[str, Callable[[Any, Evidence], int]] = {
    "aadsts": _aadsts,
    "text": _text,
    "challenge": _challenge,
    "exception": _exception,
    "status": _status,
    "reply": _digits("reply"),
    "http": _digits("http"),
} | {
    name: _same(name)
    for name in ("code", "case", "reason", "error", "step", "phase", "extension", "provider", "errno")
}


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


@functools.cache
def rows() -> tuple[Row, ...]:
    """Every row of the catalogue, as the file has them; read once."""
    import tomllib
    from importlib.resources import files

    table = tomllib.loads(files(__package__).joinpath("catalogue.toml").read_text("utf-8"))
    return tuple(_row(fields, table["sources"]) for fields in table["row"])


def _row(fields: dict[str, Any], sources: dict[str, str]) -> Row:
    """Check one row while reading it: a misspelt field or condition is an error, not a row that never fits."""
    entries = tuple(
        {name: tuple(value) if isinstance(value, list) else (value,) for name, value in entry.items()}
        for entry in fields.pop("match")
    )
    unknown = {name for entry in entries for name in entry} - _TESTS.keys()
    unknown |= fields.get("fix_for", {}).keys() - _PROVIDERS
    if unknown or fields["who"] not in WHO:
        raise ValueError(f"{fields['id']}: unknown {', '.join(sorted(unknown)) or 'who'}")
    source = fields.pop("source")
    seen = tuple(fields.pop("seen", ()))
    return Row(match=entries, source=sources.get(source, source), seen=seen, **fields)


def best(evidence: Evidence) -> tuple[Row, int]:
    """The row that fits best, and its score; the row `unknown` fits everything."""
    return max(((row, row.score(evidence)) for row in rows()), key=lambda pair: pair[1])


def fill(text: str, facts: Mapping[str, str]) -> str:
    """Put facts into a fix: `{mailbox|the mailbox}` becomes the fact, or the words after the bar."""
    return _GAP.sub(lambda gap: facts.get(gap[1]) or gap[2], text)


def as_markdown(known: Iterable[Row] | None = None) -> str:
    """docs/errors.md: every row, with its texts as they were met."""
    lines = [
        "# Errors",
        "",
        "Made from `src/datapallas/diagnosis/catalogue.toml` by `python -m datapallas.diagnosis.catalogue`; change it there.",
        "`datapallas explain TEXT` finds these in anything you paste.",
    ]
    for row in rows() if known is None else known:
        link = row.source if "://" in row.source else row.source.removeprefix("docs/")
        lines += ["", f"## {row.id}", "", f"**{row.title}.** {fill(row.cause, {})}", ""]
        lines += [f"- Do this: {fill(row.fix, {})}"]
        lines += [f"- With {_PROVIDERS[name]}: {fill(fix, {})}" for name, fix in row.fix_for.items()]
        lines += [f"- In the web page: {row.page}"] if row.page else []
        lines += [f"- Who: {row.who}"]
        lines += [f"- Passes by itself: {'it may' if row.passes else 'no'}", f"- Source: <{link}>"]
        lines += ["- Seen as: `" + text.replace("\n", " ") + "`" for text in row.seen]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")  # noqa: T201 - this is its only purpose
