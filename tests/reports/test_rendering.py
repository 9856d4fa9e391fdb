"""Emails are filled in in child processes that no template can make misbehave."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datapallas.errors import ConfigurationError
from datapallas.reports import frames
from datapallas.reports.child_process import Ended
from datapallas.reports.model import Limits, Problem, Recipient, Rendered, Row
from datapallas.reports.reading import text_of
from datapallas.reports.rendering import Renderer
from datapallas.secret import Secret
from reports.making import made, outcome, problem, recipient, recipients, report, write

NBSP = "\N{NO-BREAK SPACE}"


def test_email_is_filled_in_from_the_row(tmp_path: Path) -> None:
    """Every column is a name in the templates, and values in HTML are escaped."""
    write(
        tmp_path,
        mail_txt="Dear {{ name }},\n{{ row['Due date'] | date('%d.%m.%Y') }}\n",
        mail_html="<p>{{ name }}</p>",
    )
    one = report(tmp_path, subject="Invoice {{ number }}", text="mail.txt", html="mail.html", cc="{{ boss }}")
    who = recipient(name="Ann <b>", number=17.0, boss=None, **{"Due date": dt.date(2026, 11, 28)})
    email = made(one, who)
    assert (email.to, email.cc, email.subject) == ("ann@x.example", "", "Invoice 17")
    assert email.text == "Dear Ann <b>,\n28.11.2026\n"
    assert "<p>Ann &lt;b&gt;</p>" in email.html


def test_columns_named_like_methods_are_columns(tmp_path: Path) -> None:
    """`row.items` is the column `items`, where a list has one."""
    one = report(tmp_path, subject="{{ row.items }} {{ row.count }} {{ items }}")
    assert made(one, recipient(items="3 chairs", count=2)).subject == "3 chairs 2 3 chairs"


def test_grouped_rows_become_a_table(tmp_path: Path) -> None:
    """All rows of a recipient are there: as a table of HTML, and as aligned text."""
    write(tmp_path, mail_txt="{{ rows | table('item', 'price') }}", mail_html="{{ rows | table }}")
    rows = tuple(Row(n, {"mail": "a@x.example", "item": f"T<{n}>", "price": n * 10.5}) for n in (1, 2))
    email = made(report(tmp_path, text="mail.txt", html="mail.html"), Recipient("a", rows))
    assert email.text.splitlines() == ["item  price", "----  -----", "T<1>   10.5", "T<2>     21"]
    assert "<td>T&lt;2&gt;</td>" in email.html
    assert email.html.count("<tr>") == 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ 1234.5 | number }}", "1,234.50"),
        ("{{ '1234.565' | number(2, 'de') }}", "1.234,57"),
        ("{{ -0.004 | number(2) }}", "0.00"),
        (
            "{{ 1234567 | number(0, 'de-CH') }}",
            "1\N{RIGHT SINGLE QUOTATION MARK}234\N{RIGHT SINGLE QUOTATION MARK}567",
        ),
        ("{{ 1234.5 | money('EUR', 'de') }}", f"1.234,50{NBSP}€"),
        ("{{ -1234.5 | money('USD') }}", "-$1,234.50"),
        ("{{ 1234.5 | money('JPY', 'en') }}", "¥1,235"),
        ("{{ 12 | money('CHF') }}", f"CHF{NBSP}12.00"),
        ("{{ none | money('EUR') }}{{ '' | number }}", ""),
        ("{{ '2026-11-28T05:06:07' | date('%H:%M') }}", "05:06"),
        ("{{ amount | number(2) }}", "0.30"),
    ],
)
def test_filters_show_figures_as_people_write_them(tmp_path: Path, text: str, shown: str) -> None:
    """Numbers, amounts and dates have the separators of the language asked for."""
    write(tmp_path, mail_txt=text)
    assert made(report(tmp_path, text="mail.txt"), recipient(amount=decimal.Decimal("0.3"))).text == shown


def test_locale_of_the_report_is_the_default(tmp_path: Path) -> None:
    """`locale` among the report's values is what figures are written in; an unknown one is refused at once."""
    write(tmp_path, mail_txt="{{ 1234.5 | number }}")
    assert made(report(tmp_path, text="mail.txt", values={"locale": "de"})).text == "1.234,50"
    with pytest.raises(ConfigurationError, match="'tlh' is not a locale"):
        made(report(tmp_path, text="mail.txt", values={"locale": "tlh"}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "a\n{{ nmae }}",
            "mail.txt, line 2: there is no 'nmae'; did you mean 'name'? The columns are: mail, name.",
        ),
        ("{{ row.phone }}", "mail.txt, line 1: there is no 'phone'. The columns are: mail, name."),
        ("\n\n{{ name | number }}", "mail.txt, line 3: 'Ann' is not a number such as 1234.50."),
        ("{{ 1 / 0 }}", "mail.txt, line 1: it divides by zero."),
        ("{{ name.__class__ }}", "mail.txt, line 1: a template may not do that"),
        ("{{ row.update({}) }}", "mail.txt, line 1: a template may not do that"),
        ("{% include 'x.txt' %}", "mail.txt, line 1: there is no template x.txt in the report's folder."),
        ("{% include '../secret.txt' %}", "there is no template ../secret.txt in the report's folder."),
        ("{% include '/etc/hostname' %}", "there is no template /etc/hostname in the report's folder."),
        ("{{ range(10**12) | list }}", "mail.txt, line 1: Range too big"),
        ("{{ 'a' * 10**9 }}", "mail.txt, line 1: it repeats something until it is longer than"),
        ("{{ 9**99999 }}", "mail.txt, line 1: the power is too large."),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "mail.txt, line 1: it calls or includes itself"),
        ("{% include 'mail.txt' %}", "mail.txt, line 1: it calls or includes itself"),
    ],
)
def test_fault_of_a_template_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    """A template that cannot be filled in for a recipient is that recipient's problem, in words."""
    folder = tmp_path / "report"
    folder.mkdir()
    write(tmp_path, secret_txt="secret")
    write(folder, mail_txt=text)
    found = problem(report(folder, text="mail.txt"), recipient("7", name="Ann"))
    assert says in found.text
    assert (found.code, found.place, found.key) == ("template", "line 7", "7")


