"""HTTP requests to addresses that users gave us: bounded in time and size, judged by the egress policy."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp

from mailquay.errors import InvalidRequest, MailquayError, RemoteProtocolError, Unavailable
from mailquay.net.connect import resolve
from mailquay.net.egress import AddressLookup, EgressPolicy, PolicyResolver, check_address, open_socket
from mailquay.net.names import ascii_host, parse_address
from mailquay.net.tls import tls_failure

_CHUNK_BYTES = 64 * 1024
_MAX_HEADER_BYTES = 16 * 1024
_DNS_CACHE_SECONDS = 10
_MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole answer; `headers` with lower-case names, repeated ones joined by ", " (RFC 9110 §5.3)."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def take_userinfo(url: str) -> tuple[str, dict[str, str]]:
    """A URL without user, password and fragment, and the header that says the first two (Basic, RFC 7617 §2).

    Raises InvalidRequest for what is no URL; the message does not repeat it.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidRequest("The address is not a URL") from error
    headers: dict[str, str] = {}
    if parts.username is not None:
        userinfo = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(userinfo.encode()).decode("ascii")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, "")), headers


class HttpStream:
    """An answer whose body is still to be read."""

    def __init__(self, response: aiohttp.ClientResponse, max_response_bytes: int) -> None:
        self._response = response
        self._max_response_bytes = max_response_bytes
        self.status = response.status
        self.headers = _headers(response)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, decompressed; raises RemoteProtocolError (ERESPONSETOOLARGE) beyond the limit."""
        received = 0
        async for chunk in self._response.content.iter_chunked(_CHUNK_BYTES):
            received += len(chunk)
            if received > self._max_response_bytes:
                raise RemoteProtocolError(
                    f"The answer is longer than {self._max_response_bytes} bytes", code="ERESPONSETOOLARGE"
                )
            yield chunk


class HttpClient:
    """One pool of HTTP connections; made inside a running loop, closed with `aclose`.

    With `proxy_url` (http or https) every request goes through that proxy; the target's addresses are then judged
    as far as we can resolve them, since the proxy does the connecting. `addresses` looks host names up in place of the
    system's resolver; `tls` replaces the default context, which trusts the system's authorities.
    """

    def __init__(
        self,
        *,
        policy: EgressPolicy,
        user_agent: str,
        proxy_url: str | None = None,
        max_connections: int = 1000,
        max_connections_per_host: int = 20,
        addresses: AddressLookup | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._proxy_url = proxy_url
        # Through a proxy the only address that we connect to is the operator's own choice.
        connect_policy = EgressPolicy.OFF if proxy_url else policy
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=PolicyResolver(connect_policy, None if proxy_url else addresses),
                ssl=tls if tls is not None else True,
                socket_factory=partial(open_socket, connect_policy),
                limit=max_connections,
                limit_per_host=max_connections_per_host,
                ttl_dns_cache=_DNS_CACHE_SECONDS,
            ),
            headers={"User-Agent": user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_seconds: float,
        max_response_bytes: int = 1024 * 1024,
        follow_redirects: bool = False,
    ) -> HttpResponse:
        """Send one request and read the whole answer, whatever its status.

        Raises as `open` does.
        """
        async with self.open(
            method,
            url,
            headers=headers,
            body=body,
            timeout_seconds=timeout_seconds,
            max_response_bytes=max_response_bytes,
            follow_redirects=follow_redirects,
        ) as stream:
            content = b"".join([chunk async for chunk in stream.chunks()])
        return HttpResponse(stream.status, stream.headers, content)

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_seconds: float,
        max_response_bytes: int = 1024 * 1024,
        follow_redirects: bool = False,
    ) -> AsyncIterator[HttpStream]:
        """Send one request and hand out the answer as a stream; the deadline covers the whole `async with` block.

        Raises InvalidRequest for a URL or header that cannot be sent, EgressBlocked, Unavailable (ENOTFOUND,
        ECONNREFUSED, ETIMEDOUT, ECONNRESET, ETLS, a certificate code, ESOCKET) and RemoteProtocolError.
        """
        host = _host(url)
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._judge(host)
                async with self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=body,
                    allow_redirects=follow_redirects,
                    max_redirects=_MAX_REDIRECTS,
                    proxy=self._proxy_url,
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as response:
                    yield HttpStream(response, max_response_bytes)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, MailquayError):
                raise
            raise _translate(error, host, timeout_seconds) from error

    async def _judge(self, host: str) -> None:
        if parse_address(host) is not None:
            check_address(self._policy, host)
        elif self._proxy_url and self._policy is not EgressPolicy.OFF:
            for address in await resolve(host, 0):
                check_address(self._policy, address.sockaddr[0])


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest("The address is not a URL") from error
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidRequest("The address must be an http or https URL")
    return ascii_host(host)


def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _translate(error: Exception, host: str, timeout_seconds: float) -> MailquayError:
    """One of our errors for whatever aiohttp raised while talking to `host`."""
    if isinstance(error, TimeoutError):
        return Unavailable(f"{host} did not answer within {timeout_seconds:g} s", code="ETIMEDOUT")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return tls_failure(error.certificate_error, host)
    if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return tls_failure(error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error, host)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unavailable(f"The host name {host} does not resolve", code="ENOTFOUND")
    if isinstance(error, ConnectionRefusedError) or isinstance(error.__cause__, ConnectionRefusedError):
        return Unavailable(f"{host} refused the connection", code="ECONNREFUSED")
    if isinstance(error, aiohttp.TooManyRedirects | aiohttp.RedirectClientError):
        return RemoteProtocolError(f"{host} redirects to an address that is not followed", code="EREDIRECTNOTFOLLOWED")
    if isinstance(error, aiohttp.InvalidURL | ValueError) and not isinstance(error, OSError):
        return InvalidRequest("The address or a header of the request cannot be sent")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return RemoteProtocolError(f"{host} sent an answer that is not valid HTTP")
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return Unavailable(f"{host} closed the connection before its answer was complete", code="ECONNRESET")
    return Unavailable(f"{host} could not be reached: {type(error).__name__}", code="ESOCKET")
