"""A secret cannot be printed by accident."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback

import pytest

from datapallas.secret import Secret

CANARY = "canary-5f1c"


@dataclasses.dataclass
class Holder:
    token: Secret


def test_no_way_of_printing_shows_it() -> None:
    """Print, format, repr, logging style and dataclass repr show stars."""
    secret = Secret(CANARY)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>40}", "%s" % secret, repr(Holder(secret))]  # noqa: UP031
    assert CANARY not in "".join(shown)
    assert secret.reveal() == CANARY


def test_it_is_not_written_to_disk_by_pickle_json_or_copy() -> None:
    """Serialisers fail rather than write the value."""
    secret = Secret(CANARY)
    for serialise in (pickle.dumps, json.dumps, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            serialise(secret)
        assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_two_secrets_compare_by_value_and_have_no_hash() -> None:
    """Equality works; being a dictionary key does not."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")
    with pytest.raises(TypeError):
        hash(Secret("a"))
