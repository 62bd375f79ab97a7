"""Zip archives: what is written from the front to the end, others can read."""

from __future__ import annotations

import io
import zipfile

import pytest

from mailquay.wire.zip_archive import ZipEntry, archive_end

_AT = 1_800_000_000_000


def _entry(name: str, content: bytes, offset: int, at_ms: int = _AT) -> tuple[bytes, bytes]:
    entry = ZipEntry(name, at_ms, offset)
    pieces = [entry.begin(), *(entry.feed(content[i : i + 7]) for i in range(0, len(content), 7)), entry.finish()]
    return b"".join(pieces), entry.directory_record()


def _archive(files: dict[str, bytes], lead: int = 0) -> bytes:
    content, directory = b"", b""
    for name, data in files.items():
        part, record = _entry(name, data, lead + len(content))
        content += part
        directory += record
    return content + directory + archive_end(len(files), lead + len(content), len(directory))


def test_others_read_it() -> None:
    files = {"INBOX/1.eml": b"Hello\r\n" * 1000, "Entwürfe/日.eml": b"", "x": b"y"}
    with zipfile.ZipFile(io.BytesIO(_archive(files))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files
        assert archive.infolist()[0].date_time == (2027, 1, 15, 8, 0, 0)


def test_an_archive_of_nothing() -> None:
    with zipfile.ZipFile(io.BytesIO(archive_end(0, 0, 0))) as archive:
        assert archive.namelist() == []


def test_beyond_four_gigabytes_and_65535_entries() -> None:
    class Late(io.BytesIO):
        """A file whose first 5 GB are a hole."""

        hole = 5 * 2**30

        def seek(self, offset: int, whence: int = 0) -> int:
            if whence == 0:
                offset = max(0, offset - self.hole)
            return super().seek(offset, whence) + self.hole

        def tell(self) -> int:
            return super().tell() + self.hole

    with zipfile.ZipFile(Late(_archive({"far.eml": b"here"}, lead=Late.hole))) as archive:
        assert archive.infolist()[0].header_offset == Late.hole
        assert archive.read("far.eml") == b"here"
    # They all name the same content, which is enough to be counted.
    content, record = _entry("00000", b"", 0)
    records = [record.replace(b"00000", b"%05d" % n) for n in range(70_000)]
    end = archive_end(len(records), len(content), len(records) * len(record))
    with zipfile.ZipFile(io.BytesIO(content + b"".join(records) + end)) as archive:
        assert len(archive.namelist()) == 70_000


@pytest.mark.parametrize(("at_ms", "year"), [(0, 1980), (253_402_300_799_000, 2107)])
def test_times_that_it_cannot_hold(at_ms: int, year: int) -> None:
    content, record = _entry("a", b"b", 0, at_ms)
    data = content + record + archive_end(1, len(content), len(record))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.infolist()[0].date_time[0] == year
