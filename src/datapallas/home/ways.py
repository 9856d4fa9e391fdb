"""Which ways to sign in are offered for a connection. Pure: a door shows them and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection.model import OAuth2Client, Provider
from datapallas.connection.provider import device_url
from datapallas.oauth.sign_in import Way

if TYPE_CHECKING:
    from datapallas.connection.model import Connection


def ways(connection: Connection, *, served: bool, codes: bool, issuer: str = "") -> tuple[Way, ...]:
    """How one can sign in to a connection, the usual way first; none for a password.

    Args:
        connection: what to sign in to.
        served: the browser is perhaps elsewhere: it never gets a loopback redirect, and the public address needs a
            client with a secret.
        codes: device codes are allowed here.
        issuer: the provider's issuer, where it was given: its device address can be found.
    """
    client = connection.credential
    if not isinstance(client, OAuth2Client):
        return ()
    found = [Way.BROWSER, Way.PASTE]
    if served:
        found = [Way.REDIRECT, Way.PASTE] if client.client_secret else [Way.PASTE]
    google = client.provider is Provider.GOOGLE  # its device flow has no scope for mail
    if codes and not google and (issuer or device_url(client)):
        found.append(Way.DEVICE)
    return tuple(found)
