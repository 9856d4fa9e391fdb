"""The library's door: `datapallas.open`.

It finds the home and the connection when the block is entered, so that a wrong code is told where it is used.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError
from datapallas.home import Home, facts_of

if TYPE_CHECKING:
    from types import TracebackType

    from datapallas.home.postbox import AsyncPostbox, Postbox


class Opening:
    """A mailbox to be opened by `with` or by `async with`."""

    def __init__(self, connection: str | None, home: str | os.PathLike[str] | None) -> None:
        self._connection = connection
        self._home = home
        self._mailbox: Postbox | None = None
        self._async_mailbox: AsyncPostbox | None = None

    def _found(self) -> tuple[Home, str]:
        explicit = os.fspath(self._home) if self._home is not None else None
        home = Home.find(explicit, os.environ, Path.cwd())
        return home, self._connection or home.folder.default().code

    def __enter__(self) -> Postbox:
        home, code = self._found()
        from datapallas.home.postbox import Postbox

        self._mailbox = Postbox(home, code)
        return self._mailbox

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        _complete(problem, self._mailbox)
        if self._mailbox is not None:
            self._mailbox.close()

    async def __aenter__(self) -> AsyncPostbox:
        home, code = self._found()
        from datapallas.home.postbox import AsyncPostbox

        self._async_mailbox = await asyncio.to_thread(AsyncPostbox, home, code)
        return self._async_mailbox

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        _complete(problem, self._async_mailbox)
        if self._async_mailbox is not None:
            await self._async_mailbox.close()


def _complete(problem: BaseException | None, mailbox: Postbox | AsyncPostbox | None) -> None:
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
        What `with` turns into a `datapallas.home.postbox.Postbox`, and `async with` into an `AsyncPostbox`.

    Raises:
        ConfigurationError: when the block is entered: no such connection, a broken file, an outbox that cannot be used.
        StorageError: the outbox cannot be opened; nothing will be sent.
    """
    return Opening(connection, home)
