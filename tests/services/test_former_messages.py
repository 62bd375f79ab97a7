"""Messages are found again under new UIDs, each once, by what identifies them best."""

from __future__ import annotations

import time
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from mailquay.model.account import AccountNumber
from mailquay.model.digest import message_digest
from mailquay.model.mailbox import MailboxNumber
from mailquay.model.message import Envelope, IndexEntry, MessageRef, Uid
from mailquay.services.former_messages import FormerMessages
from mailquay.storage.repositories.replacements import Former

_ACCOUNT = AccountNumber(7)


def former(uid: int, message_id: str | None = None, size: int = 1, second: int = 1, email: str | None = None) -> Former:
    """A former message."""
    digest = message_digest(_ACCOUNT, message_id) if message_id else None
    return Former(MessageRef(MailboxNumber(1), Uid(uid)), (), second * 1000, size, email, digest)


def entry(
    uid: int, message_id: str | None = None, size: int = 1, second: int = 1, email: str | None = None
) -> IndexEntry:
    """A message as the server has it now."""
    return IndexEntry(
        uid=Uid(uid),
        internal_date_ms=second * 1000 + 999,
        size_bytes=size,
        envelope=Envelope(message_id=message_id),
        email_id=email,
    )


def found(formers: list[Former], *entries: IndexEntry) -> list[int | None]:
    """The former UIDs of the entries."""
    known = FormerMessages(_ACCOUNT)
    known.add(formers)
    return [None if (one := known.take(item)) is None else one.ref.uid for item in entries]


def test_a_message_id_is_enough() -> None:
    assert found([former(1, "<a>"), former(2, "<b>")], entry(9, "<b>", 5, 5), entry(8, "<a>", 1, 7)) == [2, 1]


def test_among_copies_size_and_date_decide() -> None:
    copies = [former(1, "<a>", second=1), former(2, "<a>", second=2), former(3, "<a>", second=3)]
    assert found(copies, entry(1, "<a>", second=3), entry(2, "<a>", second=2), entry(3, "<a>", second=9)) == [3, 2, 1]


def test_without_message_ids_size_and_date_are_enough() -> None:
    assert found([former(1, size=7), former(2, size=8)], entry(1, size=8), entry(2, "<x>", size=7)) == [2, 1]
    assert found([former(1, size=7)], entry(1, size=7, second=2)) == [None]


def test_size_and_date_say_nothing_against_a_message_id() -> None:
    assert found([former(1, "<a>", size=7)], entry(1, "<b>", size=7)) == [None]


def test_a_provider_id_comes_first_and_may_be_lost() -> None:
    formers = [former(1, "<a>", email="e1"), former(2, "<a>", email="e2")]
    assert found(formers, entry(1, "<a>", email="e2"), entry(2, "<a>")) == [2, 1]
    assert found([former(1, "<a>", email="e1")], entry(1, "<a>", email="x1")) == [1]


def test_what_was_not_found_is_left() -> None:
    known = FormerMessages(_ACCOUNT)
    known.add([former(1, "<a>"), former(2), former(3, email="e"), former(4, email="f"), former(5, "<b>")])
    assert known.take(entry(5, "<a>", size=9)) is not None
    assert [(one.ref.uid, known.recognisable(one)) for one in known.left()] == [
        (2, False),
        (3, False),
        (4, False),
        (5, True),
    ]
    assert known.take(entry(6, "<c>", size=9, email="e")) is not None
    assert [known.recognisable(one) for one in known.left()] == [False, True, True]


def test_a_server_that_makes_new_provider_ids_has_the_same_messages() -> None:
    """Before its envelope is read, nothing but its id, its size and its date are known of a message."""
    known = [former(1, size=7, email="e1"), former(2, size=8, email="e2")]
    assert found(known, entry(1, "<b>", size=8, email="x1"), entry(2, "<a>", size=7, email="x2")) == [2, 1]


def test_half_a_million_need_little_memory() -> None:
    known = FormerMessages(_ACCOUNT)
    formers = [former(uid, f"<{uid}>", size=uid, email=f"e{uid}") for uid in range(20_000)]
    tracemalloc.start()
    known.add(formers)
    size_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size_bytes / len(formers) < 500


def test_many_that_are_alike_take_no_longer_each() -> None:
    known = FormerMessages(_ACCOUNT)
    known.add([former(uid, "<same>", second=uid) for uid in range(1, 50_001)])
    began = time.process_time()
    assert all(known.take(entry(uid, "<same>", second=100_000)) for uid in range(1, 50_001))
    assert time.process_time() - began < 5


_some = st.tuples(st.sampled_from([None, "<a>", "<b>", "<c>"]), st.integers(1, 3), st.integers(1, 3))


@given(st.lists(_some, max_size=12), st.randoms())
def test_every_message_that_is_still_there_is_found_and_none_twice(
    messages: list[tuple[str | None, int, int]], random: object
) -> None:
    formers = [former(uid, *one) for uid, one in enumerate(messages, 1)]
    entries = [entry(100 - uid, *one) for uid, one in enumerate(messages, 1)]
    random.shuffle(entries)  # type: ignore[attr-defined]
    places = found(formers, *entries)
    assert sorted(place for place in places if place is not None) == [one.ref.uid for one in formers]
