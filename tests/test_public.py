"""The public names of the library are what they are said to be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import datapallas
from datapallas import errors


def test_every_public_name_is_there_and_known_to_type_checkers() -> None:
    """What `dir` shows can be used, and a type checker sees the same names."""
    tree = ast.parse(Path(datapallas.__file__).read_text())
    typed = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("datapallas.")
        for alias in node.names
    }
    assert {*typed, "__version__"} == set(datapallas.__all__)
    for name in datapallas.__all__:
        assert getattr(datapallas, name) is not None


def test_every_error_is_public() -> None:
    """Whatever is raised can be caught by its public name."""
    kinds = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    assert kinds <= set(datapallas.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A slip of the pen is told as Python tells it."""
    with pytest.raises(AttributeError, match="sent"):
        _ = datapallas.sent


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("datapallas", {"httpx2", "cryptography", "ssl", "asyncio", "click", "email"}),
        ("datapallas.cli.app", {"httpx2", "cryptography", "ssl", "asyncio", "email", "datapallas.home"}),
        ("datapallas.connection.folder", {"httpx2", "cryptography", "ssl", "asyncio", "email"}),
    ],
)
def test_importing_one_part_does_not_import_the_heavy_ones(module: str, heavy: set[str]) -> None:
    """A command starts quickly because it imports only what it needs."""
    script = f"import sys, {module}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not heavy & set(loaded.stdout.split())
