"""Sign in with a code that is typed on any other device (RFC 8628).

Must stay true:
- the provider is asked no oftener than it allows: `slow_down` adds five seconds for good, a failing network doubles
  the pause (section 3.5);
- where the provider or a policy forbids this way, that is said, and the other way is named;
- a client secret goes only where the provider whose token address the connection names says it goes.
Time passes by way of an argument.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import provider
from datapallas.connection.model import Provider
from datapallas.errors import ConfigurationError, DataPallasError, SignInAborted, TokenRefused
from datapallas.oauth import grants
from datapallas.oauth.addresses import provider_address
from datapallas.oauth.answers import read_device_answer
from datapallas.oauth.exchange import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.model import OAuth2Client
    from datapallas.oauth.answers import DeviceAnswer, TokenAnswer
    from datapallas.oauth.asked import Asked
    from datapallas.oauth.endpoint import Answer

_LONGEST_PAUSE = 60.0  # seconds between two polls while the network fails
_NOT_FOUND = 404
_DECLINED = frozenset(
    {"access_denied", "authorization_declined"}
)  # RFC 8628 section 3.5; Microsoft's own word
_EXPIRED = frozenset({"expired_token", "code_expired"})
_NOT_THIS_WAY = frozenset({"unsupported_grant_type", "unauthorized_client"})
# Policies that commonly refuse device codes and let a browser through (Microsoft's reference of error codes).
_POLICIES = frozenset({50199, 53000, 53001, 53002, 53003, 530032, 530034, 530035, 530036})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """What a person must type and where.

    Attributes:
        user_code: as it is shown.
        verification_uri: where it is typed.
        verification_uri_complete: the same with the code in it, or empty.
        seconds: how long it is good for.
    """

    user_code: str
    verification_uri: str
    verification_uri_complete: str
    seconds: float


class DeviceSignIn:
    """One sign-in by device code that has begun."""

    def __init__(self, asked: Asked, answer: DeviceAnswer, seconds: float) -> None:
        self._asked, self._answer = asked, answer
        self._clock = asked.endpoint.clock
        life = min(answer.expires_in, seconds)
        self._until = self._clock.monotonic() + life
        complete = answer.verification_uri_complete
        self.code = DeviceCode(
            user_code=answer.user_code,
            verification_uri=provider_address(answer.verification_uri, "address to type the code at"),
            verification_uri_complete=complete and provider_address(complete, "address with the code in it"),
            seconds=life,
        )

    def wait(self, pause: Callable[[float], None]) -> tuple[TokenAnswer, Answer]:
        """The tokens, once the person has agreed; `pause` lets that many seconds pass and may raise.

        Raises SignInAborted (code ``sign-in-declined``, ``device-code-expired`` or ``device-not-allowed``), and what
        the last request met when the network failed until the end.
        """
        client = self._asked.client
        url, form = provider.token_url(client), grants.device_poll(client, self._answer.device_code)
        interval, failures, asked_for = max(self._answer.interval, 1.0), 0, 0.0
        while True:
            grown = interval if not failures else min(interval * 2.0**failures, _LONGEST_PAUSE)
            wanted = max(interval, grown, asked_for)
            left = self._until - self._clock.monotonic()
            if left <= 0:
                raise _expired()
            pause(min(wanted, left))
            try:
                return ask(self._asked.endpoint, url, form)
            except TokenRefused as problem:
                later = grants.next_interval(interval, problem.error)
                if later is not None:
                    interval, failures, asked_for = later, 0, 0.0
                    continue
                asked_for = problem.retry_after or 0.0
                last: DataPallasError = _explained(client, problem)
            except DataPallasError as problem:
                last = problem
            if not last.transient or self._clock.monotonic() >= self._until:
                raise last
            failures += 1


def begin(asked: Asked, seconds: float) -> DeviceSignIn:
    """Ask the provider for a code, good for `seconds` at most.

    Raises ConfigurationError (code ``no-device-address``), SignInAborted (code ``device-not-allowed``), TokenRefused,
    ProtocolError and what `Endpoint.post` raises.
    """
    client = asked.client
    if not client.client_id or not provider.scope(client):
        what = "scope" if client.client_id else "client id"
        raise ConfigurationError(f"The {what} of the application is not set.", code="incomplete-client")
    url = provider_address(_device_url(asked), "device address")
    form = grants.device_start(client)
    try:
        return DeviceSignIn(asked, _started(asked, url, form), seconds)
    except TokenRefused as problem:
        if problem.status == _NOT_FOUND and not problem.error:
            raise _not_allowed(problem) from problem
        raised = _explained(client, problem)
        raise raised from (None if raised is problem else problem)


def _started(asked: Asked, url: str, form: grants.Form) -> DeviceAnswer:
    """As `exchange.ask` does: the secret is given a second way to a provider that does not know the first."""
    answer = asked.endpoint.post(url, form)
    try:
        return read_device_answer(answer.status, answer.headers, answer.body, hide=form.secrets())
    except TokenRefused as problem:
        if not form.basic or problem.error != "invalid_client":
            raise
    return _started(asked, url, form.secret_in_body())


def _device_url(asked: Asked) -> str:
    client, metadata = asked.client, asked.metadata
    known = provider.device_url(client)
    if known:
        return known
    if metadata is None:
        raise ConfigurationError(
            "This provider's address for device codes is not known. Name its issuer with --issuer, or sign in by "
            "the browser or a pasted address.",
            code="no-device-address",
        )
    if metadata.token_url != provider.token_url(client):
        raise ConfigurationError(
            f"{metadata.issuer} is not the issuer of this connection: its token address is another one.",
            code="no-device-address",
            case="another-issuer",
            issuer=metadata.issuer,
        )
    if not metadata.device_url:
        raise ConfigurationError(
            f"{metadata.issuer} offers no sign-in by device code.", code="no-device-address", case="none"
        )
    return metadata.device_url


def _explained(client: OAuth2Client, problem: TokenRefused) -> DataPallasError:
    """A refusal in this way's own words, where it has some; else the refusal as it is."""
    if _POLICIES.intersection(problem.error_codes):
        return _not_allowed(problem)
    if problem.error in _DECLINED:
        return SignInAborted(
            "The sign-in was declined.",
            code="sign-in-declined",
            raw=problem.raw,
            error=problem.error,
            description=problem.description,
        )
    if problem.error in _EXPIRED:
        return _expired()
    # Google gives device codes for a short list of scopes, and mail is not on it.
    google = client.provider is Provider.GOOGLE and problem.error == "invalid_scope"
    # With a number of Microsoft's it is about the application: unknown, or no public client.
    if google or (problem.error in _NOT_THIS_WAY and not problem.error_codes):
        return _not_allowed(problem)
    return problem


def _expired() -> SignInAborted:
    return SignInAborted("Nobody typed the code in time.", code="device-code-expired", error="expired_token")


def _not_allowed(problem: TokenRefused) -> SignInAborted:
    return SignInAborted(
        "The provider, or a policy of the organisation, allows no sign-in by device code here.",
        code="device-not-allowed",
        raw=problem.raw,
        error=problem.error,
        error_codes=" ".join(map(str, problem.error_codes)),
        correlation_id=problem.correlation_id,
    )
