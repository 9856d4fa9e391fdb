"""A server of our own for the client's tests: the real listener with a policy that keeps what it gets."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from datapallas.smtp.reply import Reply
from datapallas.smtp.sasl import BearerLogin
from datapallas.smtp.server.listener import Background, Listener
from datapallas.smtp.server.policy import Limits, Offer, Verdict

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from datapallas.smtp.address import Address
    from datapallas.smtp.sasl import Login
    from datapallas.smtp.server import policy as server_policy
    from datapallas.smtp.server.policy import Peer, Taken

OFFER = Offer(host="mail.example", starttls=False, login_needed=False, mechanisms=())

QUEUED = Reply.of(250, "queued", enhanced="2.0.0")


@dataclasses.dataclass
class Post:
    """What a test decides and what it looks at afterwards. Replies are by address; anything else is taken."""

    offer: Offer = OFFER
    limits: Limits = dataclasses.field(default_factory=Limits)
    replies: dict[str, Reply] = dataclasses.field(default_factory=dict)
    final: Reply = QUEUED
    token: str = "t0ken"
    messages: list[tuple[Taken, bytes]] = dataclasses.field(default_factory=list)
    octets: int = 0
    logins: list[str] = dataclasses.field(default_factory=list)
    port: int = 0

    @contextlib.contextmanager
    def running(
        self, background: Background, tls: ssl.SSLContext | None = None, **how: bool
    ) -> Iterator[Post]:
        listener = Listener(self._policy, tls=tls, limits=self.limits)
        self.port = background.run(listener.listen("127.0.0.1", **how))
        yield self
        background.run(listener.close())

    def _policy(self, peer: Peer) -> Policy:
        return Policy(self)


class Policy:
    """The decisions of one session."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self.offer = post.offer

    async def greeting(self) -> Reply:
        return Reply.of(220, "mail.example")

    async def starttls(self) -> Reply:
        return Reply.of(220, "go", enhanced="2.0.0")

    async def login(self, mechanism: str, login: Login) -> Verdict:
        self._post.logins.append(mechanism)
        secret = login.token if isinstance(login, BearerLogin) else login.password
        if secret.reveal() == self._post.token:
            return Verdict(Reply.of(235, "welcome", enhanced="2.7.0"))
        return Verdict(Reply.of(535, "no", enhanced="5.7.8"), challenge='{"status":"401"}')

    async def mail(self, sender: Address | None, params: Mapping[str, str]) -> Reply:
        return self._post.replies.get(str(sender), Reply.of(250, "ok", enhanced="2.1.0"))

    async def recipient(self, address: Address, params: Mapping[str, str]) -> Reply:
        return self._post.replies.get(str(address), Reply.of(250, "ok", enhanced="2.1.5"))

    async def spool(self) -> Spool:
        return Spool(self._post)

    async def message(self, envelope: Taken, spool: server_policy.Spool) -> Reply:
        assert isinstance(spool, Spool)
        self._post.messages.append((envelope, spool.getvalue()))
        return self._post.final

    def closed(self) -> None:
        pass


class Spool(io.BytesIO):
    """Keeps a text, and counts what came of all."""

    def __init__(self, post: Post) -> None:
        super().__init__()
        self._post = post

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self._post.octets += len(data)
        return super().write(data)


Start = Callable[..., Post]
"""What the fixture `post` gives: starts one."""
