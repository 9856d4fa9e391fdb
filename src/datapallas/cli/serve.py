"""`serve`: the web page and the JSON API."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.options import current_home, for_this_home
from datapallas.cli.output import json_option, note, say, show_json
from datapallas.errors import ConfigurationError
from datapallas.oauth.browser import has_desktop, open_address

if TYPE_CHECKING:
    from datapallas.web.access import Access
    from datapallas.web.services import Services

_LAST_SECONDS = 1.7
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "serve", help="Serve the web page and the JSON API until Ctrl-C; locally, unless --public-url is given."
)
@click.option("--port", type=click.IntRange(0, 65535), help="The local port. Default: 8125, or a free one.")
@click.option("--no-browser", is_flag=True, help="Only print the link.")
@click.option("--new-link", is_flag=True, help="Print a new link into the page that is served already.")
@click.option(
    "--public-url", default="", metavar="URL", help="Serve several people, who come by this https address."
)
@click.option(
    "--tls-cert", "certificate", type=_FILE, help="With --public-url: our certificate, with its chain."
)
@click.option("--tls-key", "key", type=_FILE, help="With --tls-cert: its private key.")
@click.option(
    "--proxy", "proxies", multiple=True, metavar="ADDRESS", help="The proxy that does TLS; may be repeated."
)
@click.option(
    "--device-code",
    is_flag=True,
    help="With --public-url: offer sign-in with a code too; it is used for phishing.",
)
@click.option("--listen", default="", metavar="ADDRESS:PORT", help="With --public-url: where to listen.")
@json_option
def serve(as_json: bool, no_browser: bool, new_link: bool, **given: Any) -> None:  # noqa: FBT001
    """With --json, one document when it is ready; then it goes on running."""
    from datapallas.web.address import Wanted

    if new_link:
        _new_link(as_json=as_json, no_browser=no_browser)
        return
    from datapallas.web import serve as web

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager ends it as Ctrl-C does
    web.serve(
        current_home(), Wanted(**given), lambda services: _ready(services, as_json, no_browser), _ending
    )
    note("The page is closed.")


def _ready(services: Services, as_json: bool, no_browser: bool) -> None:  # noqa: FBT001
    from datapallas.web.services import Mode

    origin = services.settings.origin
    if services.settings.mode is Mode.LOCAL:
        _link(services.access, origin, as_json=as_json, no_browser=no_browser)
    elif as_json:
        show_json({"ok": True, "url": origin})
    else:
        say(f"Serving {origin}")
    sys.stdout.flush()  # whoever reads it through a pipe waits for it
    note("The page is served. Ctrl-C ends it.")


def _ending() -> None:
    """End in time even if a thread still waits for somebody else's answer: what is stored survives that anywhere."""
    last = threading.Timer(_LAST_SECONDS, os._exit, (0,))
    last.daemon = True
    last.start()


def _new_link(*, as_json: bool, no_browser: bool) -> None:
    from datapallas.web import serving
    from datapallas.web.access import Access
    from datapallas.web.services import Mode

    home = current_home()
    running = serving.running(home.root)
    if running is None:
        raise ConfigurationError("Nothing is serving this home.", code="not-serving", home=home.root)
    if running.mode is Mode.SERVED:
        raise ConfigurationError(
            f"{running.origin} is for people with a name and a password; it takes no link.",
            code="no-link-here",
            address=running.origin,
        )
    _link(Access(home.root), running.origin, as_json=as_json, no_browser=no_browser)


def _link(access: Access, origin: str, *, as_json: bool, no_browser: bool) -> None:
    """Show the link: it is the result, works once, within a minute; and open another one like it in the browser.

    The browser gets one of its own, for this user only: its arguments are no secret on this machine.
    """
    link = f"{origin}/open?key={access.links.make().reveal()}"
    if as_json:
        show_json({"ok": True, "url": origin, "link": link})
    else:
        say("Open this link within a minute; it works once:")
        say(f"  {link}")
        say(f"A new one: {for_this_home('serve --new-link')}")
    if no_browser or not has_desktop(os.environ):
        return
    user = int(os.environ.get("SUDO_UID", "")) if os.environ.get("SUDO_UID", "").isdecimal() else os.getuid()
    open_address(f"{origin}/open?key={access.links.make(user).reveal()}", os.environ)
