"""PowerShell for the administrator of a Microsoft 365 tenant: what one connection needs, delegated or app-only.

Must stay true: pure; running it twice does no harm; every value is a quoted literal in which PowerShell expands nothing.
Sources: learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth,
learn.microsoft.com/powershell/module/exchange (New-ServicePrincipal, Add-MailboxPermission, Set-CASMailbox).
"""

from __future__ import annotations

import dataclasses
import shlex

from datapallas.connection.model import Cloud

_EXCHANGE = "00000002-0000-0ff1-ce00-000000000000"
_GRAPH = "00000003-0000-0000-c000-000000000000"
# Connect-MgGraph -Environment, Connect-ExchangeOnline -ExchangeEnvironmentName
_ENVIRONMENTS = {
    Cloud.GLOBAL: ("Global", "O365Default"),
    Cloud.USGOV: ("USGov", "O365USGovGCCHigh"),
    Cloud.USGOVDOD: ("USGovDoD", "O365USGovDoD"),
    Cloud.CHINA: ("China", "O365China"),
}
_PORTALS = {Cloud.GLOBAL: "entra.microsoft.com", Cloud.CHINA: "entra.microsoftonline.cn"}
_QUOTES = "'\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{SINGLE LOW-9 QUOTATION MARK}\N{SINGLE HIGH-REVERSED-9 QUOTATION MARK}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the steps are filled in with; none is secret.

    Attributes:
        thumbprint: of the certificate, as the portal shows it; empty where there is none.
        key_problem: why the file with the key cannot be used, or empty.
        account, account_id: a service account's name and number (Google).
    """

    code: str
    tenant: str = ""
    client_id: str = ""
    cloud: Cloud = Cloud.GLOBAL
    mailbox: str = ""
    sender: str = ""
    certificate: str = ""
    thumbprint: str = ""
    key_problem: str = ""
    account: str = ""
    account_id: str = ""


def quoted(value: str) -> str:
    """A PowerShell literal: all it takes for a single quote is doubled, and nothing else has a meaning in it."""
    plain = "".join(letter if letter.isprintable() else " " for letter in value)
    return "'" + "".join(letter * 2 if letter in _QUOTES else letter for letter in plain) + "'"


def app_only(values: Values) -> str:
    """The app opens the mailbox by itself (SMTP.SendAsApp)."""
    return (
        _head(values, f"the app sends as {values.mailbox} by itself, nobody signs in")
        + _graph(values, "'Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All'")
        + f"""
