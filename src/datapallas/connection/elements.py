"""The elements of a connection file: their names, their order, and which field each one is.

Must stay true: names, order and defaults are those of the existing product, so that a file moves both ways; elements
it does not know come last and are written only when set. Text is not changed on its way: a value that would not come
back as it went in is refused by the codec.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from datapallas.connection.codes import is_code
from datapallas.connection.model import (
    Cloud,
    Connection,
    Flow,
    OAuth2Client,
    Password,
    Provider,
    Sealed,
    Security,
    Server,
    Transport,
)
from datapallas.connection.xml_scan import broken
from datapallas.secret import MASK, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.connection.model import Stored

    Path = tuple[str, str]  # parent and name: there are two elements called `name`
    Raw = Mapping[Path, tuple[str, int]]  # text and line of each element that is there

Kind = TypeVar("Kind", bound=StrEnum)
_C, _E = "connection", "emailserver"
_OAUTH2_TEXTS = {
    "oauth2clientid": "client_id",
    "oauth2tenantid": "tenant_id",
    "oauth2authorizeurl": "authorize_url",
    "oauth2tokenurl": "token_url",
    "oauth2scope": "scope",
    "oauth2useremail": "user_email",
    "oauth2certificate": "certificate",
    "oauth2redirecturi": "redirect_uri",
    "oauth2loginhint": "login_hint",
    "oauth2issuedat": "issued_at",
    "oauth2grantedscope": "granted_scope",
}
SECRETS = {
    "userpassword": "password",
    "oauth2refreshtoken": "refresh_token",
    "oauth2clientsecret": "client_secret",
}
"""Elements that hold a secret, and the field each one is."""
ORDER: tuple[Path, ...] = (
    *((_C, name) for name in ("code", "name", "default", _E)),
    *(
        (_E, name)
        for name in (
            # as the existing product writes them
            *("useconn", "conncode", "host", "port", "userid", "userpassword", "usessl", "usetls"),
            *("keyfile", "rootcertfile", "servercertfile", "fromaddress", "name", "weburl"),
            *("oauth2provider", "oauth2clientid", "oauth2tenantid", "oauth2authorizeurl", "oauth2tokenurl"),
            *("oauth2scope", "oauth2refreshtoken", "oauth2useremail"),
            # ours
            *("oauth2clientsecret", "oauth2certificate", "oauth2flow", "oauth2cloud", "oauth2redirecturi"),
            *("oauth2loginhint", "oauth2issuedat", "oauth2grantedscope", "transport", "smtpchunking"),
        )
    ),
)
_PLACEHOLDERS = {
    "host": "Email Server Host",
    "userid": "From Email User ID",
    "userpassword": "From Email Password",
    "fromaddress": "from@emailaddress.com",
    "name": "From Name",
}
_DEFAULT_PORT = "25"  # what the existing product takes when the element is missing
_VARIABLE = re.compile(r"\$\{[^${}]+\}")


def is_variable(value: str) -> bool:
    """True when the whole value is a `${variable}` that a report fills in: a name, not a secret."""
    return _VARIABLE.fullmatch(value) is not None


def read_secret(raw: Raw, element: str) -> Stored:
    """The secret in `element`: sealed, in clear, or None for nothing, a placeholder or a mask."""
    text, _line = raw.get((_E, element), ("", 0))
    flat = text.strip()
    if not flat or flat in {MASK, _PLACEHOLDERS.get(element)}:
        return None
    if flat.startswith("ENC("):
        return Sealed(flat)
    return Secret(text if element == "userpassword" else flat)  # a password may begin or end with a blank


def read_connection(raw: Raw, provider: Provider | None = None) -> Connection:
    """The connection that the elements say; with `provider`, as if that one were set."""
    code, line = raw.get((_C, "code"), ("", 0))
    code = code.strip()
    if not is_code(code):
        broken(
            f"<code> is {code!r}, which is not a code" if code else "<code> is missing or empty", line or ""
        )
    if provider is None:
        provider = _enum(raw, "oauth2provider", Provider, Provider.NONE)
    credential = _password(raw) if provider is Provider.NONE else _client(raw, provider)
    return Connection(
        code=code,
        name=_text(raw, "name", _C),
        default=_switch(raw, "default", _C),
        server=Server(
            host=_text(raw, "host"),
            port=_text(raw, "port") or _DEFAULT_PORT,
            security=_security(raw),
            root_certificate=_text(raw, "rootcertfile"),
            chunking=_switch(raw, "smtpchunking", missing=True),
        ),
        from_address=_text(raw, "fromaddress"),
        from_name=_text(raw, "name"),
        credential=credential,
        transport=_enum(raw, "transport", Transport, Transport.AUTO),
    )


def _password(raw: Raw) -> Password:
    return Password(user=_text(raw, "userid"), password=read_secret(raw, "userpassword"))


def _client(raw: Raw, provider: Provider) -> OAuth2Client:
    return OAuth2Client(
        provider=provider,
        cloud=_enum(raw, "oauth2cloud", Cloud, Cloud.GLOBAL),
        flow=_enum(raw, "oauth2flow", Flow, Flow.CODE),
        client_secret=read_secret(raw, "oauth2clientsecret"),
        refresh_token=read_secret(raw, "oauth2refreshtoken"),
        **{attribute: _text(raw, element) for element, attribute in _OAUTH2_TEXTS.items()},
    )


def _text(raw: Raw, element: str, parent: str = _E) -> str:
    text = raw.get((parent, element), ("", 0))[0].strip()
    return "" if parent == _E and text == _PLACEHOLDERS.get(element) else text


def _switch(raw: Raw, element: str, parent: str = _E, *, missing: bool = False) -> bool:
    """An xs:boolean; anything else would be a guess."""
    text, line = raw.get((parent, element), ("", 0))
    words = {"": missing, "true": True, "1": True, "false": False, "0": False}
    value = words.get(text.strip().lower())
    if value is None:
        broken(f"<{element}> is {text.strip()!r}, not true or false", line)
    return value


def _security(raw: Raw) -> Security:
    if _switch(raw, "usessl"):  # with both set the existing product speaks TLS from the first byte
        return Security.TLS
    return Security.STARTTLS if _switch(raw, "usetls") else Security.NONE


def _enum(raw: Raw, element: str, kind: type[Kind], missing: Kind) -> Kind:
    text, line = raw.get((_E, element), ("", 0))
    if not text.strip():
        return missing
    try:
        return kind(text.strip().upper())
    except ValueError:
        known = ", ".join(kind)
        broken(f"<{element}> is {text.strip()!r}, not one of {known}", line)


def write_elements(connection: Connection) -> dict[Path, str]:
    """The text of each element this connection needs; what is missing here is not written.

    ValueError names a secret that was not sealed.
    """
    server, security = connection.server, connection.server.security
    texts: dict[Path, str] = {
        (_C, "code"): connection.code,
        (_C, "name"): connection.name,
        (_C, "default"): _word(connection.default),
        (_E, "host"): server.host,
        (_E, "port"): server.port,
        (_E, "usessl"): _word(security is Security.TLS),
        (_E, "usetls"): _word(security is Security.STARTTLS),
        (_E, "rootcertfile"): server.root_certificate,
        (_E, "fromaddress"): connection.from_address,
        (_E, "name"): connection.from_name,
        (_E, "oauth2provider"): connection.provider.value,
        (_E, "transport"): "" if connection.transport is Transport.AUTO else connection.transport.value,
        (_E, "smtpchunking"): "" if server.chunking else "false",
    }
    login = connection.credential
    if isinstance(login, Password):
        texts[_E, "userid"] = login.user
        texts[_E, "userpassword"] = _secret(login.password)
    else:
        texts |= {(_E, element): getattr(login, attribute) for element, attribute in _OAUTH2_TEXTS.items()}
        texts[_E, "oauth2cloud"] = "" if login.cloud is Cloud.GLOBAL else login.cloud.value
        texts[_E, "oauth2flow"] = "" if login.flow is Flow.CODE else login.flow.value
        texts[_E, "oauth2refreshtoken"] = _secret(login.refresh_token)
        texts[_E, "oauth2clientsecret"] = _secret(login.client_secret)
    return {path: text for path, text in texts.items() if text}


def _word(value: bool) -> str:  # noqa: FBT001 - the value is the point
    return "true" if value else "false"


def _secret(stored: Stored) -> str:
    if stored is None:
        return ""
    return stored.text if isinstance(stored, Sealed) else stored.reveal()
