"""Requests that another node must answer, because it owns the account: sent on whole, the answer streamed back.

The inner request carries who was let in and from where, signed with the secret that all nodes share, so that the owner
need not check the token again. The signature covers method, address, body and time; it is good once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import msgspec
import structlog
from yarl import URL

from mailquay.api.errors import timed_out
from mailquay.api.http import Answer, Request, Send, encode_headers
from mailquay.api.principal import Principal
from mailquay.errors import NotOperational
from mailquay.services.identifiers import b64u, from_b64u
from mailquay.services.ports import Clock

_log = structlog.get_logger(__name__)
HEADER = "x-mailquay-forwarded"
_VALID_MS = 30_000
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "date", "server"})
_PASSED_ON = ("content-type", "accept", "x-ee-timeout", "idempotency-key", "range")
_CHUNK_BYTES = 64 * 1024
_EXTRA_SECONDS = 2.0
_UNIX = "unix:"


class _Claim(msgspec.Struct, array_like=True, frozen=True):
    """What the signature covers."""

    time_ms: int
    nonce: bytes
    method: str
    target: str
    body_digest: bytes
    address: str
    token_id: str | None
    account: str | None
    narrowed: bool


@dataclass(frozen=True, slots=True)
class Vouched:
    """A forwarded request whose signature is right: who it is for, and what its body must hash to."""

    principal: Principal
    body_digest: bytes

    def covers(self, body: bytes | bytearray) -> bool:
        """Whether this is the body that was signed."""
        return hmac.compare_digest(hashlib.sha256(body).digest(), self.body_digest)


class Signatures:
    """Makes and checks the header of forwarded requests."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._key = hashlib.sha256(b"mailquay forwarded request" + secret).digest()
        self._clock = clock
        self._seen: set[bytes] = set()
        self._order: deque[tuple[int, bytes]] = deque()

    @property
    def remembered(self) -> int:
        """How many signatures are kept so that they are not good twice."""
        return len(self._seen)

    def sign(self, method: str, target: str, body: bytes | bytearray, principal: Principal) -> str:
        """The value of the header."""
        claim = _Claim(
            time_ms=self._clock.now_ms(),
            nonce=secrets.token_bytes(16),
            method=method,
            target=target,
            body_digest=hashlib.sha256(body).digest(),
            address=principal.address,
            token_id=principal.token_id,
            account=principal.account,
            narrowed=principal.narrowed,
        )
        raw = msgspec.msgpack.encode(claim)
        return f"{b64u(raw)}.{b64u(self._mac(raw))}"

    def check(self, request: Request) -> Vouched | None:
        """Who a request is forwarded for; None when it is not forwarded, or by nobody that we trust."""
        value = request.headers.get(HEADER)
        if value is None:
            return None
        text, _, mac = value.partition(".")
        try:
            raw = from_b64u(text)
            if not hmac.compare_digest(from_b64u(mac), self._mac(raw)):
                return None
            claim = msgspec.msgpack.decode(raw, type=_Claim)
        except (ValueError, msgspec.DecodeError):
            return None
        now_ms = self._clock.now_ms()
        target = _full_target(request)
        if abs(now_ms - claim.time_ms) > _VALID_MS or (claim.method, claim.target) != (request.method, target):
            return None
        if not self._first_use(claim.nonce, now_ms):
            return None
        return Vouched(Principal(claim.address, claim.token_id, claim.account, claim.narrowed), claim.body_digest)

    def _first_use(self, nonce: bytes, now_ms: int) -> bool:
        while self._order and self._order[0][0] < now_ms - 2 * _VALID_MS:
            self._seen.discard(self._order.popleft()[1])
        if nonce in self._seen:
            return False
        self._seen.add(nonce)
        self._order.append((now_ms, nonce))
        return True

    def _mac(self, raw: bytes) -> bytes:
        return hmac.digest(self._key, raw, "sha256")


def _full_target(request: Request) -> str:
    query = request.query_string.decode("latin-1")
    return f"{request.target}?{query}" if query else request.target


class Forwarder:
    """Connections to the other nodes, kept open between requests."""

    def __init__(self, signatures: Signatures) -> None:
        self._signatures = signatures
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """Close every connection."""
        sessions, self._sessions = self._sessions, {}
        await asyncio.gather(*(session.close() for session in sessions.values()))

    async def forward(
        self,
        node: str,
        request: Request,
        body: bytes | bytearray,
        principal: Principal,
        send: Send,
        headers: Mapping[str, str],
        *,
        timeout_seconds: float,
    ) -> int:
        """Have another node answer a request, and pass its answer on with `headers` added; returns the status.

        Raises NotOperational when the node cannot be reached, HttpError (504) when it does not answer in time.
        """
        passed = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        try:
            response = await self._open(
                node, request.method, _full_target(request), passed, body, principal, timeout_seconds
            )
        except TimeoutError:
            raise timed_out(timeout_seconds) from None
        async with response:
            if response.status == 401:
                # It did not believe us. The caller's token is good: it must not hear otherwise.
                _log.error("forwarded_request_refused", node=node, hint="do the clocks and secrets of the nodes agree?")
                raise _unreachable()
            fields = {name: value for name, value in response.headers.items() if name.lower() not in _HOP_BY_HOP}
            start = {"type": "http.response.start", "status": response.status}
            await send({**start, "headers": encode_headers({**fields, **headers})})
            try:
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except (aiohttp.ClientError, TimeoutError) as error:
                # The answer stays incomplete, which makes the server close the connection: the client sees it.
                _log.warning("forwarded_answer_cut", node=node, error=str(error))
                return response.status
            await send({"type": "http.response.body", "body": b""})
            return response.status

    async def request(
        self, node: str, method: str, target: str, body: bytes, principal: Principal, *, timeout_seconds: float
    ) -> Answer:
        """Ask another node for something of our own.

        Raises NotOperational when the node cannot be reached or does not answer in time.
        """
        content = {"content-type": "application/json"}
        try:
            async with await self._open(node, method, target, content, body, principal, timeout_seconds) as response:
                return Answer(await response.read(), response.content_type, response.status)
        except TimeoutError as error:
            raise _unreachable() from error

    async def _open(
        self,
        node: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | bytearray,
        principal: Principal,
        timeout_seconds: float,
    ) -> aiohttp.ClientResponse:
        signed = {**headers, HEADER: self._signatures.sign(method, target, body, principal)}
        base = "http://localhost" if node.startswith(_UNIX) else node.rstrip("/")
        limit = aiohttp.ClientTimeout(
            total=None, sock_connect=timeout_seconds, sock_read=timeout_seconds + _EXTRA_SECONDS
        )
        url = URL(base + target, encoded=True)
        try:
            return await self._session(node).request(
                method, url, headers=signed, data=body or None, timeout=limit, allow_redirects=False
            )
        except aiohttp.ClientError as error:
            if isinstance(error, TimeoutError):
                raise
            raise _unreachable() from error

    def _session(self, node: str) -> aiohttp.ClientSession:
        session = self._sessions.get(node)
        if session is None:
            connector: aiohttp.BaseConnector
            if node.startswith(_UNIX):
                connector = aiohttp.UnixConnector(path=node.removeprefix(_UNIX), limit=0)
            else:
                connector = aiohttp.TCPConnector(limit=0)
            session = self._sessions[node] = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
            )
        return session


def _unreachable() -> NotOperational:
    return NotOperational("the node that serves the account cannot be reached; try again", code="WorkerNotAvailable")
