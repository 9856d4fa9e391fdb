"""A courier in the background, for as long as a block lasts.

Must stay true: what ended it is told when the block ends, and can be seen before; ending waits for what is being
handed over.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datapallas.outbox.courier import Courier

_END_SECONDS = 30.0


@contextlib.contextmanager
def draining(courier: Courier) -> Iterator[Callable[[], bool]]:
    """Run a courier in the background for as long as the block lasts; what is given says whether it has failed."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            courier.drain(forever=True)
        except BaseException as error:  # noqa: BLE001 - told by whoever ends the block
            failure.append(error)

    thread = threading.Thread(target=work, name="outbox", daemon=True)
    thread.start()
    try:
        yield lambda: bool(failure)
    finally:
        courier.stop()
        thread.join(_END_SECONDS)
    if failure:
        raise failure[0]
