"""From method and path to an operation: a tree of path segments, so that the number of operations costs nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mailquay.api.operation import Operation


@dataclass(slots=True)
class _Node:
    fixed: dict[str, _Node] = field(default_factory=dict)
    variable: tuple[str, _Node] | None = None
    operations: dict[str, Operation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """The operation, or None with the methods that the path has (none at all: no such path)."""

    operation: Operation | None
    path: dict[str, str]
    methods: tuple[str, ...] = ()


class Router:
    """Finds operations. Fixed segments win over variable ones."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Node()
        for operation in operations:
            self._add(operation)

    def _add(self, operation: Operation) -> None:
        node = self._root
        for segment in operation.path.strip("/").split("/") if operation.path != "/" else ():
            if segment.startswith("{"):
                name = segment.strip("{}")
                if node.variable is None:
                    node.variable = (name, _Node())
                assert node.variable[0] == name, f"{operation.path}: {name} has another name elsewhere"
                node = node.variable[1]
            else:
                node = node.fixed.setdefault(segment, _Node())
        assert operation.method not in node.operations, f"{operation.method} {operation.path} exists twice"
        node.operations[operation.method] = operation

    def match(self, method: str, segments: tuple[str, ...]) -> Match:
        """Find what a request asks for; HEAD is answered by GET."""
        node, path = self._root, dict[str, str]()
        for segment in segments:
            fixed = node.fixed.get(segment)
            if fixed is not None:
                node = fixed
            elif node.variable is not None and segment:
                path[node.variable[0]] = segment
                node = node.variable[1]
            else:
                return Match(None, {})
        operation = node.operations.get("GET" if method == "HEAD" else method)
        return Match(operation, path, tuple(node.operations))
