"""docs/reports.md says what a report can be."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from datapallas.reports.folder import BLANK, SAMPLES, samples
from datapallas.reports.model import Attachment, BurstPlan, Email, Limits, Schedule, Source
from datapallas.reports.schema import SECTIONS, section_name

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reports.md").read_text("utf-8")
MODELS = {"rows": Source, "email": Email, "attachments": Attachment, "burst": BurstPlan, "schedule": Schedule, "limits": Limits}  # fmt: skip


def _part(section: str) -> str:
    """What the page says about a section."""
    if not section:
        return PAGE[PAGE.index("At the top:") : PAGE.index("### `[rows]`")]
    found = re.search(rf"### [^\n]*`{re.escape(section_name(section))}`.*?(?=\n### |\n## )", PAGE, re.DOTALL)
    assert found, section
    return found[0]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda name: name or "top")
def test_every_key_is_documented(section: str) -> None:
    """Each key stands in the table of its section, and no key stands there that does not exist."""
    rows = [line for line in _part(section).splitlines() if line.startswith("| `")]
    documented = {name for line in rows for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    known = {key.name for key in SECTIONS[section]}
    assert known <= documented
    assert documented - known <= {"test", "values"} | ({"to"} if section == "values" else set())


@pytest.mark.parametrize("section", MODELS)
def test_every_key_has_a_place_in_the_model(section: str) -> None:
    """What can be written in report.toml is what a report is made of, with the defaults the page names."""
    fields = {field.name: field for field in dataclasses.fields(MODELS[section])}
    keys = {key.field or key.name: key for key in SECTIONS[section]}
    assert set(fields) - set(keys) <= {"password_from"}
    assert set(keys) - set(fields) <= {"password_env", "password_file"}
    for name, key in keys.items():
        default = fields[name].default if name in fields else None
        if type(default) in {int, float} and default:
            line = next(line for line in _part(section).splitlines() if line.startswith(f"| `{key.name}` "))
            assert line.rstrip("| ").endswith(f"| {default:g}".replace("2.62144e+07", "26214400")), key.name


def test_the_first_report_is_the_one_that_is_made() -> None:
    """The report.toml of the walk is the one `report new` writes; each sample is named."""
    text = (SAMPLES / BLANK / "report.toml").read_text()
    for line in text.splitlines():
        if line and not line.startswith(("#", "name")):
            assert line in PAGE
    for name in samples():
        assert f"--sample {name}" in PAGE
