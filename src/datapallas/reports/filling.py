"""Fills templates in: Jinja2 in its sandbox, with limits and with errors a person can act on.

Must stay true: a template sees the values it is given and the template files of its report's folder, nothing else; a
name that is not there is an error with file and line, never an empty space; no text grows beyond the cap.
Time and memory are limited from outside (confinement.py): a MemoryError or the alarm of the clock comes out of here
as a Trouble that is fatal to the process.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import jinja2
import jinja2.exceptions
import jinja2.sandbox

from datapallas.errors import ConfigurationError
from datapallas.reports.filters import NotOfThisKind, filters, show
from datapallas.reports.flaws import nearest
from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import Path

    from datapallas.reports.model import Recipient, Report

ESCAPED = (".html", ".htm", ".xml")
"""Endings of templates in which values are escaped."""
_MAX_POWER, _MAX_COPIES = 4096, 10_000_000
_NAMES = ("row", "rows", "values", "report", "today")
_INLINE = "<template>"


class OutOfTime(BaseException):
    """The clock rang (confinement.py) while Python code ran; no library may take it for a failure of its own."""


class _Template(jinja2.Template):
    """A template whose macros begin anew for each recipient: what one added up must not be in the next one's email."""

    def _get_default_module(self, ctx: Any = None) -> Any:
        self._module = None  # Jinja would keep what `import` made
        return super()._get_default_module(ctx)


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Values win over methods of the same name, and sums that would take the machine down are refused."""

    template_class = _Template
    intercepted_binops = frozenset({"**", "*"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`row.items` is the column `items` where there is one."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Powers and repeated texts can be larger than any machine, in one step that nothing interrupts."""
        if (
            operator == "**"
            and isinstance(left, int)
            and isinstance(right, int)
            and left.bit_length() * right > _MAX_POWER
        ):
            raise OverflowError("the power is too large")
        for text, times in ((left, right), (right, left)):
            if (
                operator == "*"
                and isinstance(text, str | list | tuple)
                and isinstance(times, int)
                and len(text) * times > _MAX_COPIES
            ):
                raise OverflowError(f"it repeats something until it is longer than {_MAX_COPIES:,}")
        return super().call_binop(context, operator, left, right)


class Filler:
    """The templates of one report.

    Args:
        folder: the report's; templates may include and import what is in it.
        locale: for the filters.
        most: characters one template may make.
    """

    def __init__(self, folder: Path, locale: str = "en", most: int = 50_000_000) -> None:
        self.most = most
        self._folder = folder
        self._env = _Sandbox(
            loader=jinja2.FileSystemLoader(folder, encoding="utf-8-sig"),
            undefined=jinja2.StrictUndefined,
            autoescape=lambda name: name is not None and name.lower().endswith(ESCAPED),
            finalize=_finalize,
            auto_reload=False,
            keep_trailing_newline=True,
        )
        try:
            self._env.filters.update(filters(locale))
        except NotOfThisKind as problem:
            raise ConfigurationError(
                f"values.locale: {problem}.", code="report-template", template="report.toml"
            ) from None

    def file(self, name: str) -> Text:
        """The template file `name`. Raises ConfigurationError with the line when it cannot be read."""
        return Text(self, name, lambda: self._env.get_template(name))

    def text(self, source: str, place: str) -> Text:
        """A text of report.toml; `place` is where it stands there, such as `email.subject`."""
        return Text(self, f"report.toml, {place}", lambda: self._env.from_string(source))

    def load(self, name: str, load: Any) -> jinja2.Template:
        """Have it compiled; what is wrong with it, with its line."""
        line, broken = "", name
        try:
            found: jinja2.Template = load()
        except jinja2.TemplateSyntaxError as problem:
            line, broken = str(problem.lineno), problem.name or name
            reason = problem.message or "a fault of syntax"
        except jinja2.TemplateNotFound as problem:
            reason = f"There is no file {problem.name} in the report's folder"
        except UnicodeDecodeError as problem:
            reason = f"It is not UTF-8 text (octet {problem.start + 1})"
        except OSError as problem:
            reason = f"It cannot be read: {problem.strerror}"
        except RecursionError:
            reason = "It is nested too deeply"
        except (MemoryError, OutOfTime):
            reason = (
                "It takes more time or memory than limits.render_seconds and limits.render_megabytes allow"
            )
        else:
            return found
        place = f"{broken}, line {line}" if line else broken
        raise ConfigurationError(
            f"{place}: {reason.rstrip('.')}.",
            code="report-template",
            template=broken,
            line=line,
            reason=reason.rstrip("."),
        )

    def place(self, problem: BaseException, name: str) -> str:
        """Where in the templates `problem` happened: `invoice.html, line 12`."""
        where, line, trace = name, 0, problem.__traceback__
        while trace is not None:
            file, number = trace.tb_frame.f_code.co_filename, trace.tb_lineno
            # Jinja writes its own lines into the traceback of an Exception, and not into that of OutOfTime.
            if (compiled := trace.tb_frame.f_globals.get("__jinja_template__")) is not None:
                number = compiled.get_corresponding_lineno(number)
            if file == _INLINE:
                where, line = name, number
            elif file.startswith(f"{self._folder}/"):
                where, line = file[len(str(self._folder)) + 1 :], number
            trace = trace.tb_next
        return f"{where}, line {line}" if line else where


