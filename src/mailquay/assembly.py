"""One node, put together from its parts: started in order, stopped in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from mailquay.api.app import build_app
from mailquay.api.ports import ApiServices
from mailquay.config import Config
from mailquay.errors import StorageError, Unavailable
from mailquay.model.account import AccountNumber
from mailquay.net.dns import DnsResolver
from mailquay.net.egress import EgressPolicy
from mailquay.net.http import HttpClient
from mailquay.runtime.account_runner import RunnerParts
from mailquay.runtime.account_workers import AccountWorkers
from mailquay.runtime.clock import SystemClock
from mailquay.runtime.export_sweep import keep_swept
from mailquay.runtime.heap import keep_heap_trim
from mailquay.runtime.http_server import HttpServer, private_socket, public_socket
from mailquay.runtime.keyed_worker import KeyedWorker
from mailquay.runtime.local_addresses import LocalAddressBook
from mailquay.runtime.logs import AccountLogs, configure_logs
from mailquay.runtime.mail_access import OwnedMailAccess
from mailquay.runtime.metrics import Metrics
from mailquay.runtime.node import Membership, NodeIdentity
from mailquay.runtime.owners import LeaseDirectory
from mailquay.runtime.processes import is_child, tell_ready
from mailquay.runtime.protocol_log import ProtocolLog
from mailquay.runtime.purge import keep_purged
from mailquay.runtime.retention import keep_tidy
from mailquay.runtime.supervisor import Supervisor
from mailquay.runtime.transports import Transports
from mailquay.runtime.verifier import TransportVerifier
from mailquay.services.accounts import AccountService
from mailquay.services.auth_server import AuthServer
from mailquay.services.autoconfig import AutoconfigOptions, AutoconfigService
from mailquay.services.blocklists import BlocklistService
from mailquay.services.bulk_editor import MessageService
from mailquay.services.delivery import DeliveryService
from mailquay.services.drafts import DraftReader, DraftService
from mailquay.services.export_run import ExportOptions, ExportRunner
from mailquay.services.exports import ExportService
from mailquay.services.filing import FilingService
from mailquay.services.gateways import GatewayService
from mailquay.services.mailbox_editor import MailboxEditor
from mailquay.services.mailbox_listing import MailboxListing
from mailquay.services.memory_budget import MemoryBudget
from mailquay.services.new_mail import NewMail
from mailquay.services.oauth_token import OAuthTokenService
from mailquay.services.outbox import OutboxService
from mailquay.services.passwords import store_password
from mailquay.services.references import ReferenceService
from mailquay.services.rendering import RenderingService
from mailquay.services.settings import SettingsService
from mailquay.services.stats import StatsService
from mailquay.services.submission import SubmissionService
from mailquay.services.sync import MailboxSync
from mailquay.services.templates import TemplateService
from mailquay.services.text_reading import TextReader
from mailquay.services.thread_view import ThreadView
from mailquay.services.tokens import TokenService
from mailquay.services.uncertainty import Uncertainty
from mailquay.services.unified_search import UnifiedSearch
from mailquay.services.unsubscribe import UnsubscribeService
from mailquay.services.upload import UploadService
from mailquay.services.verify import VerifyService
from mailquay.services.webhooks import WebhookPolicy, WebhookService
from mailquay.smtpd.server import SmtpServer, SmtpServerParts
from mailquay.storage.export_files import ExportFiles
from mailquay.storage.store import Store, open_store
from mailquay.templating.pool import RenderPool
from mailquay.version import __version__

if TYPE_CHECKING:
    from mailquay.sandbox.world import SandboxWorld

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_OUTBOX_CONCURRENCY = 50
_WEBHOOK_CONCURRENCY = 50
_EXPORT_CONCURRENCY = 4
_RENDER_THREADS = 3
_SHARED_POLL_SECONDS = 0.1
_HEALTH_SECONDS = 5.0


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run in an event loop: uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    result: T = uvloop.run(work)
    return result


async def open_configured_store(config: Config) -> Store:
    """Open the store that the configuration names. SQLite is watched for commits of the command line beside us.

    Raises StorageError, KeyMismatch.
    """
    return await open_store(
        str(config.database_url) if config.uses_postgres else f"sqlite:///{config.sqlite_path}",
        key_file=config.key_file,
        passphrase=config.encryption_secret,
        watch_interval_seconds=None if config.uses_postgres else _SHARED_POLL_SECONDS,
    )


class Core:
    """What a node is without HTTP: the store, the services, the accounts that it owns."""

    def __init__(self, config: Config, store: Store, identity: NodeIdentity, address: str) -> None:
        self.config = config
        # Before anything is open: it may be misconfigured.
        self.dns = DnsResolver(config.dns_servers)
        self.store = store
        self.clock = SystemClock()
        self.settings = SettingsService(store)
        self.stats = StatsService(store, self.settings, self.clock)
        self.account_logs = AccountLogs(store, self.settings, self.clock)
        policy, user_agent = EgressPolicy.parse(config.webhook_egress_policy), f"Mailquay/{__version__}"
        self.http = HttpClient(policy=policy, user_agent=user_agent)
        # Connections of its own: webhooks that hang must not keep accounts from logging in.
        self.auth_http = HttpClient(policy=policy, user_agent=user_agent, max_connections_per_host=50)
        self.auth_server = AuthServer(self.settings, self.auth_http, timeout_seconds=config.auth_server_timeout_seconds)
        addresses = LocalAddressBook(self.settings, self.dns)
        self.transports = Transports(config, self.settings, self.auth_server, addresses, ProtocolLog(self.account_logs))
        self.renders = RenderPool(_RENDER_THREADS)
        self.metrics = Metrics(store, self.stats, self.clock, self.transports.imap_traffic)
        self.autoconfig = self._autoconfig(user_agent)
        self.membership = Membership(
            store,
            identity,
            address=address,
            roles=config.roles,
            ttl_seconds=config.lease_ttl_seconds,
            renew_seconds=config.lease_renew_seconds,
        )
        self.workers = AccountWorkers(
            outbox=KeyedWorker("outbox", self._deliver, concurrency=_OUTBOX_CONCURRENCY),
            filing=KeyedWorker("filing", self._file, concurrency=_OUTBOX_CONCURRENCY),
            webhooks=KeyedWorker("webhooks", self._post_webhooks, concurrency=_WEBHOOK_CONCURRENCY),
            exports=KeyedWorker("exports", self._export, concurrency=_EXPORT_CONCURRENCY),
        )
        parts = RunnerParts(
            store=store,
            config=config,
            clock=self.clock,
            backend=self.transports.imap,
            sync=MailboxSync(
                store,
                NewMail(self.settings),
                TextReader(self.settings),
                self.clock,
                batch_size=config.sync_batch_size,
            ),
            listing=MailboxListing(store, self.clock),
            journal=self.account_logs,
            on_fenced=lambda number: self.supervisor.fenced_off(number),
        )
        self.supervisor = Supervisor(store, config, self.membership, parts, self.workers)
        self.access = OwnedMailAccess(self.supervisor)
        self.mailboxes = MailboxEditor(store, self.access)
        self.messages = MessageService(
            store, self.access, self.mailboxes, self.clock, cache_bytes=config.content_cache_bytes
        )
        self._join_workers()

    def _autoconfig(self, user_agent: str) -> AutoconfigService:
        config = self.config
        self.autoconfig_http = HttpClient(
            policy=EgressPolicy.parse(config.autoconfig_egress_policy),
            user_agent=user_agent,
            max_connections=100,
            addresses=partial(self.dns.addresses, timeout_seconds=config.autoconfig_timeout_seconds),
        )
        options = AutoconfigOptions(
            timeout_seconds=config.autoconfig_timeout_seconds,
            isp_database=None if config.isp_database == "off" else config.isp_database,
        )
        return AutoconfigService(self.dns, self.autoconfig_http, options)

    def _join_workers(self) -> None:
        config = self.config
        self.uncertainty = Uncertainty(
            self.store,
            self.access,
            self.mailboxes,
            self.clock,
            hold_seconds=config.uncertain_hold_seconds,
            backoff_seconds=config.submit_backoff_seconds,
        )
        self.delivery = DeliveryService(
            self.store,
            self.settings,
            self.transports,
            self.access,
            self.clock,
            self.metrics,
            self.account_logs,
            self.uncertainty,
            backoff_seconds=config.submit_backoff_seconds,
        )
        self.filing = FilingService(
            self.store,
            self.settings,
            self.access,
            self.mailboxes,
            self.clock,
            self.account_logs,
            backoff_seconds=config.submit_backoff_seconds,
        )
        policy = WebhookPolicy(
            timeout_seconds=config.webhook_timeout_seconds,
            attempts=config.webhook_attempts,
            backoff_seconds=config.webhook_backoff_seconds,
            retry_limit_seconds=config.webhook_retry_limit_seconds,
        )
        self.webhooks = WebhookService(
            self.store, self.settings, self.http, self.supervisor, self.clock, self.metrics, policy
        )
        self.export_files = ExportFiles(config.export_folder)
        self.exports = ExportRunner(
            self.store,
            self.settings,
            self.access,
            self.export_files,
            self.clock,
            lambda: self.membership.id,
            ExportOptions(config.export_retention_seconds, config.export_patience_seconds),
        )

    async def _deliver(self, number: int) -> float | None:
        return await self.delivery.deliver(AccountNumber(number))

    async def _file(self, number: int) -> float | None:
        return await self.filing.file(AccountNumber(number))

    async def _post_webhooks(self, number: int) -> float | None:
        return await self.webhooks.deliver(AccountNumber(number))

    async def _export(self, number: int) -> float | None:
        return await self.exports.run(AccountNumber(number))

    async def check(self) -> None:
        """See api.ports.Health: the store answers, and this node's leases are its own."""
        async with asyncio.timeout(_HEALTH_SECONDS):
            await self.store.nodes.clock_ms()
        if not self.membership.alive:
            raise Unavailable("this node has lost touch with the others", code="NodeNotAlive")

    async def start(self) -> None:
        """Join the other nodes and begin to serve accounts."""
        leases = await self.membership.join()
        if "sync" in self.config.roles:
            await self.supervisor.start(leases)

    async def stop(self) -> None:
        """Hand the accounts over and leave."""
        try:
            await self.membership.drain()
            await self.supervisor.stop()
            await self.workers.close()
            await self.membership.leave()
        except StorageError as error:
            # The leases run out by themselves; the others need no word from us.
            _log.error("not_left_in_order", error=str(error))
        await self.renders.close()
        await self.transports.aclose()
        await self.http.aclose()
        await self.auth_http.aclose()
        await self.autoconfig_http.aclose()


