"""LIST and LSUB: which mailboxes a pattern and its options choose, and what is said of each (RFC 9051 §6.3.9)."""

from __future__ import annotations

from collections.abc import Iterator

from mailquay.backends.memory import DELIMITER, MemoryMailStore
from mailquay.backends.memory_mailbox import MemoryMailbox
from mailquay.errors import MailboxNotFound
from mailquay.wire.imap.command_mailbox import List
from mailquay.wire.imap.listing import ListKind, ListResponse, ListReturn, ListSelection


def listed(
    store: MemoryMailStore, command: List, *, special_use: bool
) -> Iterator[tuple[ListResponse, MemoryMailbox | None]]:
    """The responses to a LIST or LSUB in order, each with its mailbox if it exists; `special_use` shows those too."""
    options = command.options
    patterns = [command.reference + pattern for pattern in command.patterns]
    by_subscription = command.kind is ListKind.LSUB or ListSelection.SUBSCRIBED in options.select
    chosen = _chosen(store, by_subscription=by_subscription, by_use=ListSelection.SPECIAL_USE in options.select)
    recursive = ListSelection.RECURSIVEMATCH in options.select or command.kind is ListKind.LSUB
    for path in _candidates(store, chosen, recursive=recursive):
        if not _fits(path, patterns):
            continue
        if path not in chosen:
            below = [one for one in chosen if one.startswith(path + DELIMITER)]
            if not below or _reached(below, patterns):
                continue
        mailbox = _find(store, path)
        attributes = set() if command.kind is ListKind.LSUB else _attributes(store, path, mailbox, special_use)
        if path not in chosen and command.kind is ListKind.LSUB:
            attributes.add("\\Noselect")
        if path in store.subscribed and (ListReturn.SUBSCRIBED in options.returns or by_subscription):
            attributes |= set() if command.kind is ListKind.LSUB else {"\\Subscribed"}
        child_info = ("SUBSCRIBED",) if path not in chosen and command.kind is ListKind.LIST else ()
        yield ListResponse(path, DELIMITER, frozenset(attributes), child_info=child_info, kind=command.kind), mailbox


def _chosen(store: MemoryMailStore, *, by_subscription: bool, by_use: bool) -> set[str]:
    """The paths that the selection options leave."""
    paths = set(store.subscribed) if by_subscription else {box.path for box in store.mailboxes()}
    if by_use:
        paths &= {box.path for box in store.mailboxes() if box.special_use}
    return paths


def _candidates(store: MemoryMailStore, chosen: set[str], *, recursive: bool) -> list[str]:
    """Every path that may be listed: the chosen ones, and those above them when they speak for their children."""
    paths = set(chosen)
    if recursive:
        for path in chosen:
            levels = path.split(DELIMITER)
            paths |= {DELIMITER.join(levels[:depth]) for depth in range(1, len(levels))}
    return sorted(paths, key=lambda path: (path != "INBOX", path))


def _reached(paths: list[str], patterns: list[str]) -> bool:
    """Whether all these paths match by themselves, so that nothing need be said above them (RFC 5258 §3.5)."""
    return all(_fits(path, patterns) for path in paths)


def _fits(path: str, patterns: list[str]) -> bool:
    return any(_matches(pattern, path) for pattern in patterns)


def _find(store: MemoryMailStore, path: str) -> MemoryMailbox | None:
    try:
        return store.mailbox(path)
    except MailboxNotFound:
        return None


def mailbox_attributes(store: MemoryMailStore, path: str, *, special_use: bool) -> set[str]:
    """The attributes that LIST gives to a path, existing or not."""
    return _attributes(store, path, _find(store, path), special_use)


def _attributes(store: MemoryMailStore, path: str, mailbox: MemoryMailbox | None, special_use: bool) -> set[str]:
    attributes = {"\\HasChildren" if store.has_children(path) else "\\HasNoChildren"}
    if mailbox is None:
        attributes.add("\\NonExistent")
    elif special_use:
        attributes |= mailbox.special_use
    return attributes


_MAX_PATTERN_CHARACTERS = 1000


def _matches(pattern: str, path: str) -> bool:
    """Whether a LIST pattern fits: `*` is anything, `%` anything within a level, INBOX ignores case.

    Follows all ways through the pattern at once, so that no pattern takes longer than its length times the path's.
    """
    if len(pattern) > _MAX_PATTERN_CHARACTERS:
        return False
    if pattern.partition(DELIMITER)[0].upper() == "INBOX":
        pattern = "INBOX" + pattern[len("INBOX") :]
    places = _past_wildcards(pattern, {0})
    for char in path:
        following = set()
        for place in places:
            if place == len(pattern):
                continue
            wanted = pattern[place]
            if wanted == "*" or (wanted == "%" and char != DELIMITER):
                following.add(place)
            elif wanted == char:
                following.add(place + 1)
        places = _past_wildcards(pattern, following)
    return len(pattern) in places


def _past_wildcards(pattern: str, places: set[int]) -> set[int]:
    """The places, and those reached by letting a wildcard stand for nothing."""
    reached = set(places)
    for start in places:
        place = start
        while place < len(pattern) and pattern[place] in "*%":
            place += 1
            reached.add(place)
    return reached
