"""What the person at the browser sees and does: sign in, allow or decline, type a device's code.

Must stay true:
- an error before the redirect address is known to be on loopback is shown, never sent (RFC 6749 section 4.1.2.1);
- a visit is known by an unguessable id, is over after one decision, and is forgotten after ten minutes.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from datapallas.sandbox import clients, pages
from datapallas.sandbox.faults import HTTP
from datapallas.sandbox.http import Answer, Request, page_answer, redirect
from datapallas.sandbox.ledger import Device, DeviceState, Grant, Ledger, Refused
from datapallas.sandbox.misbehaviour import http_fault
from datapallas.sandbox.refusals import REASONS, named, refuse, sentence
from datapallas.sandbox.settings import Dialect

if TYPE_CHECKING:
    from datapallas.sandbox.faults import Faults

_VISIT_SECONDS = 600.0
_VISITS = 1000
_CHALLENGE = 43  # characters of a SHA-256 in base64url
BENDS = frozenset({"wrong-issuer", "no-issuer", "wrong-state", "no-state"})
# The errors a provider sends back to the program (RFC 6749 section 4.1.2.1); others stay in the browser.
_SENT_BACK = frozenset({"access_denied", "temporarily_unavailable", "server_error", "invalid_scope"})


@dataclasses.dataclass(slots=True)
class Visit:
    """One person on the way through the pages, for a program (redirect_uri) or for a device.

    `shape` is the fault that bends what goes back to the program.
    """

    grant: Grant
    expires: float
    redirect_uri: str = ""
    state: str | None = None
    challenge: str = ""
    form_post: bool = False
    hint: str = ""
    shape: str = ""
    device: Device | None = None


class Interaction:
    """The pages and what they lead to."""

    def __init__(self, ledger: Ledger, faults: Faults, users: list[str], issuer: str) -> None:
        self._ledger = ledger
        self._faults = faults
        self._users = users
        self._issuer = issuer
        self._visits: dict[str, Visit] = {}

    def authorize(self, request: Request, dialect: Dialect, tenant: str, now: float) -> Answer:
        """The authorization endpoint (RFC 6749 section 4.1.1)."""
        asked = request.query if request.method == "GET" else request.form
        try:
            tenant = clients.check_tenant(tenant)
            client = clients.known(asked.get("client_id", ""))
            registered = self._ledger.settings.redirects
            uri = clients.check_redirect(asked.get("redirect_uri", ""), client.client_id, registered)
        except Refused as refused:
            return self._shown(refused, dialect, tenant, now)
        grant = Grant(client.client_id, "", (), dialect, tenant, nonce=asked.get("nonce", ""))
        visit = Visit(grant, now + _VISIT_SECONDS, uri, asked.get("state"), asked.get("code_challenge", ""))
        visit.form_post = asked.get("response_mode") == "form_post"
        visit.hint = asked.get("login_hint", "")
        fault = self._faults.take("authorize")
        if fault and fault.what in BENDS:
            visit.shape = fault.what
        elif fault:
            return http_fault(fault) if fault.what in HTTP else self._faulty(visit, fault.what, now)
        problem = _wrong_with(asked)
        if problem:
            return self._back(visit, {"error": problem[0], "error_description": problem[1]})
        try:
            grant.scope = clients.asked_scope(asked.get("scope", ""), dialect)
        except Refused as refused:
            row = REASONS[refused.reason]
            return self._back(visit, {"error": row.error, "error_description": row.text})
        grant.offline = _offline(asked, grant)
        return self._begin(visit)

    def step(self, request: Request, visit_id: str, step: str, now: float) -> Answer:
        """A form of the login or consent page; the form of a visit that is over gets a sentence."""
        visit = self._visits.get(visit_id)
        if visit is None or visit.expires <= now or request.method != "POST":
            return page_answer(
                pages.told("This sign-in is over", "Start again from the program that sent you here."), 410
            )
        if step == "login":
            return self._login(visit_id, visit, request.form.get("login", "").strip())
        if not visit.grant.user:
            return self._login_page(visit_id, visit)
        del self._visits[visit_id]
        if request.form.get("decision") != "accept":
            return self._declined(visit)
        return self._accepted(visit, now)

    def device(self, request: Request, now: float) -> Answer:
        """The page where a person types what the device shows (RFC 8628 section 3.3)."""
        if request.method == "GET":
            return page_answer(pages.device(request.query.get("user_code", "")))
        typed = request.form.get("user_code", "")
        device = self._ledger.device_for(typed, now)
        if device is None:
            return page_answer(pages.device("", "That code did not work. Check the code and try again."), 400)
        return self._begin(Visit(device.grant, now + _VISIT_SECONDS, device=device))

    def _begin(self, visit: Visit) -> Answer:
        visit_id = secrets.token_urlsafe(24)
        while len(self._visits) >= _VISITS:
            del self._visits[next(iter(self._visits))]  # the oldest
        self._visits[visit_id] = visit
        return self._login_page(visit_id, visit)

    def _login_page(self, visit_id: str, visit: Visit, wrong: str = "", hint: str = "") -> Answer:
        page = pages.login(f"/visit/{visit_id}/login", self._users, hint or visit.hint, wrong)
        return page_answer(page, 400 if wrong else 200, form_target=_form_target(visit))

    def _login(self, visit_id: str, visit: Visit, typed: str) -> Answer:
        user = next((user for user in self._users if user.lower() == typed.lower()), None)
        if user is None:
            return self._login_page(visit_id, visit, f"There is no account {typed!r} here.", typed)
        visit.grant.user = user
        page = pages.consent(f"/visit/{visit_id}/consent", visit.grant.client_id, user, visit.grant.scope)
        return page_answer(page, form_target=_form_target(visit))

    def _declined(self, visit: Visit) -> Answer:
        if visit.device:
            visit.device.state = DeviceState.DENIED
            return page_answer(pages.told("Declined", "The device gets no access. You can close this page."))
        if visit.grant.dialect is Dialect.GOOGLE:
            return self._back(visit, {"error": "access_denied"})
        text = "User declined to consent to access the app."
        if visit.grant.dialect is Dialect.MICROSOFT:
            text = f"AADSTS65004: {text}"
        return self._back(visit, {"error": "access_denied", "error_description": text})

    def _accepted(self, visit: Visit, now: float) -> Answer:
        if visit.device:
            visit.device.state = DeviceState.ALLOWED
            return page_answer(pages.told("Done", "Your device is connected. You can close this page."))
        code = self._ledger.give_code(visit.grant, visit.redirect_uri, visit.challenge, now)
        return self._back(visit, {"code": code})

    def _back(self, visit: Visit, answer: dict[str, str]) -> Answer:
        """Send the browser back to the program, with `state` and `iss` (RFC 9207)."""
        if visit.state is not None and visit.shape != "no-state":
            answer["state"] = "wrong" if visit.shape == "wrong-state" else visit.state
        if visit.shape == "wrong-issuer":
            answer["iss"] = "https://elsewhere.example"
        elif visit.grant.dialect is Dialect.GENERIC and visit.shape != "no-issuer":
            answer["iss"] = self._issuer  # Microsoft and Google neither announce nor send it
        if visit.form_post:
            return page_answer(pages.form_post(visit.redirect_uri, answer), form_target=_form_target(visit))
        joint = "&" if urlsplit(visit.redirect_uri).query else "?"
        return redirect(f"{visit.redirect_uri}{joint}{urlencode(answer, quote_via=quote)}")

    def _faulty(self, visit: Visit, name: str, now: float) -> Answer:
        facts = {
            "client_id": visit.grant.client_id,
            "tenant": visit.grant.tenant,
            "redirect_uri": visit.redirect_uri,
        }
        error, text = sentence(named(name, facts, now))
        if error in _SENT_BACK:
            return self._back(visit, {"error": error, "error_description": text})
        return page_answer(pages.refused(error, text), 400)

    def _shown(self, refused: Refused, dialect: Dialect, tenant: str, now: float) -> Answer:
        facts = {"tenant": tenant, **refused.facts}
        return page_answer(pages.refused(*sentence(refuse(refused.reason, dialect, facts, now))), 400)


def _form_target(visit: Visit) -> str:
    """The origin a form may end at; a CSP has no word for an IPv6 address, so there it is the scheme."""
    if not visit.redirect_uri:
        return ""
    parts = urlsplit(visit.redirect_uri)
    return "http:" if parts.hostname == "::1" else f"{parts.scheme}://{parts.netloc}"


def _wrong_with(asked: dict[str, str]) -> tuple[str, str] | None:
    """What is wrong with an authorization request, as error and description; None when nothing is."""
    if asked.get("response_type") != "code":
        return "unsupported_response_type", "only response_type=code is known here"
    if asked.get("code_challenge_method") != "S256" or len(asked.get("code_challenge", "")) != _CHALLENGE:
        return "invalid_request", "PKCE with S256 is required (RFC 7636)"
    if asked.get("prompt") == "none":
        return "login_required", "nobody is signed in, and prompt=none forbids to ask"
    return None


def _offline(asked: dict[str, str], grant: Grant) -> bool:
    """Whether there will be a refresh token: each provider has its own way of asking for one."""
    consent = "consent" in asked.get("prompt", "").split()
    if grant.dialect is Dialect.GOOGLE:
        return asked.get("access_type") == "offline" and consent
    offline = "offline_access" in grant.scope
    # OpenID Connect Core section 11: without prompt=consent the scope is ignored; Microsoft does not ask for that.
    return offline and (consent or grant.dialect is Dialect.MICROSOFT)
