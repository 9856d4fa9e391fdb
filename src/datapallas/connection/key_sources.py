"""Where the master key can be kept.

Must stay true: a source answers, is silent, or fails; a failing source stops everything and is never passed over for
the next one. A key file others could read or change is refused with the command that mends it.

| name | kept in |
|---|---|
| `file:PATH` | a file of mode 0600; the usual one is `<home>/data/keys/keyring.json` |
| `credential:NAME` | `$CREDENTIALS_DIRECTORY/NAME`, given by systemd (systemd.io/CREDENTIALS) |
| `keyring:SERVICE` | the desktop's keyring, with the extra `datapallas[keyring]` |
| `env:NAME` | the environment: seen by every child process and by /proc, so the last choice |
"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from datapallas import files
from datapallas.errors import KeyProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPLICIT = "DATAPALLAS_KEY_SOURCE"
VARIABLE = "DATAPALLAS_KEY"
CREDENTIAL = "datapallas-key"
_LIMIT = 65536
_ACCOUNT = "master-key"  # the entry's name below a service in a desktop keyring


class Source(Protocol):
    """One place for the key."""

    @property
    def name(self) -> str:
        """The source as DATAPALLAS_KEY_SOURCE names it."""

    def read(self) -> str | None:
        """The key or keyring as text; None when there is none here. Raises KeyProblem when the source fails."""

    def write(self, text: str) -> None:
        """Keep a new keyring. Raises KeyProblem when this source cannot be written from here, StorageError."""


@dataclasses.dataclass(frozen=True, slots=True)
class FileSource:
    """A private file."""

    path: Path

    @property
    def name(self) -> str:
        """`file:` and the path."""
        return f"file:{self.path}"

    def read(self) -> str | None:
        """The file's text; refused when it is a link, or when others may read or change it."""
        try:
            problem = files.exposed(self.path)
            data = b"" if problem else files.read(self.path, limit=_LIMIT)
        except FileNotFoundError:
            return None
        except OSError as wrong:
            raise KeyProblem(
                f"The key file {self.path} cannot be read: {wrong.strerror}.",
                case="unreadable",
                path=self.path,
            ) from wrong
        if problem:
            command = self._mend(problem)
            raise KeyProblem(
                f"The key file {self.path} is not used: {problem}. Mend it with: {command}",
                case="exposed",
                path=self.path,
                command=command,
            )
        return _text(data, self.name)

    def _mend(self, problem: str) -> str:
        path = shlex.quote(str(self.path))
        if "link" in problem:
            return f'cp --remove-destination -- "$(readlink -f {path})" {path} && chmod 600 {path}'
        if "uid" in problem:
            return f"sudo chown $(id -u) {path} && chmod 600 {path}"
        if "plain file" in problem:
            return f"ls -ld {path}"
        return f"chmod 600 {path}"

    def write(self, text: str) -> None:
        """Replace the file, whole or not at all."""
        files.private_directory(self.path.parent)
        files.replace(self.path, text.encode())


@dataclasses.dataclass(frozen=True, slots=True)
class CredentialSource:
    """A credential systemd hands to the service; systemd guards its mode."""

    directory: str
    credential: str

    @property
    def name(self) -> str:
        """`credential:` and the credential's name."""
        return f"credential:{self.credential}"

    def read(self) -> str | None:
        """The credential's text; None when systemd gives none of this name."""
        if not self.directory:
            return None
        path = Path(self.directory, self.credential)
        try:
            return _text(path.read_bytes(), self.name)
        except FileNotFoundError:
            return None
        except OSError as wrong:
            raise KeyProblem(
                f"The credential {path} cannot be read: {wrong.strerror}.", case="unreadable", path=path
            ) from wrong

    def write(self, text: str) -> None:  # noqa: ARG002 - the Protocol's
        """Refused: systemd keeps it."""
        raise _not_ours(self.name, f"systemd-creds encrypt --name={self.credential} - FILE")


