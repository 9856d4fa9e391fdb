"""Connection files: read, changed, and left alone where nothing was asked."""

from __future__ import annotations

import dataclasses

import pytest

from datapallas.connection import xml_codec
from datapallas.connection.model import (
    Cloud,
    Connection,
    Flow,
    OAuth2Client,
    Password,
    Provider,
    Sealed,
    Security,
    Server,
    Transport,
)
from datapallas.errors import BrokenConnection, ConfigurationError
from datapallas.secret import Secret

# As the Java product writes one, edited by a person afterwards.
JAVA = b"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<!-- our mailbox -->
<documentburster>
    <connection>
        <code>eml-office-365</code>
        <name>Office &amp; Home</name>
        <default>true</default>
        <emailserver>
            <useconn>false</useconn>
            <host><![CDATA[smtp.office365.com]]></host> <!-- since May -->
            <port>587</port>
            <userid>From Email User ID</userid>
            <userpassword>From Email Password</userpassword>
            <usessl>false</usessl>
            <usetls>true</usetls>
            <fromaddress>reports@contoso.example</fromaddress>
            <name>Reports</name>
            <future when="later">kept<!-- too --></future>
            <oauth2provider>MICROSOFT</oauth2provider>
            <oauth2clientid>11111111-2222-3333-4444-555555555555</oauth2clientid>
            <oauth2tenantid/>
            <oauth2refreshtoken>ENC(AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA)</oauth2refreshtoken>
            <oauth2useremail>reports@contoso.example</oauth2useremail>
        </emailserver>
    </connection>
</documentburster>
"""
SMALL = (
    b"<documentburster><connection><code>eml-a</code>"
    b"<emailserver><host>h</host></emailserver></connection></documentburster>"
)


def changed(data: bytes, **fields: object) -> bytes:
    """The file with fields of the connection, its server or its credential changed."""
    connection = xml_codec.decode(data)
    for name, value in fields.items():
        if hasattr(connection.credential, name):
            part = dataclasses.replace(connection.credential, **{name: value})  # type: ignore[arg-type]
            connection = dataclasses.replace(connection, credential=part)
        elif hasattr(connection.server, name):
            server = dataclasses.replace(connection.server, **{name: value})  # type: ignore[arg-type]
            connection = dataclasses.replace(connection, server=server)
        else:
            connection = dataclasses.replace(connection, **{name: value})  # type: ignore[arg-type]
    return xml_codec.encode(connection, data)


def test_a_file_of_the_java_product_loads() -> None:
    """Everything the Java product wrote is understood; its editor's placeholders count as not set."""
    assert xml_codec.decode(JAVA) == Connection(
        code="eml-office-365",
        name="Office & Home",
        default=True,
        server=Server(host="smtp.office365.com", port="587", security=Security.STARTTLS),
        from_address="reports@contoso.example",
        from_name="Reports",
        credential=OAuth2Client(
            provider=Provider.MICROSOFT,
            client_id="11111111-2222-3333-4444-555555555555",
            refresh_token=Sealed("ENC(AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA)"),
            user_email="reports@contoso.example",
        ),
    )


@pytest.mark.parametrize("data", [JAVA, JAVA.replace(b"\n", b"\r\n"), SMALL, b"\xef\xbb\xbf" + SMALL])
def test_a_save_without_a_change_keeps_every_byte(data: bytes) -> None:
    """Nothing asked, nothing touched."""
    assert xml_codec.encode(xml_codec.decode(data), data) == data


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_one_change_touches_one_element(ends: bytes) -> None:
    """A new name changes the text between two tags; comments, CDATA, order and unknown elements stay."""
    data = JAVA.replace(b"\n", ends)
    assert changed(data, name="Büro <1>") == data.replace(
        b"<name>Office &amp; Home<", "<name>Büro &lt;1&gt;<".encode()
    )
    assert changed(data, from_name="R&D") == data.replace(b"<name>Reports<", b"<name>R&amp;D<")
    assert changed(data, host="smtp.example") == data.replace(
        b"<![CDATA[smtp.office365.com]]>", b"smtp.example"
    )
    assert changed(data, tenant_id="contoso") == data.replace(
        b"<oauth2tenantid/>", b"<oauth2tenantid>contoso</oauth2tenantid>"
    )
    assert changed(data, security=Security.TLS) == data.replace(
        b"<usessl>false</usessl>", b"<usessl>true</usessl>"
    ).replace(b"<usetls>true</usetls>", b"<usetls>false</usetls>")


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_what_is_added_and_removed_keeps_the_shape_of_the_file(ends: bytes) -> None:
    """A new element stands on its own line, indented like its neighbours; a removed one takes its line with it."""
    data = JAVA.replace(b"\n", ends)
    line = b"            <transport>SMTP</transport>" + ends
    end = b"        </emailserver>"
    assert changed(data, transport=Transport.SMTP) == data.replace(end, line + end)
    gone = b"            <oauth2clientid>11111111-2222-3333-4444-555555555555</oauth2clientid>" + ends
    assert changed(data, client_id="") == data.replace(gone, b"")
    assert changed(changed(data, transport=Transport.SMTP), transport=Transport.AUTO) == data


