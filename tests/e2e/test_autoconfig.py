"""A server that finds mail servers, with a name server of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.server import Server
from tests.servers.dns_server import DnsServer
from tests.servers.webhook_sink import WebhookSink


async def test_servers_are_found_and_loopback_is_not_asked(tmp_path: Path, webhook_sink: WebhookSink) -> None:
    zone = {
        ("_imaps._tcp.x.test", "SRV"): ["0 1 993 imap.x.test."],
        ("_submissions._tcp.x.test", "SRV"): ["0 1 465 smtp.x.test."],
        ("x.test", "A"): ["127.0.0.1"],
    }
    async with DnsServer(zone) as dns:
        options: dict[str, Any] = {
            "dns_servers": dns.address,
            "isp_database": webhook_sink.url,
            "autoconfig_timeout": "2s",
        }
        async with Server(tmp_path, **options) as server:
            assert await server.ok("GET", "/v1/autoconfig?email=ann@x.test") == {
                "imap": {"auth": {"user": "ann@x.test"}, "host": "imap.x.test", "port": 993, "secure": True},
                "smtp": {"auth": {"user": "ann@x.test"}, "host": "smtp.x.test", "port": 465, "secure": True},
                "_source": "srv",
            }
            unknown = {"imap": False, "smtp": False, "_source": "unknown"}
            assert await server.ok("GET", "/v1/autoconfig?email=ann@y.test") == unknown
            status, answer = await server.request("GET", "/v1/autoconfig?email=nobody")
            assert (status, answer["fields"][0]["key"]) == (400, "email")
    assert webhook_sink.requests == []
