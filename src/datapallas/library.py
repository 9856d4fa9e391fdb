"""The library's door: `datapallas.open`.

It finds the home and the connection when the block is entered, so that a wrong code is told where it is used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError
from datapallas.home import Home, facts_of

if TYPE_CHECKING:
    from types import TracebackType

    from datapallas.mail.mailbox import AsyncMailbox, Mailbox


class Opening:
    """A mailbox to be opened by `with` or by `async with`."""

    def __init__(self, connection: str | None, home: str | os.PathLike[str] | None) -> None:
        self._connection = connection
        self._home = home
        self._mailbox: Mailbox | None = None
        self._async_mailbox: AsyncMailbox | None = None

    def _found(self) -> tuple[Home, str]:
        explicit = os.fspath(self._home) if self._home is not None else None
        home = Home.find(explicit, os.environ, Path.cwd())
        return home, self._connection or home.folder.default().code

    def __enter__(self) -> Mailbox:
        home, code = self._found()
        self._mailbox = home.mailbox(code)
        return self._mailbox

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        _complete(problem, self._mailbox)
        if self._mailbox is not None:
            self._mailbox.close()

    async def __aenter__(self) -> AsyncMailbox:
        home, code = self._found()
        self._async_mailbox = home.async_mailbox(code)
        return self._async_mailbox

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        _complete(problem, self._async_mailbox)
        if self._async_mailbox is not None:
            await self._async_mailbox.close()


def _complete(problem: BaseException | None, mailbox: Mailbox | AsyncMailbox | None) -> None:
    """Give a failure that leaves the block the names of its connection, so that its explanation is exact."""
    if isinstance(problem, DataPallasError) and mailbox is not None:
        for name, value in facts_of(mailbox.connection).items():
            problem.facts.setdefault(name, value)


def open(connection: str | None = None, *, home: str | os.PathLike[str] | None = None) -> Opening:  # noqa: A001
    """Open the mailbox of a connection, for `with` or `async with`.

    Args:
        connection: a connection's code such as ``eml-office365``; None is the default connection.
        home: the folder that holds `config/` and `data/`; None finds it as the command line does.

    Returns:
        What `with` turns into a `datapallas.mail.mailbox.Mailbox`, and `async with` into an `AsyncMailbox`.

    Raises:
        ConfigurationError: when the block is entered: no such connection, a broken file.
    """
    return Opening(connection, home)
