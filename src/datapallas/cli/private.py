"""Secrets in the memory of a command: no core dump holds them, and on Linux no other process of the same user reads them.

Must stay true: only a process of our own is changed, never the program that uses the library; where the system cannot
do it, the command works all the same.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SET_DUMPABLE = 4  # PR_SET_DUMPABLE in <sys/prctl.h>
_WITHOUT_SECRETS = frozenset({"connection", "demo", "explain", "job", "sandbox"})
"""Commands that open none; they need not wait for ctypes."""


def keep_private(words: Sequence[str]) -> None:
    """Leave no core dump of this process; when its command may open secrets, let nobody attach to it either."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not POSIX; a limit that is fixed
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    command = next((word for word in words if not word.startswith("-")), "")
    if sys.platform == "linux" and command and command not in _WITHOUT_SECRETS:
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
