"""A courier that works in the background for as long as a block lasts.

Must stay true: what stops it is told by whoever ends the block.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from datapallas.outbox.courier import END_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.outbox.courier import Courier


@contextlib.contextmanager
def draining(courier: Courier) -> Iterator[None]:
    """Run a courier in the background for as long as the block lasts."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            courier.drain(forever=True)
        except BaseException as error:  # noqa: BLE001 - told by whoever ends the block
            failure.append(error)

    thread = threading.Thread(target=work, name="outbox", daemon=True)
    thread.start()
    try:
        yield
    finally:
        courier.stop()
        thread.join(END_SECONDS)
    if failure:
        raise failure[0]
