"""Threads as they are shown: those of a mailbox, and one with all its messages and why each belongs to it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from mailquay.errors import NotFound, Unsupported
from mailquay.mime.conversation import ids_in, own_id
from mailquay.model.account import Account
from mailquay.model.mailbox import Mailbox, MailboxNumber
from mailquay.model.message import Address
from mailquay.services import identifiers, presentation
from mailquay.services.mailboxes import MailboxService
from mailquay.services.report_events import with_bounces
from mailquay.storage.repositories.thread_reads import ThreadKey, ThreadMember, ThreadSums
from mailquay.storage.store import Store

_LOOKED_AT: Final = 20
"""So many of the latest messages of a thread tell who takes part in it."""
_MOST_MEMBERS: Final = 5000
"""Of so many messages it is told why they are in a thread; those beyond are not shown."""


class ThreadView:
    """Shows threads from the index, on any node."""

    def __init__(self, store: Store, mailboxes: MailboxService) -> None:
        self._store = store
        self._mailboxes = mailboxes

    async def page(self, account: Account, *, path: str | None, page: int, page_size: int) -> dict[str, Any]:
        """One page of the threads that have messages in a mailbox, the one with the newest message first.

        Without a path it is the mailbox of all mail where there is one, else INBOX. Raises MailboxNotFound,
        NotOperational, and Unsupported for an account without an index.
        """
        _need_index(account)
        mailbox = await self._chosen(account, path)
        uids = await self._store.thread_reads.heads(mailbox.number, limit=page_size + 1, offset=page * page_size)
        heads = await self._store.messages.several(mailbox.number, uids[:page_size])
        members = [ThreadMember(mailbox.number, entry) for entry in heads]
        keys = [member.thread for member in members if member.thread is not None]
        sums = await self._store.thread_reads.sums(account.number, keys)
        latest: dict[ThreadKey, list[ThreadMember]] = defaultdict(list)
        for one in await self._store.thread_reads.latest(account.number, keys, _LOOKED_AT):
            if one.thread is not None:
                latest[one.thread].append(one)
        paths = await self._paths(account)
        shown = [
            _summary(member, sums[member.thread], latest[member.thread], paths)
            for member in members
            if member.thread in sums
        ]
        await with_bounces(self._store, [(account.number, thread["lastMessage"]) for thread in shown])
        more = len(uids) > page_size
        return {
            "path": mailbox.listing.path,
            "page": page,
            "nextPageCursor": identifiers.encode_cursor(page + 1) if more else None,
            "prevPageCursor": identifiers.encode_cursor(page - 1) if page else None,
            "threads": shown,
        }

    async def get(self, account: Account, thread_id: str, *, page: int, page_size: int) -> dict[str, Any]:
        """A thread with one page of its messages in all mailboxes, the first received first.

        Raises NotFound (ThreadNotFound), and Unsupported for an account without an index.
        """
        _need_index(account)
        key: ThreadKey = thread_id
        if (ours := identifiers.parse_thread_id(thread_id)) is not None:
            [key] = await self._store.threads.roots(account.number, [ours])
        members = await self._store.thread_reads.members(account.number, key, _MOST_MEMBERS)
        if not members:
            raise NotFound("there is no such thread", code="ThreadNotFound")
        shown = await asyncio.to_thread(_shown, members, await self._paths(account), page, page_size)
        await with_bounces(self._store, [(account.number, message) for message in shown["messages"]])
        return shown

    async def _chosen(self, account: Account, path: str | None) -> Mailbox:
        if path is not None:
            return await self._mailboxes.find(account, path)
        return await self._mailboxes.with_special_use(account, "\\All") or await self._mailboxes.find(account, "INBOX")

    async def _paths(self, account: Account) -> dict[MailboxNumber, str]:
        boxes = await self._store.mailboxes.of_account(account.number)
        return {box.number: box.listing.path for box in boxes}


def _need_index(account: Account) -> None:
    if not account.profile.indexed:
        raise Unsupported("an account without an index has no list of threads")


def _summary(
    head: ThreadMember, sums: ThreadSums, latest: Sequence[ThreadMember], paths: dict[MailboxNumber, str]
) -> dict[str, Any]:
    people = {address.address.lower(): address for one in reversed(latest) for address in _authors(one)}
    shown: dict[str, Any] = {
        "threadId": presentation.public_thread(head.entry),
        "messages": sums.messages,
        "unseen": sums.unseen,
        "participants": [presentation.address(address) for address in people.values()],
        "paths": sorted({paths[one.mailbox] for one in latest if one.mailbox in paths}),
        "lastMessage": _entry(head, paths),
    }
    if head.entry.envelope is not None and head.entry.envelope.subject is not None:
        shown["subject"] = head.entry.envelope.subject
    if sums.first_ms is not None:
        shown["firstDate"] = presentation.iso(sums.first_ms)
    if sums.last_ms is not None:
        shown["lastDate"] = presentation.iso(sums.last_ms)
    return shown


def _authors(member: ThreadMember) -> Sequence[Address]:
    return member.entry.envelope.from_ if member.entry.envelope is not None else ()


def _entry(member: ThreadMember, paths: dict[MailboxNumber, str]) -> dict[str, Any]:
    shown = presentation.message_entry(member.mailbox, member.entry)
    return {"id": shown.pop("id"), "uid": shown.pop("uid"), "path": paths.get(member.mailbox, ""), **shown}


def _shown(
    members: Sequence[ThreadMember], paths: dict[MailboxNumber, str], page: int, page_size: int
) -> dict[str, Any]:
    reasons = _reasons(members)
    start = page * page_size
    first = members[0].entry.envelope
    shown: dict[str, Any] = {
        "threadId": presentation.public_thread(members[0].entry),
        "total": len(members),
        "page": page,
        "pages": max(1, -(-len(members) // page_size)),
        "messages": [
            _entry(member, paths) | {"because": reasons[start + place]}
            for place, member in enumerate(members[start : start + page_size])
        ],
    }
    if first is not None and first.subject is not None:
        shown["subject"] = first.subject
    return shown


def _reasons(members: Sequence[ThreadMember]) -> list[list[dict[str, str]]]:
    """Why each message is in the thread, as far as envelopes tell: `by`, and the message that it has to do with.

    server: its server says so. copy: one with the same Message-ID is. inReplyTo: its In-Reply-To names one. answered:
    one names it there. references: only its References lead here, or it is the first.
    """
    own: dict[str, int] = {}
    answered: dict[str, int] = {}
    for place, member in enumerate(members):
        envelope = member.entry.envelope
        if envelope is None:
            continue
        if (message_id := own_id(envelope.message_id)) is not None:
            own.setdefault(message_id, place)
        for one in ids_in(envelope.in_reply_to):
            answered.setdefault(one, place)
    return [_because(member, place, members, own, answered) for place, member in enumerate(members)]


def _because(
    member: ThreadMember, place: int, members: Sequence[ThreadMember], own: dict[str, int], answered: dict[str, int]
) -> list[dict[str, str]]:
    if member.entry.thread_id is not None:
        return [{"by": "server"}]
    found: list[tuple[str, int]] = []
    envelope = member.entry.envelope
    message_id = own_id(envelope.message_id) if envelope is not None else None
    if envelope is not None:
        found += [("inReplyTo", own[one]) for one in ids_in(envelope.in_reply_to) if one in own]
    if message_id is not None and message_id in answered:
        found.append(("answered", answered[message_id]))
    if message_id is not None and own[message_id] != place:
        found.append(("copy", own[message_id]))
    reasons = [
        {"by": by, "message": identifiers.message_id(members[other].mailbox, members[other].entry.uid)}
        for by, other in found
        if other != place
    ]
    return reasons or [{"by": "references" if len(members) > 1 else "first"}]
