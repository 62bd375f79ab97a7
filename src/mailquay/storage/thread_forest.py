"""Which keys of messages belong to one conversation: a forest whose links are stored, and whose roots name threads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

Family = Sequence[int]
"""The keys that one message holds together, the most rootward first; empty for a message that is left out."""


class ThreadForest:
    """A key without a link is a root, so that most messages need no link. Every walk shortens the way that it went."""

    def __init__(self, links: Mapping[int, int]) -> None:
        """`links` lead from keys towards their roots, up to the roots of all keys that will be asked for."""
        self._stored = links
        self._links = dict(links)
        self._merged: list[int] = []

    def root(self, key: int) -> int:
        """The root of a key. Links that run in a circle, which only a damaged table has, end at its smallest key."""
        links = self._links
        if key not in links:
            return key
        way: list[int] = []
        while (above := links.get(key, key)) != key:
            way.append(key)
            if above in way:
                key = min(way[way.index(above) :])
                break
            key = above
        for below in way:
            links[below] = key
        return key

    def join(self, family: Family, heavy: Collection[int]) -> int:
        """Put the keys of a family into one tree, and return its root: that of the first key.

        A root in `heavy` has too many messages to be moved: it takes the others in, and two of them stay apart.
        """
        if len(family) == 1:
            return self.root(family[0])
        roots = list(dict.fromkeys([self.root(key) for key in family]))
        winner = next((root for root in roots if root in heavy), roots[0]) if heavy else roots[0]
        for root in roots:
            if root != winner and root not in heavy:
                self._links[root] = winner
                self._merged.append(root)
        return winner

    def rivals(self, families: Iterable[Family]) -> list[int]:
        """The roots of those families that have several."""
        found: dict[int, None] = {}
        for family in families:
            if len(family) > 1 and len(roots := dict.fromkeys([self.root(key) for key in family])) > 1:
                found.update(roots)
        return list(found)

    def changed(self) -> list[tuple[int, int]]:
        """The links that differ from those that were stored; each leads to its root."""
        ways = [(key, self.root(key)) for key in list(self._links)]
        return [(key, root) for key, root in ways if self._stored.get(key, key) != root]

    def merged(self) -> list[tuple[int, int]]:
        """The keys that were roots and are none any more, with the root that each has now."""
        return [(key, self.root(key)) for key in self._merged]
