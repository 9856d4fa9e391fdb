"""What a browser may never get: secrets, and scripts of others; and how little it loads to show a page."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from browser import steps
from browser.served import served
from browser.steps import Person
from browser.test_sign_ins import other_way
from browser.visit import traffic, visiting
from datapallas.connection.model import Password, Provider, Security
from datapallas.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from browser.served import Served
    from browser.visit import Visit
    from datapallas.sandbox.http import Answer, Request

pytestmark = pytest.mark.browser
TYPED = "canary-password-5f1c"
_SECRETS = ("code", "code_verifier", "refresh_token", "access_token", "device_code", "client_secret")
_ENOUGH = 12  # characters; a shorter value may stand somewhere by chance


@pytest.fixture
def told(sandbox: Sandbox) -> Iterator[set[str]]:
    """Every secret that goes between DataPallas and the provider from now on, as the provider sees it."""
    found: set[str] = set()
    answer = sandbox._web.answer

    def listening(request: Request) -> Answer:
        given = answer(request)
        for fields in (request.query, request.form, _json(given.body)):
            found.update(str(fields[name]) for name in _SECRETS if len(str(fields.get(name, ""))) >= _ENOUGH)
        return given

    sandbox._web.answer = listening
    yield found
    sandbox._web.answer = answer


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def everything(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """Sign in by each way, with a client secret and with a password; test, fail, change and disconnect."""
    page = visit.page
    client = dataclasses.replace(sandbox.client(Provider.GENERIC), client_secret=sandbox.client_secret)
    visit.goto("/connections/new?kind=generic")
    steps.fill_smtp(page, "Canary", sandbox.server())
    steps.tab(page, "Advanced")
    steps.fill_client(page, client, sandbox.issuer)
    steps.sign_in(page, Person())
    steps.send_test(page)
    code = server.add(sandbox.connection())
    page.goto(f"{server.origin}/connections/{code}")
    with visit.context.expect_page() as opened:
        other_way(page, "Sign in and paste the address")
    with visit.context.expect_event("requestfailed", lambda request: "code=" in request.url) as ended:
        Person()(opened.value)
    page.get_by_label("The address the browser ended at").fill(ended.value.url)
    page.get_by_role("button", name="Go on").click()
    steps.expect_connected(page)
    sandbox.faults.next("auth", "expired", times=0)
    page.get_by_role("button", name="Send Test Email").click()
    expect(page.locator("#test-state .diagnosis")).to_be_visible()
    sandbox.faults.clear()
    page.get_by_role("button", name="Disconnect").click()
    steps.confirm(page, "Disconnect")
    expect(steps.sign_in_button(page)).to_have_text("Sign in with your provider")
    visit.goto("/connections/new?kind=password")
    steps.fill_smtp(page, "Plain", sandbox.server(Security.TLS))
    steps.fill(page, user_name=steps.ALICE, password=TYPED)
    page.get_by_role("button", name="Send Test Email").click()
    expect(page.locator("#test-state .diagnosis")).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    visit.goto("/connections")


def test_no_secret_reaches_browser_terminal_or_files(
    chromium: Browser, sandbox: Sandbox, told: set[str], tmp_path: Path
) -> None:
    """Passwords, secrets, tokens, codes and the session: in no answer, on no terminal, and in files only sealed."""
    har = tmp_path / "traffic.har"
    with served(tmp_path) as server:
        with visiting(chromium, server.origin, record_har_path=har, record_har_content="embed") as visit:
            visit.page.goto(server.told["link"])
            everything(visit, server, sandbox)
            (session,) = (cookie["value"] for cookie in visit.context.cookies(server.origin))
        assert len(told) >= 8  # two codes, two verifiers, tokens: the list is not empty by mistake
        secrets = {*told, TYPED, session, Sandbox.client_secret.reveal()}
        answers = [one for one in traffic(har) if not one.url.startswith(sandbox.issuer)]
        assert len(answers) > 40
        for answer in answers:
            headers = "".join(value for name, value in answer.headers if name != "set-cookie")
            received = headers.encode() + answer.body
            assert not [secret for secret in secrets if secret.encode() in received], answer.url
        terminal = server.said()
        assert not [secret for secret in secrets if secret.encode() in terminal]
        for name, data in server.files().items():
            assert not [secret for secret in secrets if secret.encode() in data], name


PAYLOADS = (
    "<script>hit()</script>",
    "<ScRiPt>hit()</sCrIpT>",
    "<script src=/static/app.js onload=hit()></script>",
    "<img src=x onerror=hit()>",
    "<img src=x onerror=hit()//",
    "<svg onload=hit()>",
    "<svg><script>hit()</script></svg>",
    "<svg><animate onbegin=hit() attributeName=x dur=1s>",
    "<body onload=hit()>",
    "<iframe srcdoc='<script>parent.hit()</script>'></iframe>",
    "<iframe src=javascript:hit()></iframe>",
    "<a href=javascript:hit()>x</a>",
    "javascript:hit()",
    "data:text/html,<script>hit()</script>",
    "<details open ontoggle=hit()>",
    "<input autofocus onfocus=hit()>",
    "<form action=javascript:hit()><button>x</button></form>",
    "<object data=javascript:hit()></object>",
    "<meta http-equiv=refresh content='0;url=javascript:hit()'>",
    "<math><mtext></form><form><mglyph><style></math><img src=x onerror=hit()>",
    "<style>@import 'javascript:hit()'</style>",
    "<template><script>hit()</script></template>",
    "<div hx-get=/connections hx-trigger=load hx-on::load=hit()>",
    "<div hx-on:click=hit() hx-vals='js:{x: hit()}'>",
    '" onmouseover=hit() autofocus onfocus=hit() x="',
    "' onmouseover=hit() x='",
    '"><script>hit()</script>',
    "'><img src=x onerror=hit()>",
    "</textarea><script>hit()</script>",
    "</title><script>hit()</script>",
    "</script><script>hit()</script>",
    "--><script>hit()</script>",
    "]]><script>hit()</script>",
    "{{constructor.constructor('hit()')()}}",
    "{{ 7*7 }}{% raw %}${hit()}`${hit()}`",
    "x\u2028<script>hit()</script>",
)  # fmt: skip
_TRAP = "window.hits = 0; window.hit = () => { window.hits += 1; };"


def nothing_ran(page: Page) -> None:
    assert page.evaluate("window.hits") == 0
    foreign = "main script, main iframe, main object, main [onerror], main [onload], main a[href^=javascript]"
    assert page.locator(foreign).count() == 0


def test_a_script_in_a_field_stays_text(visit: Visit, server: Served) -> None:
    """Whatever is typed into any field comes back as the text it is, in the form, in sentences and in the list."""
    visit.context.add_init_script(_TRAP)
    visit.foresees(422)
    page = visit.page
    for kind in ("microsoft", "generic", "password"):
        page.goto(f"{server.origin}/connections/new?kind={kind}")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        for panel in ("SMTP", "Advanced"):
            steps.tab(page, panel)
            fields = page.get_by_role("tabpanel").locator("input:visible:not([type=password])").all()
            for at in range(0, len(PAYLOADS) if fields else 0, len(fields) or 1):
                for number, field in enumerate(fields):
                    field.fill(PAYLOADS[(at + number) % len(PAYLOADS)])
                with page.expect_response("**/connections/save"):  # refused: the port is no number
                    page.get_by_role("button", name="Save", exact=True).click()
            nothing_ran(page)
        way_out = '"><img src=x onerror=hit()>'
        steps.tab(page, "SMTP")
        for field in page.get_by_role("tabpanel").locator("input:visible:not([type=password])").all():
            field.fill(way_out)
        steps.tab(page, "Advanced")
        steps.field(page, "OAuth2 Provider").select_option("GOOGLE")  # the form is filled anew
        expect(page.get_by_role("heading", name="At Google")).to_be_visible()
        steps.tab(page, "SMTP")
        assert steps.field(page, "Connection name").input_value() == way_out
        page.get_by_role("button", name="Send Test Email").click()
        expect(page.locator("#test-state")).to_be_visible()
        nothing_ran(page)
    assert server.home.folder.list() == []


def test_a_script_in_a_stored_connection_stays_text(visit: Visit, server: Served, sandbox: Sandbox) -> None:
    """A file somebody else wrote shows its texts, in the list, the editor and the questions, and runs nothing."""
    visit.context.add_init_script(_TRAP)
    path = server.home.folder.path_of(server.add(sandbox.connection(provider=Provider.NONE)))
    third = len(PAYLOADS) // 3
    for number in range(third):
        name, sender, user = (PAYLOADS[number + at * third] for at in range(3))
        made = dataclasses.replace(
            sandbox.connection(provider=Provider.NONE),
            code=f"eml-x{number}",
            name=name,
            from_name=sender,
            credential=Password(user=user, password=Sandbox.password),
        )
        server.home.folder.create(made)
    path.with_name("eml-torn.xml").write_text("<a>" + PAYLOADS[0])
    page = visit.goto("/connections")
    assert page.locator(".rows > li").count() == third + 2
    nothing_ran(page)
    for number in range(third):
        visit.goto(f"/connections/eml-x{number}")
        expect(page.get_by_role("heading", level=1)).to_have_text(PAYLOADS[number])
        assert steps.field(page, "From name").input_value() == PAYLOADS[number + third]
        assert steps.field(page, "User name").input_value() == PAYLOADS[number + 2 * third]
        nothing_ran(page)
    visit.goto("/connections")
    steps.more(page, PAYLOADS[0], "Delete")
    expect(page.get_by_role("dialog")).to_contain_text(PAYLOADS[0])
    nothing_ran(page)


def test_a_script_of_the_other_side_stays_text(
    visit: Visit, server: Served, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of the provider and replies of the mail server are shown as they were said, and run nothing."""
    visit.context.add_init_script(_TRAP)
    code = server.add(sandbox.connection(signed_in=True))
    page = visit.page
    plain = [one for one in PAYLOADS if one.isascii()]
    for at in range(0, len(plain), 8):
        sandbox.faults.clear()
        sandbox.faults.next("auth", f"535 5.7.8 {' '.join(plain[at : at + 8])}", times=0)
        visit.goto(f"/connections/{code}/test")
        page.get_by_role("button", name="Send Test Email").click()
        expect(page.locator("#test-state .diagnosis")).to_contain_text(plain[at])
        nothing_ran(page)
    sandbox.faults.clear()
    answer = sandbox._web.answer
    for at in range(0, len(PAYLOADS), 12):
        refused = {"error": "access_denied", "error_description": " ".join(PAYLOADS[at : at + 12])}
        monkeypatch.setattr(sandbox._web, "answer", refusing(answer, refused))
        visit.goto(f"/connections/{server.add(sandbox.connection())}")
        shown = steps.start_sign_in(page)
        with shown.expect_event("close"):
            Person()(shown)
        expect(page.locator("#sign-in .diagnosis")).to_contain_text(PAYLOADS[at])
        nothing_ran(page)


