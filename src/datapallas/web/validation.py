"""Values of the wrong kind in a body, a path or a query: which ones, what is wrong with them, what to give.

Must stay true: every sentence is ours, none is the framework's; no value is repeated, since it may be a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datapallas.web.problems import Code, FieldError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi.exceptions import RequestValidationError

_LONGEST_NAME = 64  # of a field that somebody made up
_SENTENCES = {
    "extra_forbidden": "There is no such name here; look for a misspelt one.",
    "missing": "It is missing.",
    "string_type": "Give a text.",
    "string_pattern_mismatch": "Leave it out, or give it as an answer gave it to you.",
    "list_type": "Give a list.",
    "dict_type": "Give an object.",
    "model_type": "Give an object.",
    "model_attributes_type": "Give an object.",
    "bool_type": "Give true or false.",
    "bool_parsing": "Give true or false.",
    "int_type": "Give a whole number.",
    "int_parsing": "Give a whole number.",
    "int_parsing_size": "Give a whole number with fewer digits.",
    "int_from_float": "Give a whole number.",
    "float_type": "Give a number.",
    "float_parsing": "Give a number.",
    "string_too_long": "Give at most {max_length} characters.",
    "string_too_short": "Give at least {min_length} characters.",
    "too_long": "It is too long: {max_length} is the most.",
    "too_short": "It is too short: {min_length} is the least.",
    "enum": "Give one of: {expected}.",
    "literal_error": "Give one of: {expected}.",
    "greater_than_equal": "Give {ge} or more.",
    "less_than_equal": "Give {le} or less.",
}
"""What is wrong with a value, by the framework's names."""
_WHOLE_BODY = {
    "missing": "The body is missing: send a JSON object with Content-Type: application/json.",
    "model_attributes_type": "The body must be a JSON object, such as {}.",
    "model_type": "The body must be a JSON object, such as {}.",
    "dict_type": "The body must be a JSON object, such as {}.",
}
_OTHERWISE = "It cannot be used as it is; docs/api.md and /api/docs on this server say what is expected."


def of_validation(error: RequestValidationError) -> Problem:
    """Which values are of the wrong kind, and what to give instead; never a value."""
    found = [_field_error(one) for one in error.errors()]
    said = " ".join(f"{one.field}: {one.sentence}" if one.field else one.sentence for one in found)
    return Problem(
        status=422, title="A value is not valid", detail=said, code=Code.NOT_VALID, errors=tuple(found)
    )


def _field_error(one: Mapping[str, Any]) -> FieldError:
    if one["type"] == "json_invalid":  # its place is a number of letters, which is no field
        return FieldError("", "The body is not JSON; look for a missing quote, comma or brace.")
    names = [str(part)[:_LONGEST_NAME] for part in one["loc"][1:]]
    return FieldError(".".join(names), _sentence(one, body=not names))


def _sentence(one: Mapping[str, Any], *, body: bool) -> str:
    kind, facts = str(one["type"]), one.get("ctx", {})
    if body and kind in _WHOLE_BODY:
        return _WHOLE_BODY[kind]
    if facts.get("min_length") == 1:
        return "It is empty."
    if kind in _SENTENCES:
        return _SENTENCES[kind].format_map({"expected": "", **facts})
    if kind == "value_error":  # of a check of ours
        return str(one["msg"]).removeprefix("Value error, ")
    return _OTHERWISE
