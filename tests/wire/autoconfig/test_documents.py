"""What domains publish: clientConfig, autodiscover, and the XML of both from strangers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import RemoteProtocolError
from mailquay.wire.autoconfig.autodiscover import autodiscover_request, read_autodiscover
from mailquay.wire.autoconfig.client_config import read_client_config
from mailquay.wire.autoconfig.servers import AnnouncedServer, AnnouncedServers, read_host, read_port
from mailquay.wire.autoconfig.xml import MAX_XML_BYTES, parse_xml

EMAIL = "ann@x.test"

CLIENT_CONFIG = b"""<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="x.test">
    <domain>x.test</domain>
    <incomingServer type="pop3"><hostname>pop.x.test</hostname><port>995</port></incomingServer>
    <incomingServer type="imap">
      <hostname>imap.%EMAILDOMAIN%</hostname><port>993</port><socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <incomingServer type="imap"><hostname>other</hostname><port>143</port></incomingServer>
    <outgoingServer type="smtp">
      <hostname> SMTP.x.test. </hostname><port>587</port><socketType>STARTTLS</socketType>
      <username>%EMAILLOCALPART%</username>
    </outgoingServer>
  </emailProvider>
</clientConfig>"""

AUTODISCOVER = b"""<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
 <Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">
  <Account><AccountType>email</AccountType><Action>settings</Action>
   <Protocol><Type>POP3</Type><Server>pop.x.test</Server><Port>995</Port><SSL>on</SSL></Protocol>
   <Protocol><Type>IMAP</Type><Server>imap.x.test</Server><Port>993</Port><SSL>on</SSL><LoginName>ann</LoginName></Protocol>
   <Protocol><Type>SMTP</Type><Server>smtp.x.test</Server><Port>587</Port><SSL>on</SSL></Protocol>
  </Account>
 </Response>
</Autodiscover>"""


def _config(servers: str) -> bytes:
    return f"<clientConfig><emailProvider>{servers}</emailProvider></clientConfig>".encode()


def test_client_config() -> None:
    assert read_client_config(CLIENT_CONFIG, EMAIL) == AnnouncedServers(
        AnnouncedServer("imap.x.test", 993, True, EMAIL), AnnouncedServer("smtp.x.test", 587, False, "ann")
    )


def test_client_config_in_other_encodings() -> None:
    text = CLIENT_CONFIG.decode()
    for name in ("UTF-16", "ISO-8859-1", "windows-1252"):
        document = text.replace("UTF-8", name).encode(name)
        assert read_client_config(document, EMAIL) == read_client_config(CLIENT_CONFIG, EMAIL)


@pytest.mark.parametrize(
    "server",
    [
        "<hostname></hostname><port>993</port>",
        "<hostname>a b</hostname><port>993</port>",
        "<hostname>a/b</hostname><port>993</port>",
        "<hostname>-a.test</hostname><port>993</port>",
        "<hostname>a.test</hostname>",
        "<hostname>a.test</hostname><port>0</port>",
        "<hostname>a.test</hostname><port>65536</port>",
        "<hostname>a.test</hostname><port>99x</port>",
    ],
)
def test_servers_that_cannot_be_are_passed_over(server: str) -> None:
    document = _config(f'<incomingServer type="imap">{server}</incomingServer>')
    assert read_client_config(document, EMAIL) == AnnouncedServers()


def test_a_user_name_that_cannot_be_is_left_out() -> None:
    server = "<hostname>a.test</hostname><port>25</port><username>a&#10;b</username>"
    document = _config(f'<outgoingServer type="smtp">{server}</outgoingServer>')
    assert read_client_config(document, EMAIL).smtp == AnnouncedServer("a.test", 25, False)


def test_autodiscover() -> None:
    assert read_autodiscover(AUTODISCOVER, EMAIL) == AnnouncedServers(
        AnnouncedServer("imap.x.test", 993, True, "ann"), AnnouncedServer("smtp.x.test", 587, False, EMAIL)
    )


def test_autodiscover_asks_for_an_address() -> None:
    request = parse_xml(autodiscover_request("a&<b>@x.test"))
    assert (request.name, [child.name for child in request.children]) == ("Autodiscover", ["Request"])
    [asked, schema] = request.children[0].children
    assert (asked.name, asked.text) == ("EMailAddress", "a&<b>@x.test")
    assert schema.text.endswith("/responseschema/2006a")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<",
        b"<a><b></a>",
        b"<html><body>Not found</body></html>",
        b"<clientConfig/>",
        b"<Autodiscover><Response><Error><ErrorCode>600</ErrorCode></Error></Response></Autodiscover>",
        b"<Autodiscover><Response><Account><AccountType>email</AccountType><Action>redirectUrl</Action>"
        b"<RedirectUrl>https://elsewhere.test/</RedirectUrl></Account></Response></Autodiscover>",
        CLIENT_CONFIG[:-5],
        b'<?xml version="1.0" encoding="nonsense"?><clientConfig><emailProvider/></clientConfig>',
        b'<?xml version="1.0" encoding="zlib"?><clientConfig><emailProvider/></clientConfig>',
        b'<!DOCTYPE a [<!ENTITY b "c">]><clientConfig><emailProvider/></clientConfig>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><clientConfig>&b;</clientConfig>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><clientConfig><emailProvider/></clientConfig>',
        b"<clientConfig>&unknown;</clientConfig>",
        b"<a>" * 40 + b"</a>" * 40,
        b"<a>" + b"<b/>" * 20_000 + b"</a>",
        b"<a>" + b" " * MAX_XML_BYTES + b"</a>",
    ],
)
def test_what_is_no_such_document(document: bytes) -> None:
    for read in (read_client_config, read_autodiscover):
        with pytest.raises(RemoteProtocolError):
            read(document, EMAIL)


@given(st.one_of(st.binary(max_size=300), st.text(alphabet="<>/!?&;[]'\"=aA \n", max_size=100).map(str.encode)))
def test_any_bytes_are_xml_or_refused(document: bytes) -> None:
    try:
        parse_xml(document)
    except RemoteProtocolError:
        return


@given(st.data())
def test_damaged_documents_are_read_or_refused(data: st.DataObject) -> None:
    document = bytearray(data.draw(st.sampled_from([CLIENT_CONFIG, AUTODISCOVER])))
    for _ in range(data.draw(st.integers(1, 5))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    for read in (read_client_config, read_autodiscover):
        try:
            found = read(bytes(document), EMAIL)
        except RemoteProtocolError:
            continue
        for server in (found.imap, found.smtp):
            assert server is None or (read_host(server.host) == server.host and 0 < server.port < 65536)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Mail.Example.COM.", "mail.example.com"),
        ("müller.test", "xn--mller-kva.test"),
        ("_dmarc.x.test", "_dmarc.x.test"),
        ("", None),
        (".", None),
        ("a..b", None),
        ("a:25", None),
        ("a#b", None),
        ("a\x00b", None),
        ("x" * 64, None),
        (".".join(["x" * 63] * 5), None),
        ("\u2028", None),
    ],
)
def test_hosts(text: str, host: str | None) -> None:
    assert read_host(text) == host


def test_ports() -> None:
    assert [read_port(text) for text in ("1", "65535", "0", "65536", "-1", "²", "1e3", "")] == [1, 65535] + [None] * 6
