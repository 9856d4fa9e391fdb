"""What a command pays for before it does anything."""

from __future__ import annotations

import subprocess
import sys


def test_looking_at_connections_loads_no_cryptography() -> None:
    """Listing, and importing the package, needs neither cryptography nor an HTTP client, TLS or asyncio."""
    code = (
        "import sys, pathlib\n"
        "from datapallas.connection import folder, keys, key_sources, provider, rotation\n"
        "folder.Folder(pathlib.Path('/nonexistent'), lambda: keys.ensure(pathlib.Path('/nonexistent'), {})).list()\n"
        "heavy = {'cryptography', 'httpx2', 'ssl', 'asyncio', 'socket', 'email', 'keyring', 'lxml', 'json'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() in {"[]", "['json']"}
