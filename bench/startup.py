"""How long a whole process takes: `datapallas --help`, and `datapallas send` to the sandbox, next to msmtp.

The sandbox runs in this process; every command is one process that is started, waited for and paid for (wait4).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report import Verdict, figure
from bench.rig import Wrong, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rig import Rig

    from datapallas.sandbox import Sandbox

BASE = "python -c pass"
HELP = "datapallas --help"
SEND = "datapallas send, OAuth2 (the token is refreshed and stored)"
SEND_PASSWORD = "datapallas send, password"
MSMTP = "msmtp, password"
_TITLE = "Whole processes, the sandbox as the server"
_TO = "bob@sandbox.example"
_LIMITS = ((HELP, 120.0), (SEND, 250.0), (SEND_PASSWORD, 250.0))


@dataclasses.dataclass(frozen=True)
class Command:
    """A process to start.

    Attributes:
        mails: how many messages reach the sandbox.
    """

    argv: list[str]
    stdin: bytes = b""
    mails: int = 0


@dataclasses.dataclass(frozen=True)
class Started:
    """What was measured."""

    verdicts: list[Verdict]
    table: str


def run(rig: Rig, rounds: int, *, quick: bool) -> Started | None:
    """Measure; None when the sandbox or the command are not there."""
    program = Path(sys.executable).parent / "datapallas"
    if not program.exists():
        say(f"{program} is not installed: no start-up figures.")
        return None
    from datapallas.sandbox import Sandbox

    home = rig.work / "home"
    with Sandbox(rig.work / "sandbox") as sandbox, _environment(home):
        commands = _commands(rig, program, sandbox, home)
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for command in commands.values():
            _once(command)  # compiles what Python caches
        for turn in range(rounds):
            for _ in range(1 if quick else 3):
                for name, command in commands.items():
                    samples[name].append(_once(command))
            say(f"  startup: round {turn + 1} of {rounds}")
        wanted = sum(command.mails for command in commands.values()) * (1 + rounds * (1 if quick else 3))
        if len(sandbox.messages) != wanted:
            raise Wrong(f"startup: the sandbox has {len(sandbox.messages)} messages, not {wanted}.")
        profile = "\n".join(_imports(commands[name].argv, name) for name in (HELP, SEND))
    return Started(_judge(samples), _table(samples) + "\n" + profile)


@contextlib.contextmanager
def _environment(home: Path) -> Iterator[None]:
    before = dict(os.environ)
    os.environ |= {"DATAPALLAS_HOME": str(home), "HOME": str(home)}
    # An installed package has its byte code beside it; a checkout may be told to keep none.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(home.parent / "bytecode")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _commands(rig: Rig, program: Path, sandbox: Sandbox, home: Path) -> dict[str, Command]:
    from datapallas.connection.model import Provider
    from datapallas.home import Home

    folder = Home(home, dict(os.environ)).folder
    signed_in = sandbox.connection(signed_in=True)
    password = sandbox.connection(provider=Provider.NONE)
    folder.create(signed_in)
    folder.create(dataclasses.replace(password, code="eml-password"))
    text = rig.file("4k.txt")

    def send(code: str) -> Command:
        rest = ["--to", _TO, "--subject", "Figures", "--text-file", text]
        return Command([str(program), "send", "--connection", code, *rest], mails=1)

    commands = {
        BASE: Command([sys.executable, "-c", "pass"]),
        HELP: Command([str(program), "--help"]),
        SEND: send(signed_in.code),
        SEND_PASSWORD: send("eml-password"),
    }
    msmtp = shutil.which("msmtp")
    if msmtp is None:
        say("msmtp is not installed: its row stays empty. Debian and Ubuntu: apt-get install msmtp")
        return commands
    settings = rig.work / "msmtprc"
    settings.write_text(
        f"account default\nhost 127.0.0.1\nport {sandbox.smtp_port}\ntls on\ntls_starttls on\n"
        f"tls_trust_file {sandbox.ca_file}\nauth plain\nuser {sandbox.users[0]}\n"
        f"password {sandbox.password.reveal()}\nfrom {sandbox.users[0]}\n"
    )
    settings.chmod(0o600)
    commands[MSMTP] = Command([msmtp, "-C", str(settings), _TO], Path(rig.file("4k.eml")).read_bytes(), 1)
    return commands


def _once(command: Command) -> tuple[float, float]:
    """Run one process; give its wall and CPU milliseconds."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command.argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(command.stdin)
    process.stdin.close()
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise Wrong(f"{' '.join(command.argv)} failed:\n{said.decode(errors='replace')}")
    return wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def _judge(samples: dict[str, list[tuple[float, float]]]) -> list[Verdict]:
    verdicts = []
    for name, limit in _LIMITS:
        over = [one[0] - base[0] for one, base in zip(samples[name], samples[BASE], strict=True)]
        middle = statistics.median(over)
        verdicts.append(
            Verdict(
                _TITLE,
                f"{name}: ms over `{BASE}`",
                f"at most {limit:g}",
                middle,
                min(over),
                max(over),
                middle <= limit,
                "",
            )
        )
    return verdicts


def _table(samples: dict[str, list[tuple[float, float]]]) -> str:
    lines = [f"### {_TITLE}", "", "| | wall ms | CPU ms |", "|---|---:|---:|"]
    for name, values in samples.items():
        wall, cpu = (statistics.median(one[index] for one in values) for index in (0, 1))
        lines.append(f"| {name} | {figure(wall)} | {figure(cpu)} |")
    return "\n".join([*lines, ""])


def _imports(argv: list[str], name: str) -> str:
    """Say where the import time of a command goes, by top-level package."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *argv], capture_output=True, text=True, check=True
    )
    spent: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and parts[0].strip().isdigit():
            spent[parts[2].strip().partition(".")[0]] += int(parts[0])
    listed = ", ".join(f"{package} {micros / 1000:.1f}" for package, micros in spent.most_common(14))
    return f"Import profile of `{name}` (ms itself, by package, measured with -X importtime; all {spent.total() / 1000:.0f}): {listed}.\n"
