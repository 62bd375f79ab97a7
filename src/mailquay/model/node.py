"""Nodes and leases: which process owns which account."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.model.account import AccountNumber

ROLES = ("sync", "api", "admin")
"""What a node can do; owners of accounts have the role sync."""


@dataclass(frozen=True, slots=True)
class Node:
    """A live (or lately live) process. `address` is where other nodes reach its internal HTTP: a URL or unix:PATH."""

    id: str
    address: str
    roles: tuple[str, ...]
    draining: bool
    started_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Ownership of an account. Each change of owner raises `epoch`; every write of the owner carries it."""

    account: AccountNumber
    node: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Fence:
    """What an owner's write carries: it is refused (errors.Fenced) unless the lease still has this epoch."""

    account: AccountNumber
    epoch: int