def test_a_note_on_an_elements_line_stays_with_it() -> None:
    """A new element goes behind the comment on its neighbour's line, and a comment outlives its element."""
    data = JAVA.replace(b"            <port>587</port>\n", b"")
    assert b"<!-- since May -->\n            <port>2525</port>\n" in changed(data, port="2525")
    assert b"<useconn>false</useconn>\n             <!-- since May -->\n" in changed(JAVA, host="")


def test_a_file_on_one_line_stays_on_one_line() -> None:
    """Without indentation in the file, none is made up."""
    assert changed(SMALL, from_name="R") == SMALL.replace(b"</host>", b"</host><name>R</name>")
    bare = SMALL.replace(b"<emailserver><host>h</host></emailserver>", b"<emailserver/>")
    assert changed(bare, host="h") == SMALL


@pytest.mark.parametrize("inside", [b"", b"\n    ", b"<!-- none -->"])
def test_the_first_element_of_an_empty_server_is_indented(inside: bytes) -> None:
    """An emailserver without elements gets its first one a level deeper than itself."""
    head = b"<documentburster>\n <connection>\n  <code>eml-a</code>\n  "
    data = head + b"<emailserver>" + inside + b"</emailserver>\n </connection>\n</documentburster>"
    again = changed(data, host="h")
    assert b"<emailserver>\n      <host>h</host>" in again
    assert xml_codec.decode(again).server.host == "h"
    assert again.replace(b"\n      <host>h</host>", b"", 1).replace(b"\n  </em", b"</em") == data.replace(
        b"\n  </em", b"</em"
    )


def test_other_encodings_keep_theirs() -> None:
    """A file in ISO-8859-1 is changed in ISO-8859-1; what it cannot hold becomes a character reference."""
    data = b'<?xml version="1.0" encoding="ISO-8859-1"?>\n' + SMALL.replace(
        b"<host>", b"<name>\xfc</name><host>"
    )
    assert xml_codec.decode(data).from_name == "ü"
    again = changed(data, from_name="é \u20ac")
    assert again == data.replace(b"\xfc", b"\xe9 &#8364;")
    assert xml_codec.decode(again).from_name == "é \u20ac"


def full(**credential: object) -> Connection:
    """A connection with every field set."""
    return Connection(
        code="eml-full",
        name="Full",
        default=True,
        server=Server(
            host="h", port="${port}", security=Security.TLS, root_certificate="/ca.pem", chunking=False
        ),
        from_address="a@b.example",
        from_name="Ä <b>",
        credential=OAuth2Client(
            provider=Provider.GENERIC,
            client_id="c",
            tenant_id="t",
            cloud=Cloud.CHINA,
            flow=Flow.DEVICE,
            authorize_url="https://a",
            token_url="https://t",
            scope="s t",
            client_secret=Sealed("ENC(v1.s)"),
            certificate="/c.pem",
            redirect_uri="http://localhost",
            login_hint="me",
            refresh_token=Sealed("ENC(v1.r)"),
            user_email="u@b.example",
            issued_at="2026-01-01T00:00:00Z",
            granted_scope="s",
        ),
        transport=Transport.SMTP,
    )


