"""The doctor for a home: makes the case, for a connection or for a provider alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.home.drafting import draft

if TYPE_CHECKING:
    from datapallas.connection.model import Provider
    from datapallas.diagnosis.doctor_case import Case
    from datapallas.home.home import Home


def case_of(home: Home, code: str) -> Case:
    """The case of a stored connection. Whether there is one, and whether its file can be read, is a check."""
    from datapallas.diagnosis.doctor_case import Case

    return Case(root=home.root, environ=home.environ, folder=home.folder, endpoint=home.endpoint, code=code)


def case_of_provider(home: Home, provider: Provider | None, preset: str | None = None) -> Case:
    """The case of a provider, before anybody has signed in: can this machine reach what it needs?"""
    from datapallas.diagnosis.doctor_case import Case

    return Case(
        root=home.root,
        environ=home.environ,
        folder=home.folder,
        endpoint=home.endpoint,
        connection=draft("doctor", provider, preset),
    )
