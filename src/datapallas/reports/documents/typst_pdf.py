"""PDF from Typst templates.

The template gets its data as JSON: `#let data = json(bytes(sys.inputs.data))`.
Must stay true: Typst reads files of the report's folder only and loads nothing from the network; fonts are read once
a process.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import TYPE_CHECKING, Any

from datapallas.reports.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class TypstPdf:
    """Compiles the Typst templates of one report.

    `fonts/` beside them may hold fonts, `packages/NAMESPACE/NAME/VERSION/` packages, such as
    `packages/preview/tablex/0.0.9/`.
    """

    def __init__(self, folder: Path) -> None:
        import typst

        self._folder = folder
        packages = folder / "packages"
        self._typst_error: type[typst.TypstError] = typst.TypstError
        fonts = typst.Fonts(font_paths=[folder / "fonts"] if (folder / "fonts").is_dir() else [])
        self._compiler = typst.Compiler(
            root=folder, font_paths=fonts, package_path=packages, package_cache_path=packages
        )

    def make(self, name: str, data: str, stamp: dt.date) -> bytes:
        """The PDF of the template file `name` with `data`, JSON text. Raises Trouble with the line."""
        moment = dt.datetime.combine(stamp, dt.time(), dt.UTC)
        try:
            made = self._compiler.compile(
                self._folder / name, format="pdf", sys_inputs={"data": data}, timestamp=moment
            )
        except self._typst_error as problem:
            raise Trouble("template", _words(name, problem.message, problem.diagnostic)) from None
        except RuntimeError as problem:
            raise Trouble("template", _words(name, str(problem), "")) from None
        if not isinstance(made, bytes):
            raise Trouble("template", f"{name}: Typst made no PDF.")
        return made


def data_of(context: Mapping[str, Any]) -> str:
    """What the templates see of one recipient, as JSON; numbers as numbers, dates as ISO texts."""
    return json.dumps(context, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value:
        case decimal.Decimal():
            return float(value) if value.is_finite() else str(value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case set() | frozenset() | tuple():
            return list(value)
        case _:
            return str(value)


def _words(name: str, message: str, diagnostic: str) -> str:
    """Typst's own words with file and line; it draws them with `┌─ invoice.typ:12:3`."""
    import re

    at = re.search(r"┌─ (.+?):(\d+):\d+", diagnostic)
    place = f"{at[1]}, line {at[2]}" if at else name
    said = " ".join(message.split())
    if "download package" in said or "package not found" in said:
        package = re.search(r"@[\w-]+/[\w-]+:[\w.]+", diagnostic)
        what = package[0] if package else "a package"
        said = f"it imports {what}, and packages are not downloaded: put it into packages/ in the report's folder"
    return f"{place}: {said.rstrip('.')}."
