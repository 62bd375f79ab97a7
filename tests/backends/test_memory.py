"""The mail store in memory, where its servers' tests do not reach."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailquay.backends.memory import MemoryMailStore
from mailquay.backends.memory_mailbox import MAX_KEYWORDS
from mailquay.errors import CommandRejected, MailboxNotFound


def test_every_change_raises_the_modseq_and_is_told() -> None:
    store = MemoryMailStore()
    inbox = store.mailbox("inbox")
    told: list[int] = []
    stop = inbox.listen(lambda: told.append(inbox.highestmodseq))
    first, second = store.append("INBOX", b"a"), store.append("INBOX", b"b")
    store.set_flags(inbox, [(first, frozenset(["\\Seen"]))])
    store.set_flags(inbox, [(first, frozenset(["\\Seen"]))])
    store.expunge(inbox, [second])
    store.expunge(inbox, [second])
    assert told == sorted(set(told))
    assert len(told) == 4
    assert (first.modseq, second.expunged, [one.uid for one in inbox.after(0)]) == (told[2], True, [1])
    stop()
    stop()
    store.append("INBOX", b"c")
    assert len(told) == 4
    assert inbox.uidnext == 4


def test_uids_are_never_given_twice() -> None:
    store = MemoryMailStore()
    inbox = store.mailbox("INBOX")
    for expected in (1, 2, 3):
        message = store.append("INBOX", b"x")
        assert message.uid == expected
        store.expunge(inbox, [message])
    old = store.create("Box").uidvalidity
    store.delete("Box")
    assert store.create("Box").uidvalidity > old


def test_flags_keep_one_spelling_and_have_a_limit() -> None:
    store = MemoryMailStore()
    inbox = store.mailbox("INBOX")
    assert store.append("INBOX", b"x", ["Work", "\\Recent", "\\Unknown", "\\Seen"]).flags == {"Work", "\\Seen"}
    assert store.append("INBOX", b"x", ["wORK"]).flags == {"Work"}
    with pytest.raises(CommandRejected):
        store.append("INBOX", b"x", ["k" * 101])
    with pytest.raises(CommandRejected) as many:
        store.append("INBOX", b"x", [f"k{number}" for number in range(MAX_KEYWORDS)])
    assert many.value.response_code == "LIMIT"
    assert len(inbox) == 2
    assert inbox.keywords == {"Work"}


def test_a_refused_copy_leaves_nothing_behind() -> None:
    store = MemoryMailStore(quota_bytes=10)
    store.create("Box")
    messages = [store.append("INBOX", b"123") for _ in range(2)]
    with pytest.raises(CommandRejected):
        store.copy(messages, "Box")
    assert len(store.mailbox("Box")) == 0
    with pytest.raises(MailboxNotFound):
        store.move(store.mailbox("INBOX"), messages, "Nowhere")
    assert len(store.mailbox("INBOX")) == 2
    assert [copy.uid for copy in store.copy(messages[:1], "Box")] == [1]


def test_copies_keep_dates_flags_and_ids() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    store = MemoryMailStore(clock=lambda: now)
    received = datetime(2025, 1, 1, tzinfo=UTC)
    message = store.append("INBOX", b"Message-ID: <a@b>\r\nReferences: <r@b>\r\n\r\nx", ["\\Seen"], received)
    reply = store.append("INBOX", b"In-Reply-To: <r@b>\r\n\r\ny")
    store.create("Box")
    [copied] = store.copy([message], "Box")
    assert (copied.received, copied.saved, copied.flags) == (received, now, frozenset(["\\Seen"]))
    assert (copied.email_id, copied.thread_id) == (message.email_id, message.thread_id)
    assert reply.thread_id == message.thread_id
    assert reply.email_id != message.email_id


def test_limits_of_mailboxes() -> None:
    store = MemoryMailStore()
    for path in ("", "/", "a//b", "x" * 501, "/".join("abcdefghijklmnopqrstu")):
        with pytest.raises(CommandRejected):
            store.create(path)
    for number in range(999):
        store.create(f"m{number}")
    with pytest.raises(CommandRejected) as many:
        store.create("one more")
    assert many.value.response_code == "LIMIT"
