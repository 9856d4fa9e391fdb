"""`send`: one message, promised in the outbox and sent, with a receipt; or only promised, with --queue."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, note, plain, say, show_json, the_run
from datapallas.errors import EX_UNAVAILABLE, MessageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datapallas.diagnosis.explain import Diagnosis
    from datapallas.mail.address import NamedAddress
    from datapallas.mail.attachment import Attachment
    from datapallas.mail.envelope import Receipt
    from datapallas.mail.message import Message

_STDIN = Path("-")
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("send", help="Send one message, and say what happened to each recipient.")
@connection_options
@click.option("--to", multiple=True, metavar="ADDRESS", help="A recipient; may be given many times.")
@click.option("--cc", multiple=True, metavar="ADDRESS", help="A recipient of a copy.")
@click.option("--bcc", multiple=True, metavar="ADDRESS", help="A recipient nobody else sees.")
@click.option("--subject", default="", help="The subject.")
@click.option("--text", help="The text, as it is.")
@click.option("--text-file", type=_FILE, help="A UTF-8 file with the text; - reads standard input.")
@click.option("--html-file", type=_FILE, help="A UTF-8 file with the HTML body.")
@click.option(
    "--attach", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="A file to attach."
)
@click.option(
    "--inline", multiple=True, metavar="CID=FILE", help='An image the HTML shows as <img src="cid:CID">.'
)
@click.option("--reply-to", multiple=True, metavar="ADDRESS", help="Where answers go.")
@click.option("--from", "sender", metavar="ADDRESS", help="Another From than the connection's.")
@click.option(
    "--envelope-from",
    metavar="ADDRESS",
    help="Where notices of failure go, when not to From; '' is nowhere.",
)
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="A header of your own.")
@click.option(
    "--show-dialogue", is_flag=True, help="Show what was said with the mail server, secrets masked."
)
@click.option(
    "--now", is_flag=True, help="Wait until every recipient has its outcome, however often it takes to try."
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 86_400),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the outcome; after that the outbox goes on by itself.",
)
@click.option(
    "--queue", is_flag=True, help="Only promise it: the outbox sends it, and `job show` tells how it went."
)
@click.option("--job", default="", metavar="ID", help="The job it belongs to; default: a new one.")
@click.option(
    "--key", default="", help="What makes it this one within --job; the same key of a job is sent once."
)
@click.option("--bulk", is_flag=True, help="After the mail of others.")
@click.option(
    "--on-doubt",
    type=click.Choice(["retry", "hold"]),
    help="When it is not known whether the server took it: send it once more (as --queue does), or leave it to you.",
)
@json_option
def send(chosen: Chosen, as_json: bool, show_dialogue: bool, **given: Any) -> int:  # noqa: FBT001
    """Parse, promise, show what became of it."""
    if given["queue"] and (show_dialogue or given["now"]):
        raise click.UsageError("--queue sends nothing now: it goes with neither --now nor --show-dialogue.")
    if given["key"] and not given["job"]:
        raise click.UsageError(
            "--key is looked up within a job: give --job ID too, or nothing is sent only once."
        )
    message = _message(given)
    home = chosen.home()
    code = chosen.code(home)
    from datapallas.cli.queue import Sending

    watch = _dialogue if show_dialogue else None
    return Sending(home, code, message, given).run(watch, as_json=as_json)


def _message(given: Mapping[str, Any]) -> Message:
    from datapallas.mail.message import Message

    return Message(
        to=_people(given["to"]),
        cc=_people(given["cc"]),
        bcc=_people(given["bcc"]),
        subject=given["subject"],
        text=_text(given["text"], given["text_file"]),
        html=_html(given["html_file"], given["text_file"]),
        attachments=given["attach"],
        inline=[_image(item) for item in given["inline"]],
        reply_to=_people(given["reply_to"]),
        sender=given["sender"],
        headers=[_header(item) for item in given["header"]],
    )


def _dialogue(direction: str, line: str) -> None:
    note(f"  {direction}: {plain(line)}")


def say_outcomes(receipt: Receipt) -> None:
    """A line for each recipient."""
    for one in receipt.outcomes:
        say(f"{one.outcome.value.lower():<9} {one.address}  {plain(one.reply)}")


def show_receipt(receipt: Receipt, *, as_json: bool, **more: object) -> int:
    """Show what happened to each recipient; at least one was accepted. `more` stands in the JSON document too.

    The exit code is never 75 then: whoever runs the command again would send it twice to those.
    """
    code = EX_UNAVAILABLE if receipt.refused else 0
    told = reasons(receipt)
    if as_json:
        errors = [reason.to_dict() for reason in told]
        show_json({"ok": not code, "exit_code": code, **receipt.to_dict(), "errors": errors, **more})
        return code
    say_outcomes(receipt)
    say(f"Message-ID: {receipt.message_id}")
    say("Accepted means that the mail server took it over; it does not mean delivered.")
    for reason in told:
        note("", reason.render())
    return code


def reasons(receipt: Receipt) -> list[Diagnosis]:
    """Why some were not accepted, each cause once."""
    if not receipt.refused:
        return []
    from datapallas.diagnosis.explain import explain

    facts = the_run().facts()
    found = [explain(one.error, facts) for one in receipt.refused if one.error is not None]
    return list({reason.id: reason for reason in reversed(found)}.values())[::-1]


def _people(items: Sequence[str]) -> list[NamedAddress]:
    """The addresses of an option; each item may hold several, separated by commas."""
    from datapallas.mail.address import parse_many, parse_one

    return [one for item in items for one in (parse_many(item) or (parse_one(item),))]


def _text(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise click.UsageError("Give --text or --text-file, not both.")
    return _read(file) if file else text or ""


def _html(file: Path | None, text_file: Path | None) -> str:
    if file is not None and file == text_file == _STDIN:
        raise click.UsageError("Standard input can be the text or the HTML, not both.")
    return _read(file) if file else ""


def _read(path: Path) -> str:
    """A body: UTF-8, with or without the mark some editors put first."""
    try:
        data = sys.stdin.buffer.read() if path == _STDIN else path.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        case, reason = "encoding", f"it is not UTF-8 text (byte {problem.start})"
    except OSError as problem:
        case, reason = "file", problem.strerror or "it cannot be read"
    raise MessageError(f"The body cannot be read from {path}: {reason}.", code="body", case=case, path=path)


def _header(item: str) -> tuple[str, str]:
    name, value = _split(item, ":", "--header NAME:VALUE")
    return name.strip(" \t"), value.strip(" \t")  # and nothing else: a line break is refused, never repaired


def _image(item: str) -> tuple[str, Attachment]:
    from datapallas.mail.attachment import Attachment

    cid, path = _split(item, "=", "--inline CID=FILE")
    return cid, Attachment.of(Path(path))


def _split(item: str, mark: str, option: str) -> tuple[str, str]:
    name, found, value = item.partition(mark)
    if not found or not name.strip():
        raise click.UsageError(f"Write {option}, not {item!r}.")
    return name, value
