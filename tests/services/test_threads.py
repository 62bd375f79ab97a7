"""Which messages belong together: by their keys, whatever the order in which they arrive, and whatever they claim."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.conversation import references_in
from mailquay.model.message import Address, Envelope, IndexEntry, Uid
from mailquay.services import identifiers
from mailquay.services.threads import family
from mailquay.storage.thread_forest import Family, ThreadForest


class _Kept:
    """What `thread_links` and `messages.thread` hold, as the repository writes them."""

    def __init__(self) -> None:
        self.links: dict[int, int] = {}
        self.threads: dict[int, int] = {}

    def arrive(self, batch: Sequence[tuple[int, Family]]) -> None:
        """Messages, by number, that are placed in one unit."""
        forest = ThreadForest(dict(self.links))
        placed = [forest.join(keys, ()) for _, keys in batch]
        self.links.update(forest.changed())
        moved = dict(forest.merged())
        self.threads = {number: moved.get(thread, thread) for number, thread in self.threads.items()}
        self.threads.update((number, forest.root(thread)) for (number, _), thread in zip(batch, placed, strict=True))

    def root(self, key: int) -> int:
        """Where a key leads."""
        return ThreadForest(self.links).root(key)

    def groups(self) -> set[frozenset[int]]:
        """The messages by thread."""
        found: dict[int, set[int]] = {}
        for number, thread in self.threads.items():
            found.setdefault(thread, set()).add(number)
        return {frozenset(group) for group in found.values()}


def _message(
    message_id: str | None, *references: str, subject: str | None = "Topic", in_reply_to: str | None = None
) -> IndexEntry:
    envelope = Envelope(subject=subject, message_id=message_id, in_reply_to=in_reply_to)
    return IndexEntry(Uid(1), envelope=envelope, references=references)


def _together(families: Iterable[Family]) -> set[frozenset[int]]:
    """Messages that share a key, or share one with a message between: the meaning of it, computed in the slow way."""
    groups: list[tuple[set[int], set[int]]] = []
    for number, keys in enumerate(families):
        numbers, shared = {number}, set(keys)
        for other in [group for group in groups if group[1] & shared]:
            groups.remove(other)
            numbers |= other[0]
            shared |= other[1]
        groups.append((numbers, shared))
    return {frozenset(numbers) for numbers, _ in groups}


def _in_batches(order: Sequence[int], sizes: Sequence[int]) -> list[Sequence[int]]:
    batches, start = [], 0
    for size in sizes:
        batches.append(order[start : start + size])
        start += size
    return [batch for batch in [*batches, order[start:]] if batch]


_FAMILIES = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=5), min_size=1, max_size=10)
_SIZES = st.lists(st.integers(1, 4), max_size=6)


@given(_FAMILIES, _SIZES, st.randoms(use_true_random=False))
def test_who_belongs_together_does_not_depend_on_the_order(
    families: list[list[int]], sizes: list[int], random: object
) -> None:
    order = list(range(len(families)))
    random.shuffle(order)  # type: ignore[attr-defined]
    kept = _Kept()
    for batch in _in_batches(order, sizes):
        kept.arrive([(number, families[number]) for number in batch])
    assert kept.groups() == _together(families)
    for number, keys in enumerate(families):
        # Every name that a thread ever had leads to it.
        assert {kept.root(key) for key in keys} == {kept.threads[number]}


@st.composite
def _conversations(draw: st.DrawFn) -> list[IndexEntry]:
    """Messages that each answer one before them, with all of its references, or some, or only In-Reply-To."""
    messages = [_message("<0@x>")]
    for number in range(1, draw(st.integers(2, 9))):
        parent = messages[draw(st.integers(0, number - 1))]
        assert parent.envelope is not None and parent.envelope.message_id is not None
        own = parent.envelope.message_id.strip("<>")
        kept = draw(st.sampled_from(["all", "first", "last", "none"]))
        known = {"all": parent.references, "first": parent.references[:1], "last": (), "none": ()}[kept]
        references = () if kept == "none" else (*known, own)
        subject = draw(st.sampled_from(["Topic", "Re: Topic", "AW: Re: topic", "[list] Topic (fwd)"]))
        messages.append(_message(f"<{number}@x>", *references, subject=subject, in_reply_to=f"<{own}>"))
    return messages


@given(_conversations(), _SIZES, st.randoms(use_true_random=False))
def test_any_order_of_a_conversation_ends_with_one_thread(
    messages: list[IndexEntry], sizes: list[int], random: object
) -> None:
    order = list(range(len(messages)))
    random.shuffle(order)  # type: ignore[attr-defined]
    kept = _Kept()
    for batch in _in_batches(order, sizes):
        kept.arrive([(number, family("ann", 1, messages[number])) for number in batch])
    assert len(kept.groups()) == 1


def test_a_message_with_whole_references_is_in_the_thread_of_the_first_at_once() -> None:
    first, answer = _message("<0@x>"), _message("<2@x>", "0@x", "1@x")
    kept = _Kept()
    kept.arrive([(1, family("ann", 1, answer))])
    kept.arrive([(0, family("ann", 1, first))])
    assert kept.threads == dict.fromkeys((0, 1), family("ann", 1, first)[0])


def test_another_subject_is_another_thread_and_meets_those_who_change_it_alike() -> None:
    messages = [
        _message("<0@x>"),
        _message("<1@x>", "0@x", subject="Re: Topic"),
        _message("<2@x>", "0@x", subject="Something else"),
        _message("<3@x>", "0@x", subject="SOMETHING ELSE"),
        _message("<4@x>", "0@x", "2@x", subject="Re: Something else"),
    ]
    kept = _Kept()
    for number, message in enumerate(messages):
        kept.arrive([(number, family("ann", 1, message))])
    assert kept.groups() == {frozenset([0, 1]), frozenset([2, 3, 4])}


def test_keys_are_those_of_the_account_and_the_same_every_time() -> None:
    message = _message("<1@x>", "0@x")
    assert family("ann", 1, message) == family("ann", 2, message) == [6512658589937602440, 6739800111548078981]
    assert set(family("bob", 1, message)).isdisjoint(family("ann", 1, message))


def test_what_a_server_threads_and_what_is_not_read_has_no_keys() -> None:
    message = _message("<1@x>")
    assert family("ann", 1, dataclasses.replace(message, thread_id="T1")) == ()
    assert family("ann", 1, dataclasses.replace(message, envelope=None)) == ()


def test_messages_that_answer_each_other_are_one_thread() -> None:
    kept = _Kept()
    for number in range(3):
        kept.arrive([(number, family("ann", 1, _message(f"<{number}@x>", f"{(number + 1) % 3}@x")))])
    assert len(kept.groups()) == 1
    assert list(family("ann", 1, _message("<1@x>", "1@x", in_reply_to="<1@x>"))) == list(
        family("ann", 1, _message("<1@x>"))
    )


def test_forged_references_cost_little() -> None:
    header = b"References: " + b" ".join(b"<%d@x>" % n for n in range(200_000))
    began = time.process_time()
    keys = family("ann", 1, _message("<own@x>", *references_in(header), in_reply_to="<a@x>" * 100_000))
    assert len(keys) <= 43
    assert time.process_time() - began < 1


def test_without_a_message_id_copies_are_recognised_by_what_they_share() -> None:
    envelope = Envelope(date_ms=5000, subject="Report", from_=(Address("Cron", "cron@x"),))
    here, there = IndexEntry(Uid(1), envelope=envelope), IndexEntry(Uid(9), envelope=envelope)
    assert family("ann", 1, here) == family("ann", 2, there)
    for change in ({"date_ms": 6000}, {"subject": "Other"}, {"from_": (Address("", "other@x"),)}):
        other = IndexEntry(Uid(1), envelope=dataclasses.replace(envelope, **change))
        assert set(family("ann", 1, other)).isdisjoint(family("ann", 1, here))
    bare = [IndexEntry(Uid(uid), envelope=Envelope(subject="Report")) for uid in (1, 2)]
    assert len({family("ann", box, entry)[0] for box in (1, 2) for entry in bare}) == 4


@given(st.integers(0, 2**63 - 1))
def test_public_ids(thread: int) -> None:
    shown = identifiers.thread_id(thread)
    assert len(shown) == 17 and shown.startswith("mqt_") and shown == shown.lower()
    assert identifiers.parse_thread_id(shown) == thread


@given(st.text(max_size=20) | st.from_regex(r"mqt_[a-z2-7A-Z=]{11,14}", fullmatch=True))
def test_other_texts_are_no_ids_of_ours(text: str) -> None:
    thread = identifiers.parse_thread_id(text)
    assert thread is None or identifiers.thread_id(thread) == text
