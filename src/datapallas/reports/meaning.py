"""What the keys of report.toml must mean together: files that are there, keys that go together, a time that comes.

Must stay true: a template outside the report's folder is refused; a password in clear is refused and not repeated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from datapallas.connection.vault import is_ours
from datapallas.errors import UsageError
from datapallas.reports import paths, schema
from datapallas.reports.flaws import Flaw
from datapallas.reports.model import Burst, Kind
from datapallas.reports.names import included, is_constant, mistake
from datapallas.reports.timing import cron_flaw, zone_flaw

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.reports.sections import Sections

_KINDS = {
    ".csv": Kind.CSV, ".tsv": Kind.CSV, ".tab": Kind.CSV, ".txt": Kind.CSV, ".psv": Kind.CSV,
    ".xlsx": Kind.EXCEL, ".xlsm": Kind.EXCEL, ".xls": Kind.EXCEL, ".xlsb": Kind.EXCEL, ".ods": Kind.EXCEL,
    ".jsonl": Kind.JSONL, ".ndjson": Kind.JSONL,
}  # fmt: skip
_DOCUMENTS = (".typ", ".html")
_TEMPLATE_LIMIT = 4 * 1024 * 1024
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_SECRET_PART = re.compile(r"(?i)pass|pwd|secret|token")


class Meaning:
    """The checks of one report."""

    def __init__(self, found: dict[str, Any], sections: Sections, folder: Path) -> None:
        self._found, self._sections, self._folder = found, sections, folder
        self._flaw = sections.flaw

    def check(self) -> None:
        """Note every flaw, and put what can be found out (the kind of a file) into what was found."""
        rows, burst = self._found.get("rows"), self._found.get("burst")
        if rows is not None:
            self._rows(rows)
        if burst is not None:
            self._burst(burst)
        self._email(self._found["email"])
        for number, one in enumerate(self._found.get("attachments", ())):
            self._attachment(("attachments", number), one)
        schedule = self._found.get("schedule", {})
        for key, flaw in (("cron", cron_flaw), ("time_zone", zone_flaw)):
            if schedule.get(key) and (reason := flaw(schedule[key])):
                self._flaw(("schedule", key), reason)
        if schedule and rows and rows.get("file") == "-":
            self._flaw(("schedule",), "rows from standard input cannot come by a schedule")

    def _missing(self, path: tuple[str | int, ...], reason: str, key: str = "") -> None:
        """Note what a section lacks; not where it is probably what was written wrongly and told already."""
        if self._sections.is_right(path):
            self._flaw(path, reason, key)

    # Rows

    def _rows(self, rows: dict[str, Any]) -> None:
        kind = rows.setdefault("kind", self._kind(rows))
        if kind is None:
            del rows["kind"]
            return
        for key in schema.SECTIONS["rows"]:
            if key.name in rows and key.only and kind not in key.only:
                fit = " or ".join(key.only)
                self._flaw(("rows", key.name), f"{key.name!r} goes with kind {fit}, not with {kind}")
        if kind is Kind.SQL:
            self._sql(rows)
        else:
            self._file(rows)
        if "delimiter" in rows:
            rows["delimiter"] = self._delimiter(rows["delimiter"])
        if rows.get("encoding"):
            self._encoding(rows["encoding"])
        if any(not name.strip() for name in rows.get("group_by", ())):
            self._flaw(("rows", "group_by"), "'group_by' holds an empty name")

    def _kind(self, rows: dict[str, Any]) -> Kind | None:
        if "url" in rows or "query" in rows:
            return Kind.SQL
        name = rows.get("file", "")
        if not name:
            self._missing(("rows",), "[rows] needs the key 'file', or 'url' and 'query'")
            return None
        ending = name[name.rfind(".") :].lower() if "." in name else ""
        if name == "-":
            return Kind.CSV
        if ending not in _KINDS:
            self._flaw(
                ("rows", "file"),
                f'the ending of {name!r} does not say what it is: add kind = "csv", "excel" or "jsonl"',
            )
        return _KINDS.get(ending)

    def _file(self, rows: dict[str, Any]) -> None:
        name = rows.get("file", "").strip()
        if not name:
            self._missing(("rows",), "[rows] needs the key 'file'")
        elif paths.leaves(name):
            self._flaw(("rows", "file"), f"{name!r} leaves the report's folder: write its whole path")

    def _sql(self, rows: dict[str, Any]) -> None:
        for key in ("url", "query"):
            if not rows.get(key, "").strip():
                self._missing(("rows",), f"kind sql needs the key {key!r}", f"rows.{key}")
        self._url(rows.get("url", ""))
        given = [key for key in ("password", "password_env", "password_file") if rows.get(key)]
        if len(given) > 1:
            self._flaw(("rows", given[1]), f"give {given[0]!r} or {given[1]!r}, not both")
        sealed = rows.pop("password", "")
        if sealed and not is_ours(sealed):
            self._flaw(("rows", "password"), "a password does not stand here in clear: " + self._seal_it())
        path = rows.pop("password_file", "")
        name = rows.pop("password_env", "")
        found = sealed or (f"env:{name}" if name else "") or (f"file:{path}" if path else "")
        if found:
            rows["password_from"] = found

    def _seal_it(self) -> str:
        return f"seal it with `datapallas report seal-password {self._folder.name}`, or give 'password_env' or 'password_file'"

    def _url(self, url: str) -> None:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        if not url.strip():
            return
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            self._flaw(("rows", "url"), "'url' is not an address such as postgresql://user@host/database")
            return
        if parsed.password or any(_SECRET_PART.search(name) for name in parsed.query):
            self._flaw(
                ("rows", "url"), "a password does not stand in 'url': take it out and " + self._seal_it()
            )

    def _delimiter(self, given: str) -> str:
        mark = _DELIMITERS.get(given.lower(), given)
        if len(mark) > 1 or mark in {"\r", "\n", '"', "\ufeff"}:
            self._flaw(("rows", "delimiter"), "'delimiter' is one character, or tab")
        return mark

    def _encoding(self, name: str) -> None:
        import codecs

        try:
            good = codecs.lookup(name)._is_text_encoding  # noqa: SLF001 - what open() looks at itself
        except LookupError:
            good = False
        if not good:
            self._flaw(
                ("rows", "encoding"), f"no encoding is called {name!r}: leave it out to have it found out"
            )

    # Burst

    def _burst(self, burst: dict[str, Any]) -> None:
        name = burst.get("file", "")
        if paths.leaves(name):
            self._flaw(("burst", "file"), f"{name!r} leaves the report's folder: write its whole path")
        by = burst.get("by", Burst.TOKEN)
        if "pages" in burst and by is not Burst.PAGES:
            self._flaw(("burst", "pages"), "'pages' goes with by = \"pages\" only")
        if "match" in burst and "rows" not in self._found:
            self._flaw(("burst", "match"), "'match' names a column of [rows], and there is no [rows]")

    # Templates

    def _email(self, email: dict[str, Any]) -> None:
        if "email" in self._sections.present and not (email.get("text") or email.get("html")):
            self._missing(
                ("email",),
                "[email] needs the key 'text' or 'html': the name of a template file",
                "email.text",
            )
        for key in ("text", "html"):
            if email.get(key):
                self._template(("email", key), email[key], jinja=True)

    def _attachment(self, path: tuple[str | int, ...], one: dict[str, Any]) -> None:
        given = [key for key in ("template", "file", "rows") if one.get(key)]
        if len(given) != 1:
            words = f"it has {' and '.join(map(repr, given))}" if given else "it has none"
            self._missing(path, f"an attachment has one of 'template', 'file' and 'rows': {words}")
        if "columns" in one and "rows" not in one:
            self._flaw((*path, "columns"), "'columns' goes with 'rows' only")
        if one.get("password") and one.get("rows"):
            self._flaw((*path, "password"), "only a PDF takes a password, not a sheet of rows")
        if one.get("template"):
            if not one["template"].lower().endswith(_DOCUMENTS):
                self._flaw((*path, "template"), "a document's template ends with .typ or .html")
            else:
                jinja = one["template"].lower().endswith(".html")
                self._template((*path, "template"), one["template"], jinja=jinja)
        if one.get("file"):
            self._given_file((*path, "file"), one["file"])

    def _given_file(self, path: tuple[str | int, ...], name: str) -> None:
        if paths.leaves(name):
            self._flaw(path, f"{name!r} leaves the report's folder: write its whole path")
        elif is_constant(name) and not paths.data_file(self._folder, name).is_file():
            self._flaw(path, f"there is no file {name!r}")

    def _template(self, path: tuple[str | int, ...], name: str, *, jinja: bool) -> None:
        text = self._text(path, name)
        if text is None or not jinja:
            return
        wrong = mistake(text)
        if wrong:
            self._sections.flaws.append(Flaw(wrong.reason, wrong.line, name, ".".join(map(str, path))))
            return
        for other in included(text):
            self._text(path, other, f"{name} includes ")

    def _text(self, path: tuple[str | int, ...], name: str, who: str = "") -> str | None:
        try:
            data = paths.inside(self._folder, name).read_bytes()[: _TEMPLATE_LIMIT + 1]
        except UsageError as problem:
            self._flaw(
                path,
                f"{who}{name!r}, which cannot be used: {problem.facts['reason']}"
                if who
                else f"{name!r} cannot be used: {problem.facts['reason']}",
            )
            return None
        except OSError:
            self._flaw(
                path, f"{who}{name!r}, and there is no such file" if who else f"there is no file {name!r}"
            )
            return None
        if len(data) > _TEMPLATE_LIMIT:
            self._flaw(path, f"{name!r} is larger than 4 MB")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            line = data.count(b"\n", 0, problem.start) + 1
            self._sections.flaws.append(Flaw("it is not UTF-8", line, name, ".".join(map(str, path))))
            return None
