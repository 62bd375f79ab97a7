"""Clients in a state, what reaches them, and what they send."""

from __future__ import annotations

from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.client import ClientEvent, ImapClient
from mailquay.wire.imap.client_state import State
from mailquay.wire.imap.command_mailbox import Select
from mailquay.wire.imap.limits import Limits
from mailquay.wire.imap.section import FetchAttribute

FLAGS = (FetchAttribute.FLAGS,)


def client_in(state: State, capabilities: bytes = b"", limits: Limits | None = None) -> ImapClient:
    """A client that a server has brought into this state."""
    client = ImapClient(limits or Limits())
    greeting = b"* OK" if state is State.NOT_AUTHENTICATED else b"* PREAUTH"
    receive(client, greeting + b" [CAPABILITY IMAP4rev1 " + capabilities + b"] hi\r\n")
    if state is State.SELECTED:
        tag = client.send(Select("INBOX"))
        receive(client, tag.encode() + b" OK [READ-WRITE] selected\r\n")
        output(client)
    assert client.state is state
    return client


def receive(client: ImapClient, data: bytes) -> list[ClientEvent]:
    client.receive_data(data)
    events = []
    while (event := client.next_event()) is not NEED_DATA:
        events.append(event)
    return events


def output(client: ImapClient) -> bytes:
    return b"".join(piece for piece in client.data_to_send() if isinstance(piece, bytes))