def test_what_a_macro_remembers_ends_with_the_recipient(tmp_path: Path) -> None:
    """A total that an imported macro adds up begins anew with each email."""
    write(
        tmp_path,
        sums_txt="{% set s = namespace(n=0) %}{% macro add(x) %}{% set s.n = s.n + x %}{{ s.n }}{% endmacro %}",
        mail_txt="{% import 'sums.txt' as sums %}{{ sums.add(1) }}{{ sums.add(2) }}",
    )
    with Renderer(report(tmp_path, text="mail.txt"), processes=1) as renderer:
        found = [getattr(answer, "text", "") for _, answer in renderer.render(recipients({}, {}))]
    assert found == ["13", "13"]


def test_fault_of_an_included_template_names_that_one(tmp_path: Path) -> None:
    """The line is the line of the file it stands in."""
    (tmp_path / "parts").mkdir()
    write(tmp_path, mail_txt="{% include 'parts/foot.txt' %}", parts__foot_txt="--\n{{ phone }}")
    assert problem(report(tmp_path, text="mail.txt")).text.startswith(
        "parts/foot.txt, line 2: there is no 'phone'"
    )


def test_fault_of_a_subject_names_its_place(tmp_path: Path) -> None:
    """A text of report.toml is named by where it stands there."""
    assert problem(report(tmp_path, subject="{{ phone }}")).text.startswith(
        "report.toml, email.subject, line 1: there is no"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a\n{% if %}", r"mail.txt, line 2: Expected an expression"),
        (b"\xff\xfe", r"mail.txt: It is not UTF-8 text \(octet 1\)"),
        (None, r"mail.txt: There is no file mail.txt in the report's folder"),
    ],
)
def test_template_that_cannot_be_read_is_found_before_anything_is_made(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    """What is wrong for everybody is said once, when the report is opened."""
    if content is not None:
        (tmp_path / "mail.txt").write_bytes(content)
    with pytest.raises(ConfigurationError, match=says), Renderer(report(tmp_path, text="mail.txt")):
        pass


SLOW = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
SLOW_IN_C = "{{ ('a' * 60) | wordwrap(1) }}{% set ns = namespace(x=7) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}"
BIG = "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = ns.l + ['a' * 9999999] + [i ~ 'a' * 9999999] %}{% endfor %}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SLOW, "mail.txt, line 2: it takes longer than 2 seconds (limits.render_seconds)"),
        (SLOW_IN_C, "it takes longer than 2 seconds (limits.render_seconds)"),
        (BIG, "mail.txt, line 2: it takes more memory than limits.render_megabytes allows"),
    ],
)
def test_template_that_takes_the_machine_is_one_recipients_problem(
    tmp_path: Path, text: str, says: str
) -> None:
    """A template that loops for ever or eats all memory for one recipient is ended; the others get their email."""
    write(tmp_path, mail_txt="{% if bad %}\n" + text + "{% else %}fine{% endif %}")
    seconds = 60.0 if text is BIG else 2.0
    one = report(tmp_path, text="mail.txt", limits=Limits(render_seconds=seconds, render_megabytes=200))
    with Renderer(one, processes=2) as renderer:
        found = list(renderer.render(recipients(*[{"bad": n == 20} for n in range(40)])))
    assert [who.key for who, _ in found] == [str(n) for n in range(1, 41)]
    (bad,) = [answer for _, answer in found if isinstance(answer, Problem)]
    assert says in bad.text
    assert bad.key == "21"


