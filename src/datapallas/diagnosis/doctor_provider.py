"""The doctor's checks of the way to the provider: name, proxy, certificate, clock, metadata, tenant.

Must stay true: nothing secret is sent; what is asked for is public. A provider that publishes no metadata is none the
worse for it: only Microsoft and Google are known to have it.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from datapallas.connection import provider
from datapallas.connection.model import Provider
from datapallas.diagnosis.doctor_case import reason_of
from datapallas.diagnosis.doctor_tls import issuer_through
from datapallas.errors import (
    ConfigurationError,
    DataPallasError,
    ProtocolError,
    TlsRefused,
    TokenRefused,
    Unreachable,
)
from datapallas.oauth.addresses import LOOPBACK, host_of, origin, port_of
from datapallas.oauth.answers import printable, read_object
from datapallas.oauth.discovery import read_metadata

if TYPE_CHECKING:
    from datapallas.connection.model import OAuth2Client
    from datapallas.diagnosis.doctor_case import Case
    from datapallas.oauth.endpoint import Answer

_WELL_KNOWN = "/.well-known/openid-configuration"
_GOOGLE_ISSUER = "https://accounts.google.com"
_MICROSOFT_TOKEN = "/oauth2/v2.0/token"
_SEVERAL_TENANTS = frozenset({"common", "organizations", "consumers"})
_REACH_SECONDS = 10.0
_TOO_MANY, _SERVER_ERROR, _CLIENT_ERROR = 429, 500, 400


def without_provider(case: Case) -> str:
    """A password needs no provider."""
    return "" if case.client else "it signs in with a password"


def without_proxy(case: Case) -> str:
    """Only where the environment names a proxy for the provider."""
    if case.client is None:
        return "it signs in with a password"
    return "" if _proxy_for(_addresses(case.client)[0]) else "none is set for the provider"


def without_tenant(case: Case) -> str:
    """Only Microsoft has tenants, and only one that is named can be missing."""
    if case.client is None or case.client.provider is not Provider.MICROSOFT:
        return "only Microsoft has tenants"
    if provider.tenant(case.client).lower() in _SEVERAL_TENANTS:
        return f"{provider.tenant(case.client)} stands for many"
    return ""


def name(case: Case) -> str:
    """The provider's hosts have addresses."""
    hosts = list(dict.fromkeys(host_of(url) for url in _addresses(_client(case))))
    if _proxy_for(_addresses(_client(case))[0]):
        return "left to the proxy"
    for host in hosts:
        try:
            socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unreachable(
                f"The name {host} was not found.", phase="dns", case="provider", host=host, raw=str(error)
            ) from None
    return ", ".join(hosts)


def proxy(case: Case) -> str:
    """The proxy itself answers at its port."""
    shown = _proxy_for(_addresses(_client(case))[0])
    host, port = _host_port(shown)
    try:
        case.dial(host, port, _REACH_SECONDS).close()
    except (OSError, ExceptionGroup) as error:
        cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
        raise Unreachable(
            f"The proxy {host}:{port} does not answer: {reason_of(cause)}.",
            phase="proxy",
            host=host,
            port=port,
            raw=str(cause),
        ) from None
    return f"{host}:{port}"


def reach(case: Case) -> str:
    """Every host of the provider answers over HTTPS, with a certificate this machine trusts."""
    client = _client(case)
    first, *others = _addresses(client)
    case.answer = _get(case, first)
    for url in others:
        with contextlib.suppress(ProtocolError):  # it answered; a token address need not like GET
            _get(case, url)
    hosts = dict.fromkeys(host_of(url) for url in (first, *others))
    return ", ".join(f"{host} answers" for host in hosts)


def clock(case: Case) -> str:
    """This machine's clock agrees with the provider's Date."""
    skew = _answer(case).clock_skew
    if not skew:
        return (
            "agrees with the provider's" if "date" in _answer(case).headers else "the provider sends no date"
        )
    way = "behind" if skew > 0 else "ahead"
    minutes = f"{abs(skew) / 60:.0f} minutes"
    raise ConfigurationError(
        f"This machine's clock is {minutes} {way}.",
        code="clock",
        off=f"{minutes} {way}",
        raw=f"the provider's Date is {_answer(case).headers.get('date', '')}",
    )


