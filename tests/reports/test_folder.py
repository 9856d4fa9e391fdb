"""The reports of a home: found, saved, made, copied, deleted; the files beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.errors import ConfigurationError, DataPallasError, UsageError
from datapallas.reports.folder import Reports, samples
from reports.given import MINIMAL, folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    """A home with one report."""
    folder(tmp_path, report_toml=MINIMAL)
    return Reports(tmp_path)


def test_an_unknown_report_is_told_with_the_known_ones(reports: Reports, tmp_path: Path) -> None:
    """Who misspells a report is told which there are."""
    assert reports.codes() == ["letters"]
    with pytest.raises(
        ConfigurationError, match=r"There is no report 'leters' \(did you mean 'letters'\?\)"
    ) as caught:
        reports.load("leters")
    assert caught.value.code == "unknown-report"
    with pytest.raises(ConfigurationError, match=r"There is no report '\.\./letters'"):
        reports.load("../letters")
    assert Reports(tmp_path / "nowhere").codes() == []


def test_what_is_refused_changes_nothing(reports: Reports) -> None:
    """A report.toml with a mistake is not saved, and the old one stands."""
    with pytest.raises(ConfigurationError, match="line 6"):
        reports.save("letters", MINIMAL.replace("[email]", "[emial]"))
    assert reports.text("letters") == MINIMAL
    assert reports.save("letters", MINIMAL.replace("Letters", "Post")).name == "Post"
    assert reports.load("letters").name == "Post"
    assert reports.flaws("letters") == []
    assert [flaw.line for flaw in reports.flaws("letters", "name = 1")] == [1, 1, 1]


def test_a_new_report_is_right_and_can_be_sent(reports: Reports) -> None:
    """`report new` makes a report without a mistake, with its name, readable by its owner only."""
    report = reports.create("fresh", name='The "new" one')
    assert report.name == 'The "new" one'
    assert reports.codes() == ["fresh", "letters"]
    assert report.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in report.folder.iterdir()} == {0o600}
    with pytest.raises(ConfigurationError, match="There is a report fresh already"):
        reports.create("fresh")
    with pytest.raises(ConfigurationError, match="cannot be the code of a report"):
        reports.create("../fresh")
    with pytest.raises(UsageError, match="There is no sample 'invoice'"):
        reports.create("other", "invoice")
    assert not list(reports.place.glob(".*"))


@pytest.mark.parametrize("sample", samples())
def test_every_sample_is_right(reports: Reports, sample: str) -> None:
    """Each sample that ships becomes a report without a mistake."""
    assert reports.create("try", sample).code == "try"


def test_a_report_is_copied_and_deleted(reports: Reports) -> None:
    """A copy has all files of the original; deleting takes the folder away."""
    copy = reports.duplicate("letters", "post", "Post")
    assert copy is not None and (copy.code, copy.name) == ("post", "Post")
    assert reports.read_file("post", "mail.txt") == b"Hello {{ name }}"
    reports.delete("letters")
    assert reports.codes() == ["post"]
    assert [path.name for path in reports.place.iterdir()] == ["post"]


def test_the_connection_of_a_broken_report_is_known(reports: Reports, tmp_path: Path) -> None:
    """Which reports use a connection is known even where they are broken in other places."""
    named = 'connection = "eml-a"\n'
    folder(tmp_path, "sound", report_toml=named + MINIMAL)
    folder(tmp_path, "wrong", report_toml=named + MINIMAL.replace("to =", "too ="))
    folder(tmp_path, "torn", report_toml=named + "[rows\nconnection = 5")
    folder(tmp_path, "other", report_toml='connection = "eml-b"\n[values]\nconnection = "eml-a"\n')
    named_by = {"sound": "eml-a", "torn": "eml-a", "wrong": "eml-a", "other": "eml-b", "letters": ""}
    assert reports.connections() == named_by


def test_files_beside_a_report(reports: Reports) -> None:
    """Templates are listed, read, saved and deleted; one with a mistake is refused with its line."""
    reports.save_file("letters", "parts/head.html", b"<p>{{ name }}</p>")
    assert reports.files("letters") == ["mail.txt", "parts/head.html"]
    with pytest.raises(ConfigurationError, match=r"parts/head.html, line 2: "):
        reports.save_file("letters", "parts/head.html", b"\n{% if %}")
    assert reports.read_file("letters", "parts/head.html") == b"<p>{{ name }}</p>"
    reports.save_file("letters", "letter.typ", b"= {{{ this is Typst")
    reports.delete_file("letters", "letter.typ")
    assert reports.files("letters") == ["mail.txt", "parts/head.html"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "/etc/passwd",
        "a/../../x",
        ".hidden",
        "a/.git/x",
        "~/x",
        "a\\b",
        "a\nb",
        "out/x",
        "out.txt",
        "x" * 300,
    ],
)
def test_no_file_outside_the_folder_is_touched(reports: Reports, tmp_path: Path, name: str) -> None:
    """No name leads out of a report's folder, neither for reading nor for writing, nor by a link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("secret")
    (reports.place / "letters" / "out").symlink_to(outside)
    (reports.place / "letters" / "out.txt").symlink_to(outside / "x")
    for act in (
        lambda: reports.read_file("letters", name),
        lambda: reports.save_file("letters", name, b"changed"),
        lambda: reports.delete_file("letters", name),
    ):
        with pytest.raises(DataPallasError) as caught:
            act()
        assert caught.value.code == "report-file"
    assert (outside / "x").read_text() == "secret"


@pytest.mark.parametrize("name", ["report.toml", "mail.txt.next"])
def test_report_toml_is_saved_by_its_own_way(reports: Reports, name: str) -> None:
    """report.toml cannot be written past its check."""
    with pytest.raises(UsageError):
        reports.save_file("letters", name, b"x")
