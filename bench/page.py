"""The web page, measured: the list of connections over HTTP, for one connection and for two hundred, in turn.

`python bench/page.py [--rounds 20]` prints medians and their ratio; nothing is asserted. The server is a real
`datapallas serve`, started and stopped here; every connection has a sealed sign-in, so each row opens one seal.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from datapallas.home import Home
from datapallas.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.connection.model import Connection

COUNTS = (1, 200)


@contextlib.contextmanager
def page(folder: Path, connection: Connection, count: int) -> Iterator[httpx2.Client]:
    """A browser that is in, at a page with `count` connections."""
    home = Home(folder, {})
    for number in range(count):
        home.folder.create(dataclasses.replace(connection, code=f"eml-m{number}", name=f"Mailbox {number}"))
    command = [sys.executable, "-m", "datapallas", "--home", str(folder), "serve", "--no-browser", "--json"]
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        try:
            if server.stdout is None:
                raise RuntimeError("the server has no output")
            text = b""
            while not text.rstrip().endswith(b"}"):
                text += server.stdout.readline()
            with httpx2.Client(trust_env=False, follow_redirects=True, timeout=30) as browser:
                browser.get(json.loads(text)["link"])
                browser.base_url = json.loads(text)["url"]
                yield browser
        finally:
            server.terminate()


def timed(browser: httpx2.Client) -> float:
    """Milliseconds of one list."""
    began = time.perf_counter()
    answer = browser.get("/connections")
    took = (time.perf_counter() - began) * 1000
    if answer.status_code != 200:
        raise RuntimeError(f"the list answered {answer.status_code}")
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox())
        signed_in = sandbox.connection(signed_in=True)
        browsers = {}
        for count in COUNTS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            browsers[count] = stack.enter_context(page(folder, signed_in, count))
        samples: dict[int, list[float]] = {count: [] for count in COUNTS}
        for _ in range(rounds):
            for count, browser in browsers.items():
                samples[count].append(timed(browser))
    middle = {count: statistics.median(found) for count, found in samples.items()}
    print("| connections | list, median of", rounds, "(ms) | min | max |\n|---|---|---|---|")
    for count in COUNTS:
        print(f"| {count} | {middle[count]:.0f} | {min(samples[count]):.0f} | {max(samples[count]):.0f} |")
    print(f"\nRatio {middle[COUNTS[1]] / middle[COUNTS[0]]:.1f}.")


if __name__ == "__main__":
    main()
