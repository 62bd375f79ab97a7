"""Counting what happens: minute counters that all nodes share, for statistics; metrics of this node, for Prometheus."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest

from mailquay.backends.imap.traffic import Traffic
from mailquay.errors import StorageError
from mailquay.model.account import AccountState
from mailquay.services.periodic import do_every
from mailquay.services.ports import Clock
from mailquay.services.stats import STATS_KEPT_SECONDS, StatsService
from mailquay.storage.store import Store
from mailquay.version import __version__

_log = structlog.get_logger(__name__)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_WEBHOOK_BUCKETS_MS = (100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000, 60_000)
_QUEUE_OF = {"webhooks": "notify", "submit": "submit"}
_OUTCOMES = {"success": "completed", "fail": "failed"}
_LISTENER_STATES = ("disabled", "listening", "failed")
_JOB_STATES = ("active", "delayed", "paused", "waiting")

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """How many values fell into each bucket, and their sum."""

    def __init__(self, bounds: Sequence[int]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Add a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, meaning: str) -> Iterable[str]:
        """The histogram as Prometheus reads it: each bucket holds what the smaller ones hold."""
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} histogram"
        for bound, total in zip((*map(str, self._bounds), "+Inf"), accumulate(self._counts), strict=True):
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:.3f}"
        yield f"{name}_count {sum(self._counts)}"


class Metrics:
    """The services' Counter and the API's Meter. `start` begins to write minute counters, `close` writes the last.

    `traffic` is counted by the IMAP connections of this node.
    """

    def __init__(
        self,
        store: Store,
        stats: StatsService,
        clock: Clock,
        traffic: Traffic | None = None,
        *,
        flush_seconds: float = 5.0,
    ) -> None:
        self._flush_seconds = flush_seconds
        self._traffic = traffic or Traffic()
        self._webhooks: Tally[tuple[str, str]] = Tally()
        self._webhook_times = Histogram(_WEBHOOK_BUCKETS_MS)
        self._store = store
        self._stats = stats
        self._clock = clock
        self._minutes: Tally[tuple[int, str]] = Tally()
        self._counted: Tally[str] = Tally()
        self._requests: Tally[tuple[str, int, str]] = Tally()
        self._events: Tally[str] = Tally()
        self._events_since_minute = clock.now_ms() // 60_000
        self._smtp_listener = "disabled"
        self._task: asyncio.Task[None] | None = None
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write what is counted to the store."""
        self._task = asyncio.create_task(do_every(self._flush_seconds, "counters", self.flush), name="metrics")

    async def close(self) -> None:
        """Write what is left, and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.flush()

    # -- counting --------------------------------------------------------------------------------

    def count(self, key: str, amount: int = 1) -> None:
        """See services.ports.Counter."""
        self._minutes[(self._clock.now_ms() // 60_000, key)] += amount
        self._counted[key] += amount

    def webhook(self, event: str, *, success: bool, milliseconds: float) -> None:
        """See services.ports.Counter."""
        outcome = "success" if success else "fail"
        self.count(f"webhooks:{outcome}")
        self._webhooks[(event, outcome)] += 1
        self._webhook_times.observe(milliseconds)

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answered API request; what strangers invent as methods is one of them."""
        self._requests[(method if method in _METHODS else "OTHER", status, route)] += 1
        if route.startswith("/v1/"):
            outcome = "success" if 200 <= status < 300 else "fail"
            self._minutes[(self._clock.now_ms() // 60_000, f"apiCall:{outcome}")] += 1

    def smtp_listener(self, state: str) -> None:
        """Note how this node's SMTP submission listener is."""
        self._smtp_listener = state

    async def flush(self) -> None:
        """Write the minute counters; what cannot be written now stays counted."""
        counts, self._minutes = self._minutes, Tally()
        if not counts:
            return
        oldest = self._clock.now_ms() // 60_000 - STATS_KEPT_SECONDS // 60
        try:
            await self._store.commit(self._store.settings.add_stats(counts, oldest))
        except StorageError as error:
            _log.warning("counters_not_stored", error=str(error))
            self._minutes.update(counts)

    # -- showing ---------------------------------------------------------------------------------

    async def render(self) -> bytes:
        """Every metric in the text format of Prometheus, version 0.0.4."""
        verified = await self._store.mailboxes.all_verified()
        lines = [
            *_metric("api_call", "counter", "Answered HTTP requests.", self._request_samples()),
            *_metric("webhooks", "counter", "Webhook deliveries.", self._webhook_samples()),
            *self._webhook_times.lines("webhook_req", "Milliseconds that an attempt to post a webhook took."),
            *_metric("events", "counter", "Events on all nodes since this one started.", await self._event_samples()),
            *_metric("queues_processed", "counter", "Finished jobs.", self._finished_samples()),
            *_metric("imap_responses", "counter", "Tagged responses of IMAP servers.", self._response_samples()),
            *_metric("imap_bytes_sent", "counter", "Bytes to IMAP servers.", {(): self._traffic.sent_bytes}),
            *_metric("imap_bytes_received", "counter", "Bytes from IMAP servers.", {(): self._traffic.received_bytes}),
            *_metric("imap_connections", "gauge", "Accounts in each state.", await self._state_samples()),
            *_metric("queue_size", "gauge", "Jobs of each queue.", await self._queue_samples()),
            *_metric("smtp_listener", "gauge", "The SMTP listener of this node.", self._listener_samples()),
            *_metric("index_messages_verified", "gauge", "Messages compared with servers.", {(): verified.messages}),
            *_metric("index_messages_missing", "gauge", "Of these, unknown until then.", {(): verified.missing}),
            *_metric("license_days_remaining", "gauge", "The licence has no end: -1.", {(): -1}),
            *_metric("emailengine_config", "gauge", "The version, as a label.", {(("version", __version__),): 1}),
        ]
        return "".join(f"{line}\n" for line in lines).encode() + generate_latest(self._registry)

    def _request_samples(self) -> dict[Labels, int]:
        return {
            (("method", method), ("statusCode", str(status)), ("route", route)): count
            for (method, status, route), count in self._requests.items()
        }

    def _webhook_samples(self) -> dict[Labels, int]:
        return {(("status", outcome), ("event", event)): n for (event, outcome), n in self._webhooks.items()}

    def _response_samples(self) -> dict[Labels, int]:
        responses = self._traffic.responses.items()
        return {(("response", status), ("code", code)): count for (status, code), count in responses}

    async def _event_samples(self) -> dict[Labels, int]:
        """Counted by the transactions that log them. Old minutes expire there, so our beginning moves on in time."""
        recent = await self._events_since(self._events_since_minute)
        samples: dict[Labels, int] = {(("event", name),): count for name, count in (self._events + recent).items()}
        hour_ago = self._clock.now_ms() // 60_000 - 60
        if self._events_since_minute < hour_ago - 24 * 60:
            # In this order of reads the sum never shrinks, whatever is logged between them.
            self._events += recent - await self._events_since(hour_ago)
            self._events_since_minute = hour_ago
        return samples

    async def _events_since(self, minute: int) -> Tally[str]:
        counts = await self._store.settings.stats_since(minute)
        prefix = "events:"
        return Tally({key.removeprefix(prefix): n for key, n in counts.items() if key.startswith(prefix)})

    def _finished_samples(self) -> dict[Labels, int]:
        return {
            (("queue", queue), ("status", status)): self._counted[f"{key}:{outcome}"]
            for key, queue in _QUEUE_OF.items()
            for outcome, status in _OUTCOMES.items()
        }

    def _listener_samples(self) -> dict[Labels, int]:
        return {(("status", state),): int(state == self._smtp_listener) for state in _LISTENER_STATES}

    async def _state_samples(self) -> dict[Labels, int]:
        states = await self._store.accounts.count_by_state()
        return {(("status", state.value),): states.get(state.value, 0) for state in AccountState}

    async def _queue_samples(self) -> dict[Labels, int]:
        samples: dict[Labels, int] = {}
        for queue in _QUEUE_OF.values():
            jobs = await self._stats.jobs(queue)
            samples |= {(("queue", queue), ("state", state)): jobs.get(state, 0) for state in _JOB_STATES}
        return samples


def _metric(name: str, kind: str, meaning: str, samples: Mapping[Labels, int]) -> Iterable[str]:
    """A metric under exactly this name; the client library would add a suffix to counters."""
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    for labels, value in sorted(samples.items()):
        text = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels)
        yield f"{name}{{{text}}} {value}" if text else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
