"""Ends a refresh token at its provider (RFC 7009), wherever the provider takes that.

Must stay true: the token goes to an address that is the provider's: the one in our table, or one of the same scheme,
host and port as the token address the sign-in is sealed for. What discovery says beside that is not believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from datapallas.connection import provider
from datapallas.connection.model import Provider
from datapallas.errors import DataPallasError
from datapallas.oauth.addresses import origin
from datapallas.oauth.answers import read_object
from datapallas.oauth.client import opened_client
from datapallas.oauth.discovery import discover
from datapallas.oauth.grants import revocation

if TYPE_CHECKING:
    from datapallas.connection.folder import Folder
    from datapallas.connection.model import OAuth2Client
    from datapallas.connection.update import Update
    from datapallas.oauth.endpoint import Endpoint

_NO_ADDRESS = "the provider has no address for that; remove the application on its account page"


def revoke(folder: Folder, endpoint: Endpoint, update: Update) -> str:
    """End the sign-in that is stored in `update`; why it was not ended, in words, or empty when it was."""
    try:
        client = opened_client(folder, update.connection)
        url = revoke_url(endpoint, client, update.record.issuer)
        if not url:
            return _NO_ADDRESS
        answer = endpoint.post(url, revocation(client, update.opened().value))
        if answer.status != 200:  # noqa: PLR2004 - RFC 7009 section 2.2: 200, also for a token that is gone
            read_object(answer.status, answer.headers, answer.body)
    except DataPallasError as problem:
        return problem.message
    return ""


def revoke_url(endpoint: Endpoint, client: OAuth2Client, issuer: str) -> str:
    """Where a refresh token is revoked; empty when the provider has no such address.

    `issuer` is who signed the id_token at the sign-in, or empty. Microsoft and Google are not asked: their addresses
    are known (Microsoft has none), unless the connection has a token address of its own.
    """
    known = provider.revoke_url(client)
    token_url = provider.token_url(client)
    if known or not token_url or (client.provider is not Provider.GENERIC and not client.token_url):
        return known
    parts = urlsplit(token_url)
    usual = f"{parts.scheme}://{parts.netloc}"
    for candidate in dict.fromkeys((issuer, usual)):
        if not candidate or origin(candidate) != origin(token_url):
            continue
        try:
            found = discover(endpoint, candidate)
        except DataPallasError:
            continue
        if (
            found.token_url == token_url
            and found.revoke_url
            and origin(found.revoke_url) == origin(token_url)
        ):
            return found.revoke_url
    return ""
