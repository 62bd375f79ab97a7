"""Finding mail servers: a name server and web servers of our own, over real DNS, HTTP and TLS on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

import pytest

from mailquay.net.dns import DnsResolver
from mailquay.net.egress import EgressPolicy
from mailquay.net.http import HttpClient
from mailquay.services.autoconfig import AutoconfigOptions, AutoconfigService
from tests.servers.certificates import Authority
from tests.servers.dns_server import DnsServer
from tests.servers.webhook_sink import Answer, WebhookRequest, WebhookSink
from tests.wire.autoconfig.test_documents import AUTODISCOVER, CLIENT_CONFIG

EMAIL = "ann@x.test"
CONFIGURED = {
    "imap": {"auth": {"user": EMAIL}, "host": "imap.x.test", "port": 993, "secure": True},
    "smtp": {"auth": {"user": "ann"}, "host": "smtp.x.test", "port": 587, "secure": False},
}
UNKNOWN = {"imap": False, "smtp": False, "_source": "unknown"}
_SRV = {
    ("_imaps._tcp.x.test", "SRV"): ["0 1 993 srv-imap.test."],
    ("_submission._tcp.x.test", "SRV"): ["0 1 587 srv-smtp.test."],
}
NOTHING_CONFIGURED = b"<clientConfig><emailProvider id='x.test'/></clientConfig>"
_HTTPS_NAMES = ("autoconfig.x.test", "autodiscover.x.test", "discover.test", "autoconfig.yandex.ru")


class Net:
    """A small internet: `pages` by host and path, `https` ones on a port with TLS; all other pages are missing."""

    def __init__(self, dns: DnsServer, http: WebhookSink, https: WebhookSink, tls: ssl.SSLContext) -> None:
        self.dns, self.http, self.https, self._tls = dns, http, https, tls
        self.pages: dict[str, Answer] = {}
        self._clients: list[HttpClient] = []
        for sink in (http, https):
            sink.decide = self._page

    def _page(self, request: WebhookRequest) -> Answer:
        host = request.headers["Host"].partition(":")[0]
        return self.pages.get(host + urlsplit(request.path).path, Answer(404))

    def publish(self, place: str, document: bytes | Answer, address: str = "127.0.0.1") -> None:
        """Put a page at host/path, with the host in the DNS."""
        self.dns.zone[place.partition("/")[0], "A"] = [address]
        self.pages[place] = document if isinstance(document, Answer) else Answer(body=document)

    @property
    def requests(self) -> list[str]:
        """Method, host and path of what was asked for."""
        return [
            f"{one.method} {one.headers['Host'].partition(':')[0]}{one.path}"
            for one in (*self.http.requests, *self.https.requests)
        ]

    def service(self, *, policy: EgressPolicy = EgressPolicy.OFF, timeout_seconds: float = 5) -> AutoconfigService:
        """What is tested, in this internet."""
        dns = DnsResolver([self.dns.address])
        http = HttpClient(
            policy=policy,
            user_agent="test",
            addresses=partial(dns.addresses, timeout_seconds=timeout_seconds),
            tls=self._tls,
        )
        self._clients.append(http)
        ports = (urlsplit(self.http.url).port or 0, urlsplit(self.https.url).port or 0)
        database = f"http://isp.test:{ports[0]}/v1.1/"
        return AutoconfigService(dns, http, AutoconfigOptions(timeout_seconds, database, *ports))

    async def close(self) -> None:
        """Close the clients that `service` made."""
        for client in self._clients:
            await client.aclose()


WELL_KNOWN = "x.test/.well-known/autoconfig/mail/config-v1.1.xml"
AUTOCONFIG = "autoconfig.x.test/mail/config-v1.1.xml"
DATABASE = "isp.test/v1.1/x.test"
DISCOVER = "autodiscover.x.test/autodiscover/autodiscover.xml"


@pytest.fixture
async def net(authority: Authority) -> AsyncIterator[Net]:
    certificate = authority.issue("web", hostnames=_HTTPS_NAMES)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_path, certificate.key_path)
    trusting = ssl.create_default_context(cafile=str(authority.ca_path))
    async with DnsServer() as dns, WebhookSink() as http, WebhookSink(context) as https:
        made = Net(dns, http, https, trusting)
        yield made
        await made.close()


async def test_nothing_is_known_of_a_domain(net: Net) -> None:
    assert await net.service().discover(EMAIL) == UNKNOWN
    assert net.requests == []


async def test_srv(net: Net) -> None:
    net.dns.zone.update(_SRV)
    assert await net.service().discover(EMAIL) == {
        "imap": {"auth": {"user": EMAIL}, "host": "srv-imap.test", "port": 993, "secure": True},
        "smtp": {"auth": {"user": EMAIL}, "host": "srv-smtp.test", "port": 587, "secure": False},
        "_source": "srv",
    }


async def test_srv_prefers_tls_and_low_priorities(net: Net) -> None:
    net.dns.zone.update(
        {
            ("_imaps._tcp.x.test", "SRV"): ["0 0 0 ."],
            ("_imap._tcp.x.test", "SRV"): ["20 0 143 b.test.", "10 0 1143 a.test."],
            ("_submissions._tcp.x.test", "SRV"): ["0 0 465 s.test."],
            ("_submission._tcp.x.test", "SRV"): ["0 0 587 never.test."],
        }
    )
    found = await net.service().discover(EMAIL)
    assert (found["imap"]["host"], found["imap"]["port"], found["imap"]["secure"]) == ("a.test", 1143, False)
    assert (found["smtp"]["host"], found["smtp"]["secure"]) == ("s.test", True)


async def test_srv_without_submission_is_no_answer(net: Net) -> None:
    net.dns.zone["_imaps._tcp.x.test", "SRV"] = _SRV["_imaps._tcp.x.test", "SRV"]
    assert await net.service().discover(EMAIL) == UNKNOWN


@pytest.mark.parametrize(
    ("place", "source"), [(WELL_KNOWN, "well-known"), (AUTOCONFIG, "autoconfig"), (DATABASE, "mozilla")]
)
async def test_each_place_of_a_client_config(net: Net, place: str, source: str) -> None:
    net.publish(place, CLIENT_CONFIG)
    assert await net.service().discover(EMAIL) == {**CONFIGURED, "_source": source}
    query = "?emailaddress=ann@x.test" if place == AUTOCONFIG else ""
    assert f"GET {place}{query}" in net.requests


@pytest.mark.parametrize("by_srv", [False, True])
async def test_autodiscover(net: Net, by_srv: bool) -> None:
    place = DISCOVER
    if by_srv:
        place = "discover.test/autodiscover/autodiscover.xml"
        port = urlsplit(net.https.url).port
        net.dns.zone["_autodiscover._tcp.x.test", "SRV"] = [f"0 0 {port} discover.test."]
    net.publish(place, AUTODISCOVER)
    found = await net.service().discover(EMAIL)
    assert (found["_source"], found["imap"]["auth"], found["smtp"]["host"]) == (
        "autodiscover",
        {"user": "ann"},
        "smtp.x.test",
    )
    [request] = net.https.requests
    assert request.method == "POST" and b"<EMailAddress>ann@x.test</EMailAddress>" in request.body


async def test_the_exchanger_comes_first(net: Net) -> None:
    net.dns.zone.update(_SRV)
    net.dns.zone["x.test", "MX"] = ["20 mx.elsewhere.test.", "10 MX1.zoho.eu."]
    net.publish(WELL_KNOWN, CLIENT_CONFIG)
    found = await net.service().discover(EMAIL)
    assert (found["_source"], found["imap"]["host"], found["smtp"]["port"]) == ("mx", "imappro.zoho.eu", 465)
    assert net.requests == []


async def test_an_exchanger_that_stands_for_srv_records(net: Net) -> None:
    net.dns.zone["x.test", "MX"] = ["1 aspmx.l.google.com."]
    net.dns.zone["_imaps._tcp.gmail.com", "SRV"] = ["5 0 993 imap.gmail.com."]
    net.dns.zone["_submissions._tcp.gmail.com", "SRV"] = ["5 0 465 smtp.gmail.com."]
    found = await net.service().discover(EMAIL)
    assert found["_source"] == "mx" and found["appPassword"]["provider"] == "Gmail"
    assert found["smtp"] == {"auth": {"user": EMAIL}, "host": "smtp.gmail.com", "port": 465, "secure": True}


async def test_an_exchanger_that_stands_for_an_autoconfig(net: Net) -> None:
    net.dns.zone["x.test", "MX"] = ["10 mx.yandex.net."]
    net.publish("autoconfig.yandex.ru/mail/config-v1.1.xml", CLIENT_CONFIG)
    assert await net.service().discover(EMAIL) == {**CONFIGURED, "_source": "mx"}
    net.pages.clear()
    net.publish(WELL_KNOWN, CLIENT_CONFIG)
    assert await net.service().discover(EMAIL) == {**CONFIGURED, "_source": "well-known"}


async def test_app_passwords_are_told_whatever_is_found(net: Net) -> None:
    found = await net.service().discover("ann@ICLOUD.com")
    assert found["_source"] == "unknown" and found["appPassword"]["provider"] == "iCloud"


async def test_a_domain_in_unicode_is_asked_for_in_ascii(net: Net) -> None:
    name = "xn--mller-kva.test"
    net.publish(f"{name}/.well-known/autoconfig/mail/config-v1.1.xml", CLIENT_CONFIG)
    found = await net.service().discover("ann@Müller.test")
    assert found["_source"] == "well-known" and found["imap"]["auth"] == {"user": "ann@Müller.test"}
    assert {asked.removeprefix("_imaps._tcp.") for asked, _ in net.dns.asked} >= {name}


@pytest.mark.parametrize("domain", ["[127.0.0.1]", "127.0.0.1", "x.test:81", "x.test#", "x.test?a", "a..b", ""])
async def test_what_is_no_domain_is_asked_for_nowhere(net: Net, domain: str) -> None:
    assert await net.service().discover(f"ann@{domain}") == UNKNOWN
    assert net.dns.asked == [] and net.requests == []


async def test_the_first_success_wins_and_the_others_are_left(net: Net) -> None:
    net.dns.zone.update(_SRV)
    net.publish(WELL_KNOWN, Answer(delay_seconds=60, body=CLIENT_CONFIG))
    net.dns.silent.add("autodiscover.x.test")
    async with asyncio.timeout(4):
        assert (await net.service().discover(EMAIL))["_source"] == "srv"


async def test_one_that_finds_none_waits_for_one_that_finds_some(net: Net) -> None:
    net.publish(DATABASE, NOTHING_CONFIGURED)
    assert await net.service().discover(EMAIL) == {"imap": False, "smtp": False, "_source": "mozilla"}
    net.publish(WELL_KNOWN, Answer(delay_seconds=0.2, body=CLIENT_CONFIG))
    assert await net.service().discover(EMAIL) == {**CONFIGURED, "_source": "well-known"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404),
        Answer(500),
        Answer(204),
        Answer(drop=True),
        Answer(body=b""),
        Answer(body=b"<html><p>Not found</html>"),
        Answer(body=CLIENT_CONFIG[:-3]),
        Answer(body=b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + CLIENT_CONFIG.partition(b"?>")[2]),
        Answer(body=CLIENT_CONFIG + b" " * 300_000),
        Answer(302, headers=(("Location", "/again"),)),
        Answer(302, headers=(("Location", "ftp://x.test/"),)),
    ],
)
async def test_a_source_that_fails_leaves_it_to_the_others(net: Net, answer: Answer) -> None:
    for place in (WELL_KNOWN, AUTOCONFIG, DISCOVER):
        net.publish(place, answer)
    net.pages["x.test/again"] = answer
    service = net.service()
    assert await service.discover(EMAIL) == UNKNOWN
    net.publish(DATABASE, CLIENT_CONFIG)
    assert (await service.discover(EMAIL))["_source"] == "mozilla"


async def test_redirects_are_followed(net: Net) -> None:
    net.publish(AUTOCONFIG, Answer(302, headers=(("Location", f"http://www.test:{_port(net.http)}/c.xml"),)))
    net.publish("www.test/c.xml", CLIENT_CONFIG)
    assert (await net.service().discover(EMAIL))["_source"] == "autoconfig"


def _port(sink: WebhookSink) -> int:
    return urlsplit(sink.url).port or 0


async def test_certificates_are_checked(net: Net, authority: Authority) -> None:
    net.publish(AUTOCONFIG, CLIENT_CONFIG)
    net.dns.zone["autoconfig.y.test", "A"] = ["127.0.0.1"]
    net.pages["autoconfig.y.test/mail/config-v1.1.xml"] = Answer(body=CLIENT_CONFIG)
    assert await net.service().discover("ann@y.test") == UNKNOWN


async def test_everything_is_silent(net: Net) -> None:
    net.dns.silent.update(("x.test", "_imaps._tcp.x.test", "_submissions._tcp.x.test", "autodiscover.x.test"))
    net.publish(AUTOCONFIG, Answer(delay_seconds=60))
    net.publish(DATABASE, Answer(delay_seconds=60))
    async with asyncio.timeout(4):
        assert await net.service(timeout_seconds=0.3).discover(EMAIL) == UNKNOWN


async def test_a_name_server_in_trouble_is_no_end(net: Net) -> None:
    net.dns.broken.update(("_autodiscover._tcp.x.test", "_imaps._tcp.x.test"))
    net.publish(DISCOVER, AUTODISCOVER)
    assert (await net.service().discover(EMAIL))["_source"] == "autodiscover"


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
async def test_a_strangers_domain_does_not_lead_inside(net: Net, address: str) -> None:
    for place in (WELL_KNOWN, AUTOCONFIG, DISCOVER, DATABASE):
        net.publish(place, CLIENT_CONFIG, address)
    net.dns.zone["_autodiscover._tcp.x.test", "SRV"] = [f"0 0 {_port(net.https)} discover.test."]
    net.dns.zone["discover.test", "A"] = [address]
    assert await net.service(policy=EgressPolicy.PRIVATE).discover(EMAIL) == UNKNOWN
    assert net.requests == []


@pytest.mark.parametrize("target", ["http://169.254.169.254/", "http://inside.test/", "http://[fe80::1]/"])
async def test_nor_does_a_redirect(net: Net, target: str) -> None:
    net.dns.zone["inside.test", "A"] = ["169.254.1.1"]
    net.publish(WELL_KNOWN, Answer(302, headers=(("Location", target),)))
    assert await net.service(policy=EgressPolicy.LINK_LOCAL).discover(EMAIL) == UNKNOWN


async def test_the_database_may_be_left_out(net: Net) -> None:
    net.publish(DATABASE, CLIENT_CONFIG)
    service = net.service()
    service._options = dataclasses.replace(service._options, isp_database=None)
    assert await service.discover(EMAIL) == UNKNOWN
    assert net.requests == []


async def test_many_at_once_wait_their_turn(net: Net) -> None:
    net.publish(WELL_KNOWN, CLIENT_CONFIG)
    service = net.service()
    found = await asyncio.gather(*(service.discover(EMAIL) for _ in range(30)))
    assert {one["_source"] for one in found} == {"well-known"}
