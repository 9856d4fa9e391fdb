"""What a person is told about a report before and after it runs: the mailbox, files too large, why somebody got nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cli.shell import Shell


def letters(shell: Shell) -> Path:
    """The small report that `report new` makes."""
    assert shell.call("report", "new", "letters").code == 0
    return shell.root / "config" / "reports" / "letters"


def test_a_mailbox_nobody_is_signed_in_to_is_told_before(shell: Shell) -> None:
    """`report check` warns, and `report run` says beforehand, that nothing goes out through the connection as it is."""
    letters(shell)
    made = shell.call(
        "connection", "create", "m365", "--provider", "MICROSOFT", "--from", "r@contoso.example"
    )
    assert made.code == 0
    checked = shell.call("report", "check", "letters", "--json").json
    (told,) = [one for one in checked["problems"] if one["code"] == "connection"]
    assert told["severity"] == "warning" and "Nothing goes out through eml-m365" in told["text"]
    done = shell.call("report", "run", "letters", "--queue", "--yes")
    assert done.code == 0 and "Nothing goes out through eml-m365" in done.err


def test_a_file_for_everybody_that_is_too_large_is_found_before(shell: Shell) -> None:
    """A given file of 2 GB is a problem of the report, told at once and without reading it."""
    shell.signed_in()
    folder = letters(shell)
    with (folder / "big.bin").open("wb") as file:
        file.truncate(2 * 1024**3)
    with (folder / "report.toml").open("a") as report:
        report.write('\n[[attachments]]\nfile = "big.bin"\n')
    done = shell.call("report", "check", "letters")
    assert done.code == 65 and "big.bin (2,147,483,648) octets" in done.out


def test_who_is_refused_before_the_server_could_say_anything_learns_why(shell: Shell) -> None:
    """A message that is larger than the server takes: run and job name the reason, not only the outcome."""
    shell.signed_in()
    folder = letters(shell)
    with (folder / "big.bin").open("wb") as file:
        file.truncate(200 * 1024**2)
    with (folder / "report.toml").open("a") as report:
        report.write('\n[[attachments]]\nfile = "big.bin"\n[limits]\nmessage_octets = 900000000\n')
    done = shell.call("report", "run", "letters", "--only", "1", "--yes")
    assert done.code == 69 and "takes 157286400" in done.out and "Send a link" in done.err
    run = shell.call("report", "history", "--json").json["runs"][0]["run"]
    assert "takes 157286400" in shell.call("job", "show", run).out
    assert shell.call("job", "list").out.startswith("JOB ")


def test_advice_names_the_report(shell: Shell) -> None:
    """A command in an advice can be typed as it stands."""
    (letters(shell) / "recipients.csv").unlink()
    done = shell.call("report", "check", "letters")
    assert "`datapallas report check letters`" in done.err and "CODE" not in done.err
