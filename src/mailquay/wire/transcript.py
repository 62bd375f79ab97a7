"""What both protocols' transcripts share: bytes cut into lines as people read them, and what stands for a secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

LINE_BYTES: Final = 1000
HIDDEN: Final = "******"
_TAIL_BYTES = 32
_SHORTEST_SECRET = 4


class Line(NamedTuple):
    """A line without its end: its first bytes, its last ones, and how long it is in all."""

    head: bytes
    tail: bytes
    length: int

    @property
    def text(self) -> str:
        """The line for people; a long one is cut and says so."""
        shown = self.head.decode("utf-8", "replace")
        beyond = self.length - len(self.head)
        return f"{shown}… ({beyond} more bytes)" if beyond else shown


class LineCutter:
    """Cuts one direction of a connection into lines. Of a line it keeps LINE_BYTES, of what is skipped nothing."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._length = 0
        self._skip = 0
        self.untouched = False
        """Whether something is to be skipped and none of it has come yet."""

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that `data` completes. Between two of them `skip` may be called."""
        start = 0
        while start < len(data):
            if self._skip:
                skipped = min(self._skip, len(data) - start)
                self._skip -= skipped
                self.untouched = False
                start += skipped
                continue
            end = data.find(b"\n", start)
            if end < 0:
                self._keep(data[start:])
                return
            self._keep(data[start:end])
            start = end + 1
            yield self._take()

    def skip(self, size_bytes: int) -> None:
        """Show nothing of so many of the next bytes."""
        self._skip = size_bytes
        self.untouched = size_bytes > 0

    def _keep(self, data: bytes) -> None:
        self._head += data[: max(0, LINE_BYTES - len(self._head))]
        self._tail = (self._tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        self._length += len(data)

    def _take(self) -> Line:
        ended = self._tail.endswith(b"\r")
        length = self._length - ended
        line = Line(self._head[:length], self._tail[:-1] if ended else self._tail, length)
        self._head, self._tail, self._length = b"", b"", 0
        return line


class Secrets:
    """What must not be shown of a login, should the server repeat it: the credentials, and how they went out."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._known = tuple(secrets)
        self._sent: list[str] = []

    def sent(self, line: bytes) -> None:
        """Remember a part of a login as it stood on the wire."""
        self._sent.append(line.decode("utf-8", "replace").strip())

    def forget_sent(self) -> None:
        """The login is over."""
        self._sent.clear()

    def hide(self, text: str) -> str:
        """The text without them. Very short ones stay: they would be found in every other word."""
        for secret in (*self._known, *self._sent):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, HIDDEN)
        return text