@dataclasses.dataclass(frozen=True, slots=True)
class EnvironmentSource:
    """A variable of the environment."""

    variable: str
    value: str | None = dataclasses.field(repr=False)

    @property
    def name(self) -> str:
        """`env:` and the variable."""
        return f"env:{self.variable}"

    def read(self) -> str | None:
        """The variable's value; None when it is unset or empty."""
        return self.value or None

    def write(self, text: str) -> None:  # noqa: ARG002 - the Protocol's
        """Refused: the environment is set by whoever starts the process."""
        raise _not_ours(self.name, f'export {self.variable}="$(head -c 32 /dev/urandom | base64)"')


@dataclasses.dataclass(frozen=True, slots=True)
class KeyringSource:
    """An entry of the desktop's keyring; only backends that really protect it (never keyrings.alt)."""

    service: str

    @property
    def name(self) -> str:
        """`keyring:` and the service."""
        return f"keyring:{self.service}"

    def _backend(self) -> Any:
        try:
            import keyring
        except ImportError:
            raise KeyProblem(
                f"{EXPLICIT} is {self.name}, and the extra for it is not installed: pip install 'datapallas[keyring]'",
                case="no-keyring",
            ) from None
        backend = keyring.get_keyring()
        module = type(backend).__module__
        if module.startswith(("keyring.backends.fail", "keyring.backends.null", "keyrings.alt")):
            raise KeyProblem(
                f"{EXPLICIT} is {self.name}, and this session has no keyring that protects it ({module}).",
                case="no-keyring",
            )
        return backend

    def read(self) -> str | None:
        """The entry; None when there is none."""
        found: str | None = self._asked("get_password")
        return found

    def write(self, text: str) -> None:
        """Replace the entry."""
        self._asked("set_password", text)

    def _asked(self, what: str, *given: str) -> Any:
        backend = self._backend()
        try:
            return getattr(backend, what)(self.service, _ACCOUNT, *given)
        except Exception as wrong:  # backends raise what their systems raise
            raise KeyProblem(
                f"The keyring for {self.name} fails: {type(wrong).__name__}.", case="no-keyring"
            ) from wrong


def sources(root: Path, environ: Mapping[str, str]) -> list[Source]:
    """The places to look: the one that is named, or else systemd's, the home's file, and the environment.

    KeyProblem when DATAPALLAS_KEY_SOURCE names none.
    """
    named = environ.get(EXPLICIT, "")
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if not named:
        return [
            CredentialSource(directory, CREDENTIAL),
            FileSource(usual_file(root)),
            EnvironmentSource(VARIABLE, environ.get(VARIABLE)),
        ]
    kind, _, rest = named.partition(":")
    if rest and kind == "file":
        return [FileSource(root / Path(rest).expanduser())]
    if rest and kind == "credential" and "/" not in rest:
        return [CredentialSource(directory, rest)]
    if rest and kind == "keyring":
        return [KeyringSource(rest)]
    if rest and kind == "env":
        return [EnvironmentSource(rest, environ.get(rest))]
    raise KeyProblem(
        f"{EXPLICIT} is {named!r}; it must be file:PATH, credential:NAME, keyring:SERVICE or env:NAME.",
        case="bad-source",
    )


def usual_file(root: Path) -> Path:
    """The key file of a home when no other source is named."""
    return root / "data" / "keys" / "keyring.json"


def _text(data: bytes, name: str) -> str:
    try:
        if len(data) <= _LIMIT:
            return data.decode("ascii")
    except UnicodeDecodeError:
        pass
    raise KeyProblem(f"{name} does not hold a key: it is too long or not text.", case="bad-key")


def _not_ours(name: str, command: str) -> KeyProblem:
    return KeyProblem(
        f"The key in {name} is kept outside DataPallas and cannot be written from here. Make one with: {command}",
        case="read-only",
        command=command,
    )
