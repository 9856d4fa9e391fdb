"""`demo`: the main job from start to end against the sandbox, with the real commands.

Must stay true: each step is a process of its own, as a person would start it; no question is asked; the home and the
mail are gone afterwards.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from datapallas.cli.output import json_option, note, plain, show_json, show_table
from datapallas.errors import EX_SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.sandbox import Sandbox

_SENDER = "reports@sandbox.example"
_HTML = "<h1>Figures</h1><p>Dear reader, the figures are attached. Grüße!</p>"
_LIBRARY = """\
import datapallas
with datapallas.open("eml-sandbox") as mailbox:
    receipt = mailbox.send(datapallas.Message(to="bob@sandbox.example", subject="From Python", text="Three lines."))
print(receipt.outcomes[0].outcome.value.lower(), receipt.outcomes[0].address)
"""


_REPORTS = {
    "invoices": "Make a report: invoices, a PDF for each customer, from a CSV file",
    "price-list": "Another one: price lists from an Excel sheet, with one file for everybody",
    "statements": "And one that cuts a PDF into each customer's statement",
}
_WANTED = 17  # messages the steps send: 3, and 4, 4 and 6 of the reports


class _Failed(Exception):
    """A step did not do what it should; its exit code."""


@click.command("demo", help="Show the main job from start to end, against the sandbox. Asks nothing.")
@json_option
def demo(as_json: bool) -> int:  # noqa: FBT001
    """Create, sign in, test, send, use the library, and look at what arrived; 0 when all of it worked."""
    from datapallas.sandbox import Sandbox

    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datapallas-demo-")))
        sandbox = stack.enter_context(Sandbox(home / "sandbox"))
        steps = _Steps(home, sandbox, quiet=as_json)
        problem = ""
        try:
            for title, words in steps.all():
                steps.run(title, words)
            steps.look()
        except _Failed as failed:
            problem = f"The demo stopped: the last command ended with {failed}."
        rows = _arrived(sandbox)
        if not problem and len(rows) != _WANTED:
            problem = f"{_WANTED} messages were sent and {len(rows)} arrived."
        if as_json:
            show_json(
                {
                    "ok": not problem,
                    "exit_code": EX_SOFTWARE if problem else 0,
                    "problem": problem,
                    "steps": steps.done,
                    "arrived": [row._asdict() for row in rows],
                }
            )
        else:
            _tell(rows, problem)
        return EX_SOFTWARE if problem else 0


def _tell(rows: list[_Row], problem: str) -> None:
    print("\n=== What arrived at the sandbox's mail server")
    show_table(("FROM", "TO", "SUBJECT", "PARTS"), rows)
    if problem:
        note("", problem)
        return
    print(
        "\nAll of it worked. With a mailbox of your own: `datapallas serve` in a browser, or step by step in "
        "docs/setup-microsoft.md, setup-google.md, setup-generic.md."
    )


class _Steps:
    """The commands of the demo, and the world they run in: a fresh home, a scripted person at the browser."""

    def __init__(self, home: Path, sandbox: Sandbox, *, quiet: bool) -> None:
        self.home = home
        self.sandbox = sandbox
        self.quiet = quiet
        self.done: list[dict[str, Any]] = []
        (home / "body.html").write_text(_HTML, encoding="utf-8")
        (home / "figures.csv").write_text("month,total\nOctober,1204\nNovember,1377\n", encoding="utf-8")
        person = f"{shlex.quote(sys.executable)} -m datapallas.sandbox.person %s"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DATAPALLAS_")}
        self.environ = {
            **kept,
            "DATAPALLAS_HOME": str(home),
            "DATAPALLAS_SANDBOX_LOGIN": _SENDER,
            "BROWSER": person,
        }

    def all(self) -> Iterator[tuple[str, list[str]]]:
        """A title and the words of the command, one after the other."""
        from datapallas.sandbox.serve import describe

        create = [
            _SENDER if word == self.sandbox.users[0] else word for word in describe(self.sandbox).create
        ]
        yield "Make a connection", ["connection", "create", *create, "--from-name", "Reports"]
        yield "Sign in through the browser (here: a scripted person)", ["system", "oauth2", "sign-in"]
        yield "See its state", ["connection", "list"]
        yield "Send a test email and see the whole dialogue", ["system", "test-email", "--to", _SENDER]
        yield (
            "Send a report",
            shlex.split(
                "send --to alice@sandbox.example --cc bob@sandbox.example --subject 'Figures, überall' "
                "--html-file body.html --attach figures.csv"
            ),
        )
        yield "The same from Python", ["python"]
        for sample, title in _REPORTS.items():
            yield title, ["report", "new", sample, "--sample", sample]
            yield "Send it: one email to each recipient", ["report", "run", sample, "--yes"]
        yield (
            "Have an error explained",
            [
                "explain",
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            ],
        )

    def run(self, title: str, words: list[str]) -> None:
        """Show the command, run it, show what it prints (or keep it all, when quiet); raises `_Failed` when it fails."""
        if words == ["python"]:
            shown = "".join(f"  {line}\n" for line in _LIBRARY.splitlines())
            command = [sys.executable, "-c", _LIBRARY]
        else:
            shown = f"$ datapallas {shlex.join(words)}"
            command = [sys.executable, "-m", "datapallas", *words]
        if not self.quiet:
            print(f"\n=== {title}\n{shown}", flush=True)
        done = subprocess.run(  # noqa: S603 - ourselves
            command,
            env=self.environ,
            cwd=self.home,
            stdout=subprocess.PIPE if self.quiet else None,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self._note(title, shown, done.returncode, done.stdout)

    def look(self) -> None:
        """Serve the web page for a moment and read its list; raises `_Failed` when that fails."""
        from datapallas.cli.demo_page import look

        title, shown = "The same in a browser: what its list shows", "$ datapallas serve"
        if not self.quiet:
            print(f"\n=== {title}\n{shown}", flush=True)
        code, output = look(self.environ)
        if not self.quiet:
            print(output, end="")
        self._note(title, shown, code, output)

    def _note(self, title: str, shown: str, code: int, output: str | None) -> None:
        self.done.append({"title": title, "command": shown.strip(), "exit_code": code, "output": output})
        if code:
            raise _Failed(code)


class _Row(NamedTuple):
    """One message that arrived."""

    sender: str
    recipients: str
    subject: str
    parts: str


def _arrived(sandbox: Sandbox) -> list[_Row]:
    return [
        _Row(mail.sender, ", ".join(mail.recipients), str(mail.message["Subject"]), _contents(mail.message))
        for mail in sandbox.messages
    ]


def _contents(message: object) -> str:
    from email.message import EmailMessage

    if not isinstance(message, EmailMessage):
        return ""
    return plain(
        ", ".join(
            part.get_filename() or part.get_content_type()
            for part in message.walk()
            if not part.is_multipart()
        )
    )