class Text:
    """One template, ready to be filled in any number of times."""

    def __init__(self, filler: Filler, name: str, load: Any) -> None:
        self.name = name
        self._filler = filler
        self._template = filler.load(name, load)

    def fill(self, values: Mapping[str, Any]) -> str:
        """Fill it in. Raises Trouble."""
        made: list[str] = []
        length, most = 0, self._filler.most
        try:
            for piece in self._template.generate(values):
                length += len(piece)
                if length > most:
                    break
                made.append(piece)
        except (Exception, OutOfTime) as problem:  # noqa: BLE001 - whatever a template brings about is told
            made.clear()
            place = self._filler.place(problem, self.name)
            fatal = isinstance(problem, MemoryError | OutOfTime)
            raise Trouble("template", f"{place}: {_words(problem, values)}.", fatal=fatal) from None
        if length > most:
            raise Trouble("size", f"{self.name} makes a text of more than {most:,} characters.")
        return "".join(made)


class Constants(dict[str, Any]):
    """`values`; a class of its own, so that Jinja's words tell it from a row."""


def context_of(report: Report, recipient: Recipient, today: dt.date) -> dict[str, Any]:
    """What the templates see of one recipient: each column that is a name, and `row`, `rows`, `values`, `report`, `today`."""
    rows = [row.values if isinstance(row.values, dict) else dict(row.values) for row in recipient.rows]
    found: dict[str, Any] = {name: value for name, value in rows[0].items() if name.isidentifier()}
    return found | {
        "row": rows[0],
        "rows": rows,
        "values": Constants(report.values),
        "report": {"code": report.code, "name": report.name},
        "today": today,
    }


def _finalize(value: Any) -> Any:
    return show(value) if value is None or type(value) is float else value


def _words(problem: BaseException, values: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one for each kind
    """What went wrong, for the person who writes the template."""
    match problem:
        case OutOfTime() | MemoryError():
            return str(problem) or "it takes more memory than limits.render_megabytes allows"
        case jinja2.UndefinedError():
            return _undefined(problem.message or "", values)
        case jinja2.TemplateNotFound():
            return f"there is no template {problem.name} in the report's folder"
        case jinja2.TemplateSyntaxError():
            return f"{problem.name}, line {problem.lineno}: {(problem.message or '').rstrip('.')}"
        case jinja2.exceptions.SecurityError():
            return f"a template may not do that ({problem.message})"
        case RecursionError():
            return "it calls or includes itself without an end"
        case NotOfThisKind() | OverflowError():
            return str(problem).rstrip(".")
        case ZeroDivisionError():
            return "it divides by zero"
        case _:
            return f"{str(problem).rstrip('.') or type(problem).__name__}"


def _undefined(said: str, values: Mapping[str, Any]) -> str:
    """Name what is missing, and what there is."""
    found = re.search(r"^'(?P<name>[^']+)' is undefined|has no attribute '(?P<attribute>[^']+)'", said)
    if not found:
        return said.rstrip(".")
    name = found["name"] or found["attribute"]
    if "Constants object" in said:
        constants = values.get("values") or {}
        return f"there is no {name!r} under [values]{nearest(name, constants)}"
    row = values.get("row") or {}
    known = [*row, *(() if found["attribute"] else _NAMES)]
    near = difflib.get_close_matches(name, known, n=1)
    there = ", ".join(list(row)[:20]) + (", ..." if len(row) > 20 else "")  # noqa: PLR2004 - a line of a screen
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"there is no {name!r}{meant or '.'} The columns are: {there}" if there else f"there is no {name!r}"
    )
