"""Mutated transcripts: whatever comes, only RemoteProtocolError is raised, and no state is left half-way.

`MAILQUAY_FUZZ_SECONDS` makes it run that long with fresh seeds; without it a small fixed number of cases runs.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from mailquay.errors import RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.client import ImapClient
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.command_mailbox import Select
from mailquay.wire.imap.limits import Limits
from mailquay.wire.imap.response import Greeting, Status, TaggedResponse
from mailquay.wire.imap.server import BadCommand, IdleDone, ImapServer, SaslResponse
from tests.wire.imap import transcripts
from tests.wire.imap.test_codecs import FETCHES, MAILBOX_DATA

pytestmark = pytest.mark.hypothesis
CASES = 400
LIMITS = Limits(
    max_line_bytes=4000,
    max_buffered_bytes=8000,
    max_buffered_literal_bytes=2000,
    stream_threshold_bytes=64,
    max_nesting_depth=10,
    max_list_items=100,
)
TOKENS = [
    b"(",
    b")",
    b'"',
    b"{3}\r\n",
    b"{999999}\r\n",
    b"NIL",
    b"\\",
    b" ",
    b"\r\n",
    b"*",
    b"0",
    b"\0",
    b"\xff",
    b"[",
    b"]",
]
COMMANDS = [
    b"a1 uid fetch 1:* (uid flags body.peek[1.2.header.fields (a b)]<0.5>) (changedsince 7 vanished)\r\n",
    b"a2 search return (min all) charset utf-8 or (from {1+}\r\nx not seen) since 1-Jan-2026 larger 5\r\n",
    b'a3 append "x" (\\seen) "01-Jan-2026 10:00:00 +0000" {3+}\r\nabc\r\n',
    b'a4 list (subscribed) "" ("*" {1+}\r\n%) return (status (messages uidnext) children)\r\n',
    b'a5 select "&AOk-" (qresync (1 2 1:5 (1,2 3,4)))\r\na6 store 1 +flags.silent (\\seen)\r\n',
    b"a9 notify set status (selected (messagenew (uid) messageexpunge)) (subtree (x {1+}\r\ny) none)\r\n",
    b"a11 uid replace 4 x (\\seen) ~{3+}\r\nabc\r\na12 append x {1+}\r\na {1+}\r\nb\r\n",
    b'a13 uid fetch $ preview (lazy) (partial -1:-5)\r\na10 getquota ""\r\na14 setquota x (storage 5)\r\n',
    b'a7 authenticate plain AHUAcA==\r\na8 idle\r\ndone\r\na9 id ("a" nil)\r\n',
]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A few random edits."""
    mutated = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(mutated) + 1)
        match rng.randrange(5):
            case 0:
                mutated[at:at] = rng.choice(TOKENS)
            case 1:
                del mutated[at : at + rng.randint(1, 12)]
            case 2 if at < len(mutated):
                mutated[at] = rng.randrange(256)
            case 3:
                start = rng.randrange(len(mutated) + 1)
                mutated[at:at] = mutated[start : start + rng.randint(1, 30)]
            case _:
                mutated[at : at + rng.randint(1, 4)] = rng.choice(TOKENS)
    return bytes(mutated)


def feed_client(data: bytes, rng: random.Random) -> None:
    """Let a selected client receive `data` in pieces."""
    client = ImapClient(LIMITS)
    client.receive_data(b"* PREAUTH hi\r\n")
    client.next_event()
    client.send(Select("INBOX"))
    client.receive_data(b"A1 OK\r\n")
    client.next_event()
    client.send(Noop())
    pos = 0
    while pos < len(data):
        step = rng.randint(1, 200)
        client.receive_data(data[pos : pos + step])
        pos += step
        while client.next_event() is not NEED_DATA:
            client.data_to_send()


def feed_server(data: bytes, rng: random.Random) -> None:
    """Let a server receive `data` in pieces and answer everything."""
    server = ImapServer(LIMITS)
    server.send(Greeting(Status.PREAUTH, None, "hi"))
    pos = 0
    while pos < len(data):
        step = rng.randint(1, 100)
        server.receive_data(data[pos : pos + step])
        pos += step
        while (event := server.next_event()) is not NEED_DATA:
            if isinstance(event, BadCommand):
                server.send(event.response)
            elif isinstance(event, SaslResponse | IdleDone) or rng.random() < 0.9:
                server.send(TaggedResponse(event.tag, rng.choice([Status.OK, Status.NO]), None, "x"))
            server.data_to_send()


def seeds() -> Iterator[int]:
    """Fixed seeds, or fresh ones for as long as asked."""
    seconds = float(os.environ.get("MAILQUAY_FUZZ_SECONDS", "0"))
    if not seconds:
        yield from range(CASES)
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield random.SystemRandom().getrandbits(48)


def run(sources: list[bytes], feed: Callable[[bytes, random.Random], None]) -> tuple[int, int]:
    """Feed mutations of `sources`; returns how many were taken and how many refused."""
    taken = refused = 0
    for seed in seeds():
        rng = random.Random(seed)
        data = mutate(rng.choice(sources), rng)
        try:
            feed(data, rng)
            taken += 1
        except RemoteProtocolError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r} for {data!r}") from error
    return taken, refused


def test_client_survives_mutated_servers() -> None:
    sources = [transcripts.load(path).server_bytes().partition(b"\r\n")[2] for path in transcripts.PATHS]
    sources += [data + b"\r\n" for data, _ in [*FETCHES, *MAILBOX_DATA]]
    taken, refused = run(sources, feed_client)
    assert taken and refused


def test_server_survives_mutated_clients() -> None:
    taken, _ = run(COMMANDS, feed_server)
    assert taken
