"""Logs: lines for people or JSON, never with a secret in them; and the protocol logs of single accounts."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections import Counter as Tally
from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from mailquay.errors import StorageError
from mailquay.model.account import Account, AccountNumber
from mailquay.services.masks import MASK
from mailquay.services.periodic import do_every
from mailquay.services.ports import Clock
from mailquay.services.settings import SettingsService
from mailquay.storage.interface import Unit, run_together
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "silent": logging.CRITICAL,
}
_SECRET_KEYS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "password",
        "pass",
        "passphrase",
        "secret",
        "token",
        "access_token",
        "accesstoken",
        "refresh_token",
        "refreshtoken",
        "client_secret",
        "clientsecret",
        "api_key",
        "apikey",
        "x-mailquay-forwarded",
    }
)
_NAMES = "access_?token|refresh_?token|client_?secret|password|pass"
_SECRET_TEXTS = (
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    (
        re.compile(r"\b(access_?token|refresh_?token|client_?secret|password|pass)=[^\s&\"']+", re.IGNORECASE),
        rf"\1={MASK}",
    ),
    (
        re.compile(
            r"([\"'](?:access_?token|refresh_?token|client_?secret|password|pass)[\"']\s*:\s*)([\"']).*?\2",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}\2",
    ),
    # From the slashes on: a scheme of any length in front of them would take quadratic time on "a.a.a.a".
    (re.compile(r"(://)[^\s/@\"']+@"), rf"\1{MASK}@"),
    (re.compile(r"\b(AUTHENTICATE \S+|AUTH \S+) \S+", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\b(LOGIN (?:\"(?:[^\"\\]|\\.)*\"|\S+)) (?:\"(?:[^\"\\]|\\.)*\"|\S+)", re.IGNORECASE), rf"\1 {MASK}"),
)
_MAX_DEPTH = 6
_MAX_WAITING_LINES = 20_000


def redact_text(text: str) -> str:
    """A text without the secrets that can be told from their surroundings."""
    for pattern, replacement in _SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any, depth: int = 0) -> Any:
    """A value without secrets: whole under telling keys, in texts by their surroundings."""
    if isinstance(value, str):
        return redact_text(value)
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {
            key: MASK if str(key).lower() in _SECRET_KEYS and item is not None else redact(item, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, depth + 1) for item in value]
    return value if isinstance(value, bool | int | float | None) else redact_text(str(value))


def _redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    redacted: EventDict = redact(event)
    return redacted


def _drop(_logger: WrappedLogger, _method: str, _event: EventDict) -> EventDict:
    raise structlog.DropEvent


def _to_json(event: MutableMapping[str, Any], **_options: Any) -> str:
    return msgspec.json.encode(event).decode()


def configure_logs(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Set up the logs of this process: ours and those of the libraries, from here on.

    `level` and `log_format` are those of the configuration; `auto` writes for people when a terminal reads.
    """
    output = stream or sys.stderr
    for_people = log_format == "text" or (log_format == "auto" and output.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer: Processor
    if for_people:
        renderer = structlog.dev.ConsoleRenderer(colors=output.isatty(), pad_event_to=24)
    else:
        renderer = structlog.processors.JSONRenderer(_to_json)
    silent: list[Processor] = [_drop] if level == "silent" else []
    structlog.configure(
        processors=[*silent, *shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers = [logging.NullHandler()] if level == "silent" else [handler]
    # Libraries are asked for trouble only: at their finer levels some of them log what they send.
    root.setLevel(max(_LEVELS[level], logging.WARNING))


class AccountLogs:
    """The protocol logs of accounts that have them switched on; written in batches, oldest lines dropped.

    Of what waits to be written there is a limit too; beyond it lines are dropped and counted.
    """

    def __init__(self, store: Store, settings: SettingsService, clock: Clock, *, flush_seconds: float = 1.0) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._flush_seconds = flush_seconds
        self._waiting: dict[AccountNumber, deque[str]] = {}
        self._waiting_lines = 0
        self._dropped: Tally[AccountNumber] = Tally()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write lines to the store."""
        self._task = asyncio.create_task(do_every(self._flush_seconds, "account logs", self.flush), name="account-logs")

    async def close(self) -> None:
        """Write what is left, and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.flush()

    def enabled(self, account: Account) -> bool:
        """Whether lines of this account are kept."""
        return self._keep() > 0 and (account.profile.logs or bool(self._settings.current("logs").get("all")))

    def write(self, account: Account, entry: Mapping[str, Any]) -> None:
        """Add a line, secrets taken out; nothing happens while the account's log is off."""
        if self.enabled(account):
            self._add(account.number, redact(entry))

    def protocol(self, account: Account, entry: Mapping[str, str]) -> None:
        """Add a line of a transcript, from which every secret has been taken already: it is left as it was said."""
        if self.enabled(account):
            self._add(account.number, entry)

    def _add(self, number: AccountNumber, entry: Mapping[str, Any]) -> None:
        lines = self._waiting.get(number)
        if lines is None:
            lines = self._waiting[number] = deque(maxlen=self._keep())
        if len(lines) < (lines.maxlen or 0):
            if self._waiting_lines >= _MAX_WAITING_LINES:
                self._dropped[number] += 1
                return
            self._waiting_lines += 1
        lines.append(_to_json({**entry, "t": self._clock.now_ms()}))

    async def read(self, account: Account) -> list[str]:
        """The lines of an account, oldest first."""
        await self.flush()
        return await self._store.accounts.read_log(account.number)

    async def flush(self) -> None:
        """Write what waits; what cannot be written now is dropped, as it only tells what happened."""
        for number, count in self._dropped.items():
            self._waiting[number].append(_to_json({"msg": f"{count} lines left out", "t": self._clock.now_ms()}))
        self._dropped.clear()
        waiting, self._waiting, self._waiting_lines = self._waiting, {}, 0
        now_ms, keep = self._clock.now_ms(), self._keep()
        units: list[Unit[None]] = [
            self._store.accounts.append_log(number, list(lines), now_ms, keep) for number, lines in waiting.items()
        ]
        if not units:
            return
        try:
            await self._store.commit(run_together(*units))
        except StorageError as error:
            _log.warning("account_logs_not_stored", error=str(error))

    def _keep(self) -> int:
        return int(self._settings.current("logs").get("maxLogLines", 10_000))
