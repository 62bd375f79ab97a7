"""The whole story of an account against the sandbox: what the client side does with a server that is our own."""

from __future__ import annotations

import dataclasses
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.registration import register_sandbox
from mailquay.sandbox.world import SandboxAccount, SandboxWorld
from tests.runtime.harness import SystemClock, running_node
from tests.sandbox.clients import imaplib_client, in_thread, mail, send_mail

_START_SECONDS = 1.0
"""What a start may take on a loaded machine; it takes less than a tenth of a second on an idle one."""


def profile_of(account: SandboxAccount, password: str | None = None) -> AccountProfile:
    imap = ImapSettings(
        host=account.imap_host,
        port=account.imap_port,
        user=account.user,
        password=password or account.password,
        tls={"disabled": True},
    )
    return AccountProfile(
        name=account.name, email=account.email, imap=imap, notify_from_ms=SystemClock().now_ms() - 1000
    )


async def test_a_world_starts_quickly_on_ports_of_its_own() -> None:
    began = time.perf_counter()
    first, second = SandboxWorld(), SandboxWorld()
    await first.start()
    await second.start()
    took = time.perf_counter() - began
    ports = {port for world in (first, second) for one in world.accounts for port in (one.imap_port, one.smtp_port)}
    assert len(ports) == 4
    assert took / 2 < _START_SECONDS
    await first.stop()
    await second.stop()
    await second.stop()


@pytest.mark.parametrize(
    "missing",
    [
        (),
        ("CONDSTORE",),
        ("UIDPLUS", "MOVE", "ESEARCH", "LIST-STATUS", "LIST-EXTENDED", "SPECIAL-USE", "OBJECTID", "NAMESPACE", "ID"),
        ("CONDSTORE", "UIDPLUS", "MOVE", "ESEARCH", "LITERAL+", "SASL-IR", "AUTH=PLAIN"),
    ],
)
async def test_first_sync_then_new_changed_moved_and_deleted_mail(
    world: SandboxWorld, tmp_path: Path, missing: tuple[str, ...]
) -> None:
    world.imap_faults.missing.update(missing)
    ann, bruno = world.accounts[:2]
    before = len(world.store_of(ann.email).mailbox("INBOX"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile_of(ann))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        names = [event.name.value for event in await node.store.events.of_account_after(account.number, 0, 100)]
        assert names[:2] == ["accountAdded", "authenticationSuccess"]
        assert names.count("mailboxNew") == len(world.store_of(ann.email).mailboxes())
        assert "messageNew" not in names
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
        assert inbox.current
        assert len(await node.store.messages.page(inbox.number, limit=100, offset=0)) == before
        sent = await node.store.mailboxes.by_path(account.number, "Sent")
        assert sent is not None
        assert sent.listing.special_use == "\\Sent"

        assert await in_thread(send_mail, bruno, [ann.email], mail("fresh")) == {}
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert (new.facts["uid"], new.path, new.facts["seemsLikeNew"]) == (before + 1, "INBOX", True)
        entry = await node.store.messages.get(inbox.number, before + 1)
        assert entry is not None
        assert entry.envelope is not None
        assert entry.envelope.subject == "fresh"
        assert entry.structure is not None
        assert entry.structure.plain[0].part == "1"

        async with imaplib_client(ann) as other:
            await other("select", "INBOX")
            await other("uid", "STORE", str(before + 1), "+FLAGS", "(\\Flagged)")
            [updated] = await node.wait_for(EventName.MESSAGE_UPDATED, account=account)
            assert updated.facts["changes"] == {"flags": {"added": ["\\Flagged"], "value": ["\\Flagged"]}}

            world.store_of(ann.email).move(
                world.store_of(ann.email).mailbox("INBOX"),
                [message for message in world.store_of(ann.email).mailbox("INBOX") if message.uid == before + 1],
                "Archive",
            )
            [moved] = await node.wait_for(EventName.MESSAGE_NEW, account=account, path="Archive")
            assert moved.facts["seemsLikeNew"] is False
            await node.wait_for(EventName.MESSAGE_DELETED, account=account, uid=before + 1)

            await other("uid", "STORE", "2,4", "+FLAGS", "(\\Deleted)")
            await other("expunge")
        deleted = await node.wait_for(EventName.MESSAGE_DELETED, account=account, count=3)
        assert [event.facts["uid"] for event in deleted] == [before + 1, 2, 4]


async def test_mailboxes_come_and_go(empty: SandboxWorld, ann: SandboxAccount, tmp_path: Path) -> None:
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile_of(ann))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        async with imaplib_client(ann) as other:
            await other("create", "Gr&APwA3w-e")
            await node.wait_for(EventName.MAILBOX_NEW, account=account, path="Grüße")
            await other("delete", "Gr&APwA3w-e")
            await node.wait_for(EventName.MAILBOX_DELETED, account=account, path="Grüße")


async def test_an_account_survives_what_goes_wrong(world: SandboxWorld, tmp_path: Path) -> None:
    ann = world.accounts[0]
    world.imap_faults.on("UID FETCH", ImapAction.DROP)
    world.imap_faults.on("SELECT", ImapAction.BYE)
    world.imap_faults.on("EXAMINE", ImapAction.DROP_ANSWER)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile_of(ann))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        inbox = await node.store.mailboxes.by_path(account.number, "INBOX")
        assert inbox is not None
        stored = world.store_of(ann.email).mailbox("INBOX")
        assert len(await node.store.messages.page(inbox.number, limit=100, offset=0)) == len(stored)


async def test_a_refused_login_is_an_authentication_error(world: SandboxWorld, tmp_path: Path) -> None:
    world.imap_faults.refuse_login = True
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        account = await node.register("ann", profile_of(world.accounts[0]))
        [error] = await node.wait_for(EventName.AUTHENTICATION_ERROR, account=account)
        assert error.facts["serverResponseCode"] == "AUTHENTICATIONFAILED"
        world.imap_faults.clear()
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)


async def test_registration_follows_the_ports_and_keeps_what_the_user_changed(tmp_path: Path) -> None:
    async with AsyncExitStack() as worlds, running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        for life in (1, 2):
            world = SandboxWorld()
            await world.start()
            worlds.push_async_callback(world.stop)
            await register_sandbox(node.store, SystemClock(), world)
            total, accounts = await node.store.accounts.page(limit=10, offset=0)
            assert total == 3
            for account, known in zip(accounts, world.accounts, strict=True):
                assert (account.id, account.profile.email) == (known.id, known.email)
                assert account.profile.imap is not None
                assert account.profile.smtp is not None
                assert (account.profile.imap.port, account.profile.smtp.port) == (known.imap_port, known.smtp_port)
                assert account.profile.name == (known.name if life == 1 else f"Renamed {known.id}")
                await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
                await node.wait_for(EventName.MAILBOX_RESET, account=account, count=life, path="INBOX")
                world.store_of(known.email).append("INBOX", mail(f"life {life}"))
                news = await node.wait_for(EventName.MESSAGE_NEW, account=account, count=life)
                assert len(news) == life
                renamed = dataclasses.replace(account.profile, name=f"Renamed {known.id}")
                await node.register(account.id, renamed)
