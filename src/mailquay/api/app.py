"""The API as an ASGI application: what every request goes through before and after its operation.

Refusals come in this order: no such route, no right, too large, wrong, no such account.
Why there is no framework: docs/adr/0009.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from pydantic import BaseModel, ValidationError
from structlog.contextvars import bind_contextvars, clear_contextvars

from mailquay.api.auth import Authenticator
from mailquay.api.body import (
    OFF_LOOP_BYTES,
    BodyReader,
    ClientGone,
    check_media_type,
    decode_form,
    decode_json,
)
from mailquay.api.client_address import ClientAddress
from mailquay.api.cors import Cors
from mailquay.api.errors import Fault, HttpError, internal_error, invalid_input, timed_out, to_http_error
from mailquay.api.forwarding import Forwarder, Signatures, Vouched
from mailquay.api.http import Answer, Receive, Request, Scope, Send, Streamed, encode_headers, send_answer
from mailquay.api.operation import Call, Operation
from mailquay.api.operations import all_operations
from mailquay.api.ports import ApiServices
from mailquay.api.principal import Principal
from mailquay.api.router import Router
from mailquay.api.routes.site import page
from mailquay.api.schemas.common import PATH_PARAMETERS, TimeoutHeader
from mailquay.api.validation import faults_of, validate
from mailquay.config import Config
from mailquay.errors import MailquayError, NotOperational

_encode = msgspec.json.Encoder().encode
_MANY_OBJECTS = 200  # checking these takes as long as checking one text of OFF_LOOP_BYTES, or longer
_UNMATCHED = "(no route)"
_SENDS_PER_BODY = 6  # how often as long as a request body a piece of an answer may take
_CLIENT_CLOSED_REQUEST = 499  # what metrics and logs call a request whose client left before its answer


class Api:
    """The application. `close` ends what it keeps open to other nodes."""

    def __init__(self, services: ApiServices, config: Config) -> None:
        self._services = services
        self._config = config
        self.operations = all_operations(config.max_attachment_bytes)
        self._router = Router(self.operations)
        self._authenticator = Authenticator(services.tokens, services.settings, services.clock)
        self._addresses = ClientAddress(config.api_proxy_addresses)
        self._cors = Cors(config.cors_origins, config.cors_max_age_seconds)
        self._budget = services.memory
        self._checker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bodies")
        self._signatures = Signatures(services.node_secret, services.clock)
        self._forwarder = Forwarder(self._signatures)
        self._context = {"max_content": config.max_attachment_bytes}
        # Bound once: what is below the level then costs next to nothing for each request.
        self._log = structlog.get_logger(__name__).bind()

    @property
    def held_body_bytes(self) -> int:
        """How many bytes of request bodies are held in memory now."""
        return self._budget.used_bytes

    async def close(self) -> None:
        """Close connections to other nodes."""
        await self._forwarder.close()
        self._checker.shutdown(wait=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        exchange = _Exchange(send, _SENDS_PER_BODY * self._config.body_timeout_seconds)
        try:
            request = Request(scope, receive)
        except HttpError as error:
            await exchange.answer(_error_answer(error), {})
            self._services.meter.request(scope["method"], _UNMATCHED, error.status)
            return
        exchange.head = request.method == "HEAD"
        clear_contextvars()
        bind_contextvars(request=request.id)
        headers = {"x-request-id": request.id, **self._cors.headers(request)}
        try:
            await self._answer(request, exchange, headers)
        except ClientGone:
            exchange.status = exchange.status or _CLIENT_CLOSED_REQUEST
        except Exception as error:
            refusal = self._refusal(error, request)
            if not exchange.started:
                await exchange.answer(_error_answer(refusal, request), headers)
        self._services.meter.request(request.method, exchange.route, exchange.status)
        log = self._log.warning if exchange.status >= 500 else self._log.debug
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        log("request", method=request.method, route=exchange.route, status=exchange.status, milliseconds=milliseconds)

    def _refusal(self, error: Exception, request: Request) -> HttpError:
        """What the client gets to know of an exception; what it does not is logged."""
        if isinstance(error, HttpError):
            return error
        refusal = to_http_error(error) if isinstance(error, MailquayError) else None
        if refusal is None:
            self._log.error("request_failed", exc_info=error)
            return internal_error(request.id)
        return refusal

    async def _answer(self, request: Request, exchange: _Exchange, headers: dict[str, str]) -> None:
        preflight = self._cors.preflight(request)
        if preflight is not None:
            await exchange.answer(preflight, headers)
            return
        match = self._router.match(request.method, request.segments)
        operation = match.operation
        if operation is None:
            raise _unknown_route(match.methods)
        exchange.route = operation.path
        query = request.query()
        vouched = None if operation.public else self._signatures.check(request)
        principal = await self._principal(request, operation, match.path, query, vouched)
        headers.update(principal.headers)
        if "account" in match.path:
            bind_contextvars(account=match.path["account"])
        limit = self._config.max_body_bytes if operation.body_bytes is None else operation.body_bytes
        timeout = self._config.body_timeout_seconds
        with BodyReader(request, self._budget, limit_bytes=limit, timeout_seconds=timeout) as reader:
            call = await self._read(reader, request, operation, match.path, query, principal, vouched)
            await self._carry_out(call, exchange, headers, forwarded=vouched is not None)

    async def _principal(
        self,
        request: Request,
        operation: Operation,
        path: Mapping[str, str],
        query: dict[str, str | list[str]],
        vouched: Vouched | None,
    ) -> Principal:
        if vouched is not None:
            query.pop("access_token", None)
            return vouched.principal
        if operation.public and not operation.takes_form:
            return Principal(request.peer or "")
        believe = bool(await self._services.settings.get("enableApiProxy"))
        address = self._addresses.of(request.peer, request.headers.get("x-forwarded-for"), believe=believe)
        if operation.public:
            return Principal(address)
        principal = await self._authenticator.check(request, operation, path, query, address)
        if principal.token_id is None and self._cors.is_foreign(request):
            raise HttpError(403, "without a token, pages of other origins are not answered")
        return principal

    # -- checking ----------------------------------------------------------------------------------

    async def _read(
        self,
        reader: BodyReader,
        request: Request,
        operation: Operation,
        path: dict[str, str],
        query: dict[str, str | list[str]],
        principal: Principal,
        vouched: Vouched | None,
    ) -> Call:
        """The call with its body; nothing else holds that."""
        raw = await reader.read() if operation.takes_body else b""
        if vouched is not None and not vouched.covers(raw):
            raise HttpError(401, "Bad token", headers={"www-authenticate": "Bearer"})
        return await self._checked(request, operation, path, query, principal, raw)

    async def _checked(
        self,
        request: Request,
        operation: Operation,
        path: dict[str, str],
        query: dict[str, str | list[str]],
        principal: Principal,
        raw: bytes | bytearray,
    ) -> Call:
        """The call with everything in it checked.

        Raises HttpError (400) with everything that is wrong.
        """
        faults: list[Fault] = []
        path = _checked_path(path, faults)
        timeout_seconds = self._timeout(request, faults)
        checked_query: BaseModel | None = None
        if operation.query is not None:
            checked_query = operation.empty_query if not query else None
            if checked_query is None:
                checked_query = validate(operation.query, query, faults)
        elif query and not operation.public:
            faults += [Fault(key, f'"{key}" is not allowed') for key in query]
        value, body = None, None
        if operation.takes_body and not operation.takes_form:
            if raw:
                check_media_type(request)
            value, body, found = await self._body(operation, raw)
            faults += found
        if faults:
            raise invalid_input(faults)
        call = Call(
            self._services, self._forwarder, request, operation, principal, path, timeout_seconds, checked_query, body
        )
        call.json, call.raw_body = value, raw
        if operation.takes_form:
            call.form = decode_form(raw)
        return call

    async def _body(self, operation: Operation, raw: bytes | bytearray) -> tuple[Any, BaseModel | None, list[Fault]]:
        """Parse and check a body; a long one, or one of many parts, in a thread, so that the others need not wait.

        One after the other there, for their memory.
        """

        def check() -> tuple[Any, BaseModel | None, list[Fault]]:
            found: list[Fault] = []
            value = decode_json(raw)
            kind = operation.body
            body = (
                None if kind is None else validate(kind, {} if value is None else value, found, context=self._context)
            )
            return (value if operation.raw_json else None), body, found

        if len(raw) <= OFF_LOOP_BYTES and raw.count(b"{") <= _MANY_OBJECTS:
            return check()
        return await asyncio.get_running_loop().run_in_executor(self._checker, check)

    def _timeout(self, request: Request, faults: list[Fault]) -> float:
        given = request.headers.get("x-ee-timeout")
        if given is None:
            return self._config.command_timeout_seconds
        try:
            milliseconds: int = TimeoutHeader.validate_python(given)
        except ValidationError as error:
            faults += faults_of(error, prefix=("x-ee-timeout",))
            return self._config.command_timeout_seconds
        return milliseconds / 1000 or self._config.command_timeout_seconds

    # -- answering ---------------------------------------------------------------------------------

    async def _carry_out(self, call: Call, exchange: _Exchange, headers: Mapping[str, str], *, forwarded: bool) -> None:
        needs_owner = call.operation.needs_owner is not None and await call.operation.needs_owner(call)
        node = await self._other_node(call, needs_owner=needs_owner, forwarded=forwarded)
        if node is not None:
            exchange.status = await self._forwarder.forward(
                node,
                call.request,
                call.raw_body,
                call.principal,
                exchange.send,
                headers,
                timeout_seconds=call.timeout_seconds,
            )
            return
        call.raw_body = b""
        # What is being queued is never cut off half-way: its own deadlines end before it is stored, or not at all.
        deadline = call.timeout_seconds if needs_owner and call.operation.action != "send" else None
        try:
            async with asyncio.timeout(deadline):
                result = await call.operation.handler(call)
        except TimeoutError:
            raise timed_out(call.timeout_seconds) from None
        if isinstance(result, Streamed):
            await _stream(result, call, exchange, headers)
        elif isinstance(result, Answer):
            await exchange.answer(result, headers)
        else:
            await exchange.answer(Answer(_encode(result)), headers)

    async def _other_node(self, call: Call, *, needs_owner: bool, forwarded: bool) -> str | None:
        """The node that has to answer, None when it is this one.

        Raises NotOperational when nobody owns the account, or when a forwarded request is not at the right node either.
        """
        node: str | None = None
        if needs_owner:
            node = await self._services.owners.owner((await call.account()).number)
        elif call.operation.other_node is not None:
            node = await call.operation.other_node(call)
        if node is not None and forwarded:
            raise NotOperational("the account is being handed to another node; try again", code="WorkerNotAvailable")
        return node


def build_app(services: ApiServices, config: Config) -> Api:
    """The application for a server such as uvicorn; it has no lifespan, bootstrap starts and stops the services."""
    return Api(services, config)


class _Exchange:
    """How far the answer to a request has got."""

    def __init__(self, send: Send, piece_seconds: float) -> None:
        self._send = send
        self._piece_seconds = piece_seconds
        self.route = _UNMATCHED
        self.status = 0
        self.head = False
        self.started = False

    async def send(self, message: Any) -> None:
        """Pass a part of the answer on; to HEAD no body goes out.

        Raises ClientGone when the client does not take it in time: it would hold a connection to the mail server.
        """
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
        elif self.head:
            message = {**message, "body": b""}
        try:
            async with asyncio.timeout(self._piece_seconds):
                await self._send(message)
        except TimeoutError:
            raise ClientGone from None

    async def answer(self, answer: Answer, headers: Mapping[str, str]) -> None:
        """Send a whole answer."""
        await send_answer(self.send, answer, headers)


async def _stream(streamed: Streamed, call: Call, exchange: _Exchange, headers: Mapping[str, str]) -> None:
    """Send a download. What fails before its first bytes still gets a status; later the connection is cut."""
    gone = asyncio.create_task(_disconnect(call.request))
    try:
        async with streamed.source as download:
            chunks = aiter(download.chunks)
            first = await _next_chunk(chunks, call.timeout_seconds)
            status = 200 if download.part is None else 206
            await _send_start(exchange, status, streamed.headers(download), headers)
            chunk = first
            while chunk is not None and not exchange.head:
                if gone.done():
                    raise ClientGone
                await exchange.send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await _next_chunk(chunks, call.timeout_seconds)
            await exchange.send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone


async def _disconnect(request: Request) -> None:
    """Wait until the client hangs up; what is left of its request does not count."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _next_chunk(chunks: AsyncIterator[bytes], timeout_seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(timeout_seconds):
            return await anext(chunks, None)
    except TimeoutError:
        raise timed_out(timeout_seconds) from None


