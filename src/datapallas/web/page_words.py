"""What to do, said for somebody at the page: where a fix names a command, the page names its own field or button.

The catalogue's fixes are one for all doors and name commands. Those that have a place on the page are said by it here;
what only a terminal can do (keys, users, the doctor) stays a command to copy. Pure.
Must stay true: a fix that names no such command comes out as it is.
"""

from __future__ import annotations

import re

LABELS = {
    "name": "Connection name",
    "from": "From address",
    "from-name": "From name",
    "host": "Host",
    "port": "Port",
    "security": "Security",
    "root-certificate": "Certificate authority",
    "chunking": "BDAT (CHUNKING)",
    "user": "User name",
    "tenant-id": "Tenant id",
    "client-id": "Client id",
    "cloud": "Microsoft cloud",
    "flow": "Who opens the mailbox",
    "certificate": "Key file",
    "authorize-url": "Authorize URL",
    "token-url": "Token URL",
    "scope": "Scope",
    "redirect-uri": "Redirect URI",
    "login-hint": "Who signs in",
    "--client-secret": "Client secret",
    "--password": "Password",
    "--provider": "OAuth2 Provider",
}
"""Fields and options of `connection set`, as the editor calls them."""
_SIGN_IN = re.compile(r"(?:(?: with|(?<=Run)|(?<=run)) )?`datapallas oauth2 sign-in[^`]*`( again)?")
_SET = re.compile(
    r"(?P<how>(?:with|by|into|and run|run|Run) )?`datapallas connection set \S+ (?P<what>[^`]+)`"
)
_ONE = re.compile(r"(--client-secret|--password|--provider|[a-z-]+(?==))(?:[ =](\S*))?")
_PLACEHOLDER = re.compile(r", where [A-Z]+ is ")
_OTHERS = (
    (re.compile(r"with `datapallas connection default [^`]*`"), "with More > Make default in the list"),
    (re.compile(r"`datapallas connection list`"), "the list of connections"),
    (re.compile(r"in `datapallas oauth2 status[^`]*`"), "in the list of connections"),
    (re.compile(r"with `datapallas oauth2 refresh[^`]*`"), "with Send Test Email"),
    (re.compile(r"`datapallas system test-email[^`]*`"), "Send Test Email"),
    (re.compile(r"Name one with `--connection CODE`, or mark"), "Mark"),
    (re.compile(r", or add `--force`"), ""),
    (re.compile(r"\bRun Send Test Email"), "Press Send Test Email"),
    (re.compile(r"\bSet it by setting "), "Set "),
    (re.compile(r"\bconnection CODE\b"), "connection"),
)
_CONSTANTS = {
    "MICROSOFT": "Microsoft",
    "GOOGLE": "Google",
    "GENERIC": "Generic",
    "false": "off",
    "true": "on",
}
_GIVEN = frozenset({"STARTTLS", "TLS", "NONE", *_CONSTANTS})  # capitals that are a value, no placeholder


def for_the_page(fix: str) -> str:
    """`fix`, with the page's own words for what can be done there."""
    said = _SET.sub(_fields, fix)
    if said != fix:
        said = _PLACEHOLDER.sub("; it is ", said)
    said = _SIGN_IN.sub(_sign_in, said)
    for command, words in _OTHERS:
        said = command.sub(words, said)
    return said


def _sign_in(found: re.Match[str]) -> str:
    way = " and take a code" if "--flow device" in found[0] else ""
    way = " by pasting the address" if "--flow paste" in found[0] else way
    if found[0].startswith("`"):  # the whole of what to do
        return f"sign in again on the connection's tab Advanced{way}"
    if found[1] or not found[0].startswith(" with"):  # run ... again
        return f" the sign-in on the connection's tab Advanced{way}{found[1] or ''}"
    return f" on the connection's tab Advanced{way}"


def _fields(found: re.Match[str]) -> str:
    parts = [(LABELS[name], value) for name, value in _ONE.findall(found["what"]) if name in LABELS]
    if not parts:  # what the editor has no field for
        return found[0]
    if not any(value for _, value in parts):
        return f"by emptying {_named([label for label, _ in parts])}"
    given = [f"{label} to {_CONSTANTS.get(value, value)}" for label, value in parts if _is_given(value)]
    open_ = [label for label, value in parts if not _is_given(value)]
    how = found["how"] or ""
    if given and not open_:
        return f"{'by setting ' if how in {'with ', 'by '} else 'set '}{' and '.join(given)}"
    fields = _named(open_)
    return {"with ": f"in {fields}", "by ": f"in {fields}", "into ": f"into {fields}"}.get(
        how, f"{'and ' if how.startswith('and') else ''}fill in {fields}"
    )


def _is_given(value: str) -> bool:
    return value in _GIVEN or value.isdigit()


def _named(labels: list[str]) -> str:
    words = " and ".join(filter(None, (", ".join(labels[:-1]), labels[-1])))
    return f"the field{'s' if len(labels) > 1 else ''} {words}"
