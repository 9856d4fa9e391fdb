"""The pages of the sandbox: sign in, allow, type a code, errors, arrived mail.

Must stay true: every value that is put into a page goes through `_text`; nothing here is a script or a style.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from datapallas.sandbox.clients import MAIL_SCOPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datapallas.sandbox.arrived import Arrived

_SCOPE_WORDS = {
    "openid": "Know who you are",
    "email": "See your email address",
    "profile": "See your name",
    "offline_access": "Go on sending without asking you again",
}
_SHOWN = 200_000  # characters of one mail's text on its page


def _text(value: str) -> str:
    return html.escape(value, quote=True)


def _page(title: str, body: str, *, wide: bool = False) -> str:
    width = ' class="wide"' if wide else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title>"
        '<link rel="stylesheet" href="/style.css"><link rel="icon" href="/icon.svg"></head>\n'
        f"<body><header{width}>DataPallas sandbox: nothing here leaves this computer</header>\n"
        f"<main{width}>\n<h1>{_text(title)}</h1>\n{body}\n</main></body></html>\n"
    )


def login(action: str, users: Sequence[str], hint: str, wrong: str = "") -> str:
    """Who is it? Any password will do."""
    options = "".join(f'<option value="{_text(user)}">' for user in users)
    problem = f'<p class="wrong" role="alert">{_text(wrong)}</p>' if wrong else ""
    return _page(
        "Sign in",
        f'{problem}<form method="post" action="{_text(action)}">'
        f'<label>Email address<input name="login" type="email" list="users" value="{_text(hint)}" required autofocus '
        f'autocomplete="username"></label><datalist id="users">{options}</datalist>'
        '<label>Password<input name="password" type="password" autocomplete="current-password"></label>'
        '<p class="buttons"><button type="submit">Next</button></p></form>'
        f'<p class="soft">Any password will do. Accounts: {_text(", ".join(users))}</p>',
    )


def consent(action: str, client_id: str, user: str, scope: Sequence[str]) -> str:
    """Allow, or not."""
    wanted = ["Send email as you" if word in MAIL_SCOPES else _SCOPE_WORDS.get(word, word) for word in scope]
    points = "".join(f"<li>{_text(words)}</li>" for words in dict.fromkeys(wanted))
    return _page(
        f"Allow {client_id}?",
        f"<p>Signed in as <strong>{_text(user)}</strong>. This program wants to:</p><ul>{points}</ul>"
        f'<form method="post" action="{_text(action)}"><p class="buttons">'
        '<button type="submit" name="decision" value="accept">Accept</button>'
        '<button type="submit" name="decision" value="decline" class="second">Decline</button></p></form>',
    )


def device(code: str, wrong: str = "") -> str:
    """Type the code the device shows."""
    problem = f'<p class="wrong" role="alert">{_text(wrong)}</p>' if wrong else ""
    return _page(
        "Connect a device",
        f'{problem}<form method="post" action="/device">'
        f'<label>The code your device shows<input name="user_code" value="{_text(code)}" required autofocus '
        'autocapitalize="characters" autocomplete="off" spellcheck="false"></label>'
        '<p class="buttons"><button type="submit">Next</button></p></form>',
    )


def form_post(target: str, fields: dict[str, str]) -> str:
    """Hand the answer over with a form (OAuth 2.0 Form Post Response Mode); a button, since no page runs a script."""
    hidden = "".join(
        f'<input type="hidden" name="{_text(name)}" value="{_text(value)}">' for name, value in fields.items()
    )
    return _page(
        "Almost done",
        f'<form method="post" action="{_text(target)}">{hidden}'
        '<p class="buttons"><button type="submit">Back to the program</button></p></form>',
    )


def told(title: str, text: str) -> str:
    """One sentence."""
    return _page(title, f"<p>{_text(text)}</p>")


def refused(error: str, text: str) -> str:
    """An error that is shown here and never goes back to the program, as real providers do."""
    return _page(
        "Sorry, but we are having trouble signing you in",
        f'<p class="wrong" role="alert">{_text(text or error)}</p><p class="soft">{_text(error)}</p>',
    )


def mails(arrived: Sequence[Arrived], server: str) -> str:
    """Everything that arrived, the newest first."""
    if not arrived:
        return _page(
            "Arrived mail", f"<p>Nothing yet. The mail server is <code>{_text(server)}</code>.</p>", wide=True
        )
    rows = "".join(
        f'<li><a href="/mail/{mail.number}">{_text(mail.subject or "(no subject)")}</a><br>'
        f'<span class="soft">{_text(mail.sender)} to {_text(", ".join(mail.recipients[:5]))}'
        f"{_text(_more(mail))} · {mail.size:,} bytes</span></li>"
        for mail in reversed(arrived)
    )
    return _page(f"Arrived mail ({len(arrived)})", f'<ul class="mails">{rows}</ul>', wide=True)


def mail(one: Arrived) -> str:
    """One mail: its envelope, its headers, its text."""
    envelope = (
        f"<dl><dt>Envelope sender</dt><dd>{_text(one.sender)}</dd>"
        f"<dt>Envelope recipients</dt><dd>{_text(', '.join(one.recipients))}</dd>"
        f"<dt>Signed in as</dt><dd>{_text(one.user)}</dd></dl>"
    )
    headers = "\n".join(f"{name}: {value}" for name, value in one.headers)
    files = "".join(f"<li>{_text(name)}</li>" for name in one.attachments)
    return _page(
        one.subject or "(no subject)",
        f"{envelope}<h2>Text</h2><pre>{_text(one.text[:_SHOWN])}</pre>"
        + (f"<h2>Attachments</h2><ul>{files}</ul>" if files else "")
        + f"<h2>Headers</h2><pre>{_text(headers)}</pre>"
        f'<p class="soft">{one.size:,} bytes · <a href="/">All mail</a></p>',
        wide=True,
    )


def _more(one: Arrived) -> str:
    return f" and {len(one.recipients) - 5} more" if len(one.recipients) > 5 else ""  # noqa: PLR2004
