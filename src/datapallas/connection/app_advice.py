"""What can be seen wrong or missing in a connection where nobody signs in (flow APPONLY or SERVICEACCOUNT). Pure.

Must stay true: whether the file with the key can be used is not looked at here: that is the doctor's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection.finding import Before, error, missing, warning
from datapallas.connection.model import Flow, Provider
from datapallas.connection.provider import PERSONAL_TENANT
from datapallas.connection.shapes import fixed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.connection.finding import Finding
    from datapallas.connection.model import OAuth2Client

_MANY = frozenset({"common", "organizations"})
_PERSONAL = frozenset({"consumers", PERSONAL_TENANT})


def app_findings(client: OAuth2Client) -> Iterator[Finding]:
    """What is wrong with an app that opens mailboxes by itself."""
    if not client.app_only:
        if client.certificate:
            yield warning(
                "certificate",
                "Only APPONLY and SERVICEACCOUNT use a certificate. Set the flow, or remove it.",
            )
        return
    if client.flow is Flow.SERVICEACCOUNT:
        yield from _service_account(client)
        return
    if client.provider is Provider.GOOGLE:
        yield error("flow", "Google gives apps no mail rights of their own. Choose SERVICEACCOUNT.")
    if client.provider is Provider.MICROSOFT and not client.token_url:
        yield from _tenant(fixed(client.tenant_id).lower(), known=bool(client.tenant_id))
        if fixed(client.scope) and not fixed(client.scope).endswith("/.default"):
            yield error("scope", "An app's scope ends in /.default (AADSTS1002012). Leave it empty.")
    if client.certificate and client.client_secret is not None:
        yield warning(
            "client-secret",
            "There is a certificate too, and it is used. Remove the secret if it is not needed.",
        )
    elif not client.certificate and client.client_secret is None:
        yield missing(
            "certificate",
            Before.SENDING,
            "App-only needs a certificate (a PEM file with key and certificate) or a client secret.",
        )


def _tenant(tenant: str, *, known: bool) -> Iterator[Finding]:
    if not known:
        yield missing(
            "tenant-id", Before.SENDING, "App-only needs the tenant id: no account tells the tenant."
        )
    elif tenant in _MANY:
        yield error("tenant-id", "App-only works in one tenant. Enter its id or domain.")
    elif tenant in _PERSONAL:
        yield error(
            "tenant-id", "Personal mailboxes cannot be opened app-only. Choose the flow CODE and sign in."
        )


def _service_account(client: OAuth2Client) -> Iterator[Finding]:
    if client.provider is Provider.MICROSOFT:
        yield error("flow", "Microsoft has no service accounts of this kind. Choose APPONLY.")
    if not client.certificate:
        yield missing(
            "certificate",
            Before.SENDING,
            "The key file of the service account is not set. Enter the path of its JSON file.",
        )
