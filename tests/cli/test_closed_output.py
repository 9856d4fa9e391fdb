"""A command that is started without a standard output still does what it should, and says that nobody could read it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_a_closed_output_is_told_by_the_exit_code(tmp_path: Path) -> None:
    """With stdout closed the connection is made, and the command ends with 74 and no traceback."""
    command = [
        sys.executable,
        "-m",
        "datapallas",
        "--home",
        str(tmp_path),
        "connection",
        "create",
        "a",
        "--host",
        "h",
    ]
    script = 'exec "$@" >&-'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 74
    assert "Traceback" not in done.stderr
    assert (tmp_path / "config" / "connections" / "eml-a.xml").exists()
