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
from typing import TYPE_CHECKING

import click

from datapallas.cli.output import plain, show_table
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


class _Failed(Exception):
    """A step did not do what it should; its exit code."""


@click.command("demo", help="Show the main job from start to end, against the sandbox. Asks nothing.")
def demo() -> int:
    """Create, sign in, test, send, use the library, and look at what arrived; 0 when all of it worked."""
    from datapallas.sandbox import Sandbox

    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datapallas-demo-")))
        sandbox = stack.enter_context(Sandbox(home / "sandbox"))
        steps = _Steps(home, sandbox)
        try:
            for title, words in steps.all():
                print(f"\n=== {title}")
                steps.run(words)
        except _Failed as problem:
            print(f"\nThe demo stopped: the last command ended with {problem}.", file=sys.stderr)
            return EX_SOFTWARE
        return _show_arrived(sandbox)


class _Steps:
    """The commands of the demo, and the world they run in: a fresh home, a scripted person at the browser."""

    def __init__(self, home: Path, sandbox: Sandbox) -> None:
        self.home = home
        self.sandbox = sandbox
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
        yield (
            "Have an error explained",
            [
                "explain",
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            ],
        )

    def run(self, words: list[str]) -> None:
        """Show the command, run it, show what it prints; raises `_Failed` when it fails."""
        if words == ["python"]:
            print("".join(f"  {line}\n" for line in _LIBRARY.splitlines()), flush=True)
            command = [sys.executable, "-c", _LIBRARY]
        else:
            print(f"$ datapallas {shlex.join(words)}", flush=True)
            command = [sys.executable, "-m", "datapallas", *words]
        done = subprocess.run(command, env=self.environ, cwd=self.home, stderr=subprocess.STDOUT, check=False)  # noqa: S603
        if done.returncode:
            raise _Failed(done.returncode)


def _show_arrived(sandbox: Sandbox) -> int:
    print("\n=== What arrived at the sandbox's mail server")
    rows = [
        (mail.sender, ", ".join(mail.recipients), str(mail.message["Subject"]), _contents(mail.message))
        for mail in sandbox.messages
    ]
    show_table(("FROM", "TO", "SUBJECT", "PARTS"), rows)
    wanted = 3
    if len(rows) != wanted:
        print(f"{wanted} messages were sent and {len(rows)} arrived.", file=sys.stderr)
        return EX_SOFTWARE
    print(
        "\nAll of it worked. With a mailbox of your own: docs/setup-microsoft.md, setup-google.md, setup-generic.md."
    )
    return 0


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
