"""What can be seen wrong in ids and secrets: swapped, in the wrong field, or not what the provider gives.

Must stay true: a secret is looked at for its shape and never put into a sentence. Where the token address is not the
provider's own (a sandbox, a proxy), ids may look like anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datapallas.connection import shapes
from datapallas.connection.finding import Before, error, missing, warning
from datapallas.connection.model import Flow, OAuth2Client, Password, Provider
from datapallas.connection.provider import GOOGLE_TOKEN, MICROSOFT, PERSONAL_TENANT
from datapallas.connection.server_advice import owner
from datapallas.connection.shapes import fixed, is_guid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datapallas.connection.finding import Finding
    from datapallas.connection.model import Connection

_TENANT_WORDS = frozenset({"common", "organizations", "consumers"})
# learn.microsoft.com/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in
_MICROSOFTS_OWN_APPS = frozenset(
    {
        "00000002-0000-0ff1-ce00-000000000000",  # Exchange Online
        "00000003-0000-0ff1-ce00-000000000000",  # SharePoint Online
        "00000003-0000-0000-c000-000000000000",  # Microsoft Graph
        "00000002-0000-0000-c000-000000000000",  # Azure AD Graph
        "04b07795-8ddb-461a-bbee-02f9e1bf7b46",  # Azure CLI
        "1950a258-227b-4e31-a9cf-717495945fc2",  # Azure PowerShell
        "14d82eec-204b-4c2f-b7e8-296a70dab67e",  # Graph PowerShell
        "d3590ed6-52b3-4102-aeff-aad2292ab01c",  # Office
        "fb78d390-0c51-40cd-8e17-fdbfab77341b",  # Exchange Online PowerShell
    }
)
_MICROSOFTS_OWN_TENANTS = frozenset(
    {
        PERSONAL_TENANT,
        "f8cdef31-a31e-4b4a-93e4-5f571e91255a",  # Microsoft Services
        "72f988bf-86f1-41af-91ab-2d7cd011db47",  # Microsoft
    }
)
_NIL = "00000000-0000-0000-0000-000000000000"
_CLIENT_WHERE = "In the Entra portal it is called Application (client) ID, on the app's Overview."
_TENANT_WHERE = "In the Entra portal it is called Directory (tenant) ID, on the app's Overview."


def client_findings(connection: Connection) -> Iterator[Finding]:
    """What is wrong with how a connection signs in."""
    client = connection.credential
    if isinstance(client, Password):
        yield from _password(connection, client)
        return
    if not client.client_id and not _named_by_its_key(client):
        yield missing(
            "client-id",
            Before.SIGN_IN,
            "The client id is not set. It comes from registering the application at the provider; perhaps your "
            "administrator has one already.",
        )
    if _at_the_provider(client):
        if client.provider is Provider.MICROSOFT:
            yield from _microsoft(client)
        elif client.provider is Provider.GOOGLE:
            yield from _google(client)
        elif shapes.in_clear(client.client_secret) == fixed(client.client_id) != "":
            yield error(
                "client-secret",
                "This is the client id again. Enter the secret, or leave it empty if there is none.",
            )
    if client.provider is Provider.GOOGLE and client.client_secret is None and not client.app_only:
        yield missing(
            "client-secret",
            Before.SIGN_IN,
            "The client secret is not set. Google gives every desktop app one, and wants it with each request.",
        )
    yield from _odd_secret(client)


def _named_by_its_key(client: OAuth2Client) -> bool:
    """Google's key file holds the service account's name."""
    return client.flow is Flow.SERVICEACCOUNT and client.provider is Provider.GOOGLE


def _at_the_provider(client: OAuth2Client) -> bool:
    """Tokens come from where the provider's own usually come from."""
    if not client.token_url or client.provider is Provider.GENERIC:
        return True
    own = {shapes.host_of(cloud.login) for cloud in MICROSOFT.values()}
    return shapes.host_of(client.token_url) in own | {shapes.host_of(GOOGLE_TOKEN), "accounts.google.com"}


def _microsoft(client: OAuth2Client) -> Iterator[Finding]:
    client_id, tenant = fixed(client.client_id).lower(), fixed(client.tenant_id).lower()
    if not client.tenant_id and client.client_id and not client.app_only:
        yield warning(
            "tenant-id",
            "The tenant id is not set. Without it only apps for any organization can sign in; "
            f"most are for one. {_TENANT_WHERE}",
        )
    if is_guid(tenant) and (client_id in _TENANT_WORDS or _is_own_domain(client_id)):
        yield error("client-id", "Client id and tenant id are swapped. Exchange the two values.")
        return
    if client_id:
        yield from _microsoft_client(client_id, tenant)
    if tenant:
        yield from _microsoft_tenant(tenant)
    yield from _microsoft_secret(shapes.in_clear(client.client_secret), client_id)


def _is_own_domain(client_id: str) -> bool:
    return shapes.is_domain(client_id) and not shapes.is_google_client(client_id)


