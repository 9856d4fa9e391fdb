"""What the identity provider has given out: codes, refresh tokens, access tokens, device codes. In memory only.

Must stay true:
- a code is good once; using it again ends what it gave (RFC 6749 section 4.1.2);
- with strict rotation a refresh token is good once; using it again ends the whole family, access tokens too
  (RFC 9700 section 4.14.2);
- every value given out has at least 128 bits from the system's source; nothing here logs or prints one.

Time is an argument, in seconds of one clock. Every method is called from the one thread of the sandbox.
"""

from __future__ import annotations

import dataclasses
import secrets
from enum import Enum, auto

from datapallas.sandbox.settings import Dialect, Rotation, Settings

_USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words (RFC 8628 section 6.1)


class Refused(Exception):
    """A request that gets an error answer; `reason` is a key of `refusals.REASONS`."""

    def __init__(self, reason: str, **facts: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.facts = facts


@dataclasses.dataclass(slots=True)
class Grant:
    """What one person allowed one program: the family all its tokens belong to."""

    client_id: str
    user: str
    scope: tuple[str, ...]
    dialect: Dialect
    tenant: str = ""
    offline: bool = False
    nonce: str = ""
    revoked: bool = False


@dataclasses.dataclass(slots=True)
class Code:
    """An authorization code and what it is bound to (RFC 6749 section 4.1.2, RFC 7636)."""

    grant: Grant
    redirect_uri: str
    challenge: str
    expires: float
    used: bool = False


@dataclasses.dataclass(slots=True)
class Refresh:
    """A refresh token."""

    grant: Grant
    expires: float
    used: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """An access token, and for which scopes."""

    grant: Grant
    scope: tuple[str, ...]
    expires: float


class DeviceState(Enum):
    """Where a device sign-in stands."""

    PENDING = auto()
    ALLOWED = auto()
    DENIED = auto()
    USED = auto()


@dataclasses.dataclass(slots=True)
class Device:
    """A device waiting for a person with a browser (RFC 8628)."""

    device_code: str
    user_code: str
    grant: Grant
    expires: float
    interval: float
    state: DeviceState = DeviceState.PENDING
    polled: float | None = None


class Ledger:
    """All that was given out."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.codes: dict[str, Code] = {}
        self.refreshes: dict[str, Refresh] = {}
        self.accesses: dict[str, Access] = {}
        self.devices: dict[str, Device] = {}

    def give_code(self, grant: Grant, redirect_uri: str, challenge: str, now: float) -> str:
        """A new authorization code."""
        value = secrets.token_urlsafe(32)
        self.codes[value] = Code(grant, redirect_uri, challenge, now + self.settings.code_seconds)
        return value

    def take_code(self, value: str, now: float) -> Code:
        """Spend a code; raises Refused when unknown, old, or used before (which ends what it gave)."""
        code = self.codes.get(value)
        if code is None:
            raise Refused("code-unknown")
        if code.used:
            code.grant.revoked = True
            raise Refused("code-used")
        if code.expires <= now:
            raise Refused("code-old")
        code.used = True
        return code

    def give_access(self, grant: Grant, scope: tuple[str, ...], now: float) -> str:
        """A new access token of the length the settings ask for."""
        length = max(self.settings.token_length, 22)  # 22 characters are 128 bits
        value = secrets.token_urlsafe(length * 3 // 4 + 1)[:length]
        self.accesses[value] = Access(grant, scope, now + self.settings.access_seconds)
        return value

    def access(self, value: str, now: float) -> Access | None:
        """The access token, or None when it is unknown, old or revoked."""
        found = self.accesses.get(value)
        return found if found and found.expires > now and not found.grant.revoked else None

    def give_refresh(self, grant: Grant, now: float) -> str:
        """A new refresh token."""
        value = secrets.token_urlsafe(64)
        self.refreshes[value] = Refresh(grant, now + self.settings.refresh_seconds)
        return value

    def take_refresh(self, value: str, client_id: str, now: float) -> Refresh:
        """Use a refresh token; raises Refused when unknown, another client's, old, revoked, or used before."""
        found = self.refreshes.get(value)
        if found is None or found.grant.client_id != client_id:
            raise Refused("refresh-unknown")
        if found.grant.revoked:
            raise Refused("refresh-revoked")
        if found.expires <= now:
            raise Refused("refresh-old")
        if found.used and self.settings.rotation is Rotation.STRICT:
            found.grant.revoked = True
            raise Refused("refresh-reused")
        return found

    def rotate(self, value: str, now: float) -> str:
        """What the program has to keep after it used the refresh token `value`: a new one, or `value` again."""
        old = self.refreshes[value]
        if self.settings.rotation is Rotation.NONE:
            old.expires = now + self.settings.refresh_seconds
            return value
        old.used = True
        return self.give_refresh(old.grant, now)

    def give_device(self, grant: Grant, now: float) -> Device:
        """A new device code and the short code a person types."""
        letters = "".join(secrets.choice(_USER_CODE_LETTERS) for _ in range(8))
        device = Device(
            secrets.token_urlsafe(32),
            f"{letters[:4]}-{letters[4:]}",
            grant,
            now + self.settings.device_seconds,
            self.settings.device_interval,
        )
        self.devices[device.device_code] = device
        return device

    def device_for(self, user_code: str, now: float) -> Device | None:
        """The waiting device a person means; small letters, spaces and a missing dash do not matter."""
        wanted = "".join(letter for letter in user_code.upper() if letter in _USER_CODE_LETTERS)
        for device in self.devices.values():
            typed = device.user_code.replace("-", "")
            if typed == wanted and device.state is DeviceState.PENDING and device.expires > now:
                return device
        return None

    def poll_device(self, value: str, client_id: str, now: float) -> Device:
        """A device asks whether its person is done; raises Refused with what to tell it (RFC 8628 section 3.5)."""
        device = self.devices.get(value)
        if device is None or device.grant.client_id != client_id or device.state is DeviceState.USED:
            raise Refused("device-unknown")
        early = device.polled is not None and now - device.polled < device.interval * 0.9
        device.polled = now
        if device.state is DeviceState.DENIED:
            raise Refused("denied")
        if device.expires <= now:
            raise Refused("device-old")
        if device.state is DeviceState.PENDING:
            if early:
                device.interval += 5  # "slow_down" adds five seconds for good
                raise Refused("device-slow-down")
            raise Refused("device-pending")
        device.state = DeviceState.USED
        return device

    def revoke(self, value: str, client_id: str) -> bool:
        """End the sign-in a token belongs to (RFC 7009); False when the client has no such token."""
        found = self.refreshes.get(value) or self.accesses.get(value)
        if found is None or found.grant.client_id != client_id:
            return False
        found.grant.revoked = True
        return True

    def revoke_user(self, user: str) -> int:
        """End every sign-in of one person, as an administrator does; how many there were."""
        grants = {id(row.grant): row.grant for row in self.refreshes.values() if row.grant.user == user}
        live = [grant for grant in grants.values() if not grant.revoked]
        for grant in live:
            grant.revoked = True
        return len(live)

    def expire_access(self, user: str = "") -> None:
        """Make every access token given out so far old; of one person, or of all."""
        for value, row in list(self.accesses.items()):
            if user in {"", row.grant.user}:
                self.accesses[value] = dataclasses.replace(row, expires=float("-inf"))
