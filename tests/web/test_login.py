"""The ways in and out: the one-use link, name and password, logout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from datapallas.secret import Secret
from datapallas.web.entrance import own_path
from datapallas.web.who import Role
from web.page import PASSWORD, Browser, Page

if TYPE_CHECKING:
    import httpx2

FORM = "application/x-www-form-urlencoded"


def cookie_of(answer: httpx2.Response) -> tuple[str, str, set[str]]:
    """Name, value and attributes of the cookie that is set."""
    pair, *attributes = answer.headers["set-cookie"].split("; ")
    name, _, value = pair.partition("=")
    return name, value, {one.lower() for one in attributes}


def log_in(
    page: Page, name: str = "admin", password: str = PASSWORD, browser: Browser | None = None, **more: str
) -> httpx2.Response:
    """Fill the form of the login and send it."""
    body = urlencode({"name": name, "password": password, **more}).encode()
    return (browser or page.stranger()).ask("POST", "/login", body, Content_Type=FORM)


def test_the_link_works_once(local: Page) -> None:
    """The link becomes a session and leads to a clean address; the second time it says how to get a new one."""
    key = local.services.access.links.make().reveal()
    answer = local.ask("GET", f"/open?key={key}", {"Sec-Fetch-Site": "none"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    name, value, attributes = cookie_of(answer)
    assert name == f"datapallas-{local.port}"
    assert attributes == {"httponly", "samesite=strict", "path=/"}
    assert Browser(local, value).ask("GET", "/").status_code in {200, 303}
    again = local.ask("GET", f"/open?key={key}", {"Sec-Fetch-Site": "none"})
    assert again.status_code == 401
    assert "datapallas serve --new-link" in again.text
    assert "set-cookie" not in again.headers
    assert [line["what"] for line in local.audit()] == ["login"]


def test_the_link_is_worth_nothing_after_a_minute(local: Page) -> None:
    """A link that was not used within a minute is refused, and so is one that was made up."""
    key = local.services.access.links.make().reveal()
    local.clock.ahead += 61
    for tried in (key, "made-up", ""):
        answer = local.ask("GET", f"/open?key={tried}", {})
        assert answer.status_code == 401
        assert key not in answer.text


def test_a_browser_that_fetches_ahead_does_not_use_the_link_up(local: Page) -> None:
    """A prefetch, a HEAD or a POST leaves the link as it is."""
    key = local.services.access.links.make().reveal()
    assert local.ask("GET", f"/open?key={key}", {"Sec-Purpose": "prefetch;prerender"}).status_code == 401
    assert local.ask("HEAD", f"/open?key={key}", {}).status_code == 405
    assert local.stranger().ask("POST", f"/open?key={key}").status_code == 405
    assert local.ask("GET", f"/open?key={key}", {}).status_code == 303


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="the system does not tell who connects")  # noqa: PTH110
def test_the_link_a_browser_was_started_with_is_for_one_user(local: Page) -> None:
    """Another user of the machine who sees the link among the arguments of a process gets nothing with it."""
    links = local.services.access.links
    other = links.make(os.getuid() + 1).reveal()
    assert local.ask("GET", f"/open?key={other}", {}).status_code == 401
    assert local.ask("GET", f"/open?key={links.make(os.getuid()).reveal()}", {}).status_code == 303


def test_a_login_sets_a_cookie_only_this_host_gets(public: Page) -> None:
    """The session's cookie is Secure, HttpOnly, SameSite=Strict and bound to the host; the answer leads on."""
    answer = log_in(public, next="/connections?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/connections?x=1")
    name, value, attributes = cookie_of(answer)
    assert name == "__Host-datapallas"
    assert attributes == {"httponly", "samesite=strict", "path=/", "secure"}
    session = public.services.access.sessions.find(value)
    assert session is not None and session.user == "admin"
    assert value not in answer.text
    assert [(line["what"], line["who"], line["facts"]) for line in public.audit()] == [
        ("login", "admin", {"role": "admin"})
    ]


def test_a_wrong_password_and_a_wrong_name_are_told_alike(public: Page) -> None:
    """The answer does not say which of both was wrong; a password typed in the place of the name stands in no log."""
    wrong, unknown = log_in(public, password="canary-wrong"), log_in(public, name="canary-typed-as-a-name")
    assert wrong.status_code == unknown.status_code == 401
    name = 'value="admin"'
    assert name in wrong.text
    assert wrong.text.replace(name, "") == unknown.text.replace('value="canary-typed-as-a-name"', "")
    assert "set-cookie" not in wrong.headers
    assert "canary" not in wrong.text + str(public.audit())
    assert [line["what"] for line in public.audit()] == ["login-failed"] * 2


def test_somebody_who_guesses_is_slowed_down(public: Page) -> None:
    """After five tries in a minute the sixth waits, even with the right password; a minute later it works."""
    for _ in range(5):
        assert log_in(public, password="wrong").status_code == 401
    answer = log_in(public)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert log_in(public, name="viewer").status_code == 303
    public.clock.ahead += 61
    assert log_in(public).status_code == 303