def refusing(answer: Callable[[Request], Answer], refused: dict[str, str]) -> Callable[[Request], Answer]:
    """A provider whose token endpoint refuses with these words."""
    from datapallas.sandbox.http import json_answer

    return lambda request: json_answer(refused, 400) if request.path == "/token" else answer(request)


_FIRST_PAINT = """new Promise((done) => new PerformanceObserver((list) =>
  done(list.getEntries()[0].startTime)).observe({type: "paint", buffered: true}))"""


def test_a_first_visit_is_light(chromium: Browser, server: Served, sandbox: Sandbox) -> None:
    """The list and the editor together weigh less than 200 KB, and everything comes from here."""
    server.add(sandbox.connection(signed_in=True))
    link = server.link()
    with visiting(chromium, server.origin) as visit:
        counted: list[int] = []
        wire = visit.context.new_cdp_session(visit.page)
        wire.on("Network.loadingFinished", lambda event: counted.append(event["encodedDataLength"]))
        wire.send("Network.enable")
        visit.page.goto(link)
        visit.goto("/connections/new?kind=microsoft")
        names = "performance.getEntriesByType('resource').map((one) => one.name)"
        assert all(name.startswith(server.origin + "/") for name in visit.page.evaluate(names))
        paint = visit.page.evaluate(_FIRST_PAINT)
    print(f"first visit: {len(counted)} requests, {sum(counted)} bytes, first paint {paint:.0f} ms")  # noqa: T201
    assert 10_000 < sum(counted) < 200_000
    assert len(counted) < 20
