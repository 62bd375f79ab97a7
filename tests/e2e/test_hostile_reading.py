"""Messages made to break their reader, in a real mailbox: each is answered in time, and nobody else has to wait."""

from __future__ import annotations

import asyncio
import base64
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import Server
from tests.e2e.test_corpus_reading import Reading
from tests.mime.test_tnef import attribute, file, properties, tnef
from tests.servers.dovecot import Dovecot
from tests.services.test_message_content import HEAD, encoded, multipart, part

pytestmark = pytest.mark.server

_MIB = 1024 * 1024
_SECONDS_EACH = 20.0
_SECONDS_FOR_OTHERS = 2.0
"""How long somebody else waits at most; the machines that run tests are slow, and do other things besides."""
_MOST_MEMORY_BYTES = 700 * _MIB


def _plain() -> bytes:
    return HEAD + part("text/plain", b"read me")


def _long_header() -> bytes:
    return b"X-Long: " + b"x" * _MIB + b"\r\n" + _plain()


def _many_fields() -> bytes:
    return b"".join(b"X-%d: =?utf-8?q?=C3=A4?=\r\n" % number for number in range(40_000)) + _plain()


def _nested() -> bytes:
    opening = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (number, number) for number in range(10_000)
    )
    return HEAD + opening + part("text/plain", b"deep")


def _nested_messages() -> bytes:
    return HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 10_000 + part("text/plain", b"deep")


def _recipients() -> bytes:
    listed = ",\r\n ".join(f'"Recipient {number}" <r{number}@example.test>' for number in range(50_000))
    return f"To: {listed}\r\n".encode() + _plain()


def _attachments() -> bytes:
    one = b"--b\r\nContent-Type: application/x-a; name=a\r\nContent-Disposition: attachment\r\n\r\nx\r\n"
    return HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + one * 100_000 + b"--b--\r\n"


def _compressed() -> bytes:
    """A winmail.dat whose RTF would grow to more than is read, and one that grows to just that."""
    tokens = b"\x00" + b"a" * 8 + (b"\xff" + b"\x0d\x0f" * 8) * 110_000
    bomb = struct.pack("<IIII", len(tokens) + 12, 15_000_000, 0x75465A4C, 0) + tokens
    endless = struct.pack("<IIII", len(tokens) + 12, 0xFFFFFFF0, 0x75465A4C, 0) + tokens
    return HEAD + multipart(
        "mixed",
        "b",
        *(
            encoded(
                "application/ms-tnef; name=winmail.dat",
                tnef(*[file(b"f\0", b"x")] * 5000, attribute(1, 0x00069003, properties((0x102, 0x1009, rtf)))),
            )
            for rtf in (bomb, endless)
        ),
    )


def _broken_base64() -> bytes:
    raw = base64.b64encode(b"content" * 1000)
    broken = b"=" + raw[:5000] + b"\xff\x00!!" + raw[5000:] + b"=A"
    return HEAD + multipart(
        "mixed",
        "b",
        part("text/plain; charset=utf-8", broken, "Content-Transfer-Encoding: base64"),
        part("application/zip", broken, "Content-Transfer-Encoding: base64"),
    )


def _nul() -> bytes:
    return (
        b"Comments: a\0b\r\nX-Nul: \0\0\r\n" + HEAD + part("text/html", b"<p>\0visible\0</p><\0script>x</script>" * 100)
    )


def _large_html() -> bytes:
    row = b'<tr class=c style="color:red"><td onclick="x()">cell <a href="javascript:x">link</a></td></tr>\r\n'
    count = 20 * _MIB // len(row)
    return HEAD + part("text/html; charset=utf-8", b"<style>.c{margin:0}</style><table>" + row * count + b"</table>")


def _deep_html() -> bytes:
    return HEAD + part("text/html; charset=iso-8859-1", b"<div><b>" * 200_000 + "ä".encode("latin-1"))


def _long_line() -> bytes:
    return HEAD + part("text/plain; format=flowed", b">" * 2_000_000 + b" word" * 200_000)


MESSAGES: list[Callable[[], bytes]] = [
    *(_long_header, _many_fields, _nested, _nested_messages, _recipients, _attachments, _compressed, _broken_base64),
    *(_nul, _large_html, _deep_html, _long_line),
]


async def _peak_memory(server: Server) -> int:
    assert server.process is not None
    status = await asyncio.to_thread(Path(f"/proc/{server.process.pid}/status").read_text)
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


class _Others:
    """Somebody else who wants something all the time; how long the longest answer took."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.longest = 0.0

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            await self._server.request("GET", "/v1/account/ann")
            self.longest = max(self.longest, time.monotonic() - began)
            await asyncio.sleep(0.02)  # a steady trickle of requests, not as many as possible


async def test_hostile_messages_are_answered_and_hold_up_nobody(tmp_path: Path, dovecot: Dovecot) -> None:
    paths = []
    for number, make in enumerate(MESSAGES):
        paths.append(tmp_path / f"{number:02d}{make.__name__}")
        paths[-1].write_bytes(make())
    measured: dict[str, tuple[float, float, int]] = {}
    async with Server(tmp_path) as server:
        reading = Reading(server, dovecot, dovecot.new_user())
        ids = await reading.fill(paths, failing={"02_nested", "03_nested_messages"})
        for path in paths:
            others = _Others(server)
            waiting = asyncio.create_task(others.run())
            began = time.monotonic()
            told = await reading.facts(path, ids[path])
            cut: Any = await reading.get(path, f"message/{ids[path]}?textType=*&maxBytes=1000")
            seconds = time.monotonic() - began
            waiting.cancel()
            measured[path.name] = (round(seconds, 2), round(others.longest, 2), await _peak_memory(server) // _MIB)
            assert told and cut
            # Also where the server could not tell the envelope, or we not read it.
            assert told["subject"] == "parts"
            assert told["from"] == {"name": "Ann", "address": "a@b.test"} and "status" not in cut
            for kind in ("plain", "html"):
                assert len(cut["text"].get(kind) or "") <= 1000
        assert server.process is not None and server.process.returncode is None
    assert reading.failures == []
    assert {name: figures for name, figures in measured.items() if figures[0] > _SECONDS_EACH} == {}
    assert {name: figures for name, figures in measured.items() if figures[1] > _SECONDS_FOR_OTHERS} == {}
    assert max(figures[2] for figures in measured.values()) < _MOST_MEMORY_BYTES // _MIB
