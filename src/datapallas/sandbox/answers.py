"""What real providers say when they refuse, as tables: the words, the OAuth error, the HTTP status.

Texts are those of Microsoft Entra ("AADSTS error codes") and Google ("OAuth 2.0 error codes", observed answers);
names in braces are filled in. Must stay true: no function here reads a clock or makes an id; both are arguments.
"""

from __future__ import annotations

from typing import NamedTuple

AADSTS_PAGE = "https://login.microsoftonline.com/error?code="


class Aadsts(NamedTuple):
    """One of Microsoft's refusals."""

    error: str
    text: str
    status: int = 400


_GRANT, _REQUEST, _CLIENT, _APP = "invalid_grant", "invalid_request", "invalid_client", "unauthorized_client"
_MFA = (
    "Due to a configuration change made by your administrator, or because you moved to a new location, you must {do} "
    "multi-factor authentication to access '00000002-0000-0ff1-ce00-000000000000'."
)
_LATER = "temporarily_unavailable"

# https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
AADSTS: dict[int, Aadsts] = {
    50011: Aadsts(
        _REQUEST,
        "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured for "
        "the application '{client_id}'. Make sure the redirect URI sent in the request matches one added to your "
        "application in the Azure portal.",
    ),
    50020: Aadsts(
        _GRANT,
        "User account '{user}' from identity provider 'live.com' does not exist in tenant 'Sandbox' and cannot access "
        "the application '{client_id}' in that tenant. The account needs to be added as an external user in the "
        "tenant first.",
    ),
    50033: Aadsts(_LATER, "A transient error has occurred. Please try again.", 503),
    50034: Aadsts(
        _GRANT,
        "The user account {{EUII Hidden}} does not exist in the {tenant} directory. To sign into this application, "
        "the account must be added to the directory.",
    ),
    50053: Aadsts(
        _GRANT,
        "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
    ),
    50055: Aadsts(_GRANT, "The password is expired."),
    50057: Aadsts(_GRANT, "The user account is disabled."),
    50076: Aadsts(_GRANT, _MFA.format(do="use")),
    50079: Aadsts(_GRANT, _MFA.format(do="enroll in")),
    50087: Aadsts(_LATER, "A transient error has occurred during signout. Please try again.", 503),
    50105: Aadsts(
        _GRANT,
        "Your administrator has configured the application DataPallas ('{client_id}') to block users unless they are "
        "specifically granted ('assigned') access to the application.",
    ),
    50126: Aadsts(_GRANT, "Error validating credentials due to invalid username or password."),
    50132: Aadsts(
        _GRANT,
        "The session is not valid due to the following reasons: password expiration or recent password change, "
        "SSO Artifact is invalid or expired, session is not fresh enough for application.",
    ),
    50173: Aadsts(
        _GRANT,
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have "
        "changed or reset their password.",
    ),
    50194: Aadsts(
        _REQUEST,
        "Application '{client_id}'(DataPallas) is not configured as a multi-tenant application. Usage of the /common "
        "endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or "
        "configure the application to be multi-tenant.",
    ),
    50196: Aadsts(
        _GRANT,
        "The server terminated an operation because it encountered a client request loop. "
        "Please contact your app vendor.",
    ),
    53003: Aadsts(
        _GRANT,
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    54005: Aadsts(
        _GRANT,
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing "
        "refresh token.",
    ),
    65001: Aadsts(
        _GRANT,
        "The user or administrator has not consented to use the application with ID '{client_id}' named 'DataPallas'. "
        "Send an interactive authorization request for this user and resource.",
    ),
    65004: Aadsts("access_denied", "User declined to consent to access the app."),
    70000: Aadsts(
        _GRANT,
        "The provided value for the input parameter 'refresh_token' or 'assertion' is not valid.",
    ),
    70003: Aadsts("unsupported_grant_type", "The app requested an unsupported grant type '{grant_type}'."),
    70008: Aadsts(
        _GRANT,
        "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive "
        "authorization request for this user and resource.",
    ),
    70011: Aadsts(
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
        "'scope' is not valid. The scope '{scope}' is not valid.",
    ),
    70016: Aadsts(
        "authorization_pending",
        "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
    ),
    70018: Aadsts(
        "bad_verification_code", "Invalid verification code due to User typing in wrong user code."
    ),
    70019: Aadsts("expired_token", "Verification code expired before the user entered it."),
    70043: Aadsts(
        _GRANT,
        "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access. "
        "The maximum allowed lifetime for this request is 86400.",
    ),
    90002: Aadsts(
        _REQUEST,
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    ),
    90006: Aadsts(_LATER, "A transient error has occurred. Please try again.", 503),
    90012: Aadsts(_LATER, "The request has timed out.", 503),
    90024: Aadsts(_LATER, "A transient error has occurred. Please try again.", 503),
    90033: Aadsts(_LATER, "A transient error has occurred. Please try again.", 503),
    90055: Aadsts(_LATER, "The server is terminating the request: there are too many requests.", 429),
    90094: Aadsts(
        "access_denied",
        "An administrator of Sandbox has set a policy that prevents you from granting DataPallas "
        "the permissions it is requesting. Contact an administrator of Sandbox, who can grant permissions.",
    ),
    500011: Aadsts(
        "invalid_resource",
        "The resource principal named https://outlook.office.com was not found in the tenant named Sandbox.",
    ),
    500113: Aadsts(_REQUEST, "No reply address is registered for the application."),
    501481: Aadsts(
        _GRANT, "The Code_Verifier does not match the code_challenge supplied in the authorization request."
    ),
    530032: Aadsts(_GRANT, "User blocked due to risk on home tenant. Blocked by security policy."),
    700016: Aadsts(
        _APP,
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    700023: Aadsts(
        _CLIENT,
        "Client assertion audience claim does not match Realm issuer. Review the documentation at "
        "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
        401,
    ),
    700024: Aadsts(
        _CLIENT,
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {now}, "
        "expiry time of assertion {now}.",
        401,
    ),
    700025: Aadsts(
        _CLIENT,
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
        401,
    ),
    700027: Aadsts(
        _CLIENT,
        "The certificate with identifier used to sign the client assertion is not registered on application. "
        "[Reason - The key was not found., Please visit the Azure Portal, Graph Explorer or directly use MS Graph to "
        "see configured keys for app Id '{client_id}'.]",
        401,
    ),
    700082: Aadsts(
        _GRANT,
        "The refresh token has expired due to inactivity. The token was issued on {now} and was inactive for "
        "90.00:00:00.",
    ),
    700084: Aadsts(
        _GRANT,
        "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of "
        "1.00:00:00, which cannot be extended. It is now expired and a new sign in request must be sent by the SPA "
        "to the sign in page.",
    ),
    900144: Aadsts(_REQUEST, "The request body must contain the following parameter: '{parameter}'."),
    7000112: Aadsts(_APP, "Application '{client_id}'(DataPallas) is disabled."),
    7000215: Aadsts(
        _CLIENT,
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        "the client secret ID, for a secret added to app '{client_id}'.",
        401,
    ),
    7000218: Aadsts(
        _CLIENT,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        401,
    ),
    7000222: Aadsts(
        _CLIENT,
        "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new keys "
        "for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: "
        "https://aka.ms/certCreds.",
        401,
    ),
    9002313: Aadsts(_REQUEST, "Invalid request. Request is malformed or invalid."),
}


class Google(NamedTuple):
    """One of Google's refusals."""

    error: str
    text: str = ""
    status: int = 400
    subtype: str = ""


# https://developers.google.com/identity/protocols/oauth2/web-server#exchange-errors-invalid-grant
GOOGLE: dict[str, Google] = {
    "google:testing": Google(_GRANT, "Token has been expired or revoked."),
    "google:revoked": Google(_GRANT, "Token has been expired or revoked."),
    "google:bad-request": Google(_GRANT, "Bad Request"),
    "google:malformed": Google(_GRANT, "Malformed auth code."),
    "google:account-deleted": Google(_GRANT, "Account has been deleted"),
    "google:rapt": Google(_GRANT, "reauth related error (invalid_rapt)", 400, "invalid_rapt"),
    "google:no-client": Google(_CLIENT, "The OAuth client was not found.", 401),
    "google:secret-wrong": Google(_CLIENT, "Unauthorized", 401),
    "google:secret-missing": Google(_REQUEST, "client_secret is missing."),
    "google:redirect": Google("redirect_uri_mismatch", "Bad Request"),
    "google:scope": Google("invalid_scope", "Some requested scopes were invalid."),
    "google:admin-policy": Google("admin_policy_enforced", "", 400),
    "google:unauthorized": Google(_APP, "Unauthorized", 401),
    "google:signature": Google(_GRANT, "Invalid JWT Signature."),
    "google:audience": Google(_GRANT, "Invalid JWT: Failed audience check."),
    "google:time": Google(
        _GRANT,
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat "
        "and exp values in the JWT claim.",
    ),
    "google:account-unknown": Google(_GRANT, "Invalid grant: account not found"),
    "google:user-unknown": Google(_GRANT, "Invalid email or User ID"),
    "google:delegation": Google(
        _APP,
        "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the "
        "scopes requested.",
        401,
    ),
    "google:rate-limit": Google("rate_limit_exceeded", "Rate Limit Exceeded", 403),
    "google:internal": Google("internal_failure", "Internal error. Please retry.", 500),
}


class Facts(dict[str, str]):
    """Values for the names in braces; a missing one becomes empty."""

    def __missing__(self, key: str) -> str:
        return ""


def microsoft(
    number: int, facts: dict[str, str], now: str, ids: tuple[str, str]
) -> tuple[int, dict[str, object]]:
    """Status and JSON of one of Microsoft's refusals; `now` as ``2026-11-24 10:00:00Z``, `ids` trace and correlation."""
    row = AADSTS[number]
    trace, correlation = ids
    text = row.text.format_map(Facts(facts, now=now))
    description = f"AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"
    return row.status, {
        "error": row.error,
        "error_description": description,
        "error_codes": [number],
        "timestamp": now,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"{AADSTS_PAGE}{number}",
    }


def google(name: str) -> tuple[int, dict[str, object]]:
    """Status and JSON of one of Google's refusals."""
    row = GOOGLE[name]
    answer: dict[str, object] = {"error": row.error}
    if row.text:
        answer["error_description"] = row.text
    if row.subtype:
        answer["error_subtype"] = row.subtype
    return row.status, answer
