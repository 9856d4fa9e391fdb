"""What the sandbox's mail server allows: a policy for our own SMTP server.

It behaves as Exchange and Gmail do: tokens are checked at the identity provider, mail goes out in the name of the
signed-in user only. Recipients such as `452-anything@any.example` are refused with that code.
Must stay true: no token or password is kept or shown.
"""

from __future__ import annotations

import asyncio
import collections
import json
import re
from typing import TYPE_CHECKING

from datapallas.sandbox.arrived import Part
from datapallas.sandbox.clients import MAIL_SCOPES
from datapallas.secret import Secret
from datapallas.smtp.reply import Reply
from datapallas.smtp.sasl import BearerLogin
from datapallas.smtp.server import words
from datapallas.smtp.server.policy import HangUp, Offer, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datapallas.sandbox.arrived import Inbox
    from datapallas.sandbox.faults import Fault, Faults
    from datapallas.sandbox.provider import Provider
    from datapallas.smtp.address import Address
    from datapallas.smtp.sasl import Login
    from datapallas.smtp.server.policy import Peer, Spool, Taken

HOST = "sandbox.example"
PASSWORD = Secret("sandbox-password")  # printed by `datapallas sandbox`: it protects nothing
_WANTED = re.compile(r"([45]\d\d)-")
_FAULT = re.compile(r"(\d{3})[ -](?:(\d\.\d{1,3}\.\d{1,3}) )?(.*)")
# RFC 3463 statuses for the codes recipients ask for.
_STATUS = {
    "450": "4.2.1",
    "451": "4.3.0",
    "452": "4.5.3",
    "550": "5.1.1",
    "552": "5.2.2",
    "553": "5.1.3",
    "554": "5.7.1",
}

_NOT_TAKEN = Reply.of(535, "Authentication unsuccessful", enhanced="5.7.3")
_NOT_TAKEN_GOOGLE = Reply.of(535, "Username and Password not accepted", enhanced="5.7.8")
_PROVIDER_DOWN = Reply.of(454, "Temporary authentication failure", enhanced="4.7.0")
_CONCURRENT = Reply.of(432, "Concurrent connections limit exceeded", enhanced="4.3.2")
_NO_SPACE = Reply.of(452, "No space for this message now", enhanced="4.3.1")


class MailServer:
    """What the sessions of one mail server share."""

    def __init__(self, provider: Provider, inbox: Inbox) -> None:
        self.provider = provider
        self.inbox = inbox
        self.signed_in: collections.Counter[str] = collections.Counter()  # mailbox to sessions now

    def policy(self, peer: Peer) -> SandboxPolicy:
        """The policy for a new session."""
        return SandboxPolicy(self, peer)

    @property
    def faults(self) -> Faults:
        """What shall go wrong."""
        return self.provider.faults