def test_a_new_file_holds_every_field_in_the_usual_order() -> None:
    """What is written new is what the Java product would read: its elements in its order, ours behind."""
    data = xml_codec.encode(full())
    assert xml_codec.decode(data) == full()
    names = [
        line.split(b">")[0].strip(b" <").decode() for line in data.splitlines() if b"</" in line.lstrip()[1:]
    ]
    server = names[3:]
    assert names[:3] == ["code", "name", "default"]
    assert server == [
        "useconn", "host", "port", "usessl", "usetls", "rootcertfile", "fromaddress", "name",
        "oauth2provider", "oauth2clientid", "oauth2tenantid", "oauth2authorizeurl", "oauth2tokenurl", "oauth2scope",
        "oauth2refreshtoken", "oauth2useremail", "oauth2clientsecret", "oauth2certificate", "oauth2flow",
        "oauth2cloud", "oauth2redirecturi", "oauth2loginhint", "oauth2issuedat", "oauth2grantedscope",
        "transport", "smtpchunking",
    ]  # fmt: skip


def test_elements_of_ours_are_written_only_when_set() -> None:
    """A plain connection's file holds nothing the Java product does not know."""
    data = xml_codec.encode(
        Connection(code="eml-a", credential=Password(user="u", password=Sealed("ENC(v1.x)")))
    )
    for name in (b"transport", b"smtpchunking", b"oauth2cloud", b"oauth2flow", b"oauth2clientsecret"):
        assert name not in data
    assert b"<oauth2provider>NONE</oauth2provider>" in data


@pytest.mark.parametrize(
    ("ssl", "tls", "security"),
    [
        (b"false", b"false", Security.NONE),
        (b"false", b"true", Security.STARTTLS),
        (b"true", b"false", Security.TLS),
        (b"true", b"true", Security.TLS),
        (b" 1 ", b"", Security.TLS),
    ],
)
def test_two_switches_are_one_security(ssl: bytes, tls: bytes, security: Security) -> None:
    """usessl and usetls become one word; a file that sets both is left as it is until the word changes."""
    data = SMALL.replace(b"<host>", b"<usessl>" + ssl + b"</usessl><usetls>" + tls + b"</usetls><host>")
    assert xml_codec.decode(data).server.security is security
    assert xml_codec.encode(xml_codec.decode(data), data) == data


def test_a_change_of_kind_takes_the_old_kinds_elements_along() -> None:
    """From a password to OAuth2: the password leaves the file; left-overs of an old sign-in are not taken for new."""
    data = SMALL.replace(
        b"<host>",
        b"<userid>u</userid><userpassword>ENC(v1.p)</userpassword>"
        b"<oauth2refreshtoken>ENC(v1.old)</oauth2refreshtoken><host>",
    )
    connection = dataclasses.replace(
        xml_codec.decode(data), credential=OAuth2Client(provider=Provider.GOOGLE, client_id="c")
    )
    again = xml_codec.encode(connection, data)
    assert xml_codec.decode(again) == connection
    assert b"ENC(" not in again and b"userid" not in again


@pytest.mark.parametrize("value", ["a\0b", "a\x0bb", "\ud800", "\ufffe", "\uffff", "\x1b"])
def test_characters_xml_cannot_hold_are_refused_before_writing(value: str) -> None:
    """U+0000 and its like would give a file nobody can read again."""
    with pytest.raises(ConfigurationError, match=r"<name>.*U\+"):
        changed(JAVA, name=value)
    with pytest.raises(ConfigurationError, match=r"U\+"):
        xml_codec.encode(Connection(code="eml-a", name=value))


@pytest.mark.parametrize("value", [" a", "a\n", "From Name"])
def test_values_that_would_come_back_changed_are_refused(value: str) -> None:
    """What the file would give back differently is not written."""
    with pytest.raises(ConfigurationError, match="cannot be stored"):
        changed(JAVA, from_name=value)


def test_a_carriage_return_survives() -> None:
    """XML turns a bare CR into LF on reading; it is written as a reference."""
    assert xml_codec.decode(changed(JAVA, from_name="a\r\nb")).from_name == "a\r\nb"