def metadata(case: Case) -> str:
    """The provider is up, and says where its addresses are."""
    client, answer = _client(case), _answer(case)
    if answer.status == _TOO_MANY or answer.status >= _SERVER_ERROR:
        raise _refused(answer)
    known = client.provider is not Provider.GENERIC
    if answer.status >= _CLIENT_ERROR:
        if known and without_tenant(case):
            raise _refused(answer)
        return "left to the next check" if known else "publishes none, and need not"
    if (
        client.provider is Provider.MICROSOFT
    ):  # its issuer names the tenant by its number, however we named it
        return _text(read_object(answer.status, answer.headers, answer.body), "issuer")
    try:
        found = read_metadata(read_object(answer.status, answer.headers, answer.body), _issuer(client))
    except (ProtocolError, ConfigurationError, TokenRefused):
        if known:
            raise
        return "publishes none, and need not"
    same = origin(found.token_url) == origin(provider.token_url(client))
    case.metadata = found if same else None
    return found.issuer


def _text(data: dict[str, object], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"The provider's metadata holds no {name}.", code="not-json")
    return printable(value, 200)


def tenant(case: Case) -> str:
    """The tenant is known to Microsoft."""
    if _answer(case).status >= _CLIENT_ERROR:
        raise _refused(_answer(case))
    return provider.tenant(_client(case))


def _client(case: Case) -> OAuth2Client:
    if case.client is None:
        raise LookupError("a password has no provider")
    return case.client


def _answer(case: Case) -> Answer:
    if case.answer is None:
        raise LookupError("the provider was not asked yet")
    return case.answer


def _issuer(client: OAuth2Client) -> str:
    """Who publishes the metadata: the issuer of the token address, as far as that can be told from it."""
    url = provider.token_url(client)
    if client.provider is Provider.GOOGLE and not client.token_url:
        return _GOOGLE_ISSUER
    if client.provider is Provider.MICROSOFT and url.endswith(_MICROSOFT_TOKEN):
        return url.removesuffix(_MICROSOFT_TOKEN) + "/v2.0"
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _addresses(client: OAuth2Client) -> list[str]:
    """What must answer: the metadata, and the token address where that is another host."""
    found = [_issuer(client) + _WELL_KNOWN]
    if origin(found[0]) != origin(provider.token_url(client)):
        found.append(provider.token_url(client))
    return found


def _get(case: Case, url: str) -> Answer:
    try:
        return case.endpoint.get(url)
    except TlsRefused as problem:
        through = _proxy_for(url)
        if through and not problem.facts.get("issuer"):
            issuer = issuer_through(_host_port(through), host_of(url), port_of(url))
            problem.facts["issuer"] = issuer
            problem.message += f" It was issued by {issuer}." if issuer else ""
        raise
    except DataPallasError as problem:
        if problem.facts.get("phase") == "proxy" and "407" in problem.raw:
            problem.facts["reason"] = "407"
        raise


def _refused(answer: Answer) -> DataPallasError:
    try:
        read_object(answer.status, answer.headers, answer.body)
    except DataPallasError as problem:
        return problem
    return ProtocolError("The provider answered its own metadata with an error.", raw=f"HTTP {answer.status}")


def _proxy_for(url: str) -> str:
    """The proxy the environment names for an address, or empty; as the request itself reads it."""
    parts, proxies = urlsplit(url), getproxies()
    host = parts.hostname or ""
    if host in LOOPBACK or proxy_bypass(host):
        return ""
    return proxies.get(parts.scheme) or proxies.get("all", "")


def _host_port(shown: str) -> tuple[str, int]:
    parts = urlsplit(shown if "://" in shown else f"http://{shown}")
    try:
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise ConfigurationError(
            "HTTPS_PROXY holds something that is not an address.", code="http-settings"
        ) from None
