"""The doctor's checks of this machine: home and file modes, connection file, key, sealed values.

Must stay true: nothing is made or changed here; a key that is not there yet is not made by looking.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from datapallas.connection import keys
from datapallas.connection.identity import FIELDS
from datapallas.connection.model import Flow, OAuth2Client, Sealed
from datapallas.connection.provider import authorize_url, scope, token_url
from datapallas.connection.settle import secret_of
from datapallas.errors import EX_CONFIG, ConfigurationError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datapallas.diagnosis.doctor_case import Case


_DAY = 86400.0


def always(case: Case) -> str:  # noqa: ARG001 - the Protocol's
    """There is always something to look at."""
    return ""


def without_connection(case: Case) -> str:
    """A provider alone has no file."""
    return "" if case.code else "no connection was named"


def home(case: Case) -> str:
    """The folders are there, ours to write in, and nobody else's."""
    if not case.root.exists():
        nearest = next(folder for folder in case.root.absolute().parents if folder.exists())
        _usable(nearest)
        return f"{case.root} will be made at the first save"
    for path in _paths(case):
        _usable(path)
        about = path.lstat()
        if about.st_mode & stat.S_IWOTH and not (
            stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
        ):
            raise ConfigurationError(
                f"Everybody on this machine may change {path} (mode {stat.S_IMODE(about.st_mode):04o}).",
                code="home-exposed",
                path=path,
            )
    return str(case.root)


def _paths(case: Case) -> Iterator[Path]:
    """What must be ours; links are somebody's choice, and their targets are looked at when they are read."""
    for path in (case.root, *case.folder.store.own_paths(), case.root / "data" / "keys"):
        if path.exists() and not path.is_symlink():
            yield path


def _usable(path: Path) -> None:
    wanted = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
    if os.access(path, wanted):
        return
    error = StorageError(
        f"This user may not read and write {path}.",
        raw=f"[errno 13] Permission denied: '{path}'",
        path=path,
    )
    error.transient, error.exit_code = False, EX_CONFIG
    raise error


def connection(case: Case) -> str:
    """The file can be read, and has everything a sending needs."""
    entry = case.folder.store.find(case.code)
    found = case.connection = entry.good
    _complete(case)
    notes = [f"provider {found.provider.value}", f"mailbox {found.mailbox or 'not known yet'}"]
    if entry.plain:
        notes.append(f"{' and '.join(entry.plain)} in clear, sealed at the next save")
    return ", ".join(notes)


def _complete(case: Case) -> None:
    from datapallas.mail.mailbox import Mailbox
    from datapallas.oauth.addresses import provider_address

    client = case.client
    if isinstance(client, OAuth2Client):
        named = client.client_id or (client.flow is Flow.SERVICEACCOUNT and "by its key file")
        for value, what in ((named, "client id"), (scope(client), "scope")):
            if not value:
                raise ConfigurationError(
                    f"The {what} of the application is not set.", code="incomplete-client"
                )
        if not client.app_only:
            provider_address(authorize_url(client), "authorize address")
        provider_address(token_url(client), "token address")
    if case.known.mailbox or not case.signed_out:  # before the first sign-in the mailbox may be unknown
        Mailbox(case.known, case.login()).close()


def key(case: Case) -> str:
    """The key is there, private, and one."""
    found = keys.load(case.root, case.environ)
    if found is not None:
        return f"key {found.primary} in {found.source}"
    sealed = case.folder.store.sealed_texts
    if sealed():
        keys.read_keys(case.root, case.environ, sealed)  # raises: values are sealed, and their key is gone
    return "none yet; it is made with the first secret"


def secrets(case: Case) -> str:
    """Every sealed value of the connection opens, for this connection as it is now; the app's key can be used."""
    sealed = [field for field in FIELDS if isinstance(secret_of(case.known, field), Sealed)]
    for field in sealed:
        case.folder.opened(case.known, field)
    opened = f"{len(sealed)} of {len(sealed)}" if sealed else "none is sealed"
    return f"{opened}; {_app_key(case)}" if case.known.app_only else opened


def _app_key(case: Case) -> str:
    """What the app proves itself with."""
    from datapallas.oauth.app_only import app_key

    found = app_key(case.folder, case.known)
    if found is None:
        if (
            case.client is None
            or case.client.client_secret is None
            or case.client.flow is Flow.SERVICEACCOUNT
        ):
            raise ConfigurationError(
                "App-only needs a certificate or a client secret, and neither is set.",
                code="app-key",
                case="none",
            )
        return "the app has a client secret"
    if found.ends_at is None:
        return (
            f"the app's key can be used ({found.account})" if found.account else "the app's key can be used"
        )
    left = (found.ends_at - case.endpoint.clock.wall()) / _DAY
    if left < 0:
        raise ConfigurationError(
            f"The app's certificate has ended {-left:.0f} days ago.", code="app-key", case="ended"
        )
    return f"the app's certificate is good for {left:.0f} days"
