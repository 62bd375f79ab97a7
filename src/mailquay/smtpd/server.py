"""The listener as the settings want it: started, stopped and started anew whenever they change, on each node."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from mailquay.config import Config
from mailquay.errors import ConfigError, StorageError
from mailquay.services.accounts import AccountService
from mailquay.services.memory_budget import MemoryBudget
from mailquay.services.ports import Clock, Counter
from mailquay.services.settings import SettingsService
from mailquay.services.tokens import TokenService
from mailquay.smtpd.admission import Admission
from mailquay.smtpd.limits import Limits
from mailquay.smtpd.listener import Listener, Place
from mailquay.smtpd.login import Gate
from mailquay.smtpd.message import Submissions
from mailquay.smtpd.session import Surroundings
from mailquay.smtpd.tls import Certificate
from mailquay.storage.interface import ANYTHING_CHANGED, SETTINGS_CHANGED, Database, Signal

_log = structlog.get_logger(__name__)
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 1.0, 30.0


class ListenerState(Enum):
    """Whether it listens; `failed`: it should, and cannot."""

    DISABLED = "disabled"
    LISTENING = "listening"
    FAILED = "failed"


class Gauge(Counter, Protocol):
    """Counts, and shows how the listener is."""

    def smtp_listener(self, state: str) -> None:
        """Note the state of this node's listener."""
        ...


@dataclass(frozen=True, slots=True)
class SmtpServerParts:
    """What the listener works with."""

    database: Database
    settings: SettingsService
    accounts: AccountService
    tokens: TokenService
    submissions: Submissions
    memory: MemoryBudget
    metrics: Gauge
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the settings say; another password, or another word on who must log in, also ends the old sessions."""

    enabled: bool
    host: str
    port: int
    implicit_tls: bool
    proxy: bool
    auth_enabled: bool
    password: str | None = field(repr=False)


class SmtpServer:
    """Keeps the listener as the settings want it, from `start` to `stop`.

    An address that is taken, or a certificate that cannot be used, is logged, shown in `state`, and tried again.
    """

    def __init__(self, parts: SmtpServerParts, config: Config, *, shared: bool, limits: Limits | None = None) -> None:
        self._parts = parts
        self._certificate = Certificate.of(config)
        self._shared = shared
        self._drain_seconds = config.drain_timeout_seconds
        limits = limits or Limits.of(config)
        self._around = Surroundings(
            limits=limits,
            gate=Gate(parts.accounts, parts.tokens, parts.settings, parts.clock),
            submissions=parts.submissions,
            admission=Admission(limits),
            budget=parts.memory,
            counter=parts.metrics,
            clock=parts.clock,
        )
        self._changed = asyncio.Event()
        self._wanted: _Wanted | None = None
        self._listener: Listener | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = parts.database.subscribe(self._on_signals)
        self.state = ListenerState.DISABLED
        self.error: str | None = None

    @property
    def port(self) -> int:
        """The port it listens on; 0 when it does not."""
        return 0 if self._listener is None else self._listener.port

    def start(self) -> None:
        """Begin to follow the settings."""
        self._task = asyncio.create_task(self._follow(), name="smtp-server")

    async def stop(self) -> None:
        """Stop to listen, and give messages that are under way the time of `drain_timeout`."""
        task, self._task = self._task, None
        if task is None:
            return
        self._unsubscribe()
        task.cancel()
        await asyncio.wait([task])
        self._retire()
        if self._leaving:
            _, late = await asyncio.wait(list(self._leaving), timeout=self._drain_seconds)
            for leaving in late:
                leaving.cancel()
            if late:
                await asyncio.wait(late)

    def _on_signals(self, signals: frozenset[Signal]) -> None:
        if signals & {Signal(SETTINGS_CHANGED), Signal(ANYTHING_CHANGED)}:
            self._changed.set()

    async def _follow(self) -> None:
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            self._changed.clear()
            as_wanted = await self._adapt()
            try:
                async with asyncio.timeout(None if as_wanted else retry_seconds):
                    await self._changed.wait()
                retry_seconds = _FIRST_RETRY_SECONDS
            except TimeoutError:
                retry_seconds = min(2 * retry_seconds, _LAST_RETRY_SECONDS)

    async def _adapt(self) -> bool:
        """Do what the settings want; whether that has worked."""
        try:
            wanted = await self._read()
            if wanted != self._wanted or (wanted.enabled and self._listener is None):
                self._become(wanted)
            return not wanted.enabled or self._listener is not None
        except StorageError as error:
            _log.error("smtp_settings_not_read", error=str(error))
        except Exception as error:
            _log.error("smtp_listener_broken", exc_info=error)
        return False

    async def _read(self) -> _Wanted:
        get = self._parts.settings.get
        password = await get("smtpServerPassword")
        return _Wanted(
            enabled=bool(await get("smtpServerEnabled")),
            host=str(await get("smtpServerHost")),
            port=int(await get("smtpServerPort")),
            implicit_tls=bool(await get("smtpServerTLSEnabled")),
            proxy=bool(await get("smtpServerProxy")),
            auth_enabled=bool(await get("smtpServerAuthEnabled")),
            password=None if password is None else str(password),
        )

    def _become(self, wanted: _Wanted) -> None:
        """Stop what there is, and begin anew where that is wanted."""
        self._retire()
        self._wanted = wanted
        if not wanted.enabled:
            self._note(ListenerState.DISABLED)
            return
        try:
            if wanted.implicit_tls and self._certificate is None:
                raise ConfigError("smtpServerTLSEnabled asks for TLS, but the option smtp_server_tls_cert is not given")
            place = Place(wanted.host, wanted.port, wanted.implicit_tls, self._shared)
            listener = Listener(place, self._around, self._parts.settings, self._certificate, self._hostname)
            listener.open()
        except (OSError, OverflowError, ConfigError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._note(ListenerState.FAILED, f"{wanted.host}:{wanted.port}: {reason}")
            return
        self._listener = listener
        self._note(ListenerState.LISTENING)
        _log.info("smtp_listening", host=wanted.host, port=listener.port, tls=wanted.implicit_tls)

    def _note(self, state: ListenerState, error: str | None = None) -> None:
        if error is not None and error != self.error:
            _log.error("smtp_listener_failed", error=error)
        self.state, self.error = state, error
        self._parts.metrics.smtp_listener(state.value)

    def _retire(self) -> None:
        """Have the listener that there is end: no connection is accepted any more when this returns."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.shut()
        task = asyncio.create_task(listener.close(), name="smtp-drain")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _hostname(self) -> str:
        """The name we go by: that of serviceUrl, else the machine's."""
        service = self._parts.settings.current("serviceUrl")
        host = urlsplit(str(service)).hostname if service else None
        return host or socket.gethostname()
