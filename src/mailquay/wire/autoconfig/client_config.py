"""Thunderbird's autoconfig: `config-v1.1.xml` (published by Mozilla, draft-ietf-mailmaint-autoconfig)."""

from __future__ import annotations

from mailquay.errors import RemoteProtocolError
from mailquay.wire.autoconfig.servers import AnnouncedServer, AnnouncedServers, read_host, read_port, read_user
from mailquay.wire.autoconfig.xml import Element, parse_xml


def read_client_config(document: bytes, email: str) -> AnnouncedServers:
    """The first IMAP and the first SMTP server that a `clientConfig` document names for an address.

    Raises RemoteProtocolError when it is not such a document.
    """
    root = parse_xml(document)
    provider = root.first("emailProvider")
    if root.name != "clientConfig" or provider is None:
        raise RemoteProtocolError("the document is no clientConfig")
    return AnnouncedServers(
        imap=_first(provider, "incomingServer", "imap", email), smtp=_first(provider, "outgoingServer", "smtp", email)
    )


def _first(provider: Element, element: str, kind: str, email: str) -> AnnouncedServer | None:
    for server in provider.all(element):
        if server.attributes.get("type", "").lower() == kind:
            host = read_host(_filled(server.child_text("hostname"), email))
            port = read_port(server.child_text("port"))
            if host is not None and port is not None:
                secure = server.child_text("socketType").upper() == "SSL"
                return AnnouncedServer(host, port, secure, read_user(_filled(server.child_text("username"), email)))
    return None


def _filled(text: str, email: str) -> str:
    local_part, _, domain = email.rpartition("@")
    for placeholder, value in (
        ("%EMAILADDRESS%", email),
        ("%EMAILLOCALPART%", local_part),
        ("%EMAILDOMAIN%", domain),
    ):
        # One after the other cannot go wrong: an address that holds a placeholder is no user's.
        text = text.replace(placeholder, value)
    return text
