"""The store: one database, its keys, and a repository for every noun."""

from __future__ import annotations

import secrets as random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mailquay.errors import KeyMismatch, StorageError
from mailquay.storage.interface import Database, Finish, Unit
from mailquay.storage.postgres.database import PostgresDatabase
from mailquay.storage.repositories.accounts import AccountRepository
from mailquay.storage.repositories.blocklists import BlocklistRepository
from mailquay.storage.repositories.bounces import BounceRepository
from mailquay.storage.repositories.events import EventLog, event_writer
from mailquay.storage.repositories.exports import ExportRepository
from mailquay.storage.repositories.gateways import GatewayRepository
from mailquay.storage.repositories.keys import KeyRepository, reseal_everything
from mailquay.storage.repositories.local_search import LocalSearch
from mailquay.storage.repositories.mailboxes import MailboxRepository
from mailquay.storage.repositories.messages import MessageIndex
from mailquay.storage.repositories.moves import MoveRepository
from mailquay.storage.repositories.nodes import NodeRepository
from mailquay.storage.repositories.outbox import OutboxRepository
from mailquay.storage.repositories.quarantine import QuarantineRepository
from mailquay.storage.repositories.replacements import ReplacementRepository
from mailquay.storage.repositories.settings import SettingRepository
from mailquay.storage.repositories.templates import TemplateRepository
from mailquay.storage.repositories.texts import TextIndex
from mailquay.storage.repositories.thread_reads import ThreadReads
from mailquay.storage.repositories.threads import ThreadRepository
from mailquay.storage.repositories.tokens import TokenRepository
from mailquay.storage.repositories.upkeep import UpkeepRepository
from mailquay.storage.secrets import (
    Key,
    Vault,
    generate_key,
    key_from_passphrase,
    read_key_file,
    write_key_file,
)
from mailquay.storage.sqlite.database import SqliteDatabase

T = TypeVar("T")
SQLITE_PREFIX = "sqlite:///"
POSTGRES_PREFIXES = ("postgresql://", "postgres://")


