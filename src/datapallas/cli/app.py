"""The tree of commands, as a table; a command's module is imported only when that command runs.

Must stay true: `datapallas --help` imports click and this file, nothing else of ours (its time is measured in bench/).
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click

from datapallas import __version__


class Entry(NamedTuple):
    """Where a command lives and the line that lists it."""

    place: str  # module:attribute below datapallas.cli
    summary: str


OAUTH2 = {
    "sign-in": Entry("sign_in:sign_in", "Sign in to a mailbox and store the sign-in."),
    "status": Entry("oauth2:status", "Say who is signed in, since when, and what was last refused."),
    "refresh": Entry("oauth2:refresh", "Get a new access token now, and store what comes with it."),
    "keep-alive": Entry(
        "keep_alive:keep_alive", "Refresh sign-ins nobody has used for a week; warn before something ends."
    ),
    "setup-script": Entry("setup_script:setup_script", "Print what the administrator has to do, filled in."),
    "sign-out": Entry("oauth2:sign_out", "Forget the stored sign-in, and revoke it where the provider can."),
}
CONNECTION = {
    "create": Entry("connection:create", "Make a connection: a mailbox one can send from."),
    "list": Entry("connection:list_", "List the connections and the state of each sign-in."),
    "show": Entry("connection:show", "Show one connection; secrets only as set or not set."),
    "set": Entry("connection:set_", "Change fields of a connection."),
    "default": Entry("connection:default", "Make a connection the one that is used when none is named."),
    "duplicate": Entry("connection:duplicate", "Copy a connection under a new name, without its secrets."),
    "invite": Entry("invite:invite", "Print a link with which the mailbox's owner signs in from anywhere."),
    "migrate": Entry(
        "migrate:migrate", "Move all connections into the fleet's database, or back into files."
    ),
    "delete": Entry("connection:delete", "Delete a connection and its sign-in."),
}
KEYS = {
    "init": Entry("keys:init", "Make the key that seals secrets on this installation."),
    "verify": Entry("keys:verify", "Check that every sealed value opens."),
    "rotate": Entry("keys:rotate", "Make a new key and seal every value with it."),
}
USER = {
    "add": Entry("user:add", "Add somebody who may log in to a served page."),
    "list": Entry("user:list_", "List who may log in to a served page."),
    "remove": Entry("user:remove", "Remove somebody; their sessions end now."),
    "password": Entry("user:password", "Change somebody's password; their sessions end now."),
}
TOKEN = {
    "create": Entry("token:create", "Make an API token and print it, this one time."),
    "list": Entry("token:list_", "List the API tokens; of each, the last four characters."),
    "remove": Entry("token:remove", "Remove an API token."),
}
JOB = {
    "list": Entry("job:list_", "List the jobs of the outbox, the newest first."),
    "show": Entry("job:show", "Show one job and every recipient that was not simply accepted."),
    "pause": Entry("job:pause", "Hold what a job has not sent yet."),
    "resume": Entry("job:resume", "Let a paused job go on."),
    "cancel": Entry("job:cancel", "Send nothing more of a job; what waits is parked."),
    "retry": Entry("job:retry", "Try again what was deferred, parked or unknown."),
    "export": Entry("job:export", "Write every recipient and its outcome as CSV."),
}
OUTBOX = {
    "status": Entry("outbox:status", "Say what waits, what is paused and why, and how long the rest takes."),
    "run": Entry("outbox:run", "Send what waits, until nothing is left; --forever goes on until Ctrl-C."),
    "workers": Entry(
        "workers:workers", "List who drains the outbox: which machines, since when, what they do."
    ),
    "pause": Entry("outbox:pause", "Send nothing through a connection."),
    "resume": Entry("outbox:resume", "Let a paused connection send again."),
    "limits": Entry("outbox:limits", "Show or change how fast a connection may send."),
    "search": Entry("outbox_look:search", "Find recipients in all jobs, and what became of each."),
    "clean": Entry("outbox_look:clean", "Delete what is done and older than the settings say."),
    "estimate": Entry("outbox:estimate", "Say how long so many recipients take through a connection."),
}
REPORT = {
    "new": Entry("report.base:new", "Make a report: a small one to start from, or one of the samples."),
    "list": Entry("report.base:list_", "List the reports, and what is wrong with those that cannot run."),
    "check": Entry("report.check:check", "Read the whole list of a report and say what is wrong with it."),
    "preview": Entry(
        "report.preview:preview", "Write one recipient's email and documents to a folder; nothing is sent."
    ),
    "run": Entry("report.run:run", "Send a report: one email to each recipient of its rows."),
    "resume": Entry("report.run:resume", "Go on with a run that stopped or was left, and watch it."),
    "cancel": Entry("report.history:cancel", "Promise and send nothing more of a run."),
    "history": Entry("report.history:history", "List the runs of reports; of one run, what became of it."),
    "schedule": Entry("report.schedule:schedule", "Show or change when a report runs by itself."),
    "seal-password": Entry(
        "report.seal_password:seal_password", "Seal the password of a report's database into its report.toml."
    ),
}
AUDIT = {
    "verify": Entry("audit:verify", "Check that no line of the audit was changed or taken out."),
}


class Table(click.Group):
    """A group whose commands are imported when they are called, not before."""

    def __init__(self, name: str, entries: dict[str, Entry | Table], summary: str) -> None:
        super().__init__(name, help=summary, no_args_is_help=True)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command called `cmd_name`, or None when there is none."""
        entry = self.entries.get(cmd_name)
        if not isinstance(entry, Entry):
            return entry
        module, _, attribute = entry.place.partition(":")
        command = getattr(importlib.import_module(f"datapallas.cli.{module}"), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.place} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """An unknown command is told with the nearest known ones."""
        name = args[0]
        if name not in self.entries and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, self.entries, n=2) or list(self.entries)
            raise click.UsageError(f"There is no command {name!r}. Known: {', '.join(near)}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from the table, without importing one."""
        rows = [
            (name, entry.summary if isinstance(entry, Entry) else entry.help or "")
            for name, entry in self.entries.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


oauth2 = Table("oauth2", dict(OAUTH2), "Sign in, and look after sign-ins.")
app = Table(
    "datapallas",
    {
        "connection": Table("connection", dict(CONNECTION), "The mailboxes one can send from."),
        "send": Entry("send:send", "Send one message."),
        "system": Table(
            "system",
            {
                "oauth2": oauth2,
                "doctor": Entry(
                    "doctor:doctor", "Try out what sending needs, step by step; say the first cause."
                ),
                "test-email": Entry(
                    "test_email:test_email", "Send a test email and show the whole dialogue."
                ),
            },
            "Sign-ins and tests.",
        ),
        "oauth2": oauth2,
        "report": Table(
            "report", dict(REPORT), "Rows of a file or a database, each an email with its documents."
        ),
        "outbox": Table(
            "outbox", dict(OUTBOX), "Mail that is promised, until every recipient has an outcome."
        ),
        "job": Table("job", dict(JOB), "The messages of one command or report, and what became of them."),
        "keys": Table("keys", dict(KEYS), "The key that seals secrets."),
        "serve": Entry("serve:serve", "Serve the web page and the JSON API until Ctrl-C."),
        "worker": Entry("worker:worker", "Do on a machine of a fleet what `serve` does beside its page."),
        "user": Table("user", dict(USER), "The people who may log in to a served page."),
        "token": Table("token", dict(TOKEN), "API tokens: how programs prove who they are."),
        "audit": Table("audit", dict(AUDIT), "Who changed what."),
        "explain": Entry("explain:explain", "Explain an error message: cause, fix, and who can do it."),
        "sandbox": Entry(
            "sandbox:sandbox", "Run a provider and a mail server on this machine, to try things out."
        ),
        "demo": Entry("demo:demo", "Show the main job from start to end, against the sandbox."),
    },
    "Send mail through Microsoft 365, Gmail and any OAuth2 mailbox.",
)
app.params += [
    click.Option(
        ["--home"],
        metavar="FOLDER",
        help="The folder that holds config/ and data/. Default: DATAPALLAS_HOME, else the nearest folder above "
        "this one with config/connections, else your own data folder.",
    ),
]
app = click.version_option(__version__, prog_name="datapallas", message="%(prog)s %(version)s")(app)