def test_template_that_ends_three_processes_in_a_row_ends_the_run(tmp_path: Path) -> None:
    """A template that always loops stops the run after three tries; it is not tried five thousand times."""
    write(tmp_path, mail_txt=SLOW)
    one = report(tmp_path, text="mail.txt", limits=Limits(render_seconds=0.2))
    tried: list[Any] = []
    with (
        Renderer(one, processes=1) as renderer,
        pytest.raises(ConfigurationError, match="3 recipients in a row") as told,
    ):
        tried += renderer.render(recipient(str(n)) for n in range(5000))
    assert told.value.code == "report-stuck"
    assert len(tried) <= 3


def test_output_without_an_end_is_cut_off(tmp_path: Path) -> None:
    """A template that makes more text than a message may have is a problem, not a full memory."""
    write(tmp_path, mail_txt="{% for i in range(99999) %}{{ 'abc' * 1000 }}{% endfor %}")
    found = problem(report(tmp_path, text="mail.txt", limits=Limits(message_octets=100_000)))
    assert (found.code, found.text) == ("size", "mail.txt makes a text of more than 100,000 characters.")


def test_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    """Somebody's kill costs one recipient at most, and says so."""
    write(tmp_path, mail_txt="hello")
    with Renderer(report(tmp_path, text="mail.txt"), processes=1) as renderer:
        (child,) = renderer._children
        os.kill(child._process.pid, signal.SIGKILL)
        child._process.wait()
        found = [answer for _, answer in renderer.render(recipients({}, {}))]
    assert isinstance(found[0], Problem)
    assert "its process ended by signal 9" in found[0].text
    assert isinstance(found[1], Rendered)


