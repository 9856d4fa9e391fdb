"""A Chromium to look at the pages with: Debian's, or any other there is; it reaches nothing beyond this machine."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from playwright.sync_api import expect, sync_playwright

from strangers import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
ADVICE = "apt-get install --no-install-recommends chromium fonts-dejavu-core"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Every name ending in .example is this machine; other names are nowhere.
    "--host-resolver-rules=MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
WAIT = 60_000  # milliseconds until something that should be there is missed


def program() -> str:
    """The path of a Chromium; without one the test is skipped, or fails in CI."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    return found or needs.program(NAMES[0], ADVICE)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """One running browser. Playwright allows one at a time, and asyncio none beside it: end it with the module."""
    path = program()
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT)
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
