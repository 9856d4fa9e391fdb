"""What an installation remembers about one connection beside its file: no secrets, nothing that cannot be lost.

`<home>/data/connections/<code>.json`. Must stay true: a missing or damaged record is an empty one, never a failure;
losing it costs explanations and the note that the provider refused, not mail and not a sign-in.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from datapallas import files
from datapallas.connection.identity import Identity
from datapallas.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LIMIT = 65536
_TEXTS = ("refreshed_at", "refresh_ends", "secret_ends", "issuer")


def fingerprint(text: str) -> str:
    """Sixteen hex digits that tell one sealed text from another."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True, slots=True)
class SealNote:
    """What a sealed value was sealed for: so that a failed opening can say what has changed since.

    Attributes:
        fingerprint: of the sealed text.
        identity: what it was sealed for.
        generation: counts up with each new refresh token; a lower one in the file is a restored backup.
    """

    fingerprint: str
    identity: Identity
    generation: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Intent:
    """A refresh that was about to be sent: generation and fingerprint of the token it used."""

    generation: int
    token: str
    at: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """What the provider refused with, in its own words (RFC 6749 section 5.2), and when first (ISO 8601 UTC)."""

    error: str
    description: str = ""
    error_codes: tuple[int, ...] = ()
    correlation_id: str = ""
    at: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One connection's record.

    Attributes:
        seals: field name to what it was sealed for.
        intent: set while a refresh request is under way; found later, its answer was lost.
        parked: set when the provider refused the stored sign-in.
        refused: set when it refused for another reason (the client, a policy): a new sign-in need not help, and the
            next success ends it.
        refreshed_at: when a token last came, ISO 8601 UTC, or empty.
        refresh_ends: when the refresh token ends whatever happens, where the provider said so, ISO 8601 UTC.
        secret_ends: when the client secret ends, as a person said, ISO 8601 UTC; a new secret empties it.
        issuer: who the provider said it is at the sign-in, or empty.
        warned: which warnings were given, by which way; see `home.warnings`.
    """

    seals: Mapping[str, SealNote] = dataclasses.field(default_factory=dict)
    intent: Intent | None = None
    parked: Refusal | None = None
    refused: Refusal | None = None
    refreshed_at: str = ""
    refresh_ends: str = ""
    secret_ends: str = ""
    issuer: str = ""
    warned: tuple[str, ...] = ()


def load(path: Path) -> Record:
    """The record in `path`; an empty one when it is missing or damaged."""
    try:
        return from_text(files.read(path, limit=_LIMIT))
    except (OSError, StorageError):
        return Record()


def save(path: Path, record: Record) -> None:
    """Write the record, whole or not at all. Raises StorageError."""
    files.private_directory(path.parent)
    files.replace(path, to_text(record).encode())


def from_text(text: str | bytes) -> Record:
    """The record that `to_text` wrote; an empty one for anything else."""
    import json

    try:
        return _from_json(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Record()


def to_text(record: Record) -> str:
    """A record as JSON."""
    import json

    return json.dumps(_to_json(record), indent=1, sort_keys=True)


def _to_json(record: Record) -> dict[str, Any]:
    return {
        "version": 1,
        "seals": {
            field: {
                "fingerprint": note.fingerprint,
                "generation": note.generation,
                "identity": dict(note.identity.pairs),
            }
            for field, note in record.seals.items()
        },
        "intent": dataclasses.asdict(record.intent) if record.intent else None,
        "parked": dataclasses.asdict(record.parked) if record.parked else None,
        "refused": dataclasses.asdict(record.refused) if record.refused else None,
        "warned": list(record.warned),
        **{name: getattr(record, name) for name in _TEXTS},
    }


def _from_json(value: dict[str, Any]) -> Record:
    intent = value["intent"]
    if intent is not None:
        intent = Intent(int(intent["generation"]), str(intent["token"]), str(intent["at"]))
    return Record(
        seals={
            field: SealNote(
                str(note["fingerprint"]),
                Identity(tuple(sorted((str(k), str(v)) for k, v in note["identity"].items()))),
                int(note["generation"]),
            )
            for field, note in value["seals"].items()
        },
        intent=intent,
        parked=_refusal(value["parked"]),
        refused=_refusal(value.get("refused")),
        warned=tuple(str(key) for key in value.get("warned", ())),
        **{name: str(value.get(name, "")) for name in _TEXTS},
    )


def _refusal(value: dict[str, Any] | None) -> Refusal | None:
    if value is None:
        return None
    codes = tuple(int(code) for code in value.pop("error_codes"))
    return Refusal(**{name: str(text) for name, text in value.items()}, error_codes=codes)
