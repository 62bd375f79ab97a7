"""Contents that are kept: the last asked for, within their bytes."""

from __future__ import annotations

from mailquay.model.message import Structure
from mailquay.services.content_cache import ContentCache, ContentKey
from mailquay.services.message_content import MessageContent


def _content(size: int) -> MessageContent:
    return MessageContent((), b"h" * 100, Structure(), {"1": b"x" * (size - 100)})


def _key(uid: int) -> ContentKey:
    return ContentKey(1, uid, "*", None)


def test_who_was_not_asked_for_goes_first() -> None:
    cache = ContentCache(100_000)
    for uid in range(1, 10):
        cache.put(_key(uid), _content(10_000))
        assert cache.get(_key(1)) is not None and cache.size_bytes <= 100_000
    assert [uid for uid in range(1, 10) if cache.get(_key(uid)) is not None] == [1, 3, 4, 5, 6, 7, 8, 9]
    cache.put(_key(1), _content(5_000))
    cache.put(_key(1), _content(5_000))
    found = cache.get(_key(1))
    assert found is not None and found.total_bytes == 5_000
    assert cache.size_bytes == 7 * 12_048 + 7_048


def test_none_is_kept_that_takes_most_of_the_room_and_none_at_all_without_room() -> None:
    cache = ContentCache(100_000)
    cache.put(_key(1), _content(20_000))
    assert (cache.get(_key(1)), cache.size_bytes) == (None, 0)
    nothing = ContentCache(0)
    nothing.put(_key(1), _content(200))
    assert nothing.get(_key(1)) is None
