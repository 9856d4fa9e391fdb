"""The names that make the advice about a failure exact; what they are is known one floor down, where they are used."""

from datapallas.diagnosis.facts import facts_of

__all__ = ["facts_of"]
