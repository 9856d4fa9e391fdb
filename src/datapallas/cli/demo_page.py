"""The demo's last step: the web page over the demo's home, opened as a person with the link would.

Must stay true: the page has ended when the step has; nothing but loopback is asked, past any proxy.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = ("serve", "--no-browser", "--json", "--port", "0")
_SECONDS = 20


def look(environ: Mapping[str, str]) -> tuple[int, str]:
    """Serve, open the link, read the list: 0 and the states it shows; 1 when there are none."""
    command = [sys.executable, "-m", "datapallas", *COMMAND]
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as serving:
        try:
            told = _document(serving)
            states = _states(told["link"]) if "link" in told else []
        except OSError as problem:  # no answer, or one that is no page
            return 1, f"{problem}\n"
        finally:
            serving.terminate()
    return (0 if states else 1), "".join(f"{state}\n" for state in states)


def _document(serving: subprocess.Popen[str]) -> dict[str, str]:
    """What `serve` tells once it is ready; empty when it ended instead."""
    text = ""
    for line in serving.stdout or ():
        text += line
        if line.startswith("}"):
            return dict(json.loads(text))
    return {}


def _states(link: str) -> list[str]:
    """The state of each connection, as the list says it."""
    import http.cookiejar
    import urllib.request

    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
    with opener.open(link, timeout=_SECONDS) as answer:
        page = answer.read(1 << 20).decode()
    return re.findall(r'<p class="state [a-z]+"><span>([^<]+)</span>', page)
