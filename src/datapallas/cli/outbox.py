"""`outbox ...`: what is promised, and sending it."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.job import opened
from datapallas.cli.options import current_home, for_this_home
from datapallas.cli.output import counted, json_option, note, plain, say, show_json
from datapallas.errors import EX_TEMPFAIL, DataPallasError, StorageError

if TYPE_CHECKING:
    from datapallas.home.outbox import Outbox
    from datapallas.outbox.limits import Limits
    from datapallas.outbox.overview import MailboxLine

_END_SECONDS = 30.0
_LOOK = 2.0  # seconds between two looks at what it waits for
_code_argument = click.argument("code", metavar="CODE")


@click.command("status", help="Say what waits, what is paused and why, and how long the rest takes.")
@json_option
def status(as_json: bool) -> None:  # noqa: FBT001
    """A line for each connection that has or had mail in the outbox."""
    from datapallas.outbox.looking import waits

    with opened() as outbox:
        lines = _lines(outbox)
        place = outbox.database.place
        running = _running(outbox) or any(line.sessions for line in lines)
        quiet = waits(outbox.database).silent
    if as_json:
        show_json({"ok": True, "outbox": place, "mailboxes": [_as_dict(line) for line in lines]})
        return
    for line in lines:
        _say_line(line)
    if not lines:
        note("The outbox is empty.")
    elif not running and any(line.waiting for line in lines):
        note(
            f"No worker is running: `{for_this_home('outbox run')}`, or a running `datapallas serve`, sends it."
        )
    if quiet:
        note("Another process had mail and may have been killed; it is taken over within a minute.")


@click.command(
    "run",
    help="Send what waits, until nothing is left, and what the server puts off has been tried for up to two days; --forever goes on until Ctrl-C.",
)
@click.option("--forever", is_flag=True, help="Go on until Ctrl-C or SIGTERM.")
@json_option
def run(as_json: bool, forever: bool) -> int:  # noqa: FBT001
    """What is being handed over when it is stopped is finished first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager ends it as Ctrl-C does
    from datapallas.outbox.jobs import try_mailboxes

    with opened() as outbox:
        try_mailboxes(outbox.database)
        stopped = _drained(outbox, forever=forever)
        lines = _lines(outbox)
    paused = [line for line in lines if line.pause and line.waiting]
    waiting = sum(line.waiting for line in lines)
    code = next((line.problem.exit_code for line in paused if line.problem), EX_TEMPFAIL if paused else 0)
    if as_json:
        facts = {"stopped": stopped, "waiting": waiting, "mailboxes": [_as_dict(line) for line in lines]}
        show_json({"ok": not code, "exit_code": code, **facts})
        return code
    for line in paused:
        _say_line(line)
    say(
        f"{counted(waiting, 'recipient waits', 'recipients wait')}."
        if waiting
        else "Nothing waits in the outbox."
    )
    return code


def _drained(outbox: Outbox, *, forever: bool) -> bool:
    """Run a courier; True when it was stopped before it was done. The work is in a thread, Ctrl-C comes here."""
    from datapallas.outbox.workers import beating

    courier = outbox.courier()
    failure: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            with (
                beating(outbox.database, "outbox run", courier.busy) if forever else contextlib.nullcontext()
            ):
                courier.drain(forever=forever)
        except BaseException as problem:  # noqa: BLE001 - raised below, in the command's own thread
            failure.append(problem)
        finally:
            done.set()

    thread = threading.Thread(target=work, name="courier", daemon=True)
    thread.start()
    try:
        if forever:
            note("Sending what comes into the outbox. Ctrl-C ends it.")
        _wait(outbox, done, forever=forever)  # not join: interrupted, Python 3.11 takes the thread for ended
    except KeyboardInterrupt:
        courier.stop()
        done.wait(_END_SECONDS)
        return True
    if failure:
        raise failure[0]
    return False


def _wait(outbox: Outbox, done: threading.Event, *, forever: bool) -> None:
    """Wait for the end; meanwhile say what it waits for, each thing once."""
    from datapallas.outbox.estimate import duration
    from datapallas.outbox.looking import waits

    told: set[str] = set()
    while not done.wait(None if forever else _LOOK):
        with contextlib.suppress(StorageError):
            found = waits(outbox.database)
            if found.silent and "silent" not in told:
                told.add("silent")
                note("Another process had mail and may have been killed; it is taken over within a minute.")
            if found.later and "later" not in told:
                told.add("later")
                who = counted(found.later, "message was", "messages were")
                note(f"{who} put off; the next try is in {duration(found.seconds)}.")
                note(
                    "It waits for as long as they are tried, two days at most; Ctrl-C leaves them to the outbox."
                )


@click.command("pause", help="Send nothing through a connection until `outbox resume`.")
@_code_argument
@json_option
def pause(as_json: bool, code: str) -> None:  # noqa: FBT001
    """Its mail waits; more may be accepted."""
    from datapallas.outbox import jobs

    current_home().folder.load(code)
    with opened() as outbox:
        jobs.pause_mailbox(outbox.database, code)
    _told(code, "paused", as_json=as_json)