def test_one_address_cannot_try_many_names(public: Page) -> None:
    """Thirty tries in a minute are all that one address has."""
    answers = [public.services.access.may_try(f"name{number}", "203.0.113.7") for number in range(31)]
    assert answers[:30] == [0] * 30
    assert answers[30] > 0
    assert public.services.access.may_try("name", "203.0.113.8") == 0


def test_a_session_is_new_at_each_login(public: Page) -> None:
    """A cookie that somebody else has set before does not become a session, and the old session ends."""
    planted = Browser(public, "planted-by-somebody-else")
    name, value, _ = cookie_of(log_in(public, browser=planted))
    assert value != "planted-by-somebody-else"
    assert public.services.access.sessions.find("planted-by-somebody-else") is None
    _, second, _ = cookie_of(log_in(public, browser=Browser(public, value)))
    assert second != value
    assert public.services.access.sessions.find(value) is None
    assert name == public.settings.cookie


def test_two_cookies_of_one_name_are_none(public: Page) -> None:
    """A cookie that was tossed in beside the real one lets nobody act in a session that is not theirs."""
    name, secret = public.settings.cookie, public.entered(Role.ADMIN).secret
    twice = f"{name}={secret}; {name}=other"
    assert public.ask("GET", "/", {"Cookie": twice, "Sec-Fetch-Site": "none"}).status_code == 303


def test_logout_ends_the_session(public: Page) -> None:
    """After a logout the cookie is taken back, and opens nothing; other sessions go on."""
    browser, other = public.entered(Role.VIEWER), public.entered(Role.VIEWER)
    answer = browser.ask("POST", "/logout", HX_Request="true")
    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/")
    assert cookie_of(answer)[1] == '""'
    assert browser.ask("GET", "/").headers["location"].startswith("/login")
    assert (
        other.ask("GET", "/").status_code != 303 or "login" not in other.ask("GET", "/").headers["location"]
    )


def test_logout_everywhere_ends_every_session_of_one_person(public: Page) -> None:
    """All browsers of this person are out; others stay in."""
    mine, also_mine, other = (public.entered(role) for role in (Role.ADMIN, Role.ADMIN, Role.VIEWER))
    assert mine.ask("POST", "/logout-all").status_code == 303
    assert not mine.csrf
    assert not also_mine.csrf
    assert other.csrf
    assert public.audit()[-1]["facts"] == {"sessions": 2}


def test_a_removed_user_is_out_at_the_next_request(public: Page) -> None:
    """Removing a user, or changing a role, needs no restart."""
    browser = public.entered(Role.OPERATOR)
    assert "login" not in browser.ask("GET", "/").headers.get("location", "")
    public.services.access.users.remove("operator")
    assert browser.ask("GET", "/").headers["location"].startswith("/login")
    public.services.access.users.add("operator", Role.VIEWER, Secret(PASSWORD))
    who, _ = public.services.access.of_session(browser.secret, public.settings.mode, "")
    assert who is not None and who.role is Role.VIEWER


@pytest.mark.parametrize(
    "given",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "evil",
        "",
        "/x\r\nSet-Cookie: a=b",
        "/\t/evil.example",
        "/\u2028",
    ],
)
def test_a_login_never_leads_elsewhere(given: str, public: Page) -> None:
    """The address after the login is a path of ours, whatever the form says."""
    assert own_path(given) == "/"
    answer = log_in(public, next=given)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_each_mode_has_its_own_way_in(local: Page) -> None:
    """A local page has no form to log in with; there is nobody who could."""
    assert local.stranger().ask("GET", "/login").status_code == 404
    assert log_in(local).status_code == 404


def test_a_served_page_takes_no_link(public: Page) -> None:
    """A link opens nothing where people log in with a password."""
    key = public.services.access.links.make().reveal()
    assert public.ask("GET", f"/open?key={key}", {}).status_code == 404


def test_the_form_keeps_where_to_go(public: Page) -> None:
    """Whoever comes by a deep address goes there after the login; whoever is logged in goes at once."""
    answer = public.stranger().ask("GET", "/connections?show=all")
    assert answer.headers["location"] == "/login?next=%2Fconnections%3Fshow%3Dall"
    form = public.stranger().ask("GET", answer.headers["location"])
    assert 'name="next" value="/connections?show=all"' in form.text
    there = public.entered(Role.VIEWER).ask("GET", answer.headers["location"])
    assert (there.status_code, there.headers["location"]) == (303, "/connections?show=all")


def test_text_in_the_form_stays_text(public: Page) -> None:
    """What stands in the address or in the form never becomes a part of the page."""
    script = '"><script>alert(1)</script>'
    assert script not in public.stranger().ask("GET", f"/login?next=/{script}").text
    assert script not in log_in(public, name=script, password="x", next="/" + script).text