def test_child_knows_no_secret_and_reaches_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child process has none of the environment's secrets, none of the report's passwords, and cannot connect."""
    from datapallas.reports.model import Attachment, Kind, Source

    monkeypatch.setenv("DATAPALLAS_MASTER_KEY", "hush")
    write(tmp_path, mail_txt="hello", a_typ="hello")
    rows = Source(kind=Kind.SQL, url="sqlite://", query="select 1", password=Secret("hush"))
    with Renderer(
        report(tmp_path, text="mail.txt", rows=rows, attachments=(Attachment(template="a.typ"),)), processes=1
    ) as renderer:
        (child,) = renderer._children
        about = Path(f"/proc/{child._process.pid}")
        assert b"hush" not in (about / "environ").read_bytes()
        status = dict(
            line.split(":\t") for line in (about / "status").read_text().splitlines() if ":\t" in line
        )
        assert status["Seccomp"] == "2"
        limits = (about / "limits").read_text()
    assert "Max core file size        0 " in limits


def test_confined_process_opens_no_socket(tmp_path: Path) -> None:
    """The kernel refuses sockets and other programs to a confined process."""
    import subprocess
    import sys

    program = (
        "from datapallas.reports.confinement import confine\n"
        "import socket, subprocess\n"
        "confine(500)\n"
        "for what in (socket.socket, lambda: subprocess.run(['true']), lambda: b'x' * 10**9):\n"
        "    try: what()\n"
        "    except (OSError, MemoryError) as problem: print(type(problem).__name__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["PermissionError", "PermissionError", "MemoryError"]


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    """When the program that renders is killed, its children go too."""
    import subprocess
    import sys

    write(tmp_path, mail_txt="hello")
    program = (
        "import os, signal\nfrom pathlib import Path\nfrom datapallas.reports.model import Email, Report\n"
        "from datapallas.reports.rendering import Renderer\n"
        f"r = Renderer(Report(code='a', folder=Path({str(tmp_path)!r}), name='', email=Email(to='a', text='mail.txt')))\n"
        "r.__enter__()\nprint([c._process.pid for c in r._children][0], flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    gone = threading.Event()
    for _ in range(3000):
        if not _runs(int(ran.stdout)):
            gone.set()
            break
        gone.wait(0.02)
    assert gone.is_set()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_results_may_be_left_half_taken(tmp_path: Path) -> None:
    """Who stops in the middle waits for nobody, and the renderer serves the next ones."""
    write(tmp_path, mail_txt="{% if slow %}" + SLOW + "{% endif %}{{ key }}")
    one = report(tmp_path, text="mail.txt", limits=Limits(render_seconds=500))
    with Renderer(one, processes=2) as renderer:
        half = renderer.render(recipients({"slow": False, "key": 1}, *[{"slow": True, "key": 2}] * 100))
        half.close()
        half = renderer.render(recipient(str(n), slow=n > 20, key=n) for n in range(10**9))
        assert isinstance(next(half)[1], Rendered)
        half.close()
        ((_, after),) = renderer.render([recipient(slow=False, key=3)])
    assert isinstance(after, Rendered)
    assert after.text == "3"


def test_recipients_are_read_as_results_are_taken(tmp_path: Path) -> None:
    """A list of a million is never held: only some are read ahead."""
    read: list[int] = []

    def endless() -> Any:
        for number in range(10**9):
            read.append(number)
            yield recipient(str(number))

    with Renderer(report(tmp_path), processes=1, envelope_only=True) as renderer:
        results = renderer.render(endless())
        for _ in range(3000):
            next(results)
        results.close()
    assert len(read) <= 3000 + 5 * 200


def test_envelope_only_fills_in_no_body(tmp_path: Path) -> None:
    """Checking a list of addresses needs no templates."""
    one = report(tmp_path, subject="Hello {{ name }}", text="missing.txt")
    with Renderer(one, processes=1, envelope_only=True) as renderer:
        ((_, found),) = renderer.render([recipient(name="Ann")])
    assert isinstance(found, Rendered)
    assert (found.subject, found.text) == ("Hello Ann", "")


@pytest.mark.parametrize(
    ("html", "says"),
    [
        ('<link rel="stylesheet" href="https://x.example/a.css">', "is not a file beside the template"),
        ('<link rel="stylesheet" href="../a.css">', "The file ../a.css is not in the report's folder."),
        ('<img src="../../etc/passwd">', "is not in the report's folder."),
        ('<img src="logo.png">', "The file logo.png is not there."),
    ],
)
def test_html_takes_only_what_lies_beside_it(tmp_path: Path, html: str, says: str) -> None:
    """Nothing is fetched, and no file from elsewhere gets into a mail."""
    write(tmp_path, mail_html=html)
    found = outcome(report(tmp_path, html="mail.html"))
    assert isinstance(found, Problem)
    assert says in found.text


def test_html_is_made_fit_for_mail(tmp_path: Path) -> None:
    """CSS is written into the elements, images become parts of the mail, and a text is made of the HTML."""
    write(
        tmp_path,
        mail_html='<!doctype html><head><link rel=stylesheet href="mail.css"></head><h1>Hi</h1><img src="my%20logo.png" alt="ACME">'
        '<p>Read <a href="https://x.example/a">this</a><ul><li>one<li>two</ul>{{ note | html }}',
        mail_css="h1 { color: red } @media (max-width: 600px) { h1 { color: blue } }",
    )
    (tmp_path / "my logo.png").write_bytes(b"\x89PNG\r\n")
    email = made(report(tmp_path, html="mail.html"), recipient(note="<b>x</b><script>alert(1)</script>"))
    assert email.html.startswith("<!DOCTYPE html>")
    assert '<h1 style="color: red;">Hi</h1>' in email.html
    assert "@media (max-width: 600px)" in email.html
    (image,) = email.inline
    assert f'src="cid:{image.name}"' in email.html
    assert (image.path, image.data) == (tmp_path / "my logo.png", b"")
    assert "<b>x</b>" in email.html
    assert "alert" not in email.html
    assert email.text == "Hi\n\nACME\n\nRead this (https://x.example/a)\n\n- one\n- two\n\nx\n"


@given(st.binary(max_size=200), st.integers(0, 300))
def test_answer_of_a_taken_over_process_is_a_frame_or_nothing(body: bytes, head: int) -> None:
    """Whatever octets a child sends, the parent gets texts and octets, or refuses them."""
    try:
        told, blobs = frames.read_up(head, memoryview(body))
        frames.rendered_of(told, blobs)
    except frames.Torn:
        pass


def test_child_does_not_choose_what_is_attached(tmp_path: Path) -> None:
    """A file that the report may not use is refused even when a child names it."""
    renderer = Renderer(report(tmp_path))
    with pytest.raises(Ended, match="passwd"):
        renderer._answer(recipient(), {"to": "a@x.example", "documents": [["a", "/etc/passwd"]]}, [])
    with pytest.raises(Ended, match="passwd"):
        renderer._answer(recipient(), {"documents": [["a", f"{tmp_path}/../../etc/passwd"]]}, [])
    fine = renderer._answer(recipient(), {"documents": [["a", f"{tmp_path}/a.pdf"]]}, [])
    assert isinstance(fine, Rendered)


@given(st.text(alphabet=st.sampled_from("<>/ab&;\"'= \n!-[]?plitdable")))
def test_any_html_has_a_text(html: str) -> None:
    """However broken the HTML of a mail is, a text is made from it."""
    assert text_of(html).endswith("\n")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a<br>b</p><p>c", "a\nb\n\nc\n"),
        ("<ol><li>x<li>y<ul><li>z</ul></ol>", "1. x\n2. y\n  - z\n"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2\n"),
        ("<style>p{}</style><script>x</script><title>t</title>a &amp; b", "a & b\n"),
        ('<a href="mailto:a@x.example">a@x.example</a> <a href="#x">top</a>', "a@x.example top\n"),
        ("<pre>a  b\n c</pre>", "a  b\n c\n"),
    ],
)
def test_text_of_html_reads_well(html: str, text: str) -> None:
    """Paragraphs, lists, tables and links are told apart in the text beside an HTML mail."""
    assert text_of(html) == text
