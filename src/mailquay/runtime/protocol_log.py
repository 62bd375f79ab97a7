"""What is said between us and an account's servers, line by line, into the account's own log while that is on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Protocol

import structlog

from mailquay.model.account import Account, ServerSettings
from mailquay.net.tap import Tap
from mailquay.runtime.logs import AccountLogs
from mailquay.wire.imap.transcript import ImapTranscript
from mailquay.wire.smtp.transcript import SmtpTranscript

_log = structlog.get_logger(__name__)


class _Transcript(Protocol):
    def sent(self, data: bytes) -> Iterator[str]: ...

    def received(self, data: bytes) -> Iterator[str]: ...


class ProtocolLog:
    """Makes the taps of connections. Where the account's log is off there is none, and nothing is spent."""

    def __init__(self, logs: AccountLogs) -> None:
        self._logs = logs
        self._numbers = itertools.count(1)

    def imap(self, account: Account, settings: ServerSettings) -> Tap | None:
        """A tap for a connection that is about to be used, None while the account's log is off."""
        if not self._logs.enabled(account):
            return None
        return self._tap(account, "imap", ImapTranscript(_secrets(settings)), settings)

    def smtp(self, account: Account, settings: ServerSettings) -> Callable[[], Tap] | None:
        """What makes a tap for each connection, None while the account's log is off."""
        if not self._logs.enabled(account):
            return None
        return lambda: self._tap(account, "smtp", SmtpTranscript(_secrets(settings)), settings)

    def _tap(self, account: Account, protocol: str, transcript: _Transcript, settings: ServerSettings) -> Tap:
        tap = _AccountTap(self._logs, account, f"{protocol}-{next(self._numbers)}", transcript)
        tap.note(f"connected to {settings.host}")
        return tap


def _secrets(settings: ServerSettings) -> tuple[str, ...]:
    return tuple(secret for secret in (settings.password, settings.access_token) if secret)


class _AccountTap:
    """Writes the lines of one connection. A fault of ours in reading them ends the log, not the connection."""

    def __init__(self, logs: AccountLogs, account: Account, connection_id: str, transcript: _Transcript) -> None:
        self._logs = logs
        self._account = account
        self._connection_id = connection_id
        self._transcript = transcript
        self._broken = False

    def sent(self, data: bytes) -> None:
        self._write("c", self._transcript.sent(data))

    def received(self, data: bytes) -> None:
        self._write("s", self._transcript.received(data))

    def closed(self) -> None:
        self.note("closed")

    def note(self, text: str) -> None:
        """Add a line that neither side has said."""
        self._logs.protocol(self._account, {"cid": self._connection_id, "msg": text})

    def _write(self, source: str, lines: Iterator[str]) -> None:
        if self._broken:
            return
        try:
            for line in lines:
                self._logs.protocol(self._account, {"cid": self._connection_id, "src": source, "msg": line})
        except Exception as error:
            self._broken = True
            _log.error("protocol_log_broke", account=self._account.id, exc_info=error)