class SandboxPolicy:
    """The decisions of one session."""

    def __init__(self, house: MailServer, peer: Peer) -> None:
        self._house = house
        self._settings = house.provider.ledger.settings
        self._user = ""
        self.offer = self._offer(peer)

    def _offer(self, peer: Peer) -> Offer:
        words_of_ehlo = set(self._settings.extensions)
        for word in ("STARTTLS", "AUTH", "CHUNKING"):
            if self._house.faults.take("ehlo", only=f"strip-{word.lower()}"):
                words_of_ehlo.discard(word)
        return Offer(
            host=HOST,
            size=self._settings.message_size,
            announce_size="SIZE" in words_of_ehlo,
            pipelining="PIPELINING" in words_of_ehlo,
            chunking="CHUNKING" in words_of_ehlo,
            eightbit="8BITMIME" in words_of_ehlo,
            smtputf8="SMTPUTF8" in words_of_ehlo,
            enhanced="ENHANCEDSTATUSCODES" in words_of_ehlo,
            starttls="STARTTLS" in words_of_ehlo and not peer.tls,
            mechanisms=self._settings.mechanisms if "AUTH" in words_of_ehlo else (),
        )

    async def greeting(self) -> Reply:
        """Say who we are."""
        return await self._fault("connect") or Reply.of(220, f"{HOST} ESMTP DataPallas sandbox")

    async def starttls(self) -> Reply:
        """Start TLS."""
        return await self._fault("starttls") or words.TLS_READY

    async def login(self, mechanism: str, login: Login) -> Verdict:  # noqa: ARG002 - the policy's signature
        """Ask the identity provider about a token; know the one password."""
        fault = self._house.faults.take("auth")
        expired = fault is not None and fault.what == "expired"
        if fault and not expired:
            refusal = await _act(fault)
            if refusal is not None:
                return Verdict(refusal)
        if not isinstance(login, BearerLogin):
            user = self._known(login.user)
            return self._let_in(user) if user and login.password == PASSWORD else Verdict(_NOT_TAKEN_GOOGLE)
        status, access = self._house.provider.introspected(login.token.reveal())
        if status >= 500:  # noqa: PLR2004 - the provider has a fault of its own
            return Verdict(_PROVIDER_DOWN)
        good = access is not None and login.user.lower() == access.grant.user.lower()
        if access is None or not good or expired or not MAIL_SCOPES.intersection(access.scope):
            return self._token_refused()
        return self._let_in(access.grant.user)

    async def mail(self, sender: Address | None, params: Mapping[str, str]) -> Reply:  # noqa: ARG002
        """Take mail in the name of the signed-in user only."""
        refusal = await self._fault("mail")
        if refusal is None and str(sender or "").lower() != self._user.lower():
            refusal = self._denied(str(sender or "<>"))
        return refusal or words.SENDER_OK

    async def recipient(self, address: Address, params: Mapping[str, str]) -> Reply:  # noqa: ARG002
        """Take every recipient but those that ask to be refused."""
        refusal = await self._fault("rcpt")
        wanted = _WANTED.match(address.local)
        if refusal is None and wanted:
            code = wanted[1]
            status = _STATUS.get(code, f"{code[0]}.0.0")
            refusal = Reply.of(int(code), f"<{address}>: refused as asked", enhanced=status)
        return refusal or words.RECIPIENT_OK

    async def spool(self) -> Spool | Reply:
        """A file in the sandbox's folder."""
        try:
            return self._house.inbox.part()
        except OSError:
            return _NO_SPACE

    async def message(self, envelope: Taken, spool: Spool) -> Reply:
        """Keep the mail, and list it."""
        fault = self._house.faults.take("message")
        if fault and fault.what != "die-after":
            refusal = await _act(fault)
            if refusal is not None:
                return refusal
        if not isinstance(spool, Part):
            raise TypeError("the text of a mail is in a part of the inbox")
        mail = self._house.inbox.add(envelope, spool)
        if fault and fault.what == "die-after":
            raise HangUp
        return Reply.of(250, f"OK, kept as {mail.path.name}", enhanced="2.0.0")

    def closed(self) -> None:
        """Count one session less."""
        if self._user:
            self._house.signed_in[self._user] -= 1
            self._user = ""

    def _known(self, name: str) -> str:
        return next((user for user in self._house.provider.users if user.lower() == name.lower()), "")

    def _let_in(self, user: str) -> Verdict:
        limit = self._settings.sessions_per_mailbox
        if limit and self._house.signed_in[user] >= limit:
            return Verdict(_CONCURRENT)
        self._user = user
        self._house.signed_in[user] += 1
        return Verdict(words.SIGNED_IN)

    def _token_refused(self) -> Verdict:
        if not self._settings.challenge:
            return Verdict(_NOT_TAKEN)
        reason = {"status": "400", "schemes": "Bearer", "scope": "https://mail.google.com/"}
        return Verdict(_NOT_TAKEN_GOOGLE, json.dumps(reason, separators=(",", ":")))

    def _denied(self, sender: str) -> Reply:
        return Reply.of(
            554, f"SendAsDenied; {self._user} not allowed to send as {sender}", enhanced="5.2.252"
        )

    async def _fault(self, where: str) -> Reply | None:
        fault = self._house.faults.take(where)
        return await _act(fault) if fault else None


async def _act(fault: Fault) -> Reply | None:
    """Do what a fault says: hang up, wait, or give the reply to say. Raises HangUp."""
    if fault.what == "die":
        raise HangUp
    if fault.what == "slow":
        await asyncio.sleep(fault.seconds)
        return None
    found = _FAULT.fullmatch(fault.what)
    if found is None:
        raise HangUp
    return Reply.of(int(found[1]), found[3], enhanced=found[2] or "")
