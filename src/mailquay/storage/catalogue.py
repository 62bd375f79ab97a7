"""The named SQL statements, read from the .sql files beside this module.

A file holds statements, each after a line `-- name: NAME`, with parameters `$1`, `$2` … A statement whose text differs
between the dialects stands twice, as `-- name: NAME sqlite` and `-- name: NAME postgres`.
"""

from __future__ import annotations

import re
from importlib import resources

from mailquay.errors import StorageError

_HEADER = re.compile(r"^-- name: (?P<name>\w+)(?: (?P<dialect>sqlite|postgres))?$", re.MULTILINE)
_PARAMETER = re.compile(r"\$(\d+)")


def load_catalogue(dialect: str) -> dict[str, str]:
    """All statements in the words of one dialect ("sqlite" or "postgres").

    Raises StorageError when a name is given twice.
    """
    statements: dict[str, str] = {}
    folder = resources.files("mailquay.storage") / "queries"
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".sql"):
            _read(entry.read_text(encoding="utf-8"), dialect, entry.name, statements)
    return statements


def _read(text: str, dialect: str, source: str, statements: dict[str, str]) -> None:
    headers = list(_HEADER.finditer(text))
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        if header["dialect"] not in (None, dialect):
            continue
        body = text[header.end() : following.start() if following else len(text)].strip().rstrip(";")
        name = header["name"]
        if name in statements:
            raise StorageError(f"statement {name} stands twice (again in {source})")
        statements[name] = _PARAMETER.sub(r"?\1", body) if dialect == "sqlite" else body
