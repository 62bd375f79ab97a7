"""What the command line asks for: each function opens what it needs, does one thing, and closes it again."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from mailquay.assembly import Node, open_configured_store, run
from mailquay.config import Config
from mailquay.errors import ConfigError, NotFound
from mailquay.model.token import Token
from mailquay.runtime.clock import SystemClock
from mailquay.runtime.processes import is_child, run_processes
from mailquay.services import passwords
from mailquay.services.account_view import account_entry, account_info
from mailquay.services.settings import SettingsService
from mailquay.services.tokens import TokenService
from mailquay.services.verification import verification
from mailquay.storage.postgres.database import migrate as migrate_postgres
from mailquay.storage.sqlite.database import migrate as migrate_sqlite
from mailquay.storage.store import Store, drop_old_keys, reseal_with, rotate_key

T = TypeVar("T")
_SQLITE_PROCESSES = 2
_PAGE = 1000


def serve(config: Config) -> None:
    """Run a node, or `processes` of them, until a signal ends it."""
    if config.processes > 1 and not is_child(dict(os.environ)):
        if not config.uses_postgres and config.processes > _SQLITE_PROCESSES:
            raise ConfigError(
                f"processes: SQLite serves at most {_SQLITE_PROCESSES} processes; give a PostgreSQL database "
                "(--database postgresql://…) for more"
            )
        if config.sandbox:
            raise ConfigError("processes: the sandbox runs in one process")
        sys.exit(run(run_processes(config.processes, sys.argv[1:])))
    run(Node(config).run_until_signal())


def migrate(config: Config) -> Sequence[str]:
    """Bring the database to the newest schema; the names of the migrations that ran."""
    if config.uses_postgres:
        return run(migrate_postgres(str(config.database_url)))
    return migrate_sqlite(config.sqlite_path)


def issue_token(config: Config, *, description: str | None, scopes: tuple[str, ...], account: str | None) -> str:
    """Make an access token and return its value; works while the server runs."""
    text = description or "issued on the command line"
    return _with_tokens(config, lambda tokens: tokens.issue(description=text, scopes=scopes, account=account))


def list_tokens(config: Config, *, account: str | None) -> Sequence[Token]:
    """Every token that has not expired, or those bound to an account."""
    return _with_tokens(config, lambda tokens: tokens.all(account=account))


def revoke_token(config: Config, token: str) -> bool:
    """Remove a token by value or id; whether there was one."""
    return _with_tokens(config, lambda tokens: tokens.revoke(token))


def export_token(config: Config, token: str) -> str:
    """A token's record, found by value or id, as text that import_token reads."""
    return _with_tokens(config, lambda tokens: tokens.export(token))


def import_token(config: Config, exported: str) -> bool:
    """Store an exported record; whether it was new."""
    return _with_tokens(config, lambda tokens: tokens.import_(exported))


def list_accounts(config: Config, *, state: str | None, query: str | None) -> Sequence[Mapping[str, object]]:
    """Accounts as the API lists them."""

    async def work(store: Store) -> list[Mapping[str, object]]:
        shown: list[Mapping[str, object]] = []
        while True:
            total, page = await store.accounts.page(
                state=state or "", query=query or "", limit=_PAGE, offset=len(shown)
            )
            for account in page:
                shown.append(account_entry(account, await store.accounts.event_counters(account.number)))
            if len(shown) >= total or not page:
                return shown

    return _with_store(config, work)


def show_account(config: Config, account: str) -> Mapping[str, object]:
    """One account as the API shows it, secrets masked."""

    async def work(store: Store) -> Mapping[str, object]:
        found = await store.accounts.get(account)
        if found is None:
            raise NotFound(f"there is no account {account}")
        verified = await verification(store, found)
        return account_info(found, await store.accounts.event_counters(found.number), None, verified)

    return _with_store(config, work)


def encrypt(config: Config, *, rotate: bool, former_secrets: tuple[str, ...]) -> int:
    """Seal every secret with today's key, or with a new one (`rotate`); how many were sealed again."""
    if config.encryption_secret is not None:
        if rotate:
            raise ConfigError("encrypt --rotate: change the configured secret and give the old one with --decrypt")
        return run(reseal_with(_url(config), passphrase=config.encryption_secret, former_passphrases=former_secrets))
    if former_secrets:
        raise ConfigError("encrypt --decrypt: former secrets are for a configured secret, and there is none")

    async def work(store: Store) -> int:
        return await (rotate_key if rotate else drop_old_keys)(store, config.key_file)

    return _with_store(config, work)


def hash_password(password: str) -> str:
    """The hash of an admin password in the form that `prepared_password` takes."""
    return passwords.hash_password(password)


def set_password(config: Config, password: str) -> None:
    """Make this the admin's password."""

    async def work(store: Store) -> None:
        await passwords.store_password(SettingsService(store), passwords.hash_password(password), SystemClock())

    _with_store(config, work)


def _url(config: Config) -> str:
    return str(config.database_url) if config.uses_postgres else f"sqlite:///{config.sqlite_path}"


def _with_store(config: Config, work: Callable[[Store], Awaitable[T]]) -> T:
    async def whole() -> T:
        store = await open_configured_store(config)
        try:
            return await work(store)
        finally:
            await store.close()

    return run(whole())


def _with_tokens(config: Config, work: Callable[[TokenService], Awaitable[T]]) -> T:
    async def use(store: Store) -> T:
        tokens = TokenService(
            store, SystemClock(), log_entries=config.token_log_entries, log_age_seconds=config.token_log_age_seconds
        )
        return await work(tokens)

    return _with_store(config, use)
