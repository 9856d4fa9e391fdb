"""Reports and recipients for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datapallas.reports.model import Email, Problem, Recipient, Rendered, Report, Row
from datapallas.reports.rendering import Renderer

if TYPE_CHECKING:
    from pathlib import Path

TO = "{{ mail }}"


def report(folder: Path, **given: Any) -> Report:
    """A report in `folder`; fields of the email may be given beside its own."""
    email = {
        name: given.pop(name) for name in list(given) if name in Email.__dataclass_fields__ and name != "name"
    }
    return Report(
        code="invoices", folder=folder, name="Invoices", email=Email(**{"to": TO, **email}), **given
    )


def recipient(key: str = "1", /, **values: Any) -> Recipient:
    """A recipient with one row."""
    return Recipient(key, (Row(1, {"mail": "ann@x.example", **values}, f"line {key}"),))


def recipients(*rows: dict[str, Any]) -> list[Recipient]:
    """One for each row; keys from 1."""
    return [recipient(str(number), **row) for number, row in enumerate(rows, 1)]


def outcome(one: Report, who: Recipient | None = None) -> Rendered | Problem:
    """What becomes of one recipient."""
    with Renderer(one, processes=1) as renderer:
        ((_, made),) = renderer.render([who or recipient()])
    return made


def made(one: Report, who: Recipient | None = None) -> Rendered:
    """The email of one recipient."""
    found = outcome(one, who)
    assert isinstance(found, Rendered), found
    return found


def problem(one: Report, who: Recipient | None = None) -> Problem:
    """The problem of one recipient."""
    found = outcome(one, who)
    assert isinstance(found, Problem), found
    return found


def write(folder: Path, **files: str) -> None:
    """Write templates: `mail_txt` is mail.txt."""
    for name, text in files.items():
        (folder / name.replace("__", "/").replace("_", ".")).write_text(text, "utf-8")