# 2. The right SMTP.SendAsApp, with admin consent (Entra: API permissions > Office 365 Exchange Online > Application).
$right = $exchange.AppRoles | Where-Object Value -eq 'SMTP.SendAsApp'
$given = Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $app.Id -All | Where-Object AppRoleId -eq $right.Id
if (-not $given) {{
    New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $app.Id -PrincipalId $app.Id `
        -ResourceId $exchange.Id -AppRoleId $right.Id | Out-Null
}}

{_proof(values)}
# 4. Make the app known to Exchange. The ObjectId is the one under Enterprise applications ($app.Id),
#    not the one under App registrations: with that one every sign-in fails with 535 5.7.3.
{_exchange(values)}
if (-not (Get-ServicePrincipal | Where-Object AppId -eq $clientId)) {{
    New-ServicePrincipal -AppId $clientId -ObjectId $app.Id -DisplayName 'DataPallas' | Out-Null
}}
$known = Get-ServicePrincipal | Where-Object AppId -eq $clientId

# 5. Let it open this mailbox, and no other. (An application access policy limits Graph and EWS; for SMTP this is the limit.)
Add-MailboxPermission -Identity $mailbox -User $known.Identity -AccessRights FullAccess | Out-Null
{_send_as(values, "$known.Identity")}
{_smtp()}{_tail(values)}"""
    )


def delegated(values: Values) -> str:
    """A person signs in once (SMTP.Send)."""
    return (
        _head(values, f"{values.mailbox or 'a person'} signs in, and the app sends for them")
        + _graph(values, "'Application.ReadWrite.All', 'DelegatedPermissionGrant.ReadWrite.All'")
        + f"""
# 2. A public client, with the address the browser comes back to; what is registered already stays.
$registration = Get-MgApplication -Filter "appId eq '$clientId'"
$addresses = @(@($registration.PublicClient.RedirectUris) + 'http://localhost' | Where-Object {{ $_ }} | Select-Object -Unique)
Update-MgApplication -ApplicationId $registration.Id -IsFallbackPublicClient -PublicClient @{{ RedirectUris = $addresses }}

# 3. Consent for everybody in the tenant: to send as the person (Exchange), and to learn who signed in.
$graph = Get-MgServicePrincipal -Filter "appId eq '{_GRAPH}'"
foreach ($wanted in @(@($exchange.Id, 'SMTP.Send'), @($graph.Id, 'openid profile email offline_access'))) {{
    $given = Get-MgOauth2PermissionGrant -All |
        Where-Object {{ $_.ClientId -eq $app.Id -and $_.ResourceId -eq $wanted[0] -and $_.ConsentType -eq 'AllPrincipals' }}
    if (-not $given) {{
        New-MgOauth2PermissionGrant -BodyParameter @{{
            clientId = $app.Id; consentType = 'AllPrincipals'; resourceId = $wanted[0]; scope = $wanted[1]
        }} | Out-Null
    }}
}}

# 4. The mailbox.
{_exchange(values)}
{_send_as(values, "$mailbox")}
{_smtp()}{_tail(values)}"""
    )


def _head(values: Values, what: str) -> str:
    attention = f"# Attention: {_words(values.key_problem)}\n" if values.key_problem else ""
    return (
        f"# {_words(values.code)}: {_words(what)}.\n"
        "# For the tenant administrator: run it in PowerShell 7, line by line or as a whole. Running it again does no harm.\n"
        f"{attention}"
        "# Once on this machine: Install-Module Microsoft.Graph, ExchangeOnlineManagement -Scope CurrentUser\n"
        "$ErrorActionPreference = 'Stop'\n"
        f"$tenant = {quoted(values.tenant or 'TENANT')}\n"
        f"$clientId = {quoted(values.client_id or 'CLIENT')}\n"
        f"$mailbox = {quoted(values.mailbox or 'MAILBOX')}\n"
        f"$sender = {quoted(values.sender or values.mailbox or 'MAILBOX')}\n"
    )


def _graph(values: Values, scopes: str) -> str:
    return (
        "\n# 1. The app as this tenant knows it (Entra: Enterprise applications).\n"
        f"Connect-MgGraph -TenantId $tenant -Environment {_ENVIRONMENTS[values.cloud][0]} -NoWelcome `\n"
        f"    -Scopes {scopes}\n"
        "$app = Get-MgServicePrincipal -Filter \"appId eq '$clientId'\"\n"
        "if (-not $app) { $app = New-MgServicePrincipal -AppId $clientId }\n"
        f"$exchange = Get-MgServicePrincipal -Filter \"appId eq '{_EXCHANGE}'\"\n"
    )


def _proof(values: Values) -> str:
    portal = _PORTALS.get(values.cloud, "entra.microsoft.us")
    where = f"https://{portal} > App registrations > {_words(values.client_id or 'the app')} > Certificates & secrets"
    if not values.certificate:
        return f"# 3. A client secret: {where} > Client secrets. Copy its Value at once, into\n#    datapallas connection set {_words(values.code)} --client-secret ask\n"
    shown = (
        f"\n#    It is there when the list shows the thumbprint {values.thumbprint}."
        if values.thumbprint
        else ""
    )
    return (
        "# 3. The certificate, without its key: on the machine that sends, openssl x509 makes the file to upload,\n"
        f"#    openssl x509 -in {shlex.quote(_words(values.certificate))} -out app.cer\n"
        f"#    then {where} > Certificates > Upload.{shown}\n"
    )


def _exchange(values: Values) -> str:
    name = _ENVIRONMENTS[values.cloud][1]
    return f"Connect-ExchangeOnline -ShowBanner:$false -ExchangeEnvironmentName {name}"


def _send_as(values: Values, trustee: str) -> str:
    """From may differ from the mailbox that signs in; then it needs a right of its own."""
    if not values.sender or "${" in values.sender or values.sender.lower() == values.mailbox.lower():
        return ""
    return (
        "# It sends as another address than the mailbox that is opened.\n"
        f"Add-RecipientPermission -Identity $sender -Trustee {trustee} -AccessRights SendAs -Confirm:$false | Out-Null\n"
    )


def _smtp() -> str:
    return (
        "# SMTP AUTH must be on for this mailbox; the tenant's own switch stays as it is.\n"
        "Set-CASMailbox -Identity $mailbox -SmtpClientAuthenticationDisabled $false\n"
    )


def _tail(values: Values) -> str:
    return f"\n# Exchange needs up to an hour. Then, on the machine that sends:\n#    datapallas system doctor {_words(values.code)}\n"


def _words(text: str) -> str:
    """For a comment: one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
