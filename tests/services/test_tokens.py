"""Tokens as a service: how they are kept, found, cached, exported, and how their use is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import InvalidRequest, NotFound, StorageError
from mailquay.model.token import (
    ACTIONS,
    GRANTABLE_GROUPS,
    SCOPES,
    AuditEntry,
    Permissions,
    RateLimit,
    Restrictions,
    Token,
)
from mailquay.services.identifiers import b64u
from mailquay.services.token_export import export_record, import_record
from mailquay.services.tokens import NewToken, TokenService, id_of
from mailquay.storage.store import Store, open_store


class Clock:
    """A clock that tests set."""

    ms = 1_795_219_200_000

    def now_ms(self) -> int:
        """The time that was set."""
        return self.ms


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await open_store(f"sqlite:///{tmp_path}/mailquay.db", key_file=tmp_path / "key")
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> Clock:
    """The clock of the services."""
    return Clock()


@pytest.fixture
async def tokens(store: Store, clock: Clock) -> AsyncIterator[TokenService]:
    """The service."""
    service = TokenService(store, clock, log_entries=3, log_age_seconds=60)
    yield service
    await service.close()


async def test_the_first_start_makes_one_token_and_shows_it_once(tokens: TokenService) -> None:
    value = await tokens.ensure_first_token()
    assert value is not None and len(value) == 64
    token = await tokens.verify(value)
    assert token is not None and token.scopes == ("*",)
    assert await tokens.ensure_first_token() is None


async def test_the_value_is_nowhere_in_the_database(tokens: TokenService, tmp_path: Path) -> None:
    value = await tokens.issue(description="d", scopes=("api",))
    files = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
    assert not [content for content in files if value.encode() in content or bytes.fromhex(value) in content]
    token_id = id_of(value)
    assert token_id is not None and [content for content in files if token_id.encode() in content]


async def test_issuing_checks_scope_and_account(tokens: TokenService) -> None:
    with pytest.raises(InvalidRequest, match="'admin' is not a scope"):
        await tokens.issue(description="d", scopes=("admin",))
    with pytest.raises(NotFound):
        await tokens.issue(description="d", scopes=("api",), account="nobody")
    assert await tokens.all() == []


async def test_a_change_here_counts_at_once_and_elsewhere_when_the_cache_is_old(store: Store, clock: Clock) -> None:
    here, young, old = (
        TokenService(store, clock, log_entries=3, log_age_seconds=60, cache_seconds=seconds) for seconds in (60, 60, 0)
    )
    value = await here.issue(description="d", scopes=("api",))
    for service in (here, young, old):
        assert await service.verify(value) is not None
    assert await here.revoke(value)
    seen = [await service.verify(value) is not None for service in (here, young, old)]
    assert seen == [False, True, False]
    for service in (here, young, old):
        await service.close()


async def test_revoking_takes_value_or_id(tokens: TokenService) -> None:
    value = await tokens.issue(description="d", scopes=("api",))
    token_id = id_of(value)
    assert token_id is not None
    assert await tokens.revoke(token_id.upper())
    for text in (token_id, value, "", "x", "ü" * 64):
        assert not await tokens.revoke(text)


async def test_an_expired_token_is_gone(tokens: TokenService, clock: Clock) -> None:
    issued = await tokens.create(NewToken("d", expires_ms=clock.ms + 5))
    assert await tokens.verify(issued.value) is not None
    clock.ms += 5
    assert await tokens.verify(issued.value) is None and await tokens.get(issued.id) is None
    assert (await tokens.page(limit=10, offset=0)) == (0, [])


async def test_use_is_shown_before_and_after_it_is_written(tokens: TokenService, clock: Clock) -> None:
    issued = await tokens.create(NewToken("d"))
    tokens.record_use(issued.id, "192.0.2.1")
    for _ in range(2):
        stored = await tokens.get(issued.id)
        assert stored is not None and (stored[1].time_ms, stored[1].ip) == (clock.ms, "192.0.2.1")
        await tokens.flush()


def entry(n: int, clock: Clock) -> AuditEntry:
    """An audit entry that one can tell from others."""
    return AuditEntry(clock.ms, "192.0.2.1", "GET", f"/{n}", "read", "account", None, allowed=True)


async def test_the_audit_log_keeps_the_newest_by_number_and_age(tokens: TokenService, clock: Clock) -> None:
    issued = await tokens.create(NewToken("d"))
    for n in range(5):
        tokens.record_audit(issued.id, entry(n, clock))
    total, entries = await tokens.log_page(issued.id, limit=10, offset=0)
    assert (total, [one.path for one in entries]) == (3, ["/4", "/3", "/2"])
    clock.ms += 61_000
    tokens.record_audit(issued.id, entry(9, clock))
    total, entries = await tokens.log_page(issued.id, limit=10, offset=0)
    assert (total, [one.path for one in entries]) == (1, ["/9"])


async def test_what_cannot_be_written_is_written_later(
    store: Store, tokens: TokenService, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await tokens.create(NewToken("d"))
    tokens.record_use(issued.id, "192.0.2.1")
    tokens.record_audit(issued.id, entry(1, clock))

    async def fail(_unit: object) -> None:
        raise StorageError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", fail)
        await tokens.flush()
    tokens.record_audit(issued.id, entry(2, clock))
    await tokens.flush()
    _, entries = await store.tokens.log_page(issued.id, limit=10, offset=0)
    assert [one.path for one in entries] == ["/2", "/1"]
    stored = await store.tokens.get(issued.id)
    assert stored is not None and stored[1].ip == "192.0.2.1"


async def test_a_running_service_writes_by_itself(store: Store, clock: Clock) -> None:
    tokens = TokenService(store, clock, log_entries=3, log_age_seconds=60, flush_seconds=0)
    issued = await tokens.create(NewToken("d"))
    tokens.start()
    tokens.record_use(issued.id, "192.0.2.1")
    async with asyncio.timeout(10):
        while (stored := await store.tokens.get(issued.id)) is not None and stored[1].ip is None:
            await asyncio.sleep(0)
    await tokens.close()
    assert stored is not None and stored[1].ip == "192.0.2.1"


async def test_rate_windows_are_counted_for_all_nodes(store: Store, clock: Clock, tokens: TokenService) -> None:
    issued = await tokens.create(NewToken("d"))
    elsewhere = TokenService(store, clock, log_entries=3, log_age_seconds=60)
    counts = [await service.count_request(issued.id, 7) for service in (tokens, elsewhere, tokens)]
    assert counts == [1, 2, 3] and await tokens.count_request(issued.id, 8) == 1
    await elsewhere.close()


# -- export and import --------------------------------------------------------------------------------


async def test_an_exported_token_can_be_imported_elsewhere(tokens: TokenService, clock: Clock, tmp_path: Path) -> None:
    value = await tokens.issue(description="moved", scopes=("api", "smtp"))
    exported = await tokens.export(value)
    assert await tokens.export(str(id_of(value))) == exported
    assert value not in exported
    other = await open_store(f"sqlite:///{tmp_path}/other.db", key_file=tmp_path / "other-key")
    clock.ms += 1000
    service = TokenService(other, clock, log_entries=3, log_age_seconds=60)
    assert await service.import_(exported) and not await service.import_(exported)
    token = await service.verify(value)
    assert token is not None
    assert (token.description, token.scopes, token.created_ms) == ("moved", ("api", "smtp"), clock.ms)
    await service.close()
    await other.close()
    with pytest.raises(NotFound):
        await tokens.export("0" * 64)


_texts = st.text(max_size=20)
_tokens = st.builds(
    Token,
    id=st.text("0123456789abcdef", min_size=64, max_size=64),
    description=_texts,
    created_ms=st.just(0),
    account=st.none() | st.text(min_size=1, max_size=20),
    scopes=st.none() | st.lists(st.sampled_from(SCOPES)).map(tuple),
    restrictions=st.none()
    | st.builds(
        Restrictions,
        st.none() | st.lists(st.ip_addresses().map(str)).map(tuple),
        st.none() | st.lists(_texts).map(tuple),
        st.none() | st.builds(RateLimit, st.integers(1, 2**31), st.integers(1, 2**31)),
    ),
    permissions=st.none()
    | st.builds(
        Permissions,
        st.lists(st.sampled_from(ACTIONS)).map(tuple),
        st.none() | st.lists(st.sampled_from(GRANTABLE_GROUPS)).map(tuple),
    ),
    metadata=st.none() | st.text(min_size=1, max_size=20),
    ip=st.none() | st.just("192.0.2.1"),
    remote_address=st.none() | st.just("192.0.2.2"),
    expires_ms=st.none() | st.integers(0, 4_000_000_000_000),
)


@given(_tokens)
def test_export_and_import_are_inverse(token: Token) -> None:
    assert import_record(export_record(token)) == token


_ID = "a" * 64


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        {"id": "short"},
        {"id": _ID, "scopes": ["root"]},
        {"id": _ID, "scopes": "api"},
        {"id": _ID, "permissions": {"actions": ["fly"]}},
        {"id": _ID, "permissions": {"everything": True}},
        {"id": _ID, "permissions": ["read"]},
        {"id": _ID, "restrictions": {"rateLimit": {"maxRequests": "many"}}},
        {"id": _ID, "restrictions": "none"},
        {"id": _ID, "expires": "some day"},
        {"id": _ID, "expires": []},
        {"id": _ID, "account": 5},
    ],
)
def test_records_that_are_refused(record: Any) -> None:
    with pytest.raises(InvalidRequest, match="not an exported token"):
        import_record(b64u(msgspec.msgpack.encode(record)))


@pytest.mark.parametrize("text", ["", "!!!", "AAAA", "é"])
def test_texts_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        import_record(text)


def test_stored_permissions_without_any_axis_allow_nothing() -> None:
    empty = import_record(b64u(msgspec.msgpack.encode({"id": _ID, "permissions": {}})))
    assert empty.permissions == Permissions((), None)


async def test_replacing_removes_only_what_was_made_for_the_same_purpose(tokens: TokenService) -> None:
    others = [await tokens.issue(description="made for the sandbox", scopes=("api",)), await tokens.replace("demo")]
    first = await tokens.replace("sandbox")
    second = await tokens.replace("sandbox")
    assert await tokens.verify(first) is None
    assert all([await tokens.verify(value) for value in (*others, second)])
    assert len(await tokens.all()) == 3
