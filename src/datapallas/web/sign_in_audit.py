"""What the audit says of a sign-in: begun, and how it ended; who, which connection, which account."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datapallas.home.sign_ins import SignInRequest, SignInState, SignInWork
    from datapallas.web.services import Services
    from datapallas.web.who import Who


def started(parts: Services, asking: Who, asked: SignInRequest) -> SignInWork:
    """Begin what was asked for, with a line in the audit now and one at its end. Raises as `SignIns.start` does."""
    begun = threading.Event()

    def ended(state: SignInState) -> None:
        begun.wait()  # one that fails at once is faster than the line that says that it began
        facts = {"connection": state.connection, "account": state.account, "new": asked.new}
        if state.problem is not None:
            facts["problem"] = state.problem.id
        parts.audit.write(asking, f"sign-in-{state.stage.value}", **facts)

    try:
        work = parts.sign_ins.start(dataclasses.replace(asked, ended=ended))
        parts.audit.write(asking, "sign-in-started", connection=work.code, way=asked.way, new=asked.new)
    finally:
        begun.set()
    return work
