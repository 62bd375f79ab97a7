"""Plays the handwritten transcripts of tests/corpus/imap: `C:` lines are what we must send, `S:` lines what comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.imap.client import ClientEvent, ImapClient
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.command_parser import read_command
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Reader

FOLDER = Path(__file__).parents[2] / "corpus" / "imap"
_BY_NAME = {leniency.value: leniency for leniency in Leniency}
PATHS = sorted(FOLDER.glob("*.transcript"))


@dataclass
class Transcript:
    """One transcript: what it demands, and its lines as (speaker, line)."""

    name: str
    leniencies: frozenset[Leniency]
    lines: list[tuple[str, bytes]]

    def server_bytes(self) -> bytes:
        """All that the server sends."""
        return b"".join(line + b"\r\n" for speaker, line in self.lines if speaker == "S")


@dataclass
class Played:
    """What came of a transcript."""

    client: ImapClient
    events: list[ClientEvent] = field(default_factory=list)
    sent: bytes = b""

    def rows(self) -> dict[int | None, FetchResponse]:
        """The FETCH responses by UID."""
        return {event.uid: event for event in self.events if isinstance(event, FetchResponse)}


def load(path: Path) -> Transcript:
    """Read a transcript."""
    header, *lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    names = header.decode().partition("leniencies:")[2].replace(",", " ").split()
    return Transcript(
        path.stem,
        frozenset(_BY_NAME[name] for name in names),
        [(line[:1].decode(), line[3:]) for line in _unescape(lines)],
    )


def _unescape(lines: list[bytes]) -> list[bytes]:
    """A `S|` line continues the line before it behind a bare LF."""
    joined: list[bytes] = []
    for line in lines:
        if line.startswith(b"S|"):
            joined[-1] += b"\n" + line[2:]
        else:
            joined.append(line)
    return joined


def play(transcript: Transcript, step_bytes: int | None = None) -> Played:
    """Run a client through a transcript, feeding it `step_bytes` at a time."""
    played = Played(ImapClient())
    lines = transcript.lines
    literal = False
    for index, (speaker, line) in enumerate(lines):
        if speaker == "S":
            _feed(played, line + b"\r\n", step_bytes)
        elif literal:
            # The rest of a command whose beginning stood before the server's leave: it has been sent already.
            literal = False
        else:
            literal = line.endswith(b"}")
            rest = next(later for who, later in lines[index + 1 :] if who == "C") if literal else b""
            played.client.send(_parse(line + b"\r\n" + rest if literal else line))
            played.sent += _output(played.client)
    return played


def _parse(command: bytes) -> Command:
    return read_command(Reader(command, pos=command.index(b" ") + 1))


def _feed(played: Played, data: bytes, step_bytes: int | None) -> None:
    step = step_bytes or len(data)
    for start in range(0, len(data), step):
        played.client.receive_data(data[start : start + step])
        while (event := played.client.next_event()) is not NEED_DATA:
            played.events.append(event)
            played.sent += _output(played.client)


def _output(client: ImapClient) -> bytes:
    return b"".join(piece for piece in client.data_to_send() if isinstance(piece, bytes))
