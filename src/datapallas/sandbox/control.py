"""The sandbox's own addresses: arrived mail for people, switches for tests.

Must stay true: a switch takes JSON only, which no page elsewhere can send without being allowed to (CORS), and
nothing here shows a token.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datapallas.errors import UsageError
from datapallas.sandbox import pages
from datapallas.sandbox.http import Answer, Request, json_answer, page_answer

if TYPE_CHECKING:
    from datapallas.sandbox.arrived import Arrived, Inbox
    from datapallas.sandbox.provider import Provider

PREFIX = "/_sandbox/"
_FILES = {"/style.css": "text/css", "/icon.svg": "image/svg+xml"}  # they lie beside this module


class Control:
    """Answers everything that is not the identity provider's."""

    def __init__(self, provider: Provider, inbox: Inbox) -> None:
        self._provider = provider
        self._inbox = inbox
        self.smtp = ""  # host:port, to show

    def answer(self, request: Request) -> Answer:
        """The provider's answer, else ours."""
        answer = self._provider.answer(request)
        if answer is not None:
            return answer
        if request.path.startswith(PREFIX):
            try:
                return self._switch(request, request.path.removeprefix(PREFIX))
            except (UsageError, ValueError, TypeError) as problem:
                return json_answer({"error": str(problem)}, 400)
        if request.method not in {"GET", "HEAD"}:
            return page_answer(pages.told("Not this way", "This address can only be looked at."), 405)
        return self._page(request.path)

    def _page(self, path: str) -> Answer:
        if path == "/":
            return page_answer(pages.mails(self._inbox.mails, self.smtp))
        if path in _FILES:
            content = Path(__file__).with_name(path[1:]).read_bytes()
            return Answer(200, {"Content-Type": _FILES[path], "X-Content-Type-Options": "nosniff"}, content)
        mail = self._mail(path.removeprefix("/mail/"))
        if path.startswith("/mail/") and mail is not None:
            return page_answer(pages.mail(mail))
        return page_answer(pages.told("Not found", "There is nothing at this address."), 404)

    def _mail(self, number: str) -> Arrived | None:
        return next((mail for mail in self._inbox.mails if str(mail.number) == number), None)

    def _switch(self, request: Request, name: str) -> Answer:
        if request.method == "GET":
            return self._read(name)
        if request.method == "DELETE" and name in {"faults", "messages"}:
            (self._provider.faults if name == "faults" else self._inbox).clear()
            return json_answer({})
        if request.method != "POST":
            return json_answer({"error": "not this way"}, 405)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return json_answer({"error": "send application/json"}, 415)
        given = json.loads(request.body or b"{}")
        if not isinstance(given, dict):
            raise UsageError("Send a JSON object.")
        return self._change(name, given)

    def _read(self, name: str) -> Answer:
        if name == "faults":
            return json_answer([dataclasses.asdict(fault) for fault in self._provider.faults.waiting])
        if name == "settings":
            return json_answer(self._provider.ledger.settings.to_dict())
        if name == "messages":
            return json_answer([mail.to_dict() for mail in self._inbox.mails])
        if name.startswith("messages/") and name.endswith(".eml"):
            mail = self._mail(name[len("messages/") : -len(".eml")])
            if mail is not None:
                headers = {
                    "Content-Type": "message/rfc822",
                    "X-Content-Type-Options": "nosniff",
                    "Content-Disposition": f'attachment; filename="{mail.number}.eml"',
                }
                return Answer(200, headers, mail.data)
        return json_answer({"error": "there is nothing here"}, 404)

    def _change(self, name: str, given: dict[str, Any]) -> Answer:
        if name == "faults":
            self._provider.faults.next(
                str(given.get("where", "")),
                str(given.get("what", "")),
                times=int(given.get("times", 1)),
                seconds=float(given.get("seconds", 0)),
            )
            return self._read(name)
        if name == "settings":
            for setting, value in given.items():
                self._provider.ledger.settings.change(setting, value)
            return self._read(name)
        if name == "revoke":
            return json_answer({"revoked": self._provider.ledger.revoke_user(str(given.get("user", "")))})
        if name == "expire":
            self._provider.ledger.expire_access(str(given.get("user", "")))
            return json_answer({})
        return json_answer({"error": "there is nothing here"}, 404)
