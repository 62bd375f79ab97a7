"""The API over real HTTP and a real store; the services that need mail servers are recorded instead."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn
from yarl import URL

from mailquay.api.app import Api, build_app
from mailquay.api.ports import ApiServices
from mailquay.backends.imap.traffic import Traffic
from mailquay.backends.interface import SearchTerms
from mailquay.config import Config
from mailquay.errors import MessageNotFound, NotFound, NotOperational
from mailquay.model.account import Account, AccountNumber, ImapSettings, SmtpSettings
from mailquay.model.mailbox import ListedMailbox
from mailquay.model.node import Fence
from mailquay.net.egress import EgressPolicy
from mailquay.net.http import HttpClient
from mailquay.runtime.logs import AccountLogs
from mailquay.runtime.metrics import Metrics
from mailquay.services.accounts import AccountService
from mailquay.services.auth_server import AuthServer
from mailquay.services.blocklists import BlocklistService
from mailquay.services.exports import ExportService
from mailquay.services.gateways import GatewayService
from mailquay.services.memory_budget import MemoryBudget
from mailquay.services.message_request import ByteRange, Download, MessageChanges, ReadOptions
from mailquay.services.oauth_token import OAuthTokenService
from mailquay.services.settings import SettingsService
from mailquay.services.stats import StatsService
from mailquay.services.submit_request import SubmitRequest
from mailquay.services.templates import TemplateService
from mailquay.services.tokens import TokenService
from mailquay.services.unified_search import UnifiedSearch
from mailquay.services.unsubscribe import UnsubscribeService
from mailquay.services.upload import UploadRequest
from mailquay.services.verify import Note, VerifyRoute, VerifyService
from mailquay.storage.export_files import ExportFiles
from mailquay.storage.store import Store

IMAP = {"host": "imap.example.com", "port": 993, "secure": True, "auth": {"user": "ann", "pass": "imap-secret"}}
SMTP = {"host": "smtp.example.com", "port": 465, "secure": True, "auth": {"user": "ann", "pass": "smtp-secret"}}
START_MS = 1_795_219_200_000
NODE_SECRET = b"shared by all nodes"


class ManualClock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        """The time that was set."""
        return self.ms


@dataclass
class Recorder:
    """What the API asked of the owner of an account, and what it is to get."""

    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    error: Exception | None = None
    owner_address: str | None = None
    nobody: bool = False
    current: bool = True
    delay: asyncio.Event | None = None
    paused: asyncio.Event = field(default_factory=asyncio.Event)
    chunks: Sequence[bytes] = (b"one", b"two")
    chunk_error: Exception | None = None
    content_type: str = "application/pdf"
    filename: str | None = "report.pdf"

    def note(self, name: str, *args: Any) -> None:
        """Record a call, and fail if that is asked for."""
        self.calls.append((name, args))
        if self.error is not None:
            raise self.error

    @property
    def names(self) -> list[str]:
        """The calls, without what they held."""
        return [name for name, _ in self.calls]

    # -- OwnerDirectory, AccountControl, MailAccess, MailVerifier, Health

    async def owner(self, account: AccountNumber) -> str | None:
        """See OwnerDirectory."""
        if self.nobody:
            raise NotOperational("nobody", code="WorkerNotAvailable")
        return self.owner_address

    def reconnect(self, account: AccountNumber) -> None:
        """See AccountControl."""
        self.note("reconnect", account)

    def sync(self, account: AccountNumber) -> None:
        """See AccountControl."""
        self.note("sync", account)

    async def pause(self, account: AccountNumber) -> None:
        """See AccountControl."""
        self.note("pause", account)
        self.paused.set()
        if self.delay is not None:
            await self.delay.wait()

    def resume(self, account: AccountNumber, *, after_seconds: float) -> None:
        """See AccountControl."""
        self.calls.append(("resume", (account, after_seconds)))

    def session(self, account: Account, *, path: str | None = None, timeout_seconds: float) -> Any:
        """See MailAccess: no test gets that far."""
        raise NotOperational("no session", code="NotYetConnected", state="connecting")

    def fence(self, account: AccountNumber) -> Fence:
        """See MailAccess: nobody has taken the account, so that its lease is as it was made."""
        return Fence(account, 0)

    async def relist(self, account: AccountNumber, *, timeout_seconds: float) -> None:
        """See MailAccess."""
        self.note("relist", account)

    async def catch_up(self, account: AccountNumber, paths: Any, *, timeout_seconds: float) -> None:
        """See MailAccess."""

    def nudge(self, account: AccountNumber, paths: Any) -> None:
        """See MailAccess."""

    def connections(self, account: AccountNumber) -> int:
        """See MailAccess."""
        if self.owner_address is not None or self.nobody:
            raise NotOperational("not here", code="WorkerNotAvailable")
        return 2

    async def imap(
        self, settings: ImapSettings, route: VerifyRoute, note: Note, *, list_mailboxes: bool
    ) -> list[ListedMailbox]:
        """See MailVerifier."""
        self.note("imap", settings, route)
        return [
            ListedMailbox("Work", "/", frozenset()),
            ListedMailbox("INBOX", "/", frozenset(), special_use="\\Inbox", special_use_source="name"),
        ]

    async def smtp(self, settings: SmtpSettings, route: VerifyRoute, note: Note) -> None:
        """See MailVerifier."""
        self.note("smtp", settings, route)

    async def discover(self, email: str) -> dict[str, Any]:
        """See Autoconfig."""
        self.note("discover", email)
        server = {"auth": {"user": email}, "host": "imap.example.com", "port": 993, "secure": True}
        hint = {"required": True, "provider": "P", "instructions": "https://p.test/", "warning": "w"}
        return {"imap": server, "smtp": False, "_source": "srv", "appPassword": hint}

    async def check(self) -> None:
        """See Health."""
        self.note("check")


class Mail:
    """Messages and submission that only tell what they were asked."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def needs_owner(self, account: Account, path: str) -> bool:
        """See Messages."""
        return not self._recorder.current

    async def page(
        self, account: Account, *, path: str, page: int, page_size: int, timeout_seconds: float
    ) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("page", path, page, page_size, timeout_seconds)
        if self._recorder.delay is not None:
            await self._recorder.delay.wait()
        return {
            "total": 0,
            "page": page,
            "pages": 1,
            "nextPageCursor": None,
            "prevPageCursor": None,
            "messages": [],
        }

    async def get(
        self, account: Account, message_id: str, options: ReadOptions, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("get", message_id, options)
        return {"id": message_id}

    async def text(self, account: Account, text_id: str, **options: Any) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("text", text_id, options)
        return {"plain": "Hello", "hasMore": False}

    @contextlib.asynccontextmanager
    async def attachment(
        self, account: Account, attachment_id: str, *, timeout_seconds: float
    ) -> AsyncIterator[Download]:
        """See Messages."""
        self._recorder.note("attachment", attachment_id)
        if attachment_id == "missing":
            raise MessageNotFound("there is no such attachment")
        yield Download(self._recorder.content_type, self._recorder.filename, self._chunks())

    @contextlib.asynccontextmanager
    async def source(
        self, account: Account, message_id: str, *, timeout_seconds: float, wanted: ByteRange | None = None
    ) -> AsyncIterator[Download]:
        """See Messages."""
        self._recorder.note("source", message_id, *([] if wanted is None else [wanted]))
        yield Download("message/rfc822", None, self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._recorder.chunks:
            yield chunk
        if self._recorder.chunk_error is not None:
            raise self._recorder.chunk_error

    async def update(
        self, account: Account, message_id: str, changes: MessageChanges, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("update", message_id, changes)
        return {"flags": {"add": True}}

    async def move(self, account: Account, message_id: str, path: str, *, timeout_seconds: float) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("move", message_id, path)
        return {"path": path}

    async def delete(self, account: Account, message_id: str, *, force: bool, timeout_seconds: float) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("delete", message_id, force)
        return {"deleted": force}

    async def search_needs_owner(self, account: Account, path: str, terms: SearchTerms) -> bool:
        """See Messages."""
        return terms.headers != ()

    async def search(
        self, account: Account, *, path: str, terms: SearchTerms, page: int, page_size: int, timeout_seconds: float
    ) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("search", path, terms, page, page_size)
        return {"total": 0, "page": page, "pages": 1, "nextPageCursor": None, "prevPageCursor": None, "messages": []}

    async def update_all(
        self, account: Account, path: str, terms: SearchTerms, changes: MessageChanges, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("update_all", path, terms, changes)
        return {"flags": {"add": True}}

    async def move_all(
        self, account: Account, path: str, terms: SearchTerms, target_path: str, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("move_all", path, terms, target_path)
        return {"path": target_path, "idMap": [["a", "b"]]}

    async def delete_all(
        self, account: Account, path: str, terms: SearchTerms, *, force: bool, timeout_seconds: float
    ) -> dict[str, Any]:
        """See Messages."""
        self._recorder.note("delete_all", path, terms, force)
        return {"deleted": force}

    async def upload(self, account: Account, request: UploadRequest, *, timeout_seconds: float) -> dict[str, Any]:
        """See Uploads."""
        self._recorder.note("upload", request)
        return {"id": "AAAAAQAAAB4", "path": request.path, "uid": 30, "uidValidity": "1", "messageId": "<1@b.test>"}

    async def submit(
        self, account: Account, request: SubmitRequest, *, idempotency_key: str | None, timeout_seconds: float
    ) -> dict[str, Any]:
        """See Submissions."""
        self._recorder.note("submit", request, idempotency_key)
        return {"response": "Queued for delivery", "messageId": "<1@example.com>", "queueId": "1a"}

    async def submit_draft(
        self,
        account: Account,
        message_id: str,
        request: SubmitRequest,
        *,
        idempotency_key: str | None,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """See Drafts."""
        self._recorder.note("submit_draft", message_id, request, idempotency_key)
        return {"response": "Queued for delivery", "messageId": "<1@example.com>", "queueId": "1a"}


class Folders:
    """The mailboxes of an account that has one."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def list(self, account: Account, *, counters: bool, timeout_seconds: float) -> list[dict[str, Any]]:
        """See Mailboxes."""
        self._recorder.note("mailboxes", account.id, counters, timeout_seconds)
        return [{"path": "INBOX", "name": "INBOX"}]

    async def create(self, account: Account, names: Sequence[str], *, timeout_seconds: float) -> dict[str, Any]:
        """See Mailboxes."""
        self._recorder.note("create", names)
        return {"path": "/".join(names), "created": True}

    async def change(
        self,
        account: Account,
        path: str,
        *,
        new_names: Sequence[str] | None,
        subscribed: bool | None,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """See Mailboxes."""
        self._recorder.note("change", path, new_names, subscribed)
        return {"path": path}

    async def delete(self, account: Account, path: str, *, timeout_seconds: float) -> dict[str, Any]:
        """See Mailboxes."""
        self._recorder.note("delete_mailbox", path)
        return {"path": path, "deleted": True}


class Conversations:
    """An account with one thread."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def page(self, account: Account, *, path: str | None, page: int, page_size: int) -> dict[str, Any]:
        """See Threads."""
        self._recorder.note("threads", path, page, page_size)
        return {"path": path or "INBOX", "page": page, "nextPageCursor": None, "prevPageCursor": None, "threads": []}

    async def get(self, account: Account, thread_id: str, *, page: int, page_size: int) -> dict[str, Any]:
        """See Threads."""
        self._recorder.note("thread", thread_id, page, page_size)
        return {"threadId": thread_id, "total": 0, "page": page, "pages": 1, "messages": []}


class Waiting:
    """An outbox with one entry."""

    def __init__(self) -> None:
        self.ids = {"1a2ce8bd400cbc98f10"}
        self.resolved: list[tuple[str, str]] = []

    async def page(self, *, page: int, page_size: int) -> dict[str, Any]:
        """See Outbox."""
        return {"total": len(self.ids), "page": page, "pages": 1, "messages": []}

    async def get(self, queue_id: str) -> dict[str, Any] | None:
        """See Outbox."""
        return {"queueId": queue_id} if queue_id in self.ids else None

    async def delete(self, queue_id: str) -> bool:
        """See Outbox."""
        known = queue_id in self.ids
        self.ids.discard(queue_id)
        return known

    async def resolve(self, queue_id: str, outcome: str) -> None:
        """See Outbox."""
        if queue_id not in self.ids:
            raise NotFound("there is no such message in the outbox")
        self.resolved.append((queue_id, outcome))

    async def retry(self, queue_id: str) -> bool:
        """See Outbox."""
        return queue_id in self.ids


@dataclass
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@contextlib.asynccontextmanager
async def serving(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """A real HTTP server around an application for the time of the block, without its loop that waits for signals."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, proxy_headers=False)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield
    finally:
        for listening in server.servers:
            listening.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        listener.close()


class World:
    """One node's API, its token that may do everything, and a client."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        self.config = config
        self.clock = ManualClock()
        self.recorder = Recorder()
        self.settings = SettingsService(store)
        self.unsubscribe = UnsubscribeService(store, self.settings, self.clock)
        self.http = HttpClient(policy=EgressPolicy.OFF, user_agent="test")
        self.tokens = TokenService(store, self.clock, log_entries=1000, log_age_seconds=7 * 86400)
        self.stats = StatsService(store, self.settings, self.clock)
        self.traffic = Traffic()
        self.metrics = Metrics(store, self.stats, self.clock, self.traffic)
        self.logs = AccountLogs(store, self.settings, self.clock)
        self.accounts = AccountService(
            store,
            self.settings,
            self.clock,
            self.recorder,
            self.recorder,
            flush_pause_seconds=config.flush_pause_seconds,
        )
        self.outbox = Waiting()
        self.export_files = ExportFiles(config.export_folder)
        self.exports = ExportService(store, self.settings, self.export_files, self.clock, retention_seconds=3600)
        self.app: Api
        self.url = ""
        self.token = ""
        self._session: aiohttp.ClientSession

    def services(self) -> ApiServices:
        """What the API is given."""
        mail = Mail(self.recorder)
        return ApiServices(
            accounts=self.accounts,
            tokens=self.tokens,
            settings=self.settings,
            oauth_tokens=OAuthTokenService(self.settings, AuthServer(self.settings, self.http, timeout_seconds=5)),
            stats=self.stats,
            verify=VerifyService(self.recorder),
            autoconfig=self.recorder,
            mailboxes=Folders(self.recorder),
            messages=mail,
            submission=mail,
            drafts=mail,
            searches=UnifiedSearch(self.store),
            upload=mail,
            threads=Conversations(self.recorder),
            outbox=self.outbox,
            templates=TemplateService(self.store, self.clock),
            blocklists=BlocklistService(self.store, self.clock),
            unsubscribe=self.unsubscribe,
            gateways=GatewayService(self.store),
            exports=self.exports,
            owners=self.recorder,
            meter=self.metrics,
            health=self.recorder,
            account_log=self.logs,
            clock=self.clock,
            node_secret=NODE_SECRET,
            memory=MemoryBudget(self.config.body_budget_bytes),
        )

    @contextlib.asynccontextmanager
    async def running(self, listener: socket.socket | None = None) -> AsyncIterator[World]:
        """Serve it, on a free port of loopback unless a socket is given."""
        if listener is None:
            # asyncio turns Nagle's algorithm off only for sockets that name their protocol.
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.bind(("127.0.0.1", 0))
        self.app = build_app(self.services(), self.config)
        if listener.family == socket.AF_INET:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.token = await self.tokens.issue(description="test", scopes=("*",))
        async with serving(self.app, listener), aiohttp.ClientSession(auto_decompress=False) as self._session:
            yield self
        await self.app.close()
        await self.http.aclose()

    async def call(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> Reply:
        """Make a request; `token` "" is the one that may do everything, None none at all."""
        sent = dict(headers or {})
        value = self.token if token == "" else token
        if value is not None:
            sent.setdefault("Authorization", f"Bearer {value}")
        timeout = aiohttp.ClientTimeout(total=30)
        url = URL(self.url + target, encoded=True)
        options: dict[str, Any] = {"json": body} if body is not None else {"data": data}
        async with self._session.request(
            method, url, headers=sent, allow_redirects=False, timeout=timeout, **options
        ) as response:
            headers_ = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, headers_, await response.read())

    async def register(self, account: str = "ann", **more: object) -> Reply:
        """Register an account that has both servers."""
        body = {
            "account": account,
            "name": "Ann Example",
            "email": f"{account}@example.com",
            "imap": IMAP,
            "smtp": SMTP,
        }
        reply = await self.call("POST", "/v1/account", {**body, **more})
        assert reply.status == 200, reply.body
        return reply
