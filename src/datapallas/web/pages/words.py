"""Words of the editor that are longer than a template should hold: headings, hints, choices."""

from __future__ import annotations

from typing import NamedTuple

from datapallas.connection.model import Provider

TITLES = {
    "microsoft": "Connect Microsoft 365",
    "google": "Connect Gmail",
    "generic": "Connect another provider",
    "password": "Connect a mail server with a password",
}
PERSON = ("CODE", "A person signs in (usual)")
APPLICATION = ("APPONLY", "Nobody: the application itself (app-only)")
SERVICE_ACCOUNT = ("SERVICEACCOUNT", "Nobody: a service account of the Workspace")
APP_SECRET_HINT = (
    "What the application proves itself with, when it has no key file. Kept sealed; never shown again."
)
SECRET_HINTS = {
    Provider.MICROSOFT: "Leave it empty for a public client (Mobile and desktop applications), which is the usual "
    "way. Kept sealed; it is never shown again.",
    Provider.GOOGLE: "Google gives desktop apps one too, and wants it. Kept sealed; it is never shown again.",
    Provider.GENERIC: "Only when your provider gave you one. Kept sealed; it is never shown again.",
}


class Value(NamedTuple):
    """Something to enter at the provider."""

    name: str
    text: str
