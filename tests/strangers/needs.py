"""What must be installed for the strangers to run.

A laptop without them skips these tests and is told what to install; CI has everything, so there a gap is a failure.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

MAIL_PACKAGES = "apt-get install --no-install-recommends postfix dovecot-core dovecot-submissiond"
# Debian keeps servers where only root's PATH looks.
_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def program(name: str, advice: str) -> str:
    """The path of a program; without it the test is skipped, or fails in CI."""
    return shutil.which(name, path=_SEARCH) or missing(f"{name} is not installed: {advice}")


def missing(reason: str) -> NoReturn:
    """Skip, saying what to install; in CI, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
