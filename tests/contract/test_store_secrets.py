"""What every store promises about secrets: sealed, rotated, never in clear."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import asyncpg
import pytest

from mailquay.errors import KeyMismatch, StorageError
from mailquay.model.account import ImapSettings, SmtpSettings
from mailquay.model.gateway import Gateway
from mailquay.storage.interface import append_events
from mailquay.storage.repositories.outbox import CHUNK_BYTES
from mailquay.storage.secrets import generate_key, write_key_file
from mailquay.storage.store import Store, drop_old_keys, open_store, rotate_key
from tests.contract.records import SECRET, new_event, queued, register


def with_password(gateway: Gateway) -> Gateway:
    return dataclasses.replace(gateway, server=SmtpSettings("h", 25, user="u", password=SECRET))


async def test_settings_are_sealed_when_secret(store: Store, database_url: str, tmp_path: Path) -> None:
    await store.commit(store.settings.put({"serviceSecret": SECRET, "notifyText": True}, {"serviceSecret"}))
    await store.commit(store.settings.put({"notifyText": False, "locale": "de"}, set(), keep_existing=True))
    assert await store.settings.all() == {"serviceSecret": SECRET, "notifyText": True, "locale": "de"}
    await store.commit(store.settings.put({"locale": None}, set()))
    assert "locale" not in await store.settings.all()


async def test_rotation_seals_everything_anew_and_drops_the_old_key(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    account = await register(store)
    await store.commit(store.settings.put({"serviceSecret": SECRET}, {"serviceSecret"}))
    await store.commit(store.outbox.enqueue(queued(account), b"y" * (CHUNK_BYTES + 1), {"a": 1}, "key"))
    await store.commit(store.outbox.enqueue(queued(account, "q2"), b"small", {}, None))
    await store.commit(append_events([new_event(account, 1, {"subject": "s"})]))
    await store.commit(store.gateways.put("relay", with_password))
    old_key = (tmp_path / "key").read_text()
    assert await rotate_key(store, tmp_path / "key") == 10
    assert (await store.settings.all())["serviceSecret"] == SECRET, "a running node finds the new key by itself"
    assert await drop_old_keys(store, tmp_path / "key") == 0
    assert old_key not in (tmp_path / "key").read_text()
    reopened = await open_store(database_url, key_file=tmp_path / "key")
    try:
        found = await reopened.accounts.get("ann")
        assert found is not None
        assert found.profile.imap == ImapSettings(host="h", password=SECRET)
        gateway = await reopened.gateways.get("relay")
        assert gateway is not None and gateway.server.password == SECRET
        assert [chunk async for chunk in reopened.outbox.body("q2")] == [b"small"]
        assert len([chunk async for chunk in reopened.outbox.body("q1")]) == 2
    finally:
        await reopened.close()
    (tmp_path / "key").write_text(old_key)
    with pytest.raises(KeyMismatch):
        await open_store(database_url, key_file=tmp_path / "key")


async def test_a_wrong_or_missing_key_stops_the_start(store: Store, database_url: str, tmp_path: Path) -> None:
    write_key_file(tmp_path / "other", [generate_key()])
    with pytest.raises(KeyMismatch, match="restore that key"):
        await open_store(database_url, key_file=tmp_path / "other")
    with pytest.raises(KeyMismatch):
        await open_store(database_url, key_file=tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


async def test_a_passphrase_makes_the_same_key_again(database_url: str, tmp_path: Path) -> None:
    for _ in range(2):
        opened = await open_store(database_url, key_file=tmp_path / "unused", passphrase="open sesame")
        await register(opened)
        await opened.close()
    assert not (tmp_path / "unused").exists()
    with pytest.raises(KeyMismatch):
        await open_store(database_url, key_file=tmp_path / "unused", passphrase="wrong")


async def test_a_sealed_field_cannot_be_moved_or_changed(store: Store) -> None:
    sealed = store.vault.seal(b"x", table="t", column="c", row=1)
    assert store.vault.open(sealed, table="t", column="c", row=1) == b"x"
    for place in ({"row": 2, "column": "c"}, {"row": 1, "column": "d"}):
        with pytest.raises(StorageError, match="moved"):
            store.vault.open(sealed, table="t", **place)  # type: ignore[arg-type]
    with pytest.raises(StorageError):
        store.vault.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), table="t", column="c", row=1)


async def test_no_secret_is_stored_in_clear(store: Store, database_url: str, tmp_path: Path) -> None:
    account = await register(store)
    await store.commit(store.settings.put({"serviceSecret": SECRET}, {"serviceSecret"}))
    await store.commit(store.outbox.enqueue(queued(account), SECRET.encode(), {"a": SECRET}, SECRET))
    await store.commit(append_events([new_event(account, 1, {"subject": SECRET})]))
    await store.commit(store.gateways.put("relay", with_password))
    if database_url.startswith("sqlite"):
        files = [path for path in tmp_path.iterdir() if path.name.startswith("mailquay.db")]
        assert files
        assert not any(SECRET.encode() in path.read_bytes() for path in files)
        return
    connection = await asyncpg.connect(database_url)
    tables = [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert len(tables) > 20
    for table in tables:
        rows = await connection.fetch(f"SELECT t::text FROM {table} t")
        assert not any(SECRET in row[0] or SECRET.encode().hex() in row[0] for row in rows)
    await connection.close()
