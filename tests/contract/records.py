"""Accounts, events and submissions to be stored."""

from __future__ import annotations

import dataclasses

from mailquay.model.account import Account, AccountId, AccountProfile, ImapSettings
from mailquay.model.event import EventName, NewEvent
from mailquay.model.node import Fence
from mailquay.model.submission import Phase, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.storage.store import Store

NOW = 1_800_000_000_000
SECRET = "correct-horse-battery"


def named(profile: AccountProfile) -> AccountProfile:
    return dataclasses.replace(
        profile, name="Ann", email="ann@example.test", imap=ImapSettings(host="h", password=SECRET)
    )


async def register(store: Store, account_id: str = "ann") -> Account:
    return (await store.commit(store.accounts.upsert(AccountId(account_id), named, NOW))).account


def new_event(account: Account, n: int = 0, content: dict[str, object] | None = None) -> NewEvent:
    return NewEvent(account.number, EventName.MESSAGE_NEW, NOW + n, {"n": n}, content, path="INBOX")


def queued(account: Account, queue_id: str = "q1", due_ms: int = NOW) -> Submission:
    return Submission(
        queue_id=queue_id,
        account=account.number,
        message_id="<m@example.test>",
        envelope=SubmissionEnvelope("ann@example.test", ("bob@example.test",)),
        options=SubmissionOptions(subject="Plans"),
        phase=Phase.QUEUED,
        created_ms=NOW,
        scheduled_ms=due_ms,
        next_attempt_ms=due_ms,
        attempts_made=0,
        attempts=10,
        size_bytes=0,
        progress={"status": "queued"},
    )


async def own(store: Store, account: Account, node: str = "n1") -> Fence:
    await store.commit(store.nodes.register(node, "unix:x", ["sync"], 9000))
    leases = [lease for lease in await store.nodes.free() if lease.account == account.number]
    [won] = await store.commit(store.nodes.take(node, leases))
    return Fence(won.account, won.epoch)
