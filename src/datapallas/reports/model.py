"""What a report is, and what passes between its steps. Pure.

    rows -> Row -> recipients -> Recipient -> rendering -> Rendered -> mail.Message -> outbox

Must stay true: a Report that exists was validated; names are those of report.toml (docs/reports.md).
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from datapallas.secret import Secret


class Kind(enum.StrEnum):
    """Where rows come from. CSV: any delimiter, found out. JSONL: one JSON object a line."""

    CSV = "csv"
    EXCEL = "excel"
    JSONL = "jsonl"
    SQL = "sql"


class Burst(enum.StrEnum):
    """How a given PDF is cut. TOKEN: by the text `{token}` on its pages. PAGES: every so many pages."""

    TOKEN = "token"
    BOOKMARKS = "bookmarks"
    PAGES = "pages"


class Missed(enum.StrEnum):
    """What becomes of runs whose time passed while nothing was running. ONCE: one run for all of them."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class OnProblem(enum.StrEnum):
    """What a run does when a recipient has a problem that was found before sending."""

    STOP = "stop"
    SKIP = "skip"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the rows are: `[rows]`.

    Attributes:
        kind: CSV, EXCEL, JSONL or SQL.
        file: for all but SQL; `-` is standard input.
        encoding, delimiter: of CSV; empty: found out.
        sheet: of EXCEL, by name or number from 1; empty: the first.
        header_row: the row that names the columns, from 1.
        url: for SQL, SQLAlchemy's, without a password.
        password: for SQL, when it is known already.
        password_from: for SQL, where it comes from otherwise: `ENC(...)`, `env:NAME` or `file:PATH`. No secret, so that
            a report can be passed between processes; `passwords.password_of` opens it when rows are read.
        query: for SQL.
        group_by: columns; rows that share them become one email. Empty: each row is one.
    """

    kind: Kind
    file: str = ""
    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    header_row: int = 1
    url: str = ""
    password: Secret | None = None
    password_from: str = ""
    query: str = ""
    group_by: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """The message: `[email]`. All but `text` and `html` are Jinja2 texts; those two name template files.

    `to`, `cc`, `bcc`, `reply_to`: addresses separated by commas or semicolons. `sender` is `from` in the file.
    """

    to: str
    cc: str = ""
    bcc: str = ""
    reply_to: str = ""
    sender: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One file of each email: `[[attachments]]`. One of `template`, `file` and `rows` is given.

    Attributes:
        name: what the recipient sees; a Jinja2 text. Empty: the file's own.
        template: made for each recipient: `.typ` (Typst) or `.html` (WeasyPrint) becomes a PDF.
        file: given; a Jinja2 text, so that each recipient may have another one.
        rows: the recipient's own rows as a sheet: `xlsx` or `csv`.
        columns: which of them, in this order; empty: all.
        password: for a PDF, a Jinja2 text; empty: not encrypted.
    """

    name: str = ""
    template: str = ""
    file: str = ""
    rows: str = ""
    columns: tuple[str, ...] = ()
    password: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BurstPlan:
    """One PDF that is cut into one for each recipient: `[burst]`.

    Attributes:
        file: the PDF.
        by: how it is cut.
        pages: how many each has, for PAGES.
        match: the column that holds the token, or the bookmark's title. Without `[rows]` the parts are the rows:
            columns `token`, `part` (from 1), `pages`.
        name: what the recipient's part is called; a Jinja2 text.
        password: a Jinja2 text; empty: not encrypted.
    """

    file: str
    by: Burst = Burst.TOKEN
    pages: int = 1
    match: str = "token"
    name: str = "{{ token }}.pdf"
    password: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When it runs by itself: `[schedule]`. `cron`: five fields. `time_zone`: of the IANA database."""

    cron: str
    time_zone: str = "UTC"
    missed: Missed = Missed.ONCE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`[limits]`: what a run may do.

    Attributes:
        recipients: a run with more stops before it sends anything; 0: no limit.
        on_problem: what to do with problems that are found before sending.
        message_octets: a larger message is a problem.
        render_seconds: for one recipient's email and documents; then its process is ended.
        render_megabytes: of memory, for the same.
    """

    recipients: int = 0
    on_problem: OnProblem = OnProblem.STOP
    message_octets: int = 25 * 1024 * 1024
    render_seconds: float = 20.0
    render_megabytes: int = 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report.

    Attributes:
        code: its folder's name: `^[a-z0-9][a-z0-9-]{0,62}$`.
        folder: `config/reports/<code>`; every relative path of it begins here.
        name: what a person calls it.
        connection: the code of the connection; empty: the default one.
        rows: where its rows are; None: the parts of `burst` are the rows.
        test_to: every email goes to this address instead, until it is taken out (`[test] to`).
        values: constants for the templates (`[values]`).
    """

    code: str
    folder: Path
    name: str
    email: Email
    connection: str = ""
    rows: Source | None = None
    burst: BurstPlan | None = None
    attachments: tuple[Attachment, ...] = ()
    schedule: Schedule | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
    test_to: str = ""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row. `number` counts data rows from 1; `place` is where a person finds it, such as `line 7`."""

    number: int
    values: Mapping[str, Any]
    place: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Recipient:
    """One email's worth of rows.

    Attributes:
        key: makes it this one within a run, and from run to run of the same rows: the row's number, or the values it
            was grouped by.
        rows: at least one, in their order.
        part: its pages of the PDF that is cut, from 0; None: there is no such PDF.
    """

    key: str
    rows: tuple[Row, ...]
    part: tuple[int, ...] | None = None

    @property
    def place(self) -> str:
        """Where a person finds it."""
        return self.rows[0].place


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One file for one recipient: what it is called, and its octets or, when they were given, where they are."""

    name: str
    data: bytes = b""
    path: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One recipient's email with everything filled in; nothing in it was checked as an address yet.

    `inline`: images the HTML shows as `cid:NAME`, by their names.
    """

    to: str
    cc: str = ""
    bcc: str = ""
    reply_to: str = ""
    sender: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    documents: tuple[Document, ...] = ()
    inline: tuple[Document, ...] = ()


class Severity(enum.StrEnum):
    """ERROR: this recipient gets nothing as it is. WARNING: probably not what was meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something found in the list or the templates before anything is sent.

    Attributes:
        code: one word: address, missing, duplicate, limit, part, size, template, document, row, connection.
        text: one sentence for the person who keeps the list.
        place: where: `line 7`, `sheet Customers, row 7`; empty: everywhere.
        key: the recipient's; empty: none in particular.
        number: of the row, where it is not the recipient's first one; 0: none in particular.
    """

    code: str
    text: str
    severity: Severity = Severity.ERROR
    place: str = ""
    key: str = ""
    number: int = 0