def _microsoft_client(client_id: str, tenant: str) -> Iterator[Finding]:
    if shapes.is_client_secret(client_id) or shapes.is_token(client_id):
        return  # told by `misplaced`
    if client_id == tenant and is_guid(client_id):
        yield error(
            "client-id",
            f"The same id stands in client id and tenant id. They are two different ones. {_CLIENT_WHERE}",
        )
    elif client_id in _MICROSOFTS_OWN_TENANTS:
        yield error("client-id", f"This is the id of a tenant, not of an app. {_CLIENT_WHERE}")
    elif client_id in _MICROSOFTS_OWN_APPS or client_id == _NIL:
        yield error("client-id", f"This is an id of Microsoft's own, not of your app. {_CLIENT_WHERE}")
    elif shapes.is_google_client(client_id):
        yield error(
            "client-id", "This is a client id of Google. Choose the provider Google, or enter Microsoft's."
        )
    elif not is_guid(client_id):
        yield error(
            "client-id",
            f"A client id of Microsoft looks like 1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901. {_CLIENT_WHERE}",
        )


def _microsoft_tenant(tenant: str) -> Iterator[Finding]:
    if tenant == PERSONAL_TENANT:
        yield warning(
            "tenant-id", "This is the id all personal accounts share. Write the word consumers instead."
        )
    elif tenant in _MICROSOFTS_OWN_APPS or tenant == _NIL:
        yield error(
            "tenant-id", f"This is the id of an app of Microsoft's own, not of your tenant. {_TENANT_WHERE}"
        )
    elif "@" in tenant:
        yield error("tenant-id", "This is a mail address. Enter the tenant id, or the part behind the @.")
    elif "/" in tenant:
        yield error("tenant-id", f"This is a web address. Enter the tenant id only. {_TENANT_WHERE}")
    elif tenant not in _TENANT_WORDS and not is_guid(tenant) and not shapes.is_domain(tenant):
        yield error(
            "tenant-id",
            "A tenant is an id such as 1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901, a domain such as contoso.onmicrosoft.com, "
            "or one of the words common, organizations and consumers.",
        )


def _microsoft_secret(secret: str, client_id: str) -> Iterator[Finding]:
    if not secret:
        return
    if secret.lower() == client_id:
        yield error(
            "client-secret",
            "This is the client id again. Enter the secret, or leave it empty if there is none.",
        )
    elif is_guid(secret):
        yield error(
            "client-secret",
            "This is the secret's ID, not the secret. The portal shows the secret itself in the column Value, "
            "and only right after it was made: make a new one if it is gone.",
        )
    elif not shapes.is_microsoft_secret(secret) and not shapes.is_token(secret):
        yield warning(
            "client-secret",
            "Secrets of Microsoft have about 40 characters with a ~ among them. Copy the column Value again, whole.",
        )


def _google(client: OAuth2Client) -> Iterator[Finding]:
    client_id, secret = fixed(client.client_id), shapes.in_clear(client.client_secret)
    if client.flow is Flow.SERVICEACCOUNT:
        return  # the key file says who asks
    if client_id.startswith("GOCSPX-"):
        yield error(
            "client-id", "This is the client secret. The client id ends in .apps.googleusercontent.com."
        )
    elif client_id and not shapes.is_google_client(client_id):
        yield error(
            "client-id",
            "A client id of Google ends in .apps.googleusercontent.com. Copy it again, whole, from Clients.",
        )
    if shapes.is_google_client(secret):
        yield error("client-secret", "This is a client id. The client secret begins with GOCSPX-.")
    elif secret and not secret.startswith("GOCSPX-") and not shapes.is_token(secret):
        yield warning(
            "client-secret",
            "Client secrets of Google begin with GOCSPX-. Copy it again, whole, from Clients.",
        )


def _odd_secret(client: OAuth2Client) -> Iterator[Finding]:
    secret = shapes.in_clear(client.client_secret)
    if shapes.is_token(secret):
        yield error(
            "client-secret", "This is a token. Enter the app's client secret; tokens are got by signing in."
        )
    elif any(c.isspace() for c in secret):
        yield warning("client-secret", "A client secret has no blanks or line breaks. Copy it again, whole.")


def _password(connection: Connection, login: Password) -> Iterator[Finding]:
    user, host = fixed(login.user), fixed(connection.server.host).lower()
    secret = shapes.in_clear(login.password)
    if shapes.is_token(secret) or shapes.is_client_secret(secret):
        yield error(
            "password",
            "This is a token or a client secret, not a password. Choose the provider, and sign in instead.",
        )
    if login.user and login.password is None:
        yield missing("password", Before.SENDING, "The password is not set.")
    elif login.password is not None and not login.user:
        yield missing(
            "user", Before.SENDING, "There is a password but no user. Enter the name you sign in with."
        )
    elif not login.user and owner(host) is not None:
        yield missing(
            "user",
            Before.SENDING,
            "User and password are not set. This mail server takes no mail without them.",
        )
    elif not login.user and host and not shapes.is_this_machine(host):
        yield warning(
            "user", "User and password are empty. Most mail servers take no mail without a sign-in."
        )
    if host == "smtp.sendgrid.net" and user and user != "apikey":
        yield warning("user", "SendGrid's user is the word apikey; the password is the key.")
