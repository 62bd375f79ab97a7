"""Mail providers known by their domains and mail exchangers: their servers, and which want application passwords."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mailquay.wire.autoconfig.servers import AnnouncedServer, AnnouncedServers

_IMAPS_PORT, _SUBMISSIONS_PORT, _SUBMISSION_PORT = 993, 465, 587


@dataclass(frozen=True, slots=True)
class KnownServers:
    """The servers that belong to an exchanger, or whose domain's answer holds: by SRV records, or by autoconfig."""

    servers: AnnouncedServers | None = None
    srv_of: str | None = None
    autoconfig_of: str | None = None


def _servers(imap: str, smtp: str, smtp_port: int = _SUBMISSIONS_PORT) -> Callable[[re.Match[str], str], KnownServers]:
    """What an exchanger's name fills in: \\1 in the hosts is its first group. The user is the address."""

    def make(match: re.Match[str], email: str) -> KnownServers:
        incoming = AnnouncedServer(match.expand(imap), _IMAPS_PORT, True, email)
        outgoing = AnnouncedServer(match.expand(smtp), smtp_port, smtp_port == _SUBMISSIONS_PORT, email)
        return KnownServers(AnnouncedServers(incoming, outgoing))

    return make


_EXCHANGERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], KnownServers]], ...] = tuple(
    (re.compile(pattern), make)
    for pattern, make in (
        (r".+\.l\.google\.com", lambda _match, _email: KnownServers(srv_of="gmail.com")),
        (r"mx\.yandex\.net", lambda _match, _email: KnownServers(autoconfig_of="yandex.ru")),
        (r".+\.zonemx\.eu", lambda _match, _email: KnownServers(autoconfig_of="zone.ee")),
        (r"mx\d*\.zone\.eu", _servers("mail.zone.ee", "smtp.zone.ee")),
        (r".+\.larksuite\.com", _servers("imap.larksuite.com", "smtp.larksuite.com")),
        (
            r"inbound-smtp\.([a-z0-9-]+)\.amazonaws\.com",
            _servers(r"imap.mail.\1.awsapps.com", r"smtp.mail.\1.awsapps.com"),
        ),
        (r"mx\d*\.zoho\.(eu|com)", _servers(r"imappro.zoho.\1", r"smtppro.zoho.\1")),
        (
            r".+\.protection\.outlook\.com",
            _servers("outlook.office365.com", "smtp.office365.com", _SUBMISSION_PORT),
        ),
        (
            r"mx\.dka\.mailcore\.net",
            _servers("imap.dka.mailcore.net", "smtp.dka.mailcore.net", _SUBMISSION_PORT),
        ),
        (r"ekiri\.ee", _servers("turvaline.ekiri.ee", "turvaline.ekiri.ee")),
        (r"mx\d*\.sg\.aliyun\.com", _servers("imap.sg.aliyun.com", "smtp.sg.aliyun.com")),
        (r"mx-vip\d*\.prodigy\.net", _servers("imap.mail.att.net", "smtp.mail.att.net")),
        (r"mx\d*\.naver\.com", _servers("imap.naver.com", "smtp.naver.com", _SUBMISSION_PORT)),
        (r"mxbiz\d*\.qq\.com", _servers("imap.exmail.qq.com", "smtp.exmail.qq.com")),
    )
)


def by_exchanger(host: str, email: str) -> KnownServers | None:
    """What is known of a domain by its first mail exchanger (lower case), for one of its addresses."""
    for pattern, make in _EXCHANGERS:
        if match := pattern.fullmatch(host):
            return make(match, email)
    return None


@dataclass(frozen=True, slots=True)
class AppPassword:
    """A provider that takes passwords made for one application only, and where it says how to make one."""

    provider: str
    instructions: str
    domains: frozenset[str]
    exchangers: tuple[str, ...] = ()
    warning: str | None = None

    def shown(self) -> dict[str, Any]:
        """In its public form."""
        hint: dict[str, Any] = {"required": True, "provider": self.provider, "instructions": self.instructions}
        return hint if self.warning is None else {**hint, "warning": self.warning}


_APP_PASSWORDS = (
    AppPassword(
        "Gmail",
        "https://support.google.com/accounts/answer/185833",
        frozenset({"gmail.com", "googlemail.com"}),
        (".l.google.com",),
    ),
    AppPassword(
        "iCloud",
        "https://support.apple.com/102654",
        frozenset({"icloud.com", "me.com", "mac.com"}),
        (".icloud.com",),
    ),
    AppPassword("AOL", "https://help.aol.com/articles/Create-and-manage-app-password", frozenset({"aol.com"})),
    AppPassword("Yahoo", "https://help.yahoo.com/kb/SLN15241.html", frozenset({"yahoo.com"}), (".yahoodns.net",)),
    AppPassword(
        "Microsoft",
        "https://support.microsoft.com/account-billing/5896ed9b-4263-e681-128a-a6f2979a7944",
        frozenset({"outlook.com", "hotmail.com", "live.com"}),
        (".outlook.com",),
        "Microsoft does not take passwords for IMAP and SMTP any more, not even these; OAuth2 is needed.",
    ),
    AppPassword("T-Online", "https://www.telekom.de/hilfe/festnetz-internet-tv/e-mail", frozenset({"t-online.de"})),
)


def app_password(domain: str, exchanger: str | None) -> AppPassword | None:
    """Whether a password of the user's own will not do, by domain and by first mail exchanger (both lower case)."""
    for hint in _APP_PASSWORDS:
        if domain in hint.domains or (exchanger is not None and exchanger.endswith(hint.exchangers or ("\n",))):
            return hint
    return None
