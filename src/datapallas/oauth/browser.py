"""Open an address in the person's own browser (RFC 8252 section 6), when there is one to see it.

Must stay true: nothing a browser prints reaches our output, and a browser that stays open does not hold us up.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


_AT_ONCE = 1.5  # seconds in which a browser that cannot start has ended
_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"  # -m webbrowser ends with 0 whatever happens


def has_desktop(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether an address can be opened: BROWSER is set, or this is macOS, or a display is there.

    Without a display Python's `webbrowser` would start a text browser in this very terminal.
    """
    return bool(
        environ.get("BROWSER")
        or platform == "darwin"
        or environ.get("DISPLAY")
        or environ.get("WAYLAND_DISPLAY")
    )


def open_address(url: str, environ: Mapping[str, str]) -> bool:
    """Open `url` by way of Python's `webbrowser`, which honours BROWSER.

    False when there is no desktop, or when the browser ends badly at once: then a person must open the address. One
    that goes on is taken for a browser that works. In a process of its own: `webbrowser` waits for some browsers, and
    lets them write to our stdout.
    """
    if not sys.executable or not has_desktop(environ):
        return False
    process = _start(url, dict(environ))
    if process is None:
        return False
    try:
        return process.wait(_AT_ONCE) == 0
    except subprocess.TimeoutExpired:
        # Somebody must take note of its end, or it stays in the list of processes for as long as we live.
        threading.Thread(target=process.wait, name="browser", daemon=True).start()
        return True


def _start(url: str, environ: dict[str, str]) -> subprocess.Popen[bytes] | None:
    quiet = subprocess.DEVNULL
    with contextlib.suppress(OSError):
        return subprocess.Popen(  # noqa: S603 - Python itself, with an address we made
            # -I: a file webbrowser.py in the current folder is not what we mean.
            [sys.executable, "-I", "-c", _OPEN, url],
            env=environ,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            start_new_session=True,  # Ctrl-C is for us, not for the browser
        )
    return None
