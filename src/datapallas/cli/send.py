"""`send` and `system test-email`: one message, sent now, with a receipt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import Chosen, connection_options
from datapallas.cli.output import json_option, note, plain, show_json
from datapallas.errors import EX_TEMPFAIL, EX_UNAVAILABLE

if TYPE_CHECKING:
    from datapallas.mail.envelope import Receipt

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
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="A header of your own.")
@click.option(
    "--show-dialogue", is_flag=True, help="Show what was said with the mail server, secrets masked."
)
@json_option
def send(chosen: Chosen, as_json: bool, show_dialogue: bool, **given: Any) -> int:  # noqa: FBT001
    """Parse, hand to the mailbox, show the receipt."""
    from datapallas.mail.message import Message

    message = Message(
        to=given["to"],
        cc=given["cc"],
        bcc=given["bcc"],
        subject=given["subject"],
        text=_text(given["text"], given["text_file"]),
        html=_read(given["html_file"]) if given["html_file"] else "",
        attachments=given["attach"],
        inline=dict(_split(item, "=", "--inline") for item in given["inline"]),
        reply_to=given["reply_to"],
        sender=given["sender"] or "",
        headers=dict(_split(item, ":", "--header") for item in given["header"]),
    )
    home = chosen.home()
    with home.mailbox(chosen.code(home), watch=_dialogue if show_dialogue else None) as mailbox:
        receipt = mailbox.send(message)
    return _show(receipt, as_json=as_json)


@click.command("test-email", help="Send a test email and show the whole dialogue with the mail server.")
@connection_options
@click.option("--to", metavar="ADDRESS", help="The recipient; default: the mailbox itself.")
@json_option
def test_email(chosen: Chosen, to: str | None, as_json: bool) -> int:  # noqa: FBT001
    """Straight to the transport: the person sees each step."""
    from datapallas.mail.message import test_message

    home = chosen.home()
    code = chosen.code(home)
    connection = home.folder.load(code)
    note(f"Sending a test email through {code} ({connection.mailbox}) ...")
    with home.mailbox(code, watch=_dialogue) as mailbox:
        receipt = mailbox.send(test_message(connection, to or connection.mailbox))
    return _show(receipt, as_json=as_json)


def _dialogue(direction: str, line: str) -> None:
    note(f"  {direction}: {plain(line)}")


def _show(receipt: Receipt, *, as_json: bool) -> int:
    if as_json:
        show_json({"ok": not receipt.refused, **receipt.to_dict()})
    else:
        for one in receipt.outcomes:
            print(f"{one.outcome.value.lower():<9} {one.address}  {plain(one.reply)}")
        print(f"Message-ID: {receipt.message_id}")
        if receipt.accepted:
            print("Accepted means that the mail server took it over; it does not mean delivered.")
    if not receipt.refused:
        return 0
    transient = any(one.error is not None and one.error.transient for one in receipt.outcomes)
    return EX_TEMPFAIL if transient else EX_UNAVAILABLE


def _text(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise click.UsageError("Give --text or --text-file, not both.")
    return _read(file) if file else text or ""


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise click.UsageError(f"{path} is not UTF-8 text (byte {problem.start}).") from problem
    except OSError as problem:
        raise click.UsageError(f"Cannot read {path}: {problem.strerror}.") from problem


def _split(item: str, mark: str, option: str) -> tuple[str, str]:
    name, found, value = item.partition(mark)
    if not found or not name.strip():
        raise click.UsageError(f"{option} takes NAME{mark}VALUE, not {item!r}.")
    return name.strip(), value.strip()
