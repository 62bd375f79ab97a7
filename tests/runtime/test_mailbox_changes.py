"""Mailboxes that are made, renamed, subscribed and deleted through us, on three servers: each told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailquay.backends.interface import SearchTerms
from mailquay.config import Config
from mailquay.errors import CommandRejected, InvalidRequest, MailboxNotFound
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.mailbox_editor import MailboxEditor
from tests.runtime.harness import SystemClock, profile_for, running_node
from tests.runtime.reading import Reader, profile_at
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import Dovecot

SECONDS = 10.0
_QUICK = Config(imap_sweep_interval_seconds=0.3, reconnect_backoff_seconds=0.05)
_SERVERS = [
    "sandbox",
    pytest.param("dovecot", marks=pytest.mark.server),
    pytest.param("cyrus", marks=pytest.mark.server),
]


@pytest.fixture(params=_SERVERS)
async def ann(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reader]:
    """An account on one of the servers, without mail."""
    world: SandboxWorld | None = None
    if request.param == "sandbox":
        world = SandboxWorld(empty=True)
        await world.start()
        profile = profile_at(world)
    elif request.param == "dovecot":
        dovecot: Dovecot = request.getfixturevalue("dovecot")
        profile = profile_for(dovecot, dovecot.new_user())
    else:
        server: Cyrus = request.getfixturevalue("cyrus")
        user = server.new_user()
        imap = ImapSettings(
            server.host, server.imap_port, tls={"disabled": True}, user=user.login, password=user.password
        )
        profile = AccountProfile(name="Ann", imap=imap, notify_from_ms=SystemClock().now_ms())
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        yield Reader(node, await node.connected(account))
    if world is not None:
        await world.stop()


def _mailboxes(ann: Reader) -> MailboxEditor:
    return MailboxEditor(ann.node.store, ann.node.access)


async def _listed(ann: Reader) -> dict[str, dict[str, Any]]:
    shown = await _mailboxes(ann).list(ann.account, counters=False, timeout_seconds=SECONDS)
    return {one["path"]: one for one in shown}


async def _synced(ann: Reader) -> dict[str, dict[str, Any]]:
    """The same, once each of them is indexed."""
    await ann.node.access.catch_up(ann.account.number, list(await _listed(ann)), timeout_seconds=SECONDS)
    return await _listed(ann)


async def _told(ann: Reader, *, below: str = "Projekte") -> list[tuple[EventName, str]]:
    """What was told of mailboxes there, once everything was swept twice more."""
    for _ in range(2):
        await ann.node.access.relist(ann.account.number, timeout_seconds=SECONDS)
    events = await ann.node.store.events.of_account_after(ann.account.number, 0, 1000)
    names = (EventName.MAILBOX_NEW, EventName.MAILBOX_DELETED)
    return [(one.name, one.path or "") for one in events if one.name in names and below in (one.path or "")]


async def test_a_life_of_a_mailbox(ann: Reader) -> None:
    mailboxes = _mailboxes(ann)
    made = await mailboxes.create(ann.account, ["Projekte", "Grüße & Co"], timeout_seconds=SECONDS)
    path = made["path"]
    assert made["created"] is True and path.endswith("Grüße & Co")
    listed = (await _listed(ann))[path]
    assert listed["subscribed"] is True
    assert made.get("mailboxId") == (await ann.mailbox(path)).listing.mailbox_id
    again = await mailboxes.create(ann.account, [path], timeout_seconds=SECONDS)
    assert (again["path"], again["created"]) == (path, False)

    async def whole() -> AsyncIterator[bytes]:
        yield b"Subject: kept\r\n\r\nx\r\n"

    async with ann.node.access.session(ann.account, timeout_seconds=SECONDS) as session:
        await session.append(path, whole(), 20)
    await ann.node.access.catch_up(ann.account.number, [path], timeout_seconds=SECONDS)
    [before] = await ann.page(path)
    answer = await mailboxes.change(
        ann.account, path, new_names=["Projekte", "Neu"], subscribed=None, timeout_seconds=SECONDS
    )
    new_path = answer["newPath"]
    assert (answer["path"], answer["renamed"], answer["subscribed"]) == (path, True, True)
    assert path not in await _listed(ann) and (await _listed(ann))[new_path]["subscribed"] is True
    [after] = await ann.page(new_path)
    assert after["id"] == before["id"], "ids stay"
    await mailboxes.change(ann.account, new_path, new_names=None, subscribed=False, timeout_seconds=SECONDS)
    assert (await _listed(ann))[new_path]["subscribed"] is False
    gone = await mailboxes.delete(ann.account, new_path, timeout_seconds=SECONDS)
    assert (gone["path"], gone["deleted"]) == (new_path, True)
    assert new_path not in await _listed(ann)
    with pytest.raises(MailboxNotFound):
        await ann.service.search(
            ann.account, path=new_path, terms=SearchTerms(), page=0, page_size=1, timeout_seconds=SECONDS
        )
    told = [one for one in await _told(ann) if one[1] in (path, new_path)]
    assert told == [
        (EventName.MAILBOX_NEW, path),
        (EventName.MAILBOX_DELETED, path),
        (EventName.MAILBOX_NEW, new_path),
        (EventName.MAILBOX_DELETED, new_path),
    ]


@pytest.mark.parametrize("names", [["a*b"], ["%"], ["a", "", "b"], ["\\Sent"], ["x" * 250] * 5])
async def test_paths_that_no_server_gets(ann: Reader, names: list[str]) -> None:
    before = await _synced(ann)
    with pytest.raises(InvalidRequest):
        await _mailboxes(ann).create(ann.account, names, timeout_seconds=SECONDS)
    with pytest.raises(InvalidRequest):
        await _mailboxes(ann).change(ann.account, "INBOX", new_names=names, subscribed=None, timeout_seconds=SECONDS)
    assert await _listed(ann) == before


async def test_what_the_server_refuses_is_told_and_changes_nothing(ann: Reader) -> None:
    mailboxes = _mailboxes(ann)
    made = await mailboxes.create(ann.account, ["Projekte"], timeout_seconds=SECONDS)
    before = await _synced(ann)
    inbox = await mailboxes.create(ann.account, ["inbox"], timeout_seconds=SECONDS)
    assert (inbox["path"], inbox["created"]) == ("INBOX", False)
    with pytest.raises(CommandRejected):
        await mailboxes.delete(ann.account, "inbox", timeout_seconds=SECONDS)
    with pytest.raises(CommandRejected):
        await mailboxes.change(ann.account, made["path"], new_names=["INBOX"], subscribed=None, timeout_seconds=SECONDS)
    for path in ("Nowhere", "\\Junk/x"):
        with pytest.raises(MailboxNotFound):
            await mailboxes.delete(ann.account, path, timeout_seconds=SECONDS)
    assert await _listed(ann) == before


async def test_what_is_below_goes_along_and_may_stay_alone(ann: Reader) -> None:
    mailboxes = _mailboxes(ann)
    top = (await mailboxes.create(ann.account, ["Projekte"], timeout_seconds=SECONDS))["path"]
    below = (await mailboxes.create(ann.account, ["Projekte", "Alt"], timeout_seconds=SECONDS))["path"]
    answer = await mailboxes.change(ann.account, top, new_names=["Projekte2"], subscribed=None, timeout_seconds=SECONDS)
    moved = below.replace(top, answer["newPath"])
    assert {answer["newPath"], moved} <= set(await _listed(ann))
    assert not {top, below} & set(await _listed(ann))
    try:
        await mailboxes.delete(ann.account, answer["newPath"], timeout_seconds=SECONDS)
    except CommandRejected:
        # A server may want what is below to go first (RFC 9051 §6.3.5).
        await mailboxes.delete(ann.account, moved, timeout_seconds=SECONDS)
        await mailboxes.delete(ann.account, answer["newPath"], timeout_seconds=SECONDS)
    else:
        assert moved in await _listed(ann)
    assert answer["newPath"] not in await _listed(ann)
    again = await mailboxes.create(ann.account, ["Projekte2"], timeout_seconds=SECONDS)
    assert again["created"] is True and again["path"] in await _listed(ann)