class Node:
    """A process: a core, its HTTP listeners, and what it says when it starts."""

    def __init__(self, config: Config) -> None:
        self._config = config

    async def run_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with self.running():
            tell_ready(dict(os.environ))
            await stop.wait()
            _log.info("stopping")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Run the node for the time of the block; gives the public base URL."""
        config = self._config
        configure_logs(config.log_level, config.log_format)
        for notice in config.notices:
            _log.warning("configuration", notice=notice)
        async with contextlib.AsyncExitStack() as stack:
            public = []
            if "api" in config.roles:
                public = [public_socket(config.host, config.port, shared=is_child(dict(os.environ)))]
                stack.callback(public[0].close)
            store = await open_configured_store(config)
            stack.push_async_callback(store.close)
            identity = NodeIdentity.claim(config.data_dir)
            stack.callback(identity.release)
            private, address = private_socket(identity.id, config.data_dir, config.node_address)
            stack.callback(private.close)
            core = Core(config, store, identity, address)
            tokens = TokenService(
                store, core.clock, log_entries=config.token_log_entries, log_age_seconds=config.token_log_age_seconds
            )
            first_token = await self._prepare(core, tokens)
            services = self._services(core, tokens)
            app = build_app(services, config)
            stack.push_async_callback(app.close)
            for part in (core.metrics, core.account_logs, tokens):
                part.start()
                stack.push_async_callback(part.close)
            await asyncio.to_thread(core.export_files.open)
            world = await self._start_sandbox(core, stack) if config.sandbox else None
            stack.push_async_callback(core.stop)
            await core.start()
            for name, background in (
                ("retention", keep_tidy(store, core.settings, config, core.clock)),
                ("purge", keep_purged(store, interval_seconds=config.retention_interval_seconds)),
                ("sweep", keep_swept(store, core.export_files, interval_seconds=config.retention_interval_seconds)),
                ("heap", keep_heap_trim()),
            ):
                stack.callback(asyncio.create_task(background, name=name).cancel)
            server = HttpServer(app, [*public, private], drain_seconds=config.drain_timeout_seconds)
            await server.start()
            stack.push_async_callback(server.stop)
            if "api" in config.roles:
                smtp = SmtpServer(_smtp_parts(core, services), config, shared=is_child(dict(os.environ)))
                smtp.start()
                stack.push_async_callback(smtp.stop)
            base_url = f"http://{config.host}:{public[0].getsockname()[1]}" if public else ""
            await self._greet(core, tokens, base_url, first_token, world)
            yield base_url

    async def _prepare(self, core: Core, tokens: TokenService) -> str | None:
        """What a start brings along: settings, token, password; the first token of an empty database."""
        config = self._config
        await core.settings.establish(config.initial_settings, config.prepared_settings)
        if config.prepared_password is not None:
            await store_password(core.settings, config.prepared_password, core.clock)
        if config.prepared_token is not None:
            await tokens.import_(config.prepared_token)
        return await tokens.ensure_first_token()

    def _services(self, core: Core, tokens: TokenService) -> ApiServices:
        references = ReferenceService(core.messages, core.settings)
        templates = TemplateService(core.store, core.clock)
        rendering = RenderingService(templates, core.settings, core.renders, core.clock)
        submission = SubmissionService(core.store, core.settings, references, rendering, core.clock)
        drafts = DraftReader(core.store, core.access, core.mailboxes, core.clock)
        return ApiServices(
            accounts=AccountService(
                core.store,
                core.settings,
                core.clock,
                core.access,
                core.supervisor,
                flush_pause_seconds=core.config.flush_pause_seconds,
            ),
            tokens=tokens,
            settings=core.settings,
            oauth_tokens=OAuthTokenService(core.settings, core.auth_server),
            stats=core.stats,
            verify=VerifyService(TransportVerifier(core.transports, core.settings)),
            autoconfig=core.autoconfig,
            mailboxes=core.mailboxes,
            messages=core.messages,
            submission=submission,
            drafts=DraftService(core.store, core.settings, drafts, submission.repeats, core.clock),
            threads=ThreadView(core.store, core.mailboxes),
            searches=UnifiedSearch(core.store),
            upload=UploadService(core.store, core.access, core.mailboxes, references, core.clock),
            outbox=OutboxService(core.store, core.clock, core.uncertainty),
            templates=templates,
            blocklists=BlocklistService(core.store, core.clock),
            unsubscribe=UnsubscribeService(core.store, core.settings, core.clock),
            gateways=GatewayService(core.store),
            exports=ExportService(
                core.store,
                core.settings,
                core.export_files,
                core.clock,
                retention_seconds=core.config.export_retention_seconds,
            ),
            owners=LeaseDirectory(core.store, core.supervisor),
            meter=core.metrics,
            health=core,
            account_log=core.account_logs,
            clock=core.clock,
            node_secret=str(core.settings.current("nodeSecret")).encode(),
            memory=MemoryBudget(core.config.body_budget_bytes),
        )

    async def _start_sandbox(self, core: Core, stack: contextlib.AsyncExitStack) -> SandboxWorld:
        """The built-in mail servers: there before any account looks for them, gone after the last has left."""
        # Here, since servers without a sandbox need none of it to start.
        from mailquay.sandbox.registration import register_sandbox
        from mailquay.sandbox.world import SandboxWorld

        world = SandboxWorld()
        stack.push_async_callback(world.stop)
        await world.start()
        await register_sandbox(core.store, core.clock, world)
        return world

    async def _greet(
        self,
        core: Core,
        tokens: TokenService,
        base_url: str,
        first_token: str | None,
        world: SandboxWorld | None,
    ) -> None:
        """Say where to go; a token is shown once, at the first start, and never logged."""
        if first_token is not None and base_url:
            print(
                f"\nMailquay {__version__} listens on {base_url}\nYour access token, shown only this once:\n",
                flush=True,
            )
            print(f"    {first_token}\n", flush=True)
        if world is not None and base_url:
            from mailquay.sandbox.greeting import curl_lines

            token = first_token or await tokens.replace("sandbox")
            print(curl_lines(base_url, token, world.accounts), flush=True)
        _log.info("ready", url=base_url, version=__version__, node=core.membership.id)


def _smtp_parts(core: Core, services: ApiServices) -> SmtpServerParts:
    return SmtpServerParts(
        database=core.store.database,
        settings=services.settings,
        accounts=services.accounts,
        tokens=services.tokens,
        submissions=services.submission,
        memory=services.memory,
        metrics=core.metrics,
        clock=core.clock,
    )
