"""New connections, not saved yet: what a provider or a preset fills in."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from datapallas.connection import provider as providers
from datapallas.connection.codes import kebab
from datapallas.connection.model import Connection, OAuth2Client, Password, Provider
from datapallas.errors import UsageError

if TYPE_CHECKING:
    from datapallas.oauth.endpoint import Endpoint


def draft(name: str, provider: Provider | None, preset: str | None) -> Connection:
    """A new connection called `name`, not saved yet, with what the provider or the preset fills in."""
    code = kebab(name)
    known = providers.well_known(preset) if preset else None
    if known is not None and provider not in {None, Provider.NONE, known.provider}:
        raise UsageError(f"The preset {preset} goes with provider {known.provider.value}, not {provider}.")
    if provider is None:
        provider = known.provider if known else Provider.NONE
    server = known.server if known else providers.server_preset(provider)
    if provider is Provider.NONE:
        return Connection(code=code, name=name, server=server, credential=Password())
    client = OAuth2Client(provider=provider)
    if known is not None and known.provider is provider:
        client = dataclasses.replace(
            client,
            authorize_url=known.authorize_url,
            token_url=known.token_url,
            scope=known.scope,
            tenant_id=known.tenant_id,
        )
    return Connection(code=code, name=name, server=server, credential=client)


def discovered(endpoint: Endpoint, connection: Connection, issuer: str) -> Connection:
    """`connection` with the addresses its provider publishes (OpenID Connect Discovery)."""
    from datapallas.oauth.discovery import discover

    if connection.provider is not Provider.GENERIC or not isinstance(connection.credential, OAuth2Client):
        raise UsageError("An issuer goes with provider GENERIC; the others are known.")
    found = discover(endpoint, issuer)
    client = dataclasses.replace(
        connection.credential, authorize_url=found.authorize_url, token_url=found.token_url
    )
    return dataclasses.replace(connection, credential=client)
