"""npm `oidc-provider` as the identity provider: how it is started, and the tests' knobs on it.

`idp/server.mjs` says what is strange in it and what is ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from strangers import needs
from strangers.process import running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = Path(__file__).parent / "idp"
CLIENT = "app"  # public, PKCE
CLIENT_WITH_SECRET = "app-with-secret"
CLIENT_SECRET = "not so secret: 1+1=2"  # what form encoding and HTTP Basic can get wrong
SCOPE = "openid offline_access email smtp"
_OLDEST_NODE = 20


class IdentityProvider:
    """One running provider. Any login with any password signs in; the login becomes subject and address."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.authorize_url = f"{issuer}/auth"
        self.token_url = f"{issuer}/token"
        self.port = int(issuer.rpartition(":")[2])
        # Past any proxy of this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def settings(self, **changed: object) -> None:
        """Set some of the SETTINGS of server.mjs, the others back to normal; forgets the log and planned failures."""
        self._ask("settings", changed)

    def fail(self, status: int, body: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Answer the next token request with this."""
        self._ask("fail", {"status": status, "body": body, "headers": headers or {}})

    def register(self, **metadata: object) -> None:
        """One more client, with the metadata of RFC 7591."""
        self._ask("client", metadata)

    def end_access_tokens(self) -> None:
        """End every access token before its time; the sign-ins live on."""
        self._ask("end-access-tokens", {})

    def revoke_everything(self) -> None:
        """End every sign-in, as an administrator may."""
        self._ask("revoke", {})

    def log(self, path: str = "", grant: str = "") -> list[dict[str, Any]]:
        """What was asked since the last `settings`, of one path or one grant type only when named."""
        found: list[dict[str, Any]] = self._ask("log")
        return [one for one in found if path in ("", one["path"]) and grant in ("", one.get("grant", ""))]

    def refusals(self) -> list[str]:
        """The errors of token requests since the last `settings`."""
        return [one["error"] for one in self.log("/token") if "error" in one]

    def token(self, **form: str) -> dict[str, Any]:
        """What the token endpoint answers to a form, a refusal too."""
        try:
            with self._opener.open(self.token_url, urlencode(form).encode(), timeout=60) as answer:
                body = answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                body = refusal.read()
        found: dict[str, Any] = json.loads(body)
        return found

    def _ask(self, knob: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with self._opener.open(f"{self.issuer}/test/{knob}", data, timeout=60) as answer:
            return json.load(answer)


@contextlib.contextmanager
def identity_provider(state: Path) -> Iterator[IdentityProvider]:
    """Start it, installing it first where it is not yet; `state` takes its log."""
    node = _node()
    _install()
    log = state / "identity-provider.log"
    with running([node, str(FOLDER / "server.mjs")], log) as process:

        def issuer() -> str:
            lines = log.read_text().splitlines()
            return next((line.removeprefix("READY ") for line in lines if line.startswith("READY ")), "")

        def ready_or_dead() -> bool:
            assert process.poll() is None, log.read_text()
            return bool(issuer())

        wait_for(ready_or_dead, "the identity provider to start", 120)
        yield IdentityProvider(issuer())


def _node() -> str:
    node = needs.program("node", "install Node.js 20.19 or newer, and npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < _OLDEST_NODE:
        needs.missing(f"Node.js {version.strip()} is too old for oidc-provider: install 20.19 or newer")
    return node


def _install() -> None:
    """`npm ci`, once for each lock file, and by one of several test runs at a time."""
    lock, done = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".installed-from.json"
    with (FOLDER / "package.json").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if done.exists() and done.read_bytes() == lock.read_bytes():
            return
        npm = needs.program("npm", "install npm, which comes with Node.js")
        command = [npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        ended = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        if ended.returncode:
            needs.missing(f"npm ci in {FOLDER} failed: {ended.stderr or ended.stdout}")
        shutil.copyfile(lock, done)
