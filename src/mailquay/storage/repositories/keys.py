"""The fingerprints of the keys that a database was written with, and the re-sealing of everything with a new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mailquay.storage.interface import Database, Pending, Row, Run, Script, Unit
from mailquay.storage.secrets import Key, Vault

_PAGE = 200


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key as the database knows it; `salt` (hex) is set when it comes from a passphrase."""

    key_id: str
    fingerprint: str
    salt: str | None


class KeyRepository:
    """Reads and units of work about keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[KnownKey]:
        """Every key that fields may be sealed with, oldest first; none in a new database."""
        return [KnownKey(*row) for row in await self._database.fetch("keys_all")]

    def add(self, key: Key, salt: str | None, now_ms: int) -> Unit[None]:
        """Register a key before the first field is sealed with it."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("key_insert", (key.key_id.hex(), key.fingerprint, salt, now_ms))

        return script

    async def register_first(self, key: Key, salt: str | None, now_ms: int) -> bool:
        """Commit `add_first`."""
        return await self._database.commit(self.add_first(key, salt, now_ms))

    def add_first(self, key: Key, salt: str | None, now_ms: int) -> Unit[bool]:
        """Register the first key of a new database; False when another node has registered one just before."""

        def script(_pending: Pending) -> Script[bool]:
            yield Run("event_position_lock")
            if (yield Run("keys_all")):
                return False
            yield Run("key_insert", (key.key_id.hex(), key.fingerprint, salt, now_ms))
            return True

        return script

    def remove(self, key_id: str) -> Unit[None]:
        """Forget a key that nothing is sealed with any more."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("key_delete", (key_id,))

        return script


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A sealed column: how to page through it, which row its associated data names, how to write it back."""

    table: str
    column: str
    read: str
    write: str
    start: tuple[object, ...]
    key: Callable[[Row], tuple[object, ...]]
    value: Callable[[Row], bytes | None]
    row: Callable[[Row], str | int]


async def reseal_everything(database: Database, vault: Vault) -> int:
    """Seal again with the current key whatever is sealed with an older one; how many fields were changed.

    Works while nodes run: each page is one transaction that changes only what it found unchanged.
    """
    changed = 0
    for column in _columns():
        after = column.start
        while True:
            rows = await database.fetch(column.read, *after, _PAGE)
            if not rows:
                break
            after = column.key(rows[-1])
            changed += await database.commit(_reseal(vault, column, rows))
    return changed


def _reseal(vault: Vault, column: _Sealed, rows: Sequence[Row]) -> Unit[int]:
    def script(_pending: Pending) -> Script[int]:
        changed = 0
        for row in rows:
            sealed = column.value(row)
            if sealed is None or vault.sealed_with_current(sealed):
                continue
            place = column.row(row)
            plain = vault.open(sealed, table=column.table, column=column.column, row=place)
            fresh = vault.seal(plain, table=column.table, column=column.column, row=place)
            yield Run(column.write, (*column.key(row), fresh, sealed))
            changed += 1
        return changed

    return script


def _columns() -> list[_Sealed]:
    def by_key(table: str, column: str, read: str, write: str, start: int | str, name: int = 0) -> _Sealed:
        """A table with a key of one column: rows are (key, sealed, …), with what names the row at `name`."""
        return _Sealed(
            table, column, read, write, (start,), lambda r: (r[0],), lambda r: _bytes(r[1]), lambda r: r[name]
        )

    def by_pair(table: str, column: str, read: str, write: str, start: tuple[int, int | str]) -> _Sealed:
        """A table with a key of two columns: rows are (key, key, sealed), and both keys name the row."""
        return _Sealed(
            table,
            column,
            read,
            write,
            start,
            lambda r: (r[0], r[1]),
            lambda r: _bytes(r[2]),
            lambda r: f"{r[0]}/{r[1]}",
        )

    return [
        by_key("accounts", "private", "reseal_accounts", "reseal_account", 0, name=2),
        by_key("settings", "secret", "reseal_settings", "reseal_setting", ""),
        by_key("event_contents", "content", "reseal_contents", "reseal_content", 0, name=2),
        by_key("parked_deliveries", "target", "reseal_parked", "reseal_parked_one", 0),
        by_key("outbox", "meta", "reseal_metas", "reseal_meta", ""),
        by_key("outbox", "body", "reseal_bodies", "reseal_body", ""),
        by_key("gateways", "private", "reseal_gateways", "reseal_gateway", ""),
        by_key("exports", "secret", "reseal_exports", "reseal_export", ""),
        by_pair("blob_chunks", "data", "reseal_chunks", "reseal_chunk", (0, -1)),
        by_pair("idempotency", "response", "reseal_responses", "reseal_response", (0, "")),
    ]


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
