"""What templates can do with a value: `number`, `money`, `date`, `table`, `html`. Pure but for nh3.

Must stay true: an empty value stays empty, a value that is not what the filter is for is an error and never a wrong
figure; what comes out of `table` and `html` holds no markup that came from a value, or only harmless markup.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import jinja2
import markupsafe

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.nodes import EvalContext

_THIN, _FIXED = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"
# What separates thousands, and what stands before the decimals (Unicode CLDR 46, numbers/symbols).
_SEPARATORS = {
    "en": (",", "."),
    "de": (".", ","),
    "de-at": (_FIXED, ","),
    "de-ch": ("\N{RIGHT SINGLE QUOTATION MARK}", "."),
    "fr": (_THIN, ","),
    "fr-ch": (_THIN, ","),
    "it": (".", ","),
    "it-ch": ("\N{RIGHT SINGLE QUOTATION MARK}", "."),
    "es": (".", ","),
    "pt": (".", ","),
    "nl": (".", ","),
    "da": (".", ","),
    "nb": (_FIXED, ","),
    "sv": (_FIXED, ","),
    "fi": (_FIXED, ","),
    "pl": (_FIXED, ","),
    "cs": (_FIXED, ","),
    "sk": (_FIXED, ","),
    "hu": (_FIXED, ","),
    "ro": (".", ","),
    "tr": (".", ","),
    "el": (".", ","),
    "ja": (",", "."),
    "zh": (",", "."),
    "ko": (",", "."),
}
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩"}
_DECIMALS = {"JPY": 0, "KRW": 0, "ISK": 0, "CLP": 0, "KWD": 3, "BHD": 3, "TND": 3, "JOD": 3, "OMR": 3}
_BEFORE = frozenset({"en", "ja", "zh", "ko"})
_MOST_DIGITS = 30


class NotOfThisKind(ValueError):
    """A value a filter cannot show."""


def filters(locale: str = "en") -> dict[str, Callable[..., Any]]:
    """The filters by name; `locale` is what `number` and `money` take when they are not told another."""
    _separators(locale)

    def number_here(value: Any, digits: int = 2, locale: str = locale) -> str:
        return number(value, digits, locale)

    def money_here(value: Any, currency: str = "EUR", locale: str = locale) -> str:
        return money(value, currency, locale)

    return {"number": number_here, "money": money_here, "date": date, "table": table, "html": clean}


def number(value: Any, digits: int, locale: str) -> str:
    """Show a number with so many decimals: 1234.5 is `1,234.50`, in German `1.234,50`. Halves go away from zero."""
    if value is None or value == "":
        return ""
    if not 0 <= digits <= _MOST_DIGITS:
        raise NotOfThisKind(f"number shows 0 to {_MOST_DIGITS} decimals, not {digits}")
    thousands, point = _separators(locale)
    with decimal.localcontext(decimal.Context(prec=60, rounding=decimal.ROUND_HALF_UP)):
        try:
            rounded = _decimal(value).quantize(decimal.Decimal(1).scaleb(-digits))
        except decimal.InvalidOperation:
            raise NotOfThisKind(f"{_shown(value)} is too long a number") from None
    sign = "-" if rounded < 0 else ""
    whole, _, rest = f"{abs(rounded):,f}".partition(".")
    return sign + whole.replace(",", thousands) + (point + rest if rest else "")


def money(value: Any, currency: str, locale: str) -> str:
    """Show an amount with its currency, an ISO 4217 code: `€1,234.50`, in German `1.234,50 €`."""
    if value is None or value == "":
        return ""
    code = currency.upper()
    amount = number(value, _DECIMALS.get(code, 2), locale)
    sign, amount = ("-", amount[1:]) if amount.startswith("-") else ("", amount)
    symbol = _SYMBOLS.get(code, code)
    if _language(locale) in _BEFORE:
        return f"{sign}{symbol}{'' if code in _SYMBOLS else _FIXED}{amount}"
    return f"{sign}{amount}{_FIXED}{symbol}"


def date(value: Any, pattern: str = "%Y-%m-%d") -> str:
    """Show a date or a moment by a pattern of strftime; a text must be ISO 8601, such as `2026-11-28`."""
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            raise NotOfThisKind(f"{_shown(value)} is not a date such as 2026-11-28") from None
    if not isinstance(value, dt.date):
        raise NotOfThisKind(f"{_shown(value)} is not a date")
    return value.strftime(pattern)


@jinja2.pass_eval_context
def table(where: EvalContext, rows: Any, *columns: str) -> str:
    """Show rows as a table: of HTML in HTML templates, with aligned columns in text. Without `columns`, all of them."""
    if not isinstance(rows, Iterable) or isinstance(rows, str | Mapping):
        raise NotOfThisKind("table shows `rows`, or a part of them")
    lines = list(rows)
    if not all(isinstance(line, Mapping) for line in lines):
        raise NotOfThisKind("table shows `rows`, or a part of them")
    names = list(columns) or list(lines[0] if lines else ())
    for name in names:
        if lines and name not in lines[0]:
            raise NotOfThisKind(f"table: there is no column {name!r}")
    cells = [[line.get(name) for name in names] for line in lines]
    return _html_table(names, cells) if where.autoescape else _text_table(names, cells)


def clean(value: Any) -> markupsafe.Markup:
    """Let the markup of a value stand that can do no harm; scripts, styles, frames and forms are taken out."""
    import nh3

    return markupsafe.Markup(nh3.clean(show(value)))  # noqa: S704 - this is what makes it safe


def show(value: Any) -> str:
    """A value as templates print it: nothing for none; a float as a sheet shows it, 1 for 1.0 and 16.99 for 16.990000000000002."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"  # noqa: PLR2004 - exact up to there
    return str(value)