class Store:
    """Everything that is kept, by noun. `commit` makes units of work durable."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self.vault = vault
        self.accounts = AccountRepository(database, vault)
        self.mailboxes = MailboxRepository(database)
        self.messages = MessageIndex(database)
        self.quarantine = QuarantineRepository(database)
        self.threads = ThreadRepository(database)
        self.thread_reads = ThreadReads(database)
        self.texts = TextIndex(database)
        self.searches = LocalSearch(database)
        self.bounces = BounceRepository(database)
        self.moves = MoveRepository()
        self.replacements = ReplacementRepository(database)
        self.events = EventLog(database, vault)
        self.outbox = OutboxRepository(database, vault)
        self.gateways = GatewayRepository(database, vault)
        self.exports = ExportRepository(database, vault)
        self.settings = SettingRepository(database, vault)
        self.templates = TemplateRepository(database)
        self.blocklists = BlocklistRepository(database)
        self.tokens = TokenRepository(database)
        self.nodes = NodeRepository(database)
        self.keys = KeyRepository(database)
        self.upkeep = UpkeepRepository(database)

    async def commit(self, unit: Unit[T]) -> T:
        """See Database.commit."""
        return await self.database.commit(unit)

    async def close(self) -> None:
        """See Database.close."""
        await self.database.close()


class _LateVault:
    """The vault of a store that is being opened: the event writer needs it only with the first event."""

    def __init__(self) -> None:
        self.vault: Vault | None = None

    def __call__(self) -> Vault:
        if self.vault is None:
            raise StorageError("the store is not open yet")
        return self.vault


async def open_database(url: str, finish: Finish, *, watch_interval_seconds: float | None = None) -> Database:
    """Open `sqlite:///PATH` or `postgresql://…` and bring its schema up to date.

    `watch_interval_seconds` (SQLite only): how often to look for another process's commits.
    """
    if url.startswith(SQLITE_PREFIX):
        path = Path(url.removeprefix(SQLITE_PREFIX))
        return await SqliteDatabase.open(path, finish, watch_interval_seconds=watch_interval_seconds)
    if url.startswith(POSTGRES_PREFIXES):
        return await PostgresDatabase.open(url, finish)
    raise StorageError(f"a database is {SQLITE_PREFIX}PATH or {POSTGRES_PREFIXES[0]}…")


async def open_store(
    url: str,
    *,
    key_file: Path,
    passphrase: str | None = None,
    watch_interval_seconds: float | None = None,
) -> Store:
    """Open the database and check that our keys are the ones it was written with.

    A key is generated (into `key_file`) only for an empty database. With a passphrase the key is derived from it.
    Raises KeyMismatch when a key is missing or wrong, StorageError when the database cannot be used.
    """
    late = _LateVault()
    database = await open_database(url, event_writer(late), watch_interval_seconds=watch_interval_seconds)
    try:
        load = await _establish_keys(KeyRepository(database), key_file, passphrase)
        late.vault = Vault(load(), load)
    except BaseException:
        await database.close()
        raise
    return Store(database, late.vault)


async def _establish_keys(keys: KeyRepository, key_file: Path, passphrase: str | None) -> Callable[[], Sequence[Key]]:
    now_ms = int(time.time() * 1000)
    known = await keys.all()
    if not known:
        first, salt = _first_key(key_file, passphrase)
        await keys.register_first(first, salt, now_ms)
        known = await keys.all()
    if passphrase is not None:
        salts = [key.salt for key in known if key.salt is not None]
        derived = [key_from_passphrase(passphrase, bytes.fromhex(salt)) for salt in reversed(salts)]
        return _checked(lambda: derived, known[-1].fingerprint, "the configured secret")
    return _checked(lambda: read_key_file(key_file), known[-1].fingerprint, str(key_file))


def _first_key(key_file: Path, passphrase: str | None) -> tuple[Key, str | None]:
    if passphrase is not None:
        salt = random.token_hex(16)
        return key_from_passphrase(passphrase, bytes.fromhex(salt)), salt
    if not key_file.exists():
        write_key_file(key_file, [generate_key()])
    return read_key_file(key_file)[0], None


def _checked(load: Callable[[], Sequence[Key]], fingerprint: str, source: str) -> Callable[[], Sequence[Key]]:
    if fingerprint not in [key.fingerprint for key in load()]:
        raise KeyMismatch(
            f"the database was written with key {fingerprint[:8]}, and {source} does not hold it: "
            "restore that key; without it the stored credentials cannot be read"
        )
    return load


async def rotate_key(store: Store, key_file: Path) -> int:
    """Put a new key in front of the key file and seal everything with it; how many fields were changed.

    The old keys stay in the file for nodes that still run with them; `drop_old_keys` ends their time.
    """
    old = read_key_file(key_file)
    fresh = generate_key()
    write_key_file(key_file, [fresh, *old])
    await store.commit(store.keys.add(fresh, None, int(time.time() * 1000)))
    return await reseal_everything(store.database, Vault([fresh, *old]))


async def drop_old_keys(store: Store, key_file: Path) -> int:
    """Seal with the current key what a node sealed with an older one meanwhile, then forget the older ones.

    To be run when every node has been restarted since the rotation. Returns how many fields were changed.
    """
    current, *old = read_key_file(key_file)
    changed = await reseal_everything(store.database, Vault([current, *old]))
    for key in old:
        await store.commit(store.keys.remove(key.key_id.hex()))
    write_key_file(key_file, [current])
    return changed


async def reseal_with(url: str, *, passphrase: str, former_passphrases: Sequence[str]) -> int:
    """Change the passphrase of a database: open it with a former one, seal everything with the new; fields changed.

    Raises KeyMismatch when none of the former passphrases is the one that the database was written with.
    """
    late = _LateVault()
    database = await open_database(url, event_writer(late))
    try:
        keys = KeyRepository(database)
        salts = [bytes.fromhex(key.salt) for key in await keys.all() if key.salt is not None]
        known = {key.fingerprint for key in await keys.all()}
        old = [key_from_passphrase(former, salt) for former in (passphrase, *former_passphrases) for salt in salts]
        usable = [key for key in old if key.fingerprint in known]
        if not usable:
            raise KeyMismatch("none of the given secrets is the one that the database was written with")
        salt = random.token_hex(16)
        fresh = key_from_passphrase(passphrase, bytes.fromhex(salt))
        await database.commit(keys.add(fresh, salt, int(time.time() * 1000)))
        changed = await reseal_everything(database, Vault([fresh, *usable]))
        for key in usable:
            await database.commit(keys.remove(key.key_id.hex()))
        return changed
    finally:
        await database.close()
