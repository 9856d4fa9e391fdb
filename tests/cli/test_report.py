"""`datapallas report ...` at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datapallas.reports.folder import Reports, samples
from datapallas.reports.passwords import password_of
from datapallas.secret import Secret

if TYPE_CHECKING:
    from cli.shell import Shell


@pytest.mark.parametrize("sample", samples())
def test_a_sample_is_made_and_checked(shell: Shell, sample: str) -> None:
    """Each sample can be made and has no problems, from the first minute."""
    shell.signed_in()
    made = shell.call("report", "new", "first", "--sample", sample, "--name", "Our first one")
    assert made.code == 0 and "datapallas report check first" in made.err
    listed = shell.call("report", "list")
    assert "Our first one" in listed.out and "first" in listed.out
    done = shell.call("report", "check", "first", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["ok"] and done.json["problems"] == [] and done.json["recipients"] >= 4
    assert done.json["connection"] == "eml-sandbox"


def test_problems_are_shown_with_their_line(shell: Shell) -> None:
    """`report check` shows line and reason of each problem, the counts, and ends with 65."""
    shell.signed_in()
    shell.call("report", "new", "first")
    folder = shell.root / "config" / "reports" / "first"
    folder.joinpath("recipients.csv").write_text(
        "email,name\njane,Jane\njohn@gmial.com,John\nann@x.example\n"
    )
    done = shell.call("report", "check", "first")
    assert done.code == 65
    lines = done.out.splitlines()
    assert lines[0].startswith("error    line 2: To: 'jane' is not an email address")
    assert lines[1].startswith("warning  line 3: john@gmial.com: was 'gmail.com' meant")
    assert lines[2].startswith("error    line 4: It has one field")
    assert lines[3] == "2 recipients, 2 errors, 1 warning."
    assert "encoding utf-8, delimiter ," in done.err
    assert shell.call("report", "check", "first", "--show", "1").out.splitlines()[1] == "... and 2 more."
    found = shell.call("report", "check", "first", "--json")
    assert (found.code, found.json["ok"], found.json["errors"], found.json["warnings"]) == (65, False, 2, 1)
    assert [p["place"] for p in found.json["problems"]] == ["line 2", "line 3", "line 4"]


def test_a_connection_that_is_not_there_is_told_with_the_list(shell: Shell) -> None:
    """Without a mailbox the list is checked all the same; the missing connection is a problem, and the end is 78."""
    shell.call("report", "new", "first")
    done = shell.call("report", "check", "first")
    assert done.code == 78
    assert done.out.startswith("error    report.toml: There is no connection")
    assert "2 recipients, 1 error, 0 warnings." in done.out
    shell.signed_in()
    path = shell.root / "config" / "reports" / "first" / "report.toml"
    path.write_text('connection = "eml-other"\n' + path.read_text())
    done = shell.call("report", "check", "first", "--json")
    assert (done.code, done.json["errors"]) == (78, 1)
    assert "eml-sandbox" in done.json["problems"][0]["text"]


def test_a_broken_report_is_told(shell: Shell) -> None:
    """A mistake in report.toml is told with its line by `list` and `check`; an unknown report with the known ones."""
    shell.call("report", "new", "first")
    path = shell.root / "config" / "reports" / "first" / "report.toml"
    path.write_text(path.read_text().replace("subject", "subjet"))
    listed = shell.call("report", "list")
    assert listed.code == 0 and "(broken)" in listed.out and "did you mean 'subject'?" in listed.err
    done = shell.call("report", "check", "first")
    assert done.code == 78 and "line 10" in done.err
    done = shell.call("report", "check", "frist")
    assert done.code == 78 and "did you mean 'first'?" in done.err
    assert shell.call("report", "new", "first").code == 78
    assert shell.call("report", "new", "second", "--sample", "nothing").code == 64


def test_rows_come_from_standard_input(shell: Shell) -> None:
    """A list may be piped in."""
    shell.signed_in()
    shell.call("report", "new", "first")
    path = shell.root / "config" / "reports" / "first" / "report.toml"
    path.write_text(path.read_text().replace('"recipients.csv"', '"-"'))
    done = shell.call("report", "check", "first", stdin="email;name\na@x.example;Zoë\n".encode("utf-16"))
    assert done.code == 0, done.err
    assert "1 recipient, 0 errors, 0 warnings." in done.out and "utf-16-le" in done.err


def test_a_database_password_is_sealed(shell: Shell) -> None:
    """`report seal-password` puts the password into report.toml, sealed; nothing shows it."""
    shell.call("report", "new", "first")
    done = shell.call("report", "seal-password", "first", stdin=b"s3same-open\n")
    assert done.code == 78 and "nothing a password could be for" in done.err
    path = shell.root / "config" / "reports" / "first" / "report.toml"
    rows = '# the database\nurl = "postgresql://me@127.0.0.1:1/sales"\nquery = """\nselect 1"""\n'
    before = path.read_text().replace('file = "recipients.csv"\n', rows)
    path.write_text(before)
    shell.secrets.add("s3same-open")
    for secret in ("s3same-open", "an0ther-one"):
        shell.secrets.add(secret)
        done = shell.call("report", "seal-password", "first", stdin=secret.encode())
        assert done.code == 0, done.err
        text = path.read_text()
        assert secret not in text and text.count("ENC(v1.") == 1
        assert [line for line in text.splitlines() if not line.startswith("password")] == before.splitlines()
        report = Reports(shell.root).load("first")
        assert report.rows is not None
        assert password_of(report.rows, report.folder) == Secret(secret)
    assert ("report first", "password") in [
        (one["connection"], one["field"]) for one in shell.call("keys", "verify", "--json").json["values"]
    ]
    rotated = shell.call("keys", "rotate", "--json")
    assert rotated.code == 0 and rotated.json["resealed"] == 1 and len(rotated.json["retired"]) == 1
    assert path.read_text() != text
    report = Reports(shell.root).load("first")
    assert report.rows is not None
    assert password_of(report.rows, report.folder) == Secret("an0ther-one")
    done = shell.call("report", "check", "first")
    assert done.code == 75 and "The database at 127.0.0.1:1 does not answer" in done.err
    path.write_text(path.read_text().replace("select 1", "select 2"))
    done = shell.call("keys", "verify")
    assert done.code == 78 and "report first" in done.out
    assert shell.call("keys", "rotate").code == 78


def test_a_connection_knows_its_reports(shell: Shell) -> None:
    """A connection says which reports send through it, broken ones too, and is not deleted under them."""
    shell.signed_in()
    shell.call("report", "new", "first")
    shell.call("report", "new", "second")
    path = shell.root / "config" / "reports" / "second" / "report.toml"
    path.write_text('connection = "eml-sandbox"\n' + path.read_text().replace("[email]", "[emial]"))
    assert shell.call("connection", "show", "eml-sandbox", "--json").json["reports"] == ["first", "second"]
    done = shell.call("connection", "delete", "eml-sandbox")
    assert done.code == 78 and "is used by the reports first, second" in done.err
    assert shell.file.exists()
    assert shell.call("connection", "delete", "eml-sandbox", "--force").code == 0
    assert shell.call("report", "check", "first").code == 78