@click.command("resume", help="Let a paused connection send again, at its full speed.")
@_code_argument
@json_option
def resume(as_json: bool, code: str) -> None:  # noqa: FBT001
    """Whatever it was paused for is tried again."""
    from datapallas.outbox import jobs

    current_home().folder.load(code)
    with opened() as outbox:
        jobs.resume_mailbox(outbox.database, code)
    _told(code, "sends again", as_json=as_json)


@click.command("limits", help="Show or change how fast a connection may send, over all workers.")
@_code_argument
@click.option("--sessions", type=int, help="Sessions at a time.")
@click.option("--per-minute", type=float, help="Messages a minute; 0 is no limit.")
@click.option("--per-day", type=int, help="Recipients in 24 hours; 0 is no limit.")
@click.option("--preset", is_flag=True, help="What is not given is the provider's again.")
@json_option
def limits(as_json: bool, code: str, preset: bool, **given: Any) -> None:  # noqa: FBT001
    """Given values are kept in the outbox and win over what is known of the provider."""
    from datapallas.outbox import jobs
    from datapallas.outbox.limits import OwnLimits
    from datapallas.outbox.overview import own_limits

    base = current_home().folder.load(code)
    with opened() as outbox:
        own = OwnLimits() if preset else own_limits(outbox.database, code)
        changed = {name: value for name, value in given.items() if value is not None}
        if changed or preset:
            own = dataclasses.replace(own, **changed)
            jobs.set_limits(outbox.database, code, own)
        found = own.over(outbox.room.limits(base.code))
    if as_json:
        show_json({"ok": True, "connection": code, **dataclasses.asdict(found)})
    else:
        say(f"{code}: {_limits(found)}")


@click.command("estimate", help="Say how long so many recipients take through a connection.")
@_code_argument
@click.argument("recipients", type=click.IntRange(1))
@json_option
def estimate(as_json: bool, code: str, recipients: int) -> None:  # noqa: FBT001
    """One message to each."""
    from datapallas.outbox import overview
    from datapallas.outbox.estimate import estimate as say_how_long

    current_home().folder.load(code)
    with opened() as outbox:
        own = overview.own_limits(outbox.database, code)
        found = say_how_long(recipients, recipients, own.over(outbox.room.limits(code)))
    if as_json:
        show_json({"ok": True, "connection": code, **dataclasses.asdict(found)})
        return
    say(found.words)
    if found.advice:
        say(found.advice)


def _running(outbox: Outbox) -> bool:
    from datapallas.outbox.workers import listed

    return any(one.state == "running" for one in listed(outbox.database))


def _lines(outbox: Outbox) -> list[MailboxLine]:
    from datapallas.outbox.overview import mailbox_lines

    return mailbox_lines(outbox.database, outbox.room.known_limits)


def _say_line(line: MailboxLine) -> None:
    from datapallas.outbox.estimate import duration
    from datapallas.outbox.verdict import UNTIL_RESUMED

    state = f"paused ({line.pause})" if line.pause else "sends" if line.sessions else "idle"
    if line.waits and not line.pause:
        state = f"waits {duration(line.waits)}"
    say(
        f"{line.code:<24} {state:<24} {counted(line.waiting, 'recipient waits', 'recipients wait')}; {_limits(line.limits)}"
    )
    if line.waiting and not line.pause:
        say(f"  {line.left.words}")
    if line.problem is not None and (line.pause or line.waits):
        from datapallas.diagnosis.explain import explain, until_resumed

        found = explain(line.problem, current_home().facts(line.code))
        if line.pause in UNTIL_RESUMED:
            found = until_resumed(found, for_this_home(f"outbox resume {line.code}"))
        note(plain(found.render()))
    if line.pause and not (line.problem is not None and line.pause in UNTIL_RESUMED):
        again = (
            f"By itself one message tries again in {duration(line.tried)}; at once"
            if line.tried
            else "It goes on"
        )
        note(f"{again} with `{for_this_home(f'outbox resume {line.code}')}`.")


def _limits(limits: Limits) -> str:
    words = [counted(limits.sessions, "session", "sessions")]
    words += [f"{limits.per_minute:g} messages a minute"] if limits.per_minute else []
    words += [f"{limits.per_day:,} recipients a day"] if limits.per_day else []
    return ", ".join(words)


def _as_dict(line: MailboxLine) -> dict[str, Any]:
    problem: DataPallasError | None = line.problem
    plain_fields = dataclasses.asdict(dataclasses.replace(line, problem=None))
    return plain_fields | {"problem": None if problem is None else {"code": problem.code, "raw": problem.raw}}


def _told(code: str, what: str, *, as_json: bool) -> None:
    if as_json:
        show_json({"ok": True, "connection": code})
    else:
        say(f"{code}: {what}.")
