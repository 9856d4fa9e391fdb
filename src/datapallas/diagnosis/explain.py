"""From a failure to what a person can do about it: `explain` for one, `explain_all` for a pasted log.

Must stay true: any exception and any text is explained, none raises; what is shown holds no secret and no control
character; the raw text is always there, since the catalogue may be wrong.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import TYPE_CHECKING

from datapallas.diagnosis import evidence as reading
from datapallas.diagnosis.catalogue import NAMED, Evidence, Row, best, fill
from datapallas.diagnosis.clean import one_line, shortened
from datapallas.diagnosis.rejoin import rejoined
from datapallas.errors import DataPallasError, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LARGEST = 262_144  # characters of a pasted log that are read
LONGEST_LINE = 4096  # characters of one line that are read
MOST_PIECES = 2000  # lines and replies that are read
_SPLIT_REPLY = re.compile(r"\b([45]\d\d)([ -])(?:[45]\.\d{1,3}\.\d{1,3} +)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """One failure, explained.

    Attributes:
        id: the catalogue's name for the cause; stable, for scripts.
        title: what failed.
        cause: why, in plain words.
        fix: one thing to do next.
        who: who can do it: you, mailbox owner, tenant administrator, provider, us.
        passes_by_itself: True when trying again later, with nothing changed, can succeed.
        raw: what the other side or the system said, on one line, secrets masked; may be empty.
        source: where this is documented: a URL, or a page of docs/.
        correlation_id: what Microsoft's support asks for, or empty.
    """

    id: str
    title: str
    cause: str
    fix: str
    who: str
    passes_by_itself: bool
    raw: str
    source: str
    correlation_id: str

    def to_dict(self) -> dict[str, str | bool]:
        """The same as plain values, for JSON."""
        return dataclasses.asdict(self)

    def render(self) -> str:
        """The few lines a terminal shows."""
        lines = [self.title, f"  Why:     {self.cause}", f"  Do this: {self.fix}"]
        lines.append(
            f"  Who:     {self.who}{' (it may also pass by itself)' if self.passes_by_itself else ''}"
        )
        if self.raw:
            lines.append(f"  Said:    {self.raw}")
        if self.correlation_id:
            lines.append(f"  Id:      {self.correlation_id}")
        return "\n".join([*lines, f"  See:     {self.source}"])


def explain(error: BaseException | str, facts: Mapping[str, str] | None = None) -> Diagnosis:
    """Explain one failure: an exception, or a text as somebody pasted it.

    `facts` make the fix exact: mailbox, connection, tenant, client_id, redirect_uri, sender; `provider` also chooses
    between rows. Those inside the exception come first.
    """
    if isinstance(error, str):
        found = list(_read(error))
        if not found:
            return _diagnose(best(Evidence(text=error))[0], error, facts or {})
        row, _, raw = max(found, key=lambda one: one[1])
        return _diagnose(row, raw, facts or {}, whole=error)
    who = (facts or {}).get("provider", "")
    read = [best(dataclasses.replace(one, provider=one.provider or who)) for one in reading.of_error(error)]
    row = next((row for row, score in read if score >= NAMED), read[0][0])  # the nearest that names a cause
    own = error.facts if isinstance(error, DataPallasError) else {}
    diagnosis = _diagnose(row, _raw(error), {**(facts or {}), **_known(error), **own})
    if isinstance(error, DataPallasError) and error.message:
        diagnosis = dataclasses.replace(diagnosis, title=one_line(error.message))
    id_ = error.correlation_id if isinstance(error, TokenRefused) else own.get("correlation_id", "")
    if id_:
        diagnosis = dataclasses.replace(diagnosis, correlation_id=one_line(id_))
    return diagnosis


def until_resumed(diagnosis: Diagnosis, command: str) -> Diagnosis:
    """The same where mail waits until somebody says that it may go on: the fix ends with how to say it."""
    return dataclasses.replace(
        diagnosis, fix=f"{diagnosis.fix} Then run `{command}`: nothing tries again before that."
    )


def explain_all(text: str, facts: Mapping[str, str] | None = None) -> list[Diagnosis]:
    """Every known thing in a pasted log, bounce or screenshot text, in the order it is met, each cause once.

    Families (causes that are only narrowed down) are left out when something named was found; nothing known gives
    an empty list.
    """
    found = list(_read(text))
    named = [one for one in found if one[1] >= NAMED] or found
    first = {row.id: (row, raw) for row, _, raw in reversed(named)}
    order = list(dict.fromkeys(row.id for row, _, _ in named))
    return [
        # A correlation id that stands elsewhere in the text is Microsoft's.
        _diagnose(row, raw, facts or {}, whole=text if len(order) == 1 or reading.provider_in(raw) else "")
        for row, raw in (first[one] for one in order)
    ]


def _read(text: str) -> Iterator[tuple[Row, int, str]]:
    """Row, score and raw text of each thing found."""
    if len(text) > LARGEST:
        text = shortened(text, LARGEST)
    lines = rejoined([line.strip() for line in text.splitlines()])
    found = [
        one
        for piece in itertools.islice(dict.fromkeys(_pieces(lines)), MOST_PIECES)
        for one in _known_in(piece)
    ]
    whole = " ".join(filter(None, lines))
    if len({row.id for row, _, _ in found}) <= 1 and len(whole) <= LONGEST_LINE:
        # Perhaps one message that was wrapped, as on a screenshot: what says more is right.
        wrapped = list(_known_in(whole))
        found = max(found, wrapped, key=lambda those: max((score for _, score, _ in those), default=0))
    yield from found


def _known_in(piece: str) -> Iterator[tuple[Row, int, str]]:
    for one in reading.of_text(piece):
        row, score = best(one)
        if row.id != "unknown":
            yield row, score, one.text


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Lines without margins, with the lines of one SMTP reply joined (RFC 5321 section 4.2.1: `250-` goes on, `250 ` ends)."""
    open_reply: list[str] = []
    code = ""
    for line in lines:
        if not line:
            continue
        if len(line) > LONGEST_LINE:
            line = shortened(line, LONGEST_LINE)  # noqa: PLW2901 - what is read of it
        start = _SPLIT_REPLY.search(line)
        if code and start and start[1] == code:
            open_reply.append(line[start.start() :].removeprefix(start[0]))
        else:
            if open_reply:
                yield "\n".join(open_reply)
            open_reply, code = [line], start[1] if start else ""
        if not (start and start[2] == "-" and start[1] == code):
            yield "\n".join(open_reply)
            open_reply, code = [], ""
    if open_reply:
        yield "\n".join(open_reply)


def _sentence(text: str) -> str:
    """A reason as a sentence begins."""
    return text[:1].upper() + text[1:]


def _diagnose(row: Row, raw: str, facts: Mapping[str, str], whole: str = "") -> Diagnosis:
    shown = {name: one_line(str(value), 300) for name, value in facts.items() if value}
    return Diagnosis(
        id=row.id,
        title=row.title + ".",
        cause=_sentence(fill(row.cause, shown))
        if row.cause.startswith("{reason")
        else fill(row.cause, shown),
        fix=fill(row.fix_at(shown.get("provider", "")), shown),
        who=row.who,
        passes_by_itself=row.passes,
        raw=one_line(raw),
        source=row.source,
        correlation_id=reading.correlation_id(raw) or reading.correlation_id(whole),
    )


def _raw(error: BaseException) -> str:
    if isinstance(error, DataPallasError):
        return error.raw or (str(error.__cause__) if error.__cause__ else "")
    return f"{type(error).__name__}: {error}"


def _known(error: BaseException) -> dict[str, str]:
    """Facts an ordinary exception carries: the file it is about."""
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return {"path": error.filename}
    return {}
