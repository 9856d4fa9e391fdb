"""A person at a terminal who signs in: what they are shown, on stderr, and what they paste.

Must stay true: stdout belongs to the result; what is pasted is shown nowhere but by the terminal itself.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from typing import TYPE_CHECKING

import click

from datapallas.cli.output import note, plain
from datapallas.errors import SignInAborted, UsageError
from datapallas.oauth.browser import has_desktop
from datapallas.oauth.sign_in import Way

if TYPE_CHECKING:
    from typing import Self, TextIO

    from datapallas.connection.provider_help import ProviderHelp
    from datapallas.oauth.device import DeviceCode
    from datapallas.oauth.sign_in import Arrival

_LONGEST = 65536  # bytes of what is pasted
_LINE = 4095  # bytes of one line a terminal gives; it drops the rest without a word
_MORE = 0.3  # seconds in which the next lines of one paste have come


def chosen_way(flow: str | None, *, no_browser: bool) -> Way:
    """The way that was asked for; else the browser where there is a desktop; else the person is asked.

    Raises SignInAborted (code ``no-desktop``) where nobody can be asked.
    """
    if no_browser and flow not in {None, "browser"}:
        raise click.UsageError("--no-browser goes with --flow browser only.")
    if flow:
        return Way(flow)
    if no_browser or has_desktop(os.environ):
        return Way.BROWSER
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
        raise SignInAborted(
            "There is no desktop to open a browser on, and no terminal to ask at.", code="no-desktop"
        )
    note(
        "There is no desktop here. Three ways to sign in:",
        "  paste    open an address in any browser, and paste here where it ends",
        "  device   type a short code on any device; some organisations forbid it",
        "  browser  open an address in a browser on this very machine",
    )
    ways = click.Choice([Way.PASTE.value, Way.DEVICE.value, Way.BROWSER.value])
    return Way(click.prompt("Which", type=ways, default=Way.PASTE.value, err=True))


class Terminal:
    """The guide of one sign-in (see `oauth.sign_in.Guide`)."""

    def __init__(self, way: Way, seconds: float) -> None:
        self._way, self._seconds = way, seconds
        self._over = threading.Event()
        self._clockwork: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._clockwork is not None:
            self._clockwork.join(2)

    def register(self, redirect_uri: str, help_: ProviderHelp) -> None:
        """The address the provider must know, and where it is entered."""
        if redirect_uri:
            note(
                "Before the first sign-in, this redirect address must be registered, character for character:"
            )
            note(f"  {redirect_uri}")
        if help_.link:
            note(f"Where: {help_.link}")
        for number, step in enumerate(help_.steps, 1):
            note(f"  {number}. {step}")

    def visit(self, url: str, *, opened: bool) -> None:
        """The address to sign in at."""
        if self._way is Way.PASTE:
            where = "Open this address in any browser, on any machine:"
        elif opened:
            where = "Your browser opens this address:"
        else:
            where = "Open this address in a browser on this machine:"
        note("", where, f"  {url}", "")

    def type_code(self, code: DeviceCode) -> None:
        """The code, where to type it, and the same as a picture for a telephone."""
        note("Open this address on any device with a browser:", f"  {plain(code.verification_uri)}", "")
        note("and type this code there:", f"  {plain(code.user_code)}", "")
        note(
            "Give it to nobody but the mailbox's owner: whoever types it lets this machine send from their mailbox.",
            "Type a code only for a sign-in you know of; nobody from support ever needs one from you.",
            "",
        )
        if _is_terminal(sys.stderr):
            _show_qr(code.verification_uri_complete or code.verification_uri, sys.stderr)

    def waiting(self, seconds: float) -> None:
        """How long, and what the browser may show instead of coming back."""
        shown = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"  # noqa: PLR2004
        note(f"Waiting for the sign-in, {shown} at most (Ctrl-C ends it).")
        if self._way is Way.DEVICE:
            if _is_terminal(sys.stderr):
                until = time.monotonic() + seconds
                self._clockwork = threading.Thread(target=self._count_down, args=(until,), daemon=True)
                self._clockwork.start()
            return
        note(
            "If the browser shows AADSTS50011, redirect_uri_mismatch or invalid redirect_uri, the address above is not",
            "registered: the provider does not tell us, so register it and start again.",
        )
        if self._way is Way.PASTE:
            note(
                "",
                "After the sign-in the browser shows a page that does not open. That is expected:",
                "copy the whole address from its address bar, paste it here, and press Enter.",
            )

    def notice(self, sentence: str) -> None:
        """Something worth knowing."""
        note(f"Note: {plain(sentence)}")

    def fetch(self, arrival: Arrival) -> None:
        """Read what is pasted until it is an answer, or time is over. Raises UsageError when nothing more can come."""
        if self._way is not Way.PASTE:
            return
        until = time.monotonic() + self._seconds
        while True:
            text, more = _read(until)
            if not text and more:
                return  # time is over
            try:
                arrival.paste(text)
            except UsageError as problem:
                if not more:
                    raise
                note(problem.message, *_cut(text), "Try again:")
            else:
                return

    def _count_down(self, until: float) -> None:
        while (left := round(until - time.monotonic())) > 0:
            print(f"\r  {left // 60}:{left % 60:02} left ", end="", file=sys.stderr, flush=True)
            if self._over.wait(1):
                break
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _read(until: float) -> tuple[str, bool]:
    """What was pasted, and whether more may come; all lines of one paste at once."""
    try:
        fd = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # no standard input, or one that is no file
        return (sys.stdin.read(_LONGEST) if sys.stdin else ""), False
    found = b""
    while len(found) < _LONGEST:
        left = until - time.monotonic()
        pause = min(left, _MORE) if found.endswith(b"\n") else left
        if not select.select([fd], [], [], max(0.0, pause))[0]:
            break
        piece = os.read(fd, _LONGEST)
        if not piece:
            return found.decode("utf-8", "replace"), False
        found += piece
    return found.decode("utf-8", "replace"), True


def _cut(text: str) -> list[str]:
    """What to say when a terminal has probably cut the line."""
    if max(map(len, text.encode().splitlines()), default=0) < _LINE:
        return []
    return ["The line is as long as a terminal takes, so it was probably cut. Use --flow device instead."]


def _show_qr(address: str, out: TextIO) -> None:
    import segno

    wide = "utf" not in (getattr(out, "encoding", "") or "").lower()
    segno.make(address, error="l", micro=False).terminal(out=out, border=2, compact=not wide)
    note("")


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
