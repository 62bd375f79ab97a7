"""Threads of our own: by which keys a message is held together with those that it answers.

A key is a digest of account, base subject and Message-ID. Since the subject is part of it, a message that changes the
subject begins another thread, and those that change it alike from the same message meet again. The account's id is part
of it too, so that an account that is registered again has the same threads.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

from mailquay.mime.conversation import ids_in, own_id
from mailquay.mime.subject import base_subject
from mailquay.model.account import Account
from mailquay.model.mailbox import MailboxNumber
from mailquay.model.message import IndexEntry
from mailquay.storage.interface import Unit
from mailquay.storage.store import Store
from mailquay.storage.thread_forest import Family

_NO_FORMERS: Mapping[int, int] = {}


def family(account_id: str, mailbox: int, entry: IndexEntry) -> Family:
    """The keys of a message: what it refers to, oldest first, and itself.

    Empty when the server has put it into a thread, and while its envelope is not known.
    """
    envelope = entry.envelope
    if entry.thread_id is not None or envelope is None:
        return ()
    # None of the three can hold a line break, so that no two of them are taken for others.
    kind = hashlib.blake2b(
        f"{account_id}\n{base_subject(envelope.subject)}\n".encode("utf-8", "replace"), digest_size=8
    )
    own = own_id(envelope.message_id) or _makeshift_id(mailbox, entry)
    return [_key(kind, one) for one in dict.fromkeys((*entry.references, *ids_in(envelope.in_reply_to), own))]


def _key(kind: hashlib.blake2b, message_id: str) -> int:
    """63 bits, since the databases' integers are signed."""
    digest = kind.copy()
    digest.update(message_id.encode("utf-8", "replace"))
    return int.from_bytes(digest.digest(), "big") >> 1


def _makeshift_id(mailbox: int, entry: IndexEntry) -> str:
    """For a message without Message-ID what its copies in other mailboxes share, if there is enough, else its place."""
    envelope = entry.envelope
    if envelope is not None and envelope.date_ms is not None and envelope.from_:
        return f"date {envelope.date_ms} {envelope.from_[0].address}"
    return f"place {mailbox} {entry.uid}"


def placed(
    store: Store,
    account: Account,
    mailbox: MailboxNumber,
    entries: Sequence[IndexEntry],
    formers: Mapping[int, int] = _NO_FORMERS,
) -> Unit[list[int | None]]:
    """Put messages into threads and return the thread of each; to be run with what stores the entries.

    `formers` has the thread that a message was in before, by UID: it stays in it, whatever its keys are now.
    """
    families = [family(account.id, mailbox, entry) for entry in entries]
    for position, entry in enumerate(entries if formers else ()):
        if families[position] and entry.uid in formers:
            families[position] = [formers[entry.uid], *families[position]]
    return store.threads.place(account.number, families)


def threaded(entries: Sequence[IndexEntry], threads: Sequence[int | None]) -> list[IndexEntry]:
    """The entries with the threads that they were put into."""
    return [dataclasses.replace(entry, thread=thread) for entry, thread in zip(entries, threads, strict=True)]


async def looked_up(
    store: Store, account: Account, mailbox: MailboxNumber, entries: Sequence[IndexEntry]
) -> list[IndexEntry]:
    """The entries with the threads that they would be put into, for messages that are shown and not indexed."""
    families = [family(account.id, mailbox, entry) if entry.thread is None else () for entry in entries]
    roots = iter(await store.threads.roots(account.number, [keys[0] for keys in families if keys]))
    return [
        dataclasses.replace(entry, thread=next(roots)) if keys else entry
        for entry, keys in zip(entries, families, strict=True)
    ]
