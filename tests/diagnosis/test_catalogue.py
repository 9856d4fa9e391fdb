"""The catalogue as data: complete, consistent, and never ambiguous."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

from datapallas.diagnosis import evidence
from datapallas.diagnosis.catalogue import WHO, Evidence, Row, as_markdown, best, fill, rows
from datapallas.diagnosis.explain import explain, explain_all

ROOT = Path(__file__).parents[2]
SEEN = [(row, text) for row in rows() for text in row.seen]
_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_EXCEPTIONS = {
    "unknown",
    "internal",
    "interrupted",
    "tls-failed",
    "unreachable",
}  # no text says these; the class does


@pytest.mark.parametrize(
    ("row", "text"), SEEN, ids=lambda value: value.id if isinstance(value, Row) else value[:40]
)
def test_each_text_as_it_was_met_leads_to_one_diagnosis(row: Row, text: str) -> None:
    """A refusal that somebody met and pastes is explained by its own row, and by no other."""
    assert explain(text).id == row.id
    if row.id != "unknown":
        assert [one.id for one in explain_all(text)] == [row.id]


@pytest.mark.parametrize(
    ("row", "text"), SEEN, ids=lambda value: value.id if isinstance(value, Row) else value[:40]
)
def test_no_two_rows_fit_equally_well(row: Row, text: str) -> None:
    """The most specific row wins by its score, not by its place in the file."""
    for one in evidence.of_text(text):
        first, second = sorted((other.score(one) for other in rows()), reverse=True)[:2]
        assert first > second


def test_no_condition_stands_in_two_rows() -> None:
    """One code, one number, one status and one word each lead to one row."""
    owners: dict[tuple[object, ...], str] = {}
    for row in rows():
        for entry in row.match:
            for values in itertools.product(*entry.values()):
                key = tuple(sorted(zip(entry, map(str, values), strict=True)))
                assert key not in owners or owners[key] == row.id, f"{key} is in {owners[key]} and {row.id}"
                owners[key] = row.id


def test_rows_say_everything_a_person_needs() -> None:
    """Each row has a cause, one thing to do, who does it, and where it is documented."""
    ids = [row.id for row in rows()]
    assert len(ids) == len(set(ids))
    for row in rows():
        assert _KEBAB.fullmatch(row.id)
        assert not row.title.endswith(".")
        assert row.cause.endswith(".")
        assert row.who in WHO
        assert re.fullmatch(r"https://\S+|docs/[\w-]+\.md", row.source), row.id
        if row.source.startswith("docs/"):
            assert (ROOT / row.source).is_file(), row.source


def test_a_fix_is_one_imperative_sentence() -> None:
    """There is one thing to do next, and it starts with the verb."""
    for row in rows():
        for fix in (row.fix, *row.fix_for.values()):
            plain = re.sub(r"`[^`]*`", "`command`", fill(fix, {}))
            assert re.fullmatch(r"[A-Z][a-z]+ .*\.", plain), row.id
            assert not re.search(r"[.!?;] [A-Z]", plain), f"{row.id}: more than one sentence"


def test_a_missing_fact_leaves_a_readable_fix() -> None:
    """Where a fact is not known, the advice still reads well and shows no brackets."""
    for row in rows():
        for text in (row.cause, row.fix, *row.fix_for.values()):
            assert not re.search(
                r"[{}|]", fill(text, {}).replace("Get-CASMailbox -Identity MAILBOX | fl", "")
            ), row.id


def test_facts_make_the_fix_exact() -> None:
    """A known mailbox stands in the command that is to be typed."""
    fix = explain(
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
        {"mailbox": "reports@contoso.example"},
    ).fix
    assert "Set-CASMailbox -Identity reports@contoso.example -SmtpClientAuthenticationDisabled $false" in fix


def _strings(node: ast.AST | None) -> set[str]:
    walked = ast.walk(node) if node is not None else ()
    return {one.value for one in walked if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def _class_codes(tree: ast.AST) -> set[str]:
    """`code = "x"`, `code: str = "x"` and `code, exit_code = "x", 64` in a class."""
    found: set[str] = set()
    for line in (line for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for line in node.body):
        if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == "code":
            found |= _strings(line.value)
        if isinstance(line, ast.Assign):
            names = ast.unparse(line.targets[0]).strip("()").split(", ")
            values = line.value.elts if isinstance(line.value, ast.Tuple) else [line.value]
            found |= {
                text
                for name, value in zip(names, values, strict=False)
                if name == "code"
                for text in _strings(value)
            }
    return found


def _call_codes(tree: ast.AST) -> set[str]:
    """`code="x"` at a call, and what is given to, or is the default of, a parameter `code` of a helper."""
    found: set[str] = set()
    places: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            names = [one.arg for one in arguments.args]
            both = [*zip(reversed(names), reversed(arguments.defaults), strict=False)]
            both += [
                (one.arg, value)
                for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
                if value
            ]
            found |= {text for name, value in both if name == "code" for text in _strings(value)}
            if "code" in names:
                places[node.name] = names.index("code")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            found |= _strings(node.value) if node.targets[0].attr == "code" else set()
        if isinstance(node, ast.Call):
            found |= {text for word in node.keywords if word.arg == "code" for text in _strings(word.value)}
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name.startswith("_") and len(node.args) > places.get(name, 99):
                found |= _strings(node.args[places[name]])
    return found


def _codes(path: Path) -> set[str]:
    """Every error code a file can give."""
    tree = ast.parse(path.read_text())
    found = _call_codes(tree)
    if path.name == "errors.py" or "Error" in path.read_text():
        found |= _class_codes(tree)
    return {code for code in found if _KEBAB.fullmatch(code) and not code.startswith("eml-")}


def test_every_error_code_in_the_source_has_a_row() -> None:
    """No failure reaches a person without an explanation of its own: each code in the source is in the catalogue."""
    known = {code for row in rows() for entry in row.match for code in entry.get("code", ())}
    used: dict[str, str] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        if "sandbox" in path.parts or path.name.startswith("server"):
            continue  # a sandbox makes up other people's errors, and its codes are grants
        used |= dict.fromkeys(_codes(path), str(path.relative_to(ROOT)))
    assert len(used) > 30
    assert not {code: path for code, path in used.items() if code not in known}


def test_every_row_but_those_of_our_own_codes_was_seen() -> None:
    """A row about somebody else's words shows those words, so that the tests above prove it."""
    for row in rows():
        ours = any(entry.keys() & {"code", "case"} for entry in row.match)
        assert row.seen or ours or row.id in _EXCEPTIONS, row.id


def test_errors_md_is_the_catalogue() -> None:
    """docs/errors.md shows every row; `python -m datapallas.diagnosis.catalogue > docs/errors.md` brings it up to date."""
    assert (ROOT / "docs" / "errors.md").read_text("utf-8") == as_markdown()


def test_a_misspelt_condition_is_an_error() -> None:
    """A row that could never fit is noticed when the catalogue is read."""
    from datapallas.diagnosis.catalogue import _row

    with pytest.raises(ValueError, match="statsu"):
        _row({"id": "x", "match": [{"statsu": "5.7.1"}], "who": "you", "source": ""}, {})


def test_a_family_never_wins_over_a_named_cause() -> None:
    """A number we know beats every general rule, however many of them fit."""
    row, score = best(
        Evidence(error="invalid_grant", http="503", reply="550", status="5.7.999", aadsts=frozenset({50173}))
    )
    assert row.id == "microsoft-revoked"
    assert score > 1000
