"""The ways a warning reaches people: what a command prints, a webhook, an email through another connection.

Must stay true: no secret is in a warning; a webhook is asked once, follows no redirect, and its address is in no
error; a way that fails stops no other, and is tried again the next time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from datapallas.errors import DataPallasError, ProtocolError
from datapallas.home.settings import warning_settings
from datapallas.oauth.addresses import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datapallas.home.home import Home
    from datapallas.home.warnings import Notice
    from datapallas.secret import Secret

    Way = Callable[[Notice], None]

_GOOD = range(200, 300)


def ways(home: Home, log: Way) -> Mapping[str, Way]:
    """Each way by its name; `log` is always one. Raises ConfigurationError (code ``settings``)."""
    settings = warning_settings(home.root, home.environ)
    found: dict[str, Way] = {"log": log}
    webhook = settings.webhook
    if webhook is not None:
        found["webhook"] = lambda notice: _post(home, webhook, notice)
    if settings.email_connection:
        found["email"] = lambda notice: _mail(home, settings.email_connection, settings.email_to, notice)
    return found


def _post(home: Home, webhook: Secret, notice: Notice) -> None:
    body = {"event": "datapallas.warning", "text": notice.sentence, **notice.to_dict()}
    url = webhook.reveal()
    try:
        answer = home.endpoint.post_json(url, json.dumps(body).encode())
    except DataPallasError as problem:  # its words may hold the address, and the address a key
        raise type(problem)("The webhook cannot be reached.", code=problem.code, host=host_of(url)) from None
    if answer.status not in _GOOD:
        raise ProtocolError(f"The webhook answered {answer.status}.", code="webhook", host=host_of(url))


def _mail(home: Home, code: str, to: str, notice: Notice) -> None:
    from datapallas.mail.message import Message

    subject = f"DataPallas: {notice.connection} needs attention ({notice.what})"
    with home.mailbox(code) as mailbox:
        mailbox.send(Message(to=to, subject=subject, text=notice.sentence + "\n"))
