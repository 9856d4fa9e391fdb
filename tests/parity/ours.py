"""What DataPallas sends, led to the stand-in by nothing but the addresses in a connection."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from datapallas.oauth import authorization, grants
from datapallas.oauth.answers import read_token_answer
from datapallas.oauth.endpoint import Endpoint
from datapallas.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from datapallas.connection.model import OAuth2Client
    from datapallas.oauth.grants import Form
    from parity.capture import Request, StandIn


def query(url: str) -> dict[str, str]:
    """The parameters of an authorize address; a doubled one would be a defect and fails."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def address(url: str) -> str:
    """An authorize address without its parameters."""
    return urlsplit(url)._replace(query="").geturl()


def authorize(client: OAuth2Client, redirect_uri: str) -> authorization.AuthorizationRequest:
    """The request a browser would open."""
    return authorization.begin(client, redirect_uri, entropy=os.urandom)


def redeem(
    stand_in: StandIn, client: OAuth2Client, begun: authorization.AuthorizationRequest, code: str
) -> Request:
    """The request that redeems a code, as it comes over the wire."""
    back = authorization.check_callback(begun, f"code={code}&state={begun.state.reveal()}")
    return _sent(stand_in, client, lambda led: grants.code(led, back))


def refresh(stand_in: StandIn, client: OAuth2Client, token: str) -> Request:
    """The request that refreshes, as it comes over the wire."""
    return _sent(stand_in, client, lambda led: grants.refresh(led, Secret(token)))


def _sent(stand_in: StandIn, client: OAuth2Client, form: Callable[[OAuth2Client], Form]) -> Request:
    led = dataclasses.replace(client, token_url=f"{stand_in.url}/token")
    answer = Endpoint().post(led.token_url, form(led))
    read_token_answer(answer.status, answer.headers, answer.body)
    return stand_in.asked_for_tokens()
