"""Options that several commands share: which home, which connection."""

from __future__ import annotations

import functools
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datapallas.cli.output import the_run
from datapallas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.home import Home


class Chosen:
    """What the command line says about home and connection, before anything is opened."""

    def __init__(self, connection: str | None, file: Path | None) -> None:
        if connection and file:
            raise click.UsageError("Give --connection or --email-connection-file, not both.")
        self.connection = connection
        self.file = file

    @property
    def named(self) -> bool:
        """Whether a connection was chosen at all."""
        return bool(self.connection or self.file)

    def home(self) -> Home:
        """The home: as given, else the one the connection file lies in, else as found from here."""
        from datapallas.home import Home

        explicit = _home_option()
        if self.file is not None and explicit is None:
            around = Home.around(self.file, os.environ)
            if around is not None:
                return around
        return find_home(explicit)

    def code(self, home: Home) -> str:
        """The code of the chosen connection; of the default one when none was chosen."""
        if self.file is not None:
            code = home.code_of(self.file)
        else:
            code = self.connection or home.folder.default().code
        the_run().about(lambda: home.facts(code))
        return code


def find_home(explicit: str | None = None) -> Home:
    """The home every command works in."""
    from datapallas.home import Home

    return Home.find(explicit, os.environ, Path.cwd())


def current_home() -> Home:
    """The home as `--home`, the environment or the place says."""
    return find_home(_home_option())


def for_this_home(words: str) -> str:
    """Another command for a person to type, for the same home: `datapallas --home X serve --new-link`."""
    home = _home_option()
    return f"datapallas --home {shlex.quote(home)} {words}" if home else f"datapallas {words}"


def _home_option() -> str | None:
    value = click.get_current_context().find_root().params.get("home")
    if value is not None and not isinstance(value, str):
        raise ConfigurationError("--home takes a folder.")
    return value


def connection_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add `--connection` and `--email-connection-file`; the command gets one `chosen`."""

    @click.option(
        "--connection",
        metavar="CODE",
        help="The connection's code, such as eml-office365; default: the default one.",
    )
    @click.option(
        "--email-connection-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The connection's file, such as config/connections/eml-office365.xml.",
    )
    @functools.wraps(command)
    def wrapper(connection: str | None, email_connection_file: Path | None, **given: Any) -> int | None:
        return command(chosen=Chosen(connection, email_connection_file), **given)

    return wrapper
