"""What the Jinja2 texts of a report name: for mistakes in them, and for columns that are not there or empty. Pure.

Must stay true: a text is parsed here, never filled in; filling in is for child processes with limits.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import jinja2
from jinja2 import meta, nodes

from datapallas.reports.filters import filters
from datapallas.reports.flaws import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

GIVEN = frozenset({"row", "rows", "values", "report", "today"})
"""Names that every template has, beside the columns of the first row."""

OF_PART = frozenset({"token", "pages"})
"""Names that templates have besides when a PDF is cut; without rows they are columns."""

_OF_DICT = frozenset({"get", "items", "keys", "values"})
_ENVIRONMENT_NAMES = frozenset({"range", "dict", "lipsum", "cycler", "joiner", "namespace", "loop", "self"})


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """A column that a text names.

    Attributes:
        name: the column's.
        line: in the text, from 1.
        optional: the text says itself what happens when it is empty: `{% if name %}`, `name or "..."`, `default`.
        dispensable: the text says what happens when there is no such column: `default`, `is defined`.
    """

    name: str
    line: int
    optional: bool
    dispensable: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Mistake:
    """Why a text is no Jinja2, in a sentence without its full stop, and the line in it."""

    line: int
    reason: str


def mistake(text: str) -> Mistake | None:
    """What is wrong with the syntax of a text; None when nothing is."""
    try:
        tree = _environment().parse(text)
    except jinja2.TemplateSyntaxError as problem:
        reason = (problem.message or "it is not Jinja2").strip().rstrip(".")
        return Mistake(problem.lineno, reason[:1].lower() + reason[1:])
    except RecursionError:
        return Mistake(1, "it is nested too deep")
    return _unknown(tree)


def _unknown(tree: nodes.Template) -> Mistake | None:
    """A filter or a test that is not there: Jinja would tell when the template is filled in."""
    environment = _environment()
    for one in tree.find_all((nodes.Filter, nodes.Test)):
        what, known = (
            ("filter", environment.filters) if isinstance(one, nodes.Filter) else ("test", environment.tests)
        )
        if one.name not in known:
            near = nearest(one.name, known)
            return Mistake(
                one.lineno, f"there is no {what} {one.name!r}{near if 'did you mean' in near else ''}"
            )
    return None


def included(text: str) -> list[str]:
    """The files that a text includes or extends, as far as they stand in it as they are."""
    found = meta.find_referenced_templates(_environment().parse(text))
    return sorted({name for name in found if name})


def uses(text: str) -> tuple[Use, ...]:
    """The columns that a text names: free names, and `row["a column"]`; each once, at its first line."""
    tree = _environment().parse(text)
    free = meta.find_undeclared_variables(tree) - GIVEN - _ENVIRONMENT_NAMES
    found: dict[str, Use] = {}
    dispensable = set(_columns(_defaulted(tree), free))
    optional = dispensable | set(_columns(_asked(tree), free))
    for name, line in _named(tree, free):
        found.setdefault(name, Use(name, line, name in optional, name in dispensable))
    return tuple(found.values())


def constants(text: str) -> Iterator[tuple[str, int]]:
    """The names under `[values]` that a text shows without saying what else to show, with their lines."""
    tree = _environment().parse(text)
    spared = {_constant(one) for node in _defaulted(tree) for one in (node, *node.find_all(nodes.Expr))}
    for node in tree.find_all((nodes.Getitem, nodes.Getattr)):
        name = _constant(node)
        if name and name not in spared:
            yield name, node.lineno


def _constant(node: nodes.Node) -> str:
    """What an expression takes from `values`, or nothing."""
    if not isinstance(node, nodes.Getitem | nodes.Getattr):
        return ""
    if not isinstance(node.node, nodes.Name) or node.node.name != "values":
        return ""
    if isinstance(node, nodes.Getattr):
        return "" if node.attr in _OF_DICT else node.attr
    return str(node.arg.value) if isinstance(node.arg, nodes.Const) else ""


def is_constant(text: str) -> bool:
    """Whether a text is the same for every recipient."""
    return "{{" not in text and "{%" not in text and "{#" not in text


def _named(tree: nodes.Node, free: set[str]) -> Iterator[tuple[str, int]]:
    for node in tree.find_all((nodes.Name, nodes.Getitem, nodes.Getattr)):
        name = _column(node, free)
        if name:
            yield name, node.lineno


def _column(node: nodes.Node, free: set[str]) -> str:
    """The column that an expression is, or nothing."""
    if isinstance(node, nodes.Name):
        return node.name if node.ctx == "load" and node.name in free else ""
    if isinstance(node, nodes.Getitem | nodes.Getattr) and _is_row(node.node):
        if isinstance(node, nodes.Getattr):
            return node.attr if node.attr not in _OF_DICT else ""
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return node.arg.value
    return ""


def _is_row(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "row"


def _asked(tree: nodes.Template) -> list[nodes.Node]:
    """What a text asks about before it uses it."""
    asked: list[nodes.Node] = [node.test for node in tree.find_all(nodes.If)]
    asked += [node.test for node in tree.find_all(nodes.CondExpr)]
    return [*asked, *(node.left for node in tree.find_all(nodes.Or))]


def _defaulted(tree: nodes.Template) -> list[nodes.Node]:
    """What a text has something else for, or asks for the existence of."""
    found: list[nodes.Node] = [
        test.node for test in tree.find_all(nodes.Test) if test.name in {"defined", "undefined"}
    ]
    return found + [
        one.node for one in tree.find_all(nodes.Filter) if one.name in {"default", "d"} and one.node
    ]


def _columns(found: list[nodes.Node], free: set[str]) -> Iterator[str]:
    for node in found:
        for part in (node, *node.find_all((nodes.Name, nodes.Getitem, nodes.Getattr))):
            if name := _column(part, free):
                yield name


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    # Parsed only: nothing is filled in, so nothing needs to be escaped or fenced here.
    found = jinja2.Environment(autoescape=True)
    found.filters.update(filters())
    return found
