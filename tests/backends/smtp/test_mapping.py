from __future__ import annotations

import pytest

from mailquay.backends.smtp.mapping import provider_message_id
from mailquay.backends.smtp.server import SmtpServer
from mailquay.errors import InvalidRequest
from mailquay.model.account import ServerSettings


@pytest.mark.parametrize(
    ("reply", "host", "expected"),
    [
        (
            "250 2.0.0 OK <AB12@XY1PR01.eurprd01.prod.outlook.com> [Hostname=XY1PR01.eurprd01.prod.outlook.com]",
            "smtp.office365.com",
            "<AB12@XY1PR01.eurprd01.prod.outlook.com>",
        ),
        (
            "250 Ok 0102018f0000-aaaa-bbbb-000000",
            "email-smtp.eu-west-1.amazonaws.com",
            "<0102018f0000-aaaa-bbbb-000000@eu-west-1.amazonses.com>",
        ),
        (
            "250 Ok 0102018f0000-aaaa-bbbb-000000",
            "email-smtp.us-east-1.amazonaws.com",
            "<0102018f0000-aaaa-bbbb-000000@email.amazonses.com>",
        ),
        (
            "250 Ok 0102018f0000-aaaa-bbbb-000000",
            "smtp.mail.eu-west-1.awsapps.com",
            "<0102018f0000-aaaa-bbbb-000000@eu-west-1.amazonses.com>",
        ),
        ("250 Ok 0102018f0000-aaaa-bbbb-000000", "mail.example.com", None),
        ("250 2.0.0 Ok: queued as 4ABC", "email-smtp.eu-west-1.amazonaws.com", None),
        ("250 2.0.0 OK <a@evil.example>", "smtp.office365.com", None),
    ],
)
def test_provider_message_ids(reply: str, host: str, expected: str | None) -> None:
    assert provider_message_id(reply, host) == expected


def test_settings_become_a_server() -> None:
    settings = ServerSettings(
        host="Mail.Example.COM",
        secure=True,
        user="me",
        password="secret",
        tls={"rejectUnauthorized": False, "requireTLS": True},
    )
    server = SmtpServer.from_settings(settings, ehlo_name="us.example", proxy_url="socks5://p:x@proxy.example:1080")
    assert (server.host, server.port, server.require_tls) == ("mail.example.com", 465, True)
    assert server.credentials is not None
    assert server.credentials.password == "secret"
    assert "secret" not in repr(server)
    assert server.network_routing(None) == {"proxy": "socks5://p:x@proxy.example:1080"}
    assert hash(server) == hash(SmtpServer.from_settings(settings, ehlo_name="us.example", proxy_url=server.proxy_url))
    assert SmtpServer.from_settings(ServerSettings(host="h"), ehlo_name="us.example").port == 587


@pytest.mark.parametrize(
    "settings",
    [
        ServerSettings(host="two words"),
        ServerSettings(host="h", tls={"minVersion": "SSLv2"}),
        ServerSettings(host="h", tls={"ca": "no certificate"}),
    ],
)
def test_settings_that_cannot_work(settings: ServerSettings) -> None:
    with pytest.raises(InvalidRequest):
        SmtpServer.from_settings(settings, ehlo_name="us.example")
