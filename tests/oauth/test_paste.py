"""What a person pastes: addresses as they come out of browsers, mails and chats, and just the code."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import textwrap
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.connection.model import OAuth2Client, Provider
from datapallas.errors import SignInAborted, UsageError
from datapallas.oauth.arrival import Arrival
from datapallas.oauth.authorization import AuthorizationRequest, ExpectedIssuer, StrayCallback, begin
from datapallas.oauth.clock import SystemClock
from datapallas.oauth.loopback import Loopback
from datapallas.oauth.paste import BareCode, Query, read
from oauth.test_loopback import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT = OAuth2Client(
    provider=Provider.GENERIC,
    client_id="client",
    authorize_url="https://login.example/authorize",
    token_url="https://login.example/token",
    scope="mail openid",
)
REDIRECT = "http://127.0.0.1:50000/callback"
# As they were met: Microsoft work and personal, Google, npm oidc-provider, the sandbox.
CODES = (
    "1.AXkAeT-_sM8abc.AgABBAIAAAADAOz_BQD0_zE-aLm2",
    "M.C507_BAY.2.U.0f3a1b2c-1111!*abc$$def",
    "4/0AeanS0b_x-Yz123",
    "qW3eR5tY7uI9oP1aS3dF5gH7jK9lZ1xC",
    "abc+def/ghi==jkl",
)


def attempt(*, advertised: bool = False) -> AuthorizationRequest:
    issuer = ExpectedIssuer("https://login.example", advertised)
    return begin(CLIENT, REDIRECT, entropy=secrets.token_bytes, issuer=issuer)


def answer(begun: AuthorizationRequest, code: str = CODES[0], **more: str) -> str:
    parameters = {"code": code, "state": begun.state.reveal(), **more}
    return f"{REDIRECT}?{urlencode(parameters, quote_via=quote)}"


def waiting(begun: AuthorizationRequest) -> Arrival:
    arrival = Arrival(SystemClock())
    arrival.expect(begun)
    return arrival


def taken(arrival: Arrival) -> str:
    return arrival.take(SystemClock().monotonic()).code.reveal()


WRAPPED: dict[str, Callable[[str], str]] = {
    "as it is": lambda url: url,
    "with a line feed": lambda url: f"{url}\r\n",
    "over lines": lambda url: "\n".join(textwrap.wrap(url, 30)),
    "over indented lines": lambda url: "\n    ".join(textwrap.wrap(url, 40)),
    "in an answered mail": lambda url: "\n".join(f"> {line}" for line in textwrap.wrap(url, 60)),
    "in quotes": lambda url: f'"{url}"',
    "in curly quotes": lambda url: f"\N{LEFT DOUBLE QUOTATION MARK}{url}\N{RIGHT DOUBLE QUOTATION MARK}",
    "in angle brackets": lambda url: f"<{url}>",
    "in a sentence": lambda url: f"Here it is: {url} and now?",
    "with a comma": lambda url: f"{url},",
    "as a link in HTML": lambda url: url.replace("&", "&amp;"),
    "the query": lambda url: url.partition("?")[2],
    "the query with its mark": lambda url: "?" + url.partition("?")[2],
    "with a fragment": lambda url: f"{url}#_=_",
    "with invisible letters": lambda url: (
        f"\N{ZERO WIDTH SPACE}{url[:40]}\N{SOFT HYPHEN}{url[40:]}\N{ZERO WIDTH SPACE}"
    ),
    "through a mail filter": lambda url: (
        f"https://eur01.safelinks.protection.outlook.com/?url={quote(url, safe='')}&data=05%7C02&reserved=0"
    ),
}


@pytest.mark.parametrize("how", list(WRAPPED))
@pytest.mark.parametrize("code", CODES)
def test_an_address_is_found_whatever_is_around_it(how: str, code: str) -> None:
    """Copied from the address bar, wrapped by a mail, quoted in a chat: it is the same answer."""
    begun = attempt()
    arrival = waiting(begun)
    arrival.paste(WRAPPED[how](answer(begun, code, session_state="s-1")))
    assert taken(arrival) == code


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("how", ["{}", " {}\n", '"{}"', "code={}", "?code={}"])
def test_just_the_code(how: str, code: str) -> None:
    """Only the value is copied, as it stands in the address or decoded: it is taken too."""
    for shown in {code, quote(code, safe="")}:
        arrival = waiting(attempt())
        arrival.paste(how.format(shown))
        assert taken(arrival) == code


def test_a_code_over_two_lines() -> None:
    """A terminal wraps long codes."""
    code = "1." + "AXkAeT-_sM8abc" * 90
    arrival = waiting(attempt())
    arrival.paste("\n".join(textwrap.wrap(code, 80)))
    assert taken(arrival) == code


def test_just_the_code_is_not_enough_where_the_answer_is_signed_with_a_name() -> None:
    """A provider that promises `iss` is held to it (RFC 9207): the whole address is asked for, and taken then."""
    begun = attempt(advertised=True)
    arrival = waiting(begun)
    for text in (CODES[0], f"code={CODES[0]}"):
        with pytest.raises(UsageError) as caught:
            arrival.paste(text)
        assert caught.value.facts["case"] == "whole-address"
    arrival.paste(answer(begun, iss="https://login.example"))
    assert taken(arrival) == CODES[0]


@pytest.mark.parametrize(
    ("text", "case"),
    [
        ("", "nothing"),
        (" \n\t", "nothing"),
        ('""', "nothing"),
        ("hello", "no-answer"),
        ("I do not know what to do", "no-answer"),
        ("https://login.example/", "no-answer"),
        ("https://login.example/?a=b", "no-answer"),
        (f"{REDIRECT}?code=%ff&state=x", "no-answer"),
        (f"{REDIRECT}?code=a&code=b&state=x", "no-answer"),
        (f"{REDIRECT}?code=0123456789abc", "incomplete"),
        (f"{REDIRECT}?state=abc", "incomplete"),
        ("reports@contoso.example", "no-answer"),
        ("hello there " * 6000, "no-answer"),
    ],
)
def test_what_is_no_answer_is_told_and_changes_nothing(text: str, case: str) -> None:
    """A slip of the clipboard does not end the sign-in: the right paste still counts."""
    begun = attempt()
    arrival = waiting(begun)
    with pytest.raises(UsageError) as caught:
        arrival.paste(text)
    assert (caught.value.code, caught.value.facts["case"]) == ("pasted-answer", case)
    arrival.paste(answer(begun))
    assert taken(arrival) == CODES[0]


def test_the_page_of_the_provider_is_told_as_such() -> None:
    """Pasting back the very address that was printed is a common slip; it names what is missing."""
    begun = attempt()
    with pytest.raises(UsageError, match="Sign in there first") as caught:
        read(begun.url, begun)
    assert caught.value.facts["case"] == "provider-page"


def test_the_answer_of_another_sign_in_is_told_as_such() -> None:
    """The address of yesterday's tab, or of somebody else's sign-in, is never taken."""
    older, begun = attempt(), attempt()
    for text in (answer(older), answer(older).replace("code=", "error="), answer(older).partition("?")[2]):
        with pytest.raises(UsageError) as caught:
            read(text, begun)
        assert caught.value.code == "pasted-other-sign-in"


def test_the_answer_of_another_provider_ends_it() -> None:
    """`iss` names somebody else: whoever waits is told, as with a browser here."""
    begun = attempt()
    arrival = waiting(begun)
    arrival.paste(answer(begun, iss="https://evil.example"))
    with pytest.raises(SignInAborted) as caught:
        taken(arrival)
    assert caught.value.code == "wrong-issuer"


def test_an_answer_counts_once() -> None:
    """A second paste, a callback after a paste, and a paste after the end change nothing."""
    begun = attempt()
    arrival = waiting(begun)
    arrival.paste(answer(begun))
    for text in (answer(begun), CODES[3]):
        with pytest.raises(UsageError) as caught:
            arrival.paste(text)
        assert caught.value.facts["case"] == "not-now"
    with pytest.raises(StrayCallback):
        arrival.offer(urlsplit(answer(begun)).query)
    assert taken(arrival) == CODES[0]


def test_a_paste_completes_a_sign_in_whose_listener_waits() -> None:
    """The listener wakes at once and is gone."""
    begun = attempt()
    arrival = Arrival(SystemClock())
    with Loopback(PLAIN, SystemClock()) as listener:
        arrival.expect(begun, listener.stop)
        arrival.paste(answer(begun))
        assert listener.wait(arrival.offer, SystemClock().monotonic() + 120) is None
        assert listener._listeners == []
    assert taken(arrival) == CODES[0]


def test_before_it_has_begun_nothing_is_taken() -> None:
    """An answer that comes before the question is nobody's."""
    arrival = Arrival(SystemClock())
    with pytest.raises(UsageError):
        arrival.paste(CODES[0])
    with pytest.raises(StrayCallback):
        arrival.offer("code=a&state=b")


