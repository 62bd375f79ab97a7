"""Outlook's autodiscover over POX (published by Microsoft as MS-OXDSCLI)."""

from __future__ import annotations

from html import escape

from mailquay.errors import RemoteProtocolError
from mailquay.wire.autoconfig.servers import AnnouncedServer, AnnouncedServers, read_host, read_port, read_user
from mailquay.wire.autoconfig.xml import Element, parse_xml

CONTENT_TYPE = "text/xml; charset=utf-8"
_SCHEMAS = "http://schemas.microsoft.com/exchange/autodiscover/outlook"
# Where these ports are announced with "SSL", STARTTLS is meant: nobody speaks TLS from the first byte on them.
_STARTTLS_PORTS = frozenset({25, 143, 587})


def autodiscover_request(email: str) -> bytes:
    """The body of the POST that asks for the settings of an address."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<Autodiscover xmlns="{_SCHEMAS}/requestschema/2006"><Request>'
        f"<EMailAddress>{escape(email, quote=False)}</EMailAddress>"
        f"<AcceptableResponseSchema>{_SCHEMAS}/responseschema/2006a</AcceptableResponseSchema>"
        "</Request></Autodiscover>"
    ).encode()


def read_autodiscover(document: bytes, email: str) -> AnnouncedServers:
    """The IMAP and the SMTP server of an answer.

    Raises RemoteProtocolError when it holds no settings of a mail account: an error, a redirection, another document.
    """
    root = parse_xml(document)
    response = root.first("Response")
    accounts = [] if root.name != "Autodiscover" or response is None else list(response.all("Account"))
    for account in accounts:
        if account.child_text("AccountType").lower() == "email" and next(account.all("Protocol"), None) is not None:
            return AnnouncedServers(imap=_first(account, "IMAP", email), smtp=_first(account, "SMTP", email))
    raise RemoteProtocolError("the document holds no settings of a mail account")


def _first(account: Element, kind: str, email: str) -> AnnouncedServer | None:
    for protocol in account.all("Protocol"):
        if protocol.child_text("Type").upper() == kind:
            host, port = read_host(protocol.child_text("Server")), read_port(protocol.child_text("Port"))
            if host is not None and port is not None:
                secure = protocol.child_text("SSL").lower() == "on" and port not in _STARTTLS_PORTS
                return AnnouncedServer(host, port, secure, read_user(protocol.child_text("LoginName")) or email)
    return None
