"""The tables of docs/doctor.md: the doctor's checks, and the worlds it was tried in.

In `tests/`: `python -m diagnosis.doctor_table` builds every world, lets the doctor look, and prints what it named;
`python -m diagnosis.doctor_table --page > ../docs/doctor.md` makes the page (`test_doctor.py` proves each line of it).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from datapallas.diagnosis.doctor import CHECKS, Mark, examine
from diagnosis.worlds import BROKEN, HEALTHY
from diagnosis.worlds_kit import Workshop

_TOP = """\
# The doctor

    datapallas system doctor eml-office365
    datapallas system doctor --provider microsoft

tries out, in order, everything a message needs on its way, and stops at the first cause: what it is, one thing to do, and who can do it. Without a code it examines the default connection. With `--provider` (or `--preset`) it works before there is a connection: can this machine reach the provider and its mail server? With `--json` it prints every check and, as `error`, the diagnosis. It ends with 0 when nothing stands in the way, else with what a sending would end with ([exit-codes.md](exit-codes.md)).

It sends nothing to anybody: at the mail server it signs in, offers the sender, and takes it back. (Exchange says only after a message whether the mailbox may send as another address; `datapallas system test-email` shows that.) It asks the provider for a new token as a sending would, so the sign-in is kept; a connection that was parked for a reason that has passed works again.

## What it looks at
"""
_NETWORK = """
## What the network must let through

| to | port | for |
|---|---|---|
| `login.microsoftonline.com` | 443 | Microsoft: sign-in and tokens; through HTTPS_PROXY where one is set |
| `smtp.office365.com`, `smtp-mail.outlook.com` | 587 | Microsoft: mail, work and personal; directly, not through a proxy |
| `accounts.google.com`, `oauth2.googleapis.com` | 443 | Google: sign-in and tokens; through HTTPS_PROXY where one is set |
| `smtp.gmail.com` | 587 or 465 | Google: mail; directly |

A port that a firewall drops is told apart from one where nobody listens: what is dropped is never answered, what is closed is refused at once. A program that opens TLS on the way is named by the issuer of the certificate it shows.
"""
_WORLDS = """
## Where it was tried

Each line is a world built on this machine with one thing wrong in it; the tests prove that the doctor names that, and nothing else. Made by `python -m diagnosis.doctor_table --page` in `tests/`.
"""


def checks() -> list[str]:
    """One line for each check: its name, its title, what it looks at."""
    lines = ["| check | | passes when |", "|---|---|---|"]
    for check in CHECKS:
        what = (check.examine.__doc__ or "").strip().splitlines()[0].rstrip(".")
        lines.append(f"| `{check.name}` | {check.title} | {what[0].lower() + what[1:]} |")
    return lines


def worlds() -> list[str]:
    """One line for each broken world, and the healthy ones in a list."""
    lines = ["| what is wrong | found by | diagnosis | exit code |", "|---|---|---|---|"]
    lines += [
        f"| {world.title} | `{world.stops_at}` | [{world.diagnosis}](errors.md#{world.diagnosis}) | {world.exit_code} |"
        for world in BROKEN
    ]
    lines += ["", "No false alarm where all is well:", ""]
    return [*lines, *(f"- {title}" for title, _ in HEALTHY)]


def page() -> str:
    """docs/doctor.md."""
    return "\n".join([_TOP, *checks(), _NETWORK, _WORLDS, *worlds()]) + "\n"


def tried() -> int:
    """Build every world and print what the doctor says; how often it was wrong."""
    wrong = 0
    every = [(world.title, world.build, (world.stops_at, world.diagnosis)) for world in BROKEN]
    every += [(title, build, ("", "nothing")) for title, build in HEALTHY]
    for title, build, wanted in every:
        with tempfile.TemporaryDirectory() as folder, Workshop(Path(folder)) as shop:
            case = build(shop)
            begun = time.monotonic()
            found = [one for one in examine(case) if one.mark is Mark.FAILED]
            seconds = time.monotonic() - begun
        named = (
            (found[0].name, found[0].problem.id)
            if found and found[0].problem is not None
            else ("", "nothing")
        )
        wrong += named != wanted
        print(
            f"{'ok' if named == wanted else 'WRONG':<5} {seconds:5.2f} s  {title:<62} {named[0]:<13} {named[1]}"
        )
    print(f"{len(BROKEN)} broken worlds and {len(HEALTHY)} healthy ones, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    if "--page" in sys.argv:
        print(page(), end="")
    else:
        sys.exit(tried())
