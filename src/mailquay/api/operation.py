"""An operation of the API: where it is, who may call it, what it takes and gives, who answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import structlog
from pydantic import BaseModel

from mailquay.api.errors import account_missing
from mailquay.api.forwarding import Forwarder
from mailquay.api.http import Answer, Request, Streamed
from mailquay.api.principal import Principal
from mailquay.errors import NotOperational
from mailquay.model.account import Account

if TYPE_CHECKING:
    from mailquay.api.ports import ApiServices

_log = structlog.get_logger(__name__)
M = TypeVar("M", bound=BaseModel)
SMALL_BODY_BYTES = 1024 * 1024
SEVERAL_TEXTS_BYTES = 8 * 1024 * 1024
"""Room for a body of several texts of which each may be a megabyte."""


@dataclass(slots=True)
class Call:
    """One request that passed every check, with what it holds in checked form."""

    services: ApiServices
    forwarder: Forwarder
    request: Request
    operation: Operation
    principal: Principal
    path: Mapping[str, str]
    timeout_seconds: float
    query: BaseModel | None = None
    body: BaseModel | None = None
    raw_body: bytes | bytearray = b""
    json: Any = None
    form: Mapping[str, str] = field(default_factory=dict)
    found_account: Account | None = None

    def parameters(self, kind: type[M]) -> M:
        """The query in its checked form."""
        assert isinstance(self.query, kind)
        return self.query

    def payload(self, kind: type[M]) -> M:
        """The body in its checked form."""
        assert isinstance(self.body, kind)
        return self.body

    async def account(self) -> Account:
        """The account that the path names; it is read once.

        Raises HttpError (404) when there is none.
        """
        if self.found_account is None:
            self.found_account = await self.services.accounts.get(self.path["account"])
            if self.found_account is None:
                raise account_missing()
        return self.found_account

    async def reconnect(self, account: Account) -> None:
        """Have the owner of an account connect anew, wherever it is; one that nobody owns yet will be anyway."""
        try:
            node = await self.services.owners.owner(account.number)
            if node is None:
                self.services.accounts.reconnect(account)
            else:
                await self._ask_reconnect(node, account)
        except NotOperational as error:
            _log.info("reconnect_not_asked", reason=error.message)

    async def _ask_reconnect(self, node: str, account: Account) -> None:
        target = f"/v1/account/{quote(account.id, safe='')}/reconnect"
        answer = await self.forwarder.request(
            node, "PUT", target, b'{"reconnect":true}', self.principal, timeout_seconds=self.timeout_seconds
        )
        if answer.status != 200:
            _log.warning("reconnect_refused", node=node, status=answer.status)


Handler = Callable[[Call], Awaitable[Mapping[str, Any] | Answer | Streamed]]
"""Answers a call; a mapping goes out as JSON with status 200."""

OwnerNeed = Callable[[Call], Awaitable[bool]]
"""Whether the owner of the account has to answer a call."""


OtherNode = Callable[[Call], Awaitable[str | None]]
"""The address of another node that has what a call asks for; None when this one can answer."""


async def always(_call: Call) -> bool:
    """The operation needs the live session of the account."""
    return True


@dataclass(frozen=True, slots=True)
class Operation:
    """See the module. `path` has names in braces, as OpenAPI writes it.

    `action` and `group` are what a token with permissions needs; None: no such token may call it. `public` ones ask for
    no token. `needs_owner` decides whether the node that owns the account must answer, `other_node` finds one that must
    for another reason. `body_bytes` is how long a body may be, None as long as the operator lets submissions be.
    `takes_form`: the body is what an HTML form sends.
    `account_in_query`: a token bound to an account may call it with ?account=. `within_account`: it may
    call it at all, and is shown nothing but that account.
    """

    id: str
    method: str
    path: str
    tag: str
    summary: str
    handler: Handler
    action: str | None = None
    group: str | None = None
    scope: str = "api"
    public: bool = False
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    raw_json: bool = False
    takes_form: bool = False
    answer: type[BaseModel] | None = None
    answer_type: str = "application/json"
    headers: tuple[str, ...] = ()
    body_bytes: int | None = SMALL_BODY_BYTES
    needs_owner: OwnerNeed | None = None
    other_node: OtherNode | None = None
    account_in_query: bool = False
    within_account: bool = False
    documented: bool = True
    body_schema: Mapping[str, Any] | None = None
    description: str = ""
    empty_query: BaseModel | None = field(default=None, init=False, compare=False)

    def __post_init__(self) -> None:
        """Check an empty query once, since most requests have one."""
        if self.query is not None and not any(info.is_required() for info in self.query.model_fields.values()):
            object.__setattr__(self, "empty_query", self.query.model_validate({}))

    @property
    def takes_body(self) -> bool:
        """Whether a body is read."""
        return self.body is not None or self.raw_json or self.takes_form
