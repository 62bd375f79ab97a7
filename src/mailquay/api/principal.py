"""Who makes a request, as far as handlers need to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailquay.model.token import Token


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of a token, or nobody (`token_id` None) where tokens are not asked for.

    `narrowed`: the token has permissions and so may do less than the account's owner could. `account` is the only
    account it may use. `headers` go along with the answer. `address` is where the request comes from.
    """

    address: str
    token_id: str | None = None
    account: str | None = None
    narrowed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, token: Token, address: str, headers: Mapping[str, str]) -> Principal:
        """The bearer of a token."""
        return cls(address, token.id, token.account, token.permissions is not None, headers)
