"""The parts of a message that arrives piece by piece: the tree of `message.py`, with nothing of the bodies held.

Offsets count from the first byte that was fed. Whoever wants the body of a part keeps the bytes behind its start until
they are settled: what comes last may turn out to be the line that ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailquay.mime.header import MAX_HEADER_BYTES, Headers, parse_header
from mailquay.mime.message import (
    BLANK_BEFORE_FIELD,
    FIELD_START,
    MAX_DELIMITER_OCTETS,
    MAX_DEPTH,
    MAX_PARTS,
    Part,
    boundary_of,
    default_type,
    make_part,
)

MAX_HEADERS_BYTES = 8 * 1024 * 1024
"""What follows so many bytes of part headers is the body of the last part."""

_LEADING_BYTES = 8 * 1024
_LONGEST_KEPT_LINE_BYTES = 64 * 1024
_FIELD_START_BYTES = 1000
_KEPT_FIELDS = "content-"


@dataclass(frozen=True, slots=True)
class Started:
    """The header of a part is read; `part.start` is where its body begins. Its end is not known yet."""

    part: Part


@dataclass(frozen=True, slots=True)
class Ended:
    """`part.stop` is where the body of the part ends."""

    part: Part


class _OpenHeader:
    """A header section that is being read."""

    def __init__(self, start: int, parent: Part | None, default: str, *, after_delimiter: bool) -> None:
        self.start = start
        self.parent = parent
        self.default = default
        self.after_delimiter = after_delimiter
        self.at_start = True
        self.in_line = False
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: bytes) -> None:
        """Keep a line, as far as headers are read."""
        kept = line[: max(0, MAX_HEADER_BYTES - self._size)]
        if kept:
            self._lines.append(kept)
        self._size += len(line)
        self.at_start = False
        self.in_line = not line.endswith(b"\n")

    @property
    def kept_bytes(self) -> int:
        """How much of it is held."""
        return min(self._size, MAX_HEADER_BYTES)

    def headers(self) -> Headers:
        """The fields; of a part only those that describe its content."""
        found = parse_header(b"".join(self._lines))
        if self.parent is None:
            return found
        return Headers(field for field in found if field.name.lower().startswith(_KEPT_FIELDS))


class Splitter:
    """Reads a message as `parse_message` does: feed it the source in pieces of any size.

    The parts have no source; of the header of all but the outermost only the fields are kept that describe content.
    What `parse_message` forgives is forgiven too, except that a message with bare CRs alone is known by its beginning.
    """

    def __init__(self) -> None:
        self.root: Part | None = None
        self.bare_cr = False
        self._pending = b""
        self._base = 0
        self._break = 0
        self._begun = False
        self._line_start = True
        self._rest = False
        self._header: _OpenHeader | None = None
        self._header_bytes = 0
        self._parts = 0
        self._chain: list[Part] = []
        self._open: list[Part] = []
        self._delimiters: dict[bytes, list[tuple[int, bool]]] = {}
        self._events: list[Started | Ended] = []

    @property
    def settled(self) -> int:
        """Up to where it is certain to which parts the bytes belong."""
        return self._base - self._break

    def feed(self, data: bytes) -> list[Started | Ended]:
        """Take a piece; returns what it tells of the parts, in order."""
        self._pending = self._pending + data if self._pending else data
        if not self._begun and not self._begin(final=False):
            return []
        if self.bare_cr:
            self._pending = self._pending.replace(b"\r", b"\n")
        self._advance(final=False)
        return self._taken()

    def finish(self) -> list[Started | Ended]:
        """The message is over: every part that is still open ends here."""
        if not self._begun:
            self._begin(final=True)
        self._advance(final=True)
        while self._header is not None:
            self._end_header(self._base)
        self._break = 0
        for part in reversed(self._chain):
            self._end(part, self._base)
        self._chain = []
        return self._taken()

    def _taken(self) -> list[Started | Ended]:
        events, self._events = self._events, []
        return events

    def _begin(self, *, final: bool) -> bool:
        """Look at the first bytes once enough of them are there: bare CRs, blanks in front of the header."""
        if len(self._pending) < _LEADING_BYTES and not final:
            return False
        self._begun = True
        if b"\n" not in self._pending and b"\r" in self._pending:
            self.bare_cr = True
            self._pending = self._pending.replace(b"\r", b"\n")
        if self._pending[:1].isspace() and (blank := BLANK_BEFORE_FIELD.match(self._pending)) is not None:
            self._consume(blank.end())
        self._header = _OpenHeader(self._base, None, "text/plain", after_delimiter=False)
        return True

    def _consume(self, count: int) -> None:
        self._pending = self._pending[count:]
        self._base += count

    def _advance(self, *, final: bool) -> None:
        """Go through what is pending: line by line in headers, from one possible delimiter to the next in bodies."""
        data, position, origin = self._pending, 0, self._base
        while position < len(data) and not self._rest:
            self._base = origin + position
            if self._header is not None:
                step = self._header_line(self._header, data, position, final=final)
            elif self._line_start:
                step = self._first_line(data, position, final=final)
            else:
                step = self._skip(data, position, final=final)
            if step is None:
                break
            position = step
        if self._rest:
            position, self._break = len(data), 0
        self._pending = data[position:]
        self._base = origin + position

    # -- headers -------------------------------------------------------------------------------------

    def _header_line(self, header: _OpenHeader, data: bytes, position: int, *, final: bool) -> int | None:
        """One line of a header, None when more bytes are needed; where the header ends its body is left to come."""
        stop = data.find(b"\n", position)
        enough = final or stop >= 0 or len(data) - position > _LONGEST_KEPT_LINE_BYTES
        if not enough:
            return None
        after = stop + 1 if stop >= 0 else len(data)
        if not header.in_line:
            if self._open and data.startswith(b"--", position) and self._known(data[position:after]):
                self._end_header(self._base)
                return position
            if data[position:after] in (b"\r\n", b"\n"):
                self._break = after - position
                self._end_header(self._base + after - position)
                return after
            if header.at_start and not data.startswith((b"From ", b">From "), position):
                line_start = data[position : min(after, position + _FIELD_START_BYTES)]
                if not FIELD_START.match(line_start):
                    self._end_header(self._base)
                    return position
        if stop < 0 and not final and data.endswith(b"\r"):
            after -= 1
        header.add(data[position:after])
        self._break = 0 if stop < 0 else 2 if data[stop - 1 : stop] == b"\r" and stop > position else 1
        return after

    def _end_header(self, body_start: int) -> None:
        """Make the part whose header this was, and open what is in it, as far as that can be seen."""
        header = self._header
        assert header is not None
        part = make_part(header.headers(), header.parent, header.default, start=body_start, stop=body_start, source=b"")
        self._header, self._line_start = None, True
        self.root = self.root or part
        self._chain.append(part)
        self._events.append(Started(part))
        self._parts += 1
        self._header_bytes += header.kept_bytes if header.parent is not None else 0
        full = self._parts >= MAX_PARTS or self._header_bytes > MAX_HEADERS_BYTES
        if full and header.after_delimiter:
            self._rest = True
        elif not full and part.depth < MAX_DEPTH:
            if part.is_multipart:
                self._push(part)
            elif part.is_open_message:
                self._header = _OpenHeader(body_start, part, "text/plain", after_delimiter=False)

    # -- bodies --------------------------------------------------------------------------------------

    def _first_line(self, data: bytes, position: int, *, final: bool) -> int | None:
        """At the start of a line: past a delimiter, or on into what is none. None when more bytes are needed."""
        if self._open and b"--".startswith(data[position : position + 2]):
            stop = data.find(b"\n", position, position + MAX_DELIMITER_OCTETS)
            if stop < 0 and not final and len(data) - position <= MAX_DELIMITER_OCTETS:
                return None
            after = stop + 1 if stop >= 0 else len(data)
            if self._delimiter(data[position:after]):
                return after
        elif self._open and data[position:] == b"-" and not final:
            return None
        self._break, self._line_start = 0, False
        return position

    def _skip(self, data: bytes, position: int, *, final: bool) -> int | None:
        """Inside a line that is no delimiter: on to the next line that may be one, or as far as the bytes go."""
        found = data.find(b"\n--", position) if self._open else -1
        if found < 0:
            tail = len(data) - (2 if data.endswith(b"\n-") else 1)
            found = tail if tail >= position and data[tail : tail + 1] == b"\n" else -1
        if found < 0:
            if final or not data.endswith(b"\r"):
                return len(data)
            return len(data) - 1 if len(data) - 1 > position else None
        self._break = 2 if found > position and data[found - 1 : found] == b"\r" else 1
        self._line_start = True
        return found + 1

    def _known(self, line: bytes) -> tuple[int, bool] | None:
        """The open multipart that a line delimits, and whether it closes it."""
        levels = self._delimiters.get(line[2:].rstrip()) if len(line) <= MAX_DELIMITER_OCTETS else None
        return levels[-1] if levels else None

    def _delimiter(self, line: bytes) -> bool:
        """Act on the line at the start of what is pending; False when it is no delimiter."""
        known = self._known(line)
        if known is None:
            return False
        level, closing = known
        container = self._open[level]
        while self._chain[-1] is not container:
            self._end(self._chain.pop(), self.settled)
        while len(self._open) > level + (0 if closing else 1):
            self._pop()
        self._break, self._line_start = len(line) - len(line.rstrip(b"\r\n")), True
        if not closing:
            start = self._base + len(line)
            self._header = _OpenHeader(start, container, default_type(container), after_delimiter=True)
        return True

    def _end(self, part: Part, stop: int) -> None:
        part.stop = max(stop, part.start)
        self._events.append(Ended(part))

    def _push(self, part: Part) -> None:
        boundary = boundary_of(part)
        if boundary:
            level = len(self._open)
            self._open.append(part)
            self._delimiters.setdefault(boundary, []).append((level, False))
            self._delimiters.setdefault(boundary + b"--", []).append((level, True))

    def _pop(self) -> None:
        boundary = boundary_of(self._open.pop())
        self._delimiters[boundary].pop()
        self._delimiters[boundary + b"--"].pop()


@dataclass(frozen=True, slots=True)
class Body:
    """The next bytes of the body of a part, as transferred."""

    part: Part
    data: bytes


class BodyReader:
    """A splitter that also hands out the bodies of the parts that `wants` names, piece by piece."""

    def __init__(self, wants: Callable[[Part], bool]) -> None:
        self._wants = wants
        self._splitter = Splitter()
        self._window = b""
        self._window_start = 0
        self._read: dict[int, tuple[Part, int]] = {}

    @property
    def root(self) -> Part | None:
        """The message itself, once its header is read; the tree below it grows."""
        return self._splitter.root

    def feed(self, data: bytes) -> list[Started | Body | Ended]:
        """Take a piece of the source; see Splitter.feed."""
        return self._told(self._splitter.feed(data), data)

    def finish(self) -> list[Started | Body | Ended]:
        """The source is over; see Splitter.finish."""
        return self._told(self._splitter.finish(), b"")

    def drop(self, part: Part) -> None:
        """Hand out no more of a part."""
        self._read.pop(id(part), None)

    def _told(self, events: list[Started | Ended], data: bytes) -> list[Started | Body | Ended]:
        self._window += data
        if self._splitter.bare_cr:
            self._window = self._window.replace(b"\r", b"\n")
        told: list[Started | Body | Ended] = []
        for event in events:
            if isinstance(event, Ended):
                told += self._up_to(event.part, event.part.stop)
                self._read.pop(id(event.part), None)
            elif self._wants(event.part):
                self._read[id(event.part)] = (event.part, event.part.start)
            told.append(event)
        settled = self._splitter.settled
        for part, _ in list(self._read.values()):
            told += self._up_to(part, settled)
        self._window = self._window[max(0, settled - self._window_start) :]
        self._window_start = max(self._window_start, settled)
        return told

    def _up_to(self, part: Part, stop: int) -> list[Body]:
        """What is there of the body of a part and was not handed out yet."""
        _, start = self._read.get(id(part), (part, stop))
        if stop <= start:
            return []
        self._read[id(part)] = (part, stop)
        return [Body(part, self._window[start - self._window_start : stop - self._window_start])]
