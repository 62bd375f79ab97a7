"""What the API calls: the services, and what else bootstrap joins to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from mailquay.backends.interface import SearchTerms
from mailquay.model.account import Account
from mailquay.services.accounts import AccountService
from mailquay.services.blocklists import BlocklistService
from mailquay.services.exports import ExportService
from mailquay.services.gateways import GatewayService
from mailquay.services.memory_budget import MemoryBudget
from mailquay.services.message_request import ByteRange, Download, MessageChanges, ReadOptions
from mailquay.services.oauth_token import OAuthTokenService
from mailquay.services.ports import Clock, OwnerDirectory
from mailquay.services.settings import SettingsService
from mailquay.services.stats import StatsService
from mailquay.services.submit_request import SubmitRequest
from mailquay.services.templates import TemplateService
from mailquay.services.tokens import TokenService
from mailquay.services.unified_search import UnifiedRequest
from mailquay.services.unsubscribe import UnsubscribeService
from mailquay.services.upload import UploadRequest
from mailquay.services.verify import VerifyService


class Mailboxes(Protocol):
    """The mailboxes of an account, in their public form."""

    async def list(self, account: Account, *, counters: bool, timeout_seconds: float) -> list[dict[str, Any]]:
        """All of them; `counters` asks the server how many messages each has."""
        ...

    async def create(self, account: Account, names: Sequence[str], *, timeout_seconds: float) -> dict[str, Any]:
        """Make one, at a path or below one level after the other."""
        ...

    async def change(
        self,
        account: Account,
        path: str,
        *,
        new_names: Sequence[str] | None,
        subscribed: bool | None,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """Rename one, subscribe to it or unsubscribe."""
        ...

    async def delete(self, account: Account, path: str, *, timeout_seconds: float) -> dict[str, Any]:
        """Delete one with all its messages."""
        ...


class Messages(Protocol):
    """The messages of an account, in their public form."""

    async def needs_owner(self, account: Account, path: str) -> bool:
        """Whether only the owner of the account can list this mailbox, because our index of it is not current."""
        ...

    async def page(
        self, account: Account, *, path: str, page: int, page_size: int, timeout_seconds: float
    ) -> dict[str, Any]:
        """One page of a mailbox, newest first."""
        ...

    async def get(
        self, account: Account, message_id: str, options: ReadOptions, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """One message."""
        ...

    async def text(
        self,
        account: Account,
        text_id: str,
        *,
        text_type: str,
        max_characters: int | None,
        web_safe_html: bool,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """The text of a message."""
        ...

    def attachment(
        self, account: Account, attachment_id: str, *, timeout_seconds: float
    ) -> AbstractAsyncContextManager[Download]:
        """An attachment as a stream."""
        ...

    def source(
        self, account: Account, message_id: str, *, timeout_seconds: float, wanted: ByteRange | None = None
    ) -> AbstractAsyncContextManager[Download]:
        """A message as a stream, whole, or some bytes of it."""
        ...

    async def update(
        self, account: Account, message_id: str, changes: MessageChanges, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """Change flags and labels."""
        ...

    async def move(self, account: Account, message_id: str, path: str, *, timeout_seconds: float) -> dict[str, Any]:
        """Move a message to another mailbox."""
        ...

    async def delete(self, account: Account, message_id: str, *, force: bool, timeout_seconds: float) -> dict[str, Any]:
        """Move a message to the trash, or delete it for good."""
        ...

    async def search_needs_owner(self, account: Account, path: str, terms: SearchTerms) -> bool:
        """Whether only the owner of the account can do this search, because our index does not have the answer."""
        ...

    async def search(
        self, account: Account, *, path: str, terms: SearchTerms, page: int, page_size: int, timeout_seconds: float
    ) -> dict[str, Any]:
        """One page of the messages of a mailbox that match, newest first."""
        ...

    async def update_all(
        self, account: Account, path: str, terms: SearchTerms, changes: MessageChanges, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """Change flags and labels of all messages that match."""
        ...

    async def move_all(
        self, account: Account, path: str, terms: SearchTerms, target_path: str, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """Move all messages that match."""
        ...

    async def delete_all(
        self, account: Account, path: str, terms: SearchTerms, *, force: bool, timeout_seconds: float
    ) -> dict[str, Any]:
        """Move all messages that match to the trash, or delete them for good."""
        ...


class Threads(Protocol):
    """Messages that belong together, in their public form."""

    async def page(self, account: Account, *, path: str | None, page: int, page_size: int) -> dict[str, Any]:
        """One page of the threads of a mailbox."""
        ...

    async def get(self, account: Account, thread_id: str, *, page: int, page_size: int) -> dict[str, Any]:
        """A thread with one page of its messages."""
        ...


class Searches(Protocol):
    """Searches over many accounts."""

    async def search(self, request: UnifiedRequest, *, timeout_seconds: float) -> dict[str, Any]:
        """One page of what is found in all of them, newest first."""
        ...


class Uploads(Protocol):
    """Messages on their way into a mailbox."""

    async def upload(self, account: Account, request: UploadRequest, *, timeout_seconds: float) -> dict[str, Any]:
        """Add a message to a mailbox."""
        ...


class Submissions(Protocol):
    """Messages on their way out."""

    async def submit(
        self, account: Account, request: SubmitRequest, *, idempotency_key: str | None, timeout_seconds: float
    ) -> dict[str, Any]:
        """Queue a message."""
        ...


class Drafts(Protocol):
    """Drafts on their way out."""

    async def submit_draft(
        self,
        account: Account,
        message_id: str,
        request: SubmitRequest,
        *,
        idempotency_key: str | None,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """Queue a draft; `request` says how to send it."""
        ...


class Outbox(Protocol):
    """What waits to be sent, in its public form."""

    async def page(self, *, page: int, page_size: int) -> dict[str, Any]:
        """One page."""
        ...

    async def get(self, queue_id: str) -> dict[str, Any] | None:
        """One entry."""
        ...

    async def delete(self, queue_id: str) -> bool:
        """Remove an entry; False when it is gone already."""
        ...

    async def resolve(self, queue_id: str, outcome: str) -> None:
        """Settle an uncertain entry."""
        ...

    async def retry(self, queue_id: str) -> bool:
        """Have a waiting entry sent now; False when there is none."""
        ...


class Autoconfig(Protocol):
    """Finds mail servers."""

    async def discover(self, email: str) -> dict[str, Any]:
        """The servers of an address, in their public form."""
        ...


class Meter(Protocol):
    """Counts requests and shows every metric."""

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answered request."""
        ...

    async def render(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        ...


class Health(Protocol):
    """Whether this node can do its work."""

    async def check(self) -> None:
        """Return when the store answers and the node lives; raises MailquayError or TimeoutError otherwise."""
        ...


class AccountLog(Protocol):
    """The protocol logs of accounts."""

    async def read(self, account: Account) -> list[str]:
        """The lines that an account's log has, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class ApiServices:
    """Everything the API calls. `node_secret` is shared by all nodes and signs what they forward to each other."""

    accounts: AccountService
    tokens: TokenService
    settings: SettingsService
    oauth_tokens: OAuthTokenService
    stats: StatsService
    verify: VerifyService
    autoconfig: Autoconfig
    mailboxes: Mailboxes
    messages: Messages
    submission: Submissions
    drafts: Drafts
    searches: Searches
    upload: Uploads
    threads: Threads
    outbox: Outbox
    templates: TemplateService
    blocklists: BlocklistService
    unsubscribe: UnsubscribeService
    gateways: GatewayService
    exports: ExportService
    owners: OwnerDirectory
    meter: Meter
    health: Health
    account_log: AccountLog
    clock: Clock
    node_secret: bytes
    memory: MemoryBudget