async def _send_start(exchange: _Exchange, status: int, fields: Mapping[str, str], headers: Mapping[str, str]) -> None:
    encoded = encode_headers({"cache-control": "no-cache", **headers, **fields})
    await exchange.send({"type": "http.response.start", "status": status, "headers": encoded})


def _checked_path(path: dict[str, str], faults: list[Fault]) -> dict[str, str]:
    checked = {}
    for name, value in path.items():
        try:
            checked[name] = PATH_PARAMETERS[name].validate_python(value)
        except ValidationError as error:
            faults += faults_of(error, prefix=(name,))
    return checked


def _unknown_route(methods: tuple[str, ...]) -> HttpError:
    if methods:
        allowed = ", ".join(sorted({*methods, "HEAD"} if "GET" in methods else methods))
        return HttpError(405, f"this address only knows {allowed}", headers={"allow": allowed})
    return HttpError(404, "there is nothing at this address")


def _error_answer(error: HttpError, request: Request | None = None) -> Answer:
    """The envelope; an unknown address that a browser asks for is answered with a page."""
    if request is not None and error.status == 404 and request.segments[:1] != ("v1",) and _is_browser(request):
        return page("Not found", '<h1>Not found</h1><p>There is nothing here. <a href="/">Home</a></p>', status=404)
    return Answer(_encode(error.body()), status=error.status, headers=error.headers)


def _is_browser(request: Request) -> bool:
    return request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