def test_a_new_secret_is_never_written_in_clear() -> None:
    """Whoever forgets to seal gets an error, not a file with a password in it."""
    connection = xml_codec.decode(SMALL)
    with pytest.raises(ValueError, match="must be sealed"):
        xml_codec.encode(dataclasses.replace(connection, credential=Password(password=Secret("p"))), SMALL)


def test_secrets_in_clear_are_named() -> None:
    """A plain secret is seen; a placeholder, a mask, a variable and a sealed one are none."""
    for text, plain in [
        (b"hunter2", True),
        (b"ENC(x)", False),
        (b"******", False),
        (b"${pw}", False),
        (b"a${pw}", True),
        (b"  ", False),
        (b"From Email Password", False),
        (b"abcd efgh ijkl mnop", True),
    ]:
        data = SMALL.replace(b"<host>", b"<userpassword>" + text + b"</userpassword><host>")
        assert xml_codec.plain_secrets(data) == (("userpassword",) if plain else ())


def test_a_password_keeps_its_blanks() -> None:
    """A password may begin or end with a blank."""
    data = SMALL.replace(b"<host>", b"<userpassword> p </userpassword><host>")
    credential = xml_codec.decode(data).credential
    assert isinstance(credential, Password) and credential.password == Secret(" p ")


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"", "1", "no element"),
        (b"<documentburster>\n<connection>", "2", "no element found"),
        (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "1", "DOCTYPE"),
        (b"<a/>", "1", "not <documentburster>"),
        (b"<documentburster/>", "1", "no <connection>"),
        (b"<documentburster><connection><code>eml-a</code></connection></documentburster>", "1", "no <emailserver>"),
        (SMALL.replace(b"<code>eml-a</code>", b""), "", "<code> is missing"),
        (SMALL.replace(b"eml-a", b"../../etc"), "1", "not a code"),
        (SMALL.replace(b"<host>", b"\n<host>g</host>\n<host>"), "3", "<host> stands twice"),
        (SMALL.replace(b"<emailserver>", b"<emailserver/>\n<emailserver>"), "2", "<emailserver> stands twice"),
        (SMALL.replace(b">h<", b">\n<b/><"), "2", "<host> holds other elements"),
        (SMALL.replace(b"<host>", b"\n<usetls>maybe</usetls><host>"), "2", "not true or false"),
        (SMALL.replace(b"<host>", b"\n<oauth2provider>X</oauth2provider><host>"), "2", "not one of NONE"),
        (b'<?xml version="1.0" encoding="utf-8"?>\n\n' + SMALL.replace(b">h<", b">\xfc<"), "3", "0xFC is not UTF-8"),
        (b'<?xml version="1.0" encoding="shift_jis"?>' + SMALL, "1", "'shift_jis' is not supported"),
        (b'<?xml version="1.0" encoding="utf-7"?>' + SMALL, "1", "'utf-7' is not supported"),
        (b'<?xml version="1.0" encoding="no such"?>' + SMALL, "1", "declaration"),
        (SMALL.decode().encode("utf-16"), "1", "UTF-16"),
        (SMALL.decode().encode("utf-16-le"), "1", "UTF-16"),
        (SMALL.decode().encode("utf-32"), "1", "UTF-16"),
        (SMALL + b" " * (2 << 20), "", "longer than 1 MiB"),
        (b"<documentburster>" + b"<a>" * 100_000, "1", "nested more than"),
        (SMALL + SMALL, "1", "junk"),
        (b"\0" * 100, "1", "UTF-16"),
    ],
)  # fmt: skip
def test_a_broken_file_is_told_with_line_and_reason(data: bytes, line: str, reason: str) -> None:
    """Whatever is wrong with a file, the error says where and what."""
    with pytest.raises(BrokenConnection) as caught:
        xml_codec.decode(data)
    assert reason in caught.value.facts["reason"] or reason in caught.value.facts["reason"].lower()
    assert caught.value.facts["line"] == line


def test_entity_bombs_are_refused_at_once() -> None:
    """A billion laughs need a DOCTYPE, and that is as far as they come."""
    bomb = b'<!DOCTYPE l [<!ENTITY a "ha">' + b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">' * 50 + b"]><l>&b;</l>"
    with pytest.raises(BrokenConnection, match="DOCTYPE"):
        xml_codec.decode(bomb)
