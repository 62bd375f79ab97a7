"""The table of providers."""

from __future__ import annotations

import pytest

from mailquay.services.mail_providers import KnownServers, app_password, by_exchanger
from mailquay.wire.autoconfig.servers import AnnouncedServer, AnnouncedServers

EMAIL = "ann@x.test"


@pytest.mark.parametrize(
    ("exchanger", "imap", "smtp", "port"),
    [
        ("mx2.zone.eu", "mail.zone.ee", "smtp.zone.ee", 465),
        ("mx1.larksuite.com", "imap.larksuite.com", "smtp.larksuite.com", 465),
        (
            "inbound-smtp.eu-west-1.amazonaws.com",
            "imap.mail.eu-west-1.awsapps.com",
            "smtp.mail.eu-west-1.awsapps.com",
            465,
        ),
        ("mx.zoho.eu", "imappro.zoho.eu", "smtppro.zoho.eu", 465),
        ("mx3.zoho.com", "imappro.zoho.com", "smtppro.zoho.com", 465),
        ("x-test.mail.protection.outlook.com", "outlook.office365.com", "smtp.office365.com", 587),
        ("mx.dka.mailcore.net", "imap.dka.mailcore.net", "smtp.dka.mailcore.net", 587),
        ("ekiri.ee", "turvaline.ekiri.ee", "turvaline.ekiri.ee", 465),
        ("mx1.sg.aliyun.com", "imap.sg.aliyun.com", "smtp.sg.aliyun.com", 465),
        ("mx-vip2.prodigy.net", "imap.mail.att.net", "smtp.mail.att.net", 465),
        ("mx5.naver.com", "imap.naver.com", "smtp.naver.com", 587),
        ("mxbiz1.qq.com", "imap.exmail.qq.com", "smtp.exmail.qq.com", 465),
    ],
)
def test_servers_by_exchanger(exchanger: str, imap: str, smtp: str, port: int) -> None:
    servers = AnnouncedServers(AnnouncedServer(imap, 993, True, EMAIL), AnnouncedServer(smtp, port, port == 465, EMAIL))
    assert by_exchanger(exchanger, EMAIL) == KnownServers(servers)


def test_exchangers_that_stand_for_another_domain() -> None:
    assert by_exchanger("aspmx.l.google.com", EMAIL) == KnownServers(srv_of="gmail.com")
    assert by_exchanger("mx.yandex.net", EMAIL) == KnownServers(autoconfig_of="yandex.ru")
    assert by_exchanger("x.zonemx.eu", EMAIL) == KnownServers(autoconfig_of="zone.ee")


@pytest.mark.parametrize(
    "exchanger", ["", "l.google.com", "mx.zone.eu.evil.test", "evilekiri.ee", "mx.yandex.net.x", "mxa.zoho.eu"]
)
def test_other_exchangers(exchanger: str) -> None:
    assert by_exchanger(exchanger, EMAIL) is None


@pytest.mark.parametrize(
    ("domain", "exchanger", "provider"),
    [
        ("gmail.com", None, "Gmail"),
        ("x.test", "aspmx.l.google.com", "Gmail"),
        ("me.com", None, "iCloud"),
        ("x.test", "mx01.mail.icloud.com", "iCloud"),
        ("aol.com", "mx-aol.mail.gm0.yahoodns.net", "AOL"),
        ("yahoo.com", None, "Yahoo"),
        ("ymail.com", "mta5.am0.yahoodns.net", "Yahoo"),
        ("live.com", None, "Microsoft"),
        ("x.test", "x.mail.protection.outlook.com", "Microsoft"),
        ("t-online.de", None, "T-Online"),
        ("x.test", "mx.x.test", None),
        ("x.test", None, None),
    ],
)
def test_app_passwords(domain: str, exchanger: str | None, provider: str | None) -> None:
    hint = app_password(domain, exchanger)
    assert (hint and hint.provider) == provider
    if hint is not None:
        shown = hint.shown()
        assert shown["required"] is True and shown["instructions"].startswith("https://")
        assert ("warning" in shown) == (provider == "Microsoft")
