"""What a sign-in asked for, and what becomes of the tokens that come back: the half that every way of signing in shares.

Must stay true: whoever signed in is taken from the provider's own answers, over verified TLS, and checked against who
was expected; nothing is printed or stored here.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import provider
from datapallas.connection.model import OAuth2Client
from datapallas.errors import DataPallasError
from datapallas.oauth import claims
from datapallas.oauth.acceptance import Wanted, accept
from datapallas.oauth.answers import read_object
from datapallas.oauth.discovery import Metadata, discover

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.model import Connection
    from datapallas.oauth.answers import TokenAnswer
    from datapallas.oauth.endpoint import Answer, Endpoint
    from datapallas.oauth.token import SignedIn
    from datapallas.secret import Secret


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One sign-in that is about to begin.

    Attributes:
        endpoint: sends requests; its clock is ours.
        client: as which application; its secret is open.
        wanted: who should sign in.
        metadata: what the issuer publishes, when one was named.
        notice: is told what is worth knowing and stops nothing.
    """

    endpoint: Endpoint
    client: OAuth2Client
    wanted: Wanted
    metadata: Metadata | None
    notice: Callable[[str], None]

    def signed_in(self, tokens: TokenAnswer, answer: Answer, nonce: Secret | None = None) -> SignedIn:
        """The sign-in as it may be stored; `nonce` is the request's own, None where the way has none.

        Raises SignInRejected and ProtocolError: nothing may be stored then.
        """
        self._tell_skew(answer)
        # The provider's own time, so that a wrong clock here does not refuse a good proof.
        now = self.endpoint.clock.wall()
        expected = claims.Expected(
            client=self.client,
            now=now + answer.clock_skew,
            nonce=nonce,
            issuer=self.metadata.issuer if self.metadata else "",
        )
        state = accept(self.client, tokens, self._who(tokens, expected), self.wanted, wall=now)
        if not state.account_known:
            named = f"; {state.account} is assumed" if state.account else ""
            self.notice(f"The provider did not say who signed in{named}.")
        return state

    def _who(self, tokens: TokenAnswer, expected: claims.Expected) -> claims.Claims | None:
        """Who signed in: the id_token's word, else userinfo's, else nobody's."""
        who = claims.read(tokens.id_token, expected) if tokens.id_token is not None else None
        if who is not None and who.addresses:
            return who
        metadata = self.metadata
        if metadata is None and who is not None:
            metadata = self._published(who.issuer)
        if metadata is None or not metadata.userinfo_url:
            return who
        with contextlib.suppress(DataPallasError):  # it is an extra; the sign-in does not fail for it
            answer = self.endpoint.get(metadata.userinfo_url, tokens.access_token)
            told = claims.from_userinfo(read_object(answer.status, answer.headers, answer.body), self.client)
            # OpenID Connect Core section 5.3.2: another subject than the id_token's is not to be used.
            if who is None:
                return told
            if told.subject == who.subject:
                return dataclasses.replace(told, issuer=who.issuer)
        return who

    def _published(self, issuer: str) -> Metadata | None:
        """The metadata of the issuer an id_token names, when it really is the provider the token came from.

        By the book (OpenID Connect Core section 5.4) the address is at userinfo and not in the id_token.
        """
        with contextlib.suppress(DataPallasError):
            metadata = discover(self.endpoint, issuer)
            if metadata.token_url == provider.token_url(self.client):
                return metadata
        return None

    def _tell_skew(self, answer: Answer) -> None:
        if answer.clock_skew:
            way = "behind" if answer.clock_skew > 0 else "ahead of"
            minutes = abs(answer.clock_skew) / 60
            self.notice(f"This machine's clock is {minutes:.0f} minutes {way} the provider's.")


def expected_mailbox(connection: Connection) -> str:
    """The address that should sign in: the one that did before, the one that was named, or the sender."""
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        return connection.mailbox
    address = client.user_email or client.login_hint or connection.from_address
    return "" if "${" in address else address
