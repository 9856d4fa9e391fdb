"""Writes the files of the samples that are not text: `python tests/reports/made/make.py`. Look at each one."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import typst
import xlsxwriter

HERE = Path(__file__).parent
SAMPLES = Path(__file__).parents[3] / "src" / "datapallas" / "reports" / "samples"
_WHEN = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)

CUSTOMERS = (
    ("Grand Hotel Lofoten", "Sigrid Dahl", "sigrid.dahl@hotel-lofoten.example"),
    ("Café Nordlys", "Jonas Berg", "jonas@nordlys.example"),
    ("Cabin & Co", "Amelia Wright", "amelia@cabinandco.example"),
    ("Restaurant Fjøset", "Mats Lunde", "mats.lunde@fjoset.example"),
)
ARTICLES = (
    ("FF-1001", "Reindeer hide, large", "piece", 145.0),
    ("FF-1014", "Wool blanket 140 x 200", "piece", 79.5),
    ("FF-1020", "Birch firewood 30 l", "bag", 8.9),
    ("FF-2003", "Candle, beeswax 25 cm", "box of 12", 34.0),
    ("FF-2110", "Enamel mug, blue", "piece", 6.4),
    ("FF-3007", "Cloudberry jam 200 g", "jar", 7.25),
    ("FF-3011", "Spruce tip syrup 250 ml", "bottle", 9.8),
)


def pdf(name: str, place: str) -> None:
    """One document."""
    made = typst.compile(HERE / name, format="pdf", timestamp=_WHEN)
    assert isinstance(made, bytes)
    (SAMPLES / place).write_bytes(made)


def prices(path: Path) -> None:
    """The workbook of the price list: a title, then the names of the columns in row 3."""
    chance = random.Random(2027)
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        book.set_properties({"created": _WHEN})
        notes = book.add_worksheet("Notes")
        notes.write("A1", "Prices of 2027 for each customer. The sheet Prices is what is sent.")
        sheet = book.add_worksheet("Prices")
        bold = book.add_format({"bold": True})
        sheet.write("A1", "Prices 2027", book.add_format({"bold": True, "font_size": 14}))
        names = (
            "Customer",
            "Contact",
            "Email",
            "Article",
            "Description",
            "Unit",
            "Price 2026",
            "Price 2027",
            "Valid from",
        )
        sheet.write_row(2, 0, names, bold)
        row = 3
        for customer in CUSTOMERS:
            for number, text, unit, price in sorted(chance.sample(ARTICLES, 4)):
                new = round(price * (1 + chance.choice((0, 0.02, 0.03, 0.05))), 2)
                sheet.write_row(row, 0, [*customer, number, text, unit, price, new])
                sheet.write_datetime(row, 8, dt.datetime(2027, 1, 1))  # noqa: DTZ001 - a day has no zone
                row += 1
        sheet.set_column(0, 8, 18)


if __name__ == "__main__":
    pdf("statements.typ", "statements/statements.pdf")
    pdf("conditions.typ", "price-list/conditions.pdf")
    prices(SAMPLES / "price-list" / "prices.xlsx")
