"""Attachments made by code: a picture, a PDF, an appointment."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def make_png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """A picture that fades from one colour to white, eight bits a channel (PNG, no alpha)."""
    rows = bytearray()
    for row in range(height):
        rows.append(0)
        shade = row / max(1, height - 1)
        rows += bytes(round(channel + (255 - channel) * shade) for channel in colour) * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def make_pdf(lines: Sequence[str]) -> bytes:
    """One A4 page with these lines, which must be Latin-1."""
    shown = "".join(f"({_pdf_text(line)}) Tj T* " for line in lines)
    stream = f"BT /F1 12 Tf 72 770 Td 16 TL {shown}ET".encode("latin-1")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    )
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _pdf_text(line: str) -> str:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def make_appointment(uid: str, summary: str, start: datetime, organiser: str, attendees: Sequence[str]) -> str:
    """An iCalendar request for one hour."""
    form = "%Y%m%dT%H%M%SZ"
    begin = start.astimezone(UTC)
    lines = [
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Mailquay//Sandbox//EN", "METHOD:REQUEST", "BEGIN:VEVENT"),
        f"UID:{uid}",
        f"DTSTAMP:{begin.strftime(form)}",
        f"DTSTART:{begin.strftime(form)}",
        f"DTEND:{(begin + timedelta(hours=1)).strftime(form)}",
        f"SUMMARY:{summary}",
        f"ORGANIZER:mailto:{organiser}",
        *(f"ATTENDEE;RSVP=TRUE:mailto:{attendee}" for attendee in attendees),
        *("END:VEVENT", "END:VCALENDAR", ""),
    ]
    return "\r\n".join(lines)
