"""Sealed files: every change of them is noticed, wherever it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailquay.errors import StorageError
from mailquay.storage.sealed_file import CHUNK_BYTES, SealedWriter, read_sealed

_KEY = bytes(range(32))
_SEALED_CHUNK = CHUNK_BYTES + 16
_HEAD = 20


def _write(path: Path, content: bytes, key: bytes = _KEY, context: bytes = b"c") -> None:
    with path.open("wb") as file:
        writer = SealedWriter(file, key, context)
        for start in range(0, len(content), 10_000):
            writer.write(content[start : start + 10_000])
        writer.finish()
        assert writer.plain_bytes == len(content)


def _read(path: Path, key: bytes = _KEY, context: bytes = b"c") -> bytes:
    return b"".join(read_sealed(path, key, context))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_was_written_is_read(tmp_path: Path, size: int) -> None:
    content = bytes(n * 7 % 251 for n in range(size))
    _write(tmp_path / "f", content)
    assert _read(tmp_path / "f") == content
    # A byte or two may stand anywhere by chance.
    assert len(content) < 16 or content[:1000] not in (tmp_path / "f").read_bytes()


def test_two_files_of_one_content_have_nothing_in_common(tmp_path: Path) -> None:
    for name in "ab":
        _write(tmp_path / name, b"x" * 1000)
    one, two = (tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()
    assert one[4:] != two[4:] and one[_HEAD : _HEAD + 100] not in two


def _chunks(raw: bytes) -> list[bytes]:
    return [raw[i : i + _SEALED_CHUNK] for i in range(_HEAD, len(raw), _SEALED_CHUNK)]


@pytest.mark.parametrize(
    "damage", ["cut at a chunk", "cut in a chunk", "flipped", "swapped", "longer", "no end", "head"]
)
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "f"
    _write(path, b"z" * (3 * CHUNK_BYTES + 5))
    raw = path.read_bytes()
    head, (one, two, three, four) = raw[:_HEAD], _chunks(raw)
    path.write_bytes(
        {
            "cut at a chunk": head + one + two,
            "cut in a chunk": raw[:-3],
            "flipped": raw[:_SEALED_CHUNK] + bytes([raw[_SEALED_CHUNK] ^ 1]) + raw[_SEALED_CHUNK + 1 :],
            "swapped": head + two + one + three + four,
            "longer": raw + four,
            "no end": head,
            "head": raw[:10],
        }[damage]
    )
    with pytest.raises(StorageError):
        _read(path)


def test_a_file_is_no_other_and_opens_with_its_key_alone(tmp_path: Path) -> None:
    _write(tmp_path / "f", b"secret")
    for key, context in ((bytes(32), b"c"), (_KEY, b"d")):
        with pytest.raises(StorageError):
            _read(tmp_path / "f", key, context)