def test_after_cancel_and_after_commit() -> None:
    """A cancel ends the wait; once it is being stored, a cancel comes too late and says so."""
    begun = attempt()
    arrival = waiting(begun)
    assert arrival.cancel() and arrival.cancel()
    for act in (
        lambda: taken(arrival),
        arrival.check,
        arrival.commit,
        lambda: arrival.pause(20),
        lambda: waiting_on(arrival),
    ):
        with pytest.raises(SignInAborted) as caught:
            act()
        assert caught.value.code == "sign-in-cancelled"
    other = waiting(attempt())
    other.commit()
    assert not other.cancel()


def waiting_on(arrival: Arrival) -> None:
    arrival.expect(attempt())


@given(st.text(max_size=400))
def test_any_text_is_an_answer_or_a_usage_error(text: str) -> None:
    """Whatever the clipboard holds, nothing else than UsageError comes of it, and no address is taken by chance."""
    begun = attempt()
    with contextlib.suppress(UsageError):
        assert isinstance(read(text, begun), BareCode)


@given(
    code=st.text("ABCabc019._~-+/=!*$%", min_size=10, max_size=200),
    pieces=st.lists(st.integers(0, 300), max_size=6),
    around=st.sampled_from(['"{}"', "<{}>", "{}\n", "see {}"]),
)
def test_wherever_it_is_broken_the_answer_is_the_same(code: str, pieces: list[int], around: str) -> None:
    """Line breaks at any place of the address do not change what is read."""
    begun = attempt()
    url = answer(begun, code)
    for place in sorted(pieces, reverse=True):
        cut = min(place, len(url))
        url = url[:cut] + "\n" + url[cut:] if cut > 10 else url
    found = read(around.format(url), begun)
    assert isinstance(found, Query)
    assert parse_qs(found.query, keep_blank_values=True)["state"] == [begun.state.reveal()]
    arrival = waiting(begun)
    arrival.paste(around.format(url))
    assert taken(arrival) == code


def test_the_state_is_not_told() -> None:
    """An error about a paste repeats nothing of it."""
    older, begun = attempt(), dataclasses.replace(attempt())
    with pytest.raises(UsageError) as caught:
        read(answer(older), begun)
    shown = f"{caught.value} {caught.value.raw} {caught.value.facts}"
    assert older.state.reveal() not in shown and CODES[0] not in shown