def is_figure(value: Any) -> bool:
    """Whether a cell stands on the right."""
    return isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool)


def _html_table(names: list[str], cells: list[list[Any]]) -> markupsafe.Markup:
    escape = markupsafe.escape
    head = "".join([f"<th>{escape(name)}</th>" for name in names])
    body = "\n".join(
        [
            "<tr>"
            + "".join(
                [
                    f'<td class="figure" style="text-align:right">{escape(show(cell))}</td>'
                    if is_figure(cell)
                    else f"<td>{escape(show(cell))}</td>"
                    for cell in line
                ]
            )
            + "</tr>"
            for line in cells
        ]
    )
    return markupsafe.Markup(  # noqa: S704 - every name and cell was escaped above
        f'<table class="rows">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>'
    )


def _text_table(names: list[str], cells: list[list[Any]]) -> str:
    shown = [[" ".join(show(cell).split()) for cell in line] for line in cells]
    widths = [max([len(name), *[len(line[i]) for line in shown]]) for i, name in enumerate(names)]
    right = [
        bool(cells) and all(is_figure(line[i]) or line[i] is None for line in cells)
        for i in range(len(names))
    ]

    def laid(line: list[str]) -> str:
        parts = zip(line, widths, right, strict=True)
        return "  ".join(
            [cell.rjust(width) if at_end else cell.ljust(width) for cell, width, at_end in parts]
        ).rstrip()

    return "\n".join([laid(names), "  ".join(["-" * width for width in widths]), *map(laid, shown)])


def _decimal(value: Any) -> decimal.Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal | str):
        raise NotOfThisKind(f"{_shown(value)} is not a number")
    try:
        found = decimal.Decimal(str(value).strip())
    except decimal.InvalidOperation:
        raise NotOfThisKind(f"{_shown(value)} is not a number such as 1234.50") from None
    if not found.is_finite():
        raise NotOfThisKind(f"{_shown(value)} is not a number")
    return found


def _language(locale: str) -> str:
    return locale.replace("_", "-").lower().partition("-")[0]


def _separators(locale: str) -> tuple[str, str]:
    name = locale.replace("_", "-").lower()
    found = _SEPARATORS.get(name) or _SEPARATORS.get(_language(locale))
    if not found:
        raise NotOfThisKind(f"{locale!r} is not a locale known here; known: {', '.join(sorted(_SEPARATORS))}")
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - the start says enough
