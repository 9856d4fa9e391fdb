"""An identity provider and a mail server on loopback: everything can be tried without a tenant.

`from datapallas.sandbox import Sandbox` is the way in; users' own tests take the fixture `datapallas_sandbox`.
Must stay true: importing this package imports nothing else (the pytest plugin is loaded in every test run of a user).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datapallas.sandbox.running import Sandbox

__all__ = ["Sandbox"]


def __getattr__(name: str) -> object:
    """Import the sandbox when it is asked for (PEP 562)."""
    if name == "Sandbox":
        from datapallas.sandbox.running import Sandbox

        return Sandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
