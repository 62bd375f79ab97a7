"""Who may do what: the checks that a request with a token passes, in the order that the API promises."""

from __future__ import annotations

from collections.abc import Mapping

from mailquay.api.errors import HttpError
from mailquay.api.http import Request
from mailquay.api.operation import Operation
from mailquay.api.principal import Principal
from mailquay.model.token import AuditEntry, Restrictions, Token
from mailquay.services.identifiers import is_template_of
from mailquay.services.ports import Clock
from mailquay.services.settings import SettingsService
from mailquay.services.token_reach import allows_address, has_scope, permission_fault, rate_window
from mailquay.services.tokens import TokenService

_CHALLENGE = {"www-authenticate": "Bearer"}
_QUERY_TOKEN = "access_token"  # noqa: S105 - the name of a parameter


class Refused(HttpError):
    """A token was refused; `reason` is what the audit log says."""

    def __init__(self, reason: str, status: int, message: str, **more: object) -> None:
        extra = {key: value for key, value in more.items() if key != "headers"}
        headers = more.get("headers")
        super().__init__(status, message, extra=extra, headers=headers if isinstance(headers, Mapping) else None)
        self.reason = reason


class Authenticator:
    """Turns a request into a principal, or refuses it."""

    def __init__(self, tokens: TokenService, settings: SettingsService, clock: Clock) -> None:
        self._tokens = tokens
        self._settings = settings
        self._clock = clock

    async def check(
        self,
        request: Request,
        operation: Operation,
        path: Mapping[str, str],
        query: dict[str, str | list[str]],
        address: str,
    ) -> Principal:
        """Let a request pass. The token in the query, if any, is taken out of it.

        Raises HttpError: 401 without a valid token, 403 or 429 when the token does not reach that far.
        """
        value = _credential(request, query)
        if value is None:
            if await self._settings.get("disableTokens"):
                return Principal(address)
            raise HttpError(401, "Missing authentication", headers=_CHALLENGE)
        token = await self._tokens.verify(value)
        if token is None:
            raise HttpError(401, "Bad token", headers=_CHALLENGE)
        try:
            check_reach(token, operation, path, query)
            if token.restrictions is not None:
                _check_origin(token.restrictions, address, request.headers.get("referer", ""))
            headers = await self._check_rate(token)
        except Refused as refusal:
            await self._record(token, request, operation, path, address, refusal.reason)
            raise
        await self._record(token, request, operation, path, address, None)
        return Principal.of(token, address, headers)

    async def _check_rate(self, token: Token) -> dict[str, str]:
        limit = token.restrictions.rate_limit if token.restrictions is not None else None
        if limit is None:
            return {}
        window, reset = rate_window(limit, self._clock.now_ms())
        count = await self._tokens.count_request(token.id, window)
        headers = {"x-ratelimit-limit": str(limit.max_requests), "x-ratelimit-reset": str(reset)}
        if count > limit.max_requests:
            raise Refused("rateLimit", 429, "Rate limit exceeded", ttl=reset, headers=headers)
        return {**headers, "x-ratelimit-remaining": str(limit.max_requests - count)}

    async def _record(
        self,
        token: Token,
        request: Request,
        operation: Operation,
        path: Mapping[str, str],
        address: str,
        reason: str | None,
    ) -> None:
        if reason is None:
            self._tokens.record_use(token.id, address)
        if await self._settings.get("tokenAuditLog"):
            entry = AuditEntry(
                time_ms=self._clock.now_ms(),
                ip=address,
                method=request.method,
                path=operation.path,
                action=operation.action,
                group=operation.group,
                account=path.get("account") or token.account,
                allowed=reason is None,
                reason=reason,
            )
            self._tokens.record_audit(token.id, entry)


def _credential(request: Request, query: dict[str, str | list[str]]) -> str | None:
    """The token of a request. The header counts before the query; Bearer may be spelt in any case (RFC 9110 §11.1)."""
    in_query = query.pop(_QUERY_TOKEN, None)
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if isinstance(in_query, list):
        in_query = in_query[0]
    return in_query or None


def check_reach(
    token: Token, operation: Operation, path: Mapping[str, str], query: Mapping[str, str | list[str]]
) -> None:
    """Scope, permissions and account binding, in this order.

    Raises Refused.
    """
    if not has_scope(token, operation.scope):
        raise Refused("scope", 403, "Unauthorized scope", requestedScope=operation.scope)
    _check_permissions(token, operation)
    if token.account is not None and not _is_bound_to(token.account, operation, path, query):
        raise Refused("account", 403, "Unauthorized account")


def _check_permissions(token: Token, operation: Operation) -> None:
    reason = permission_fault(token.permissions, operation.action, operation.group)
    if reason is not None:
        required = {"action": operation.action, "group": operation.group}
        raise Refused(reason, 403, "Unauthorized permission", requiredPermission=required)


def _is_bound_to(
    account: str, operation: Operation, path: Mapping[str, str], query: Mapping[str, str | list[str]]
) -> bool:
    if "account" in path:
        return path["account"] == account
    if "template" in path:
        return is_template_of(path["template"], account)
    return operation.within_account or (operation.account_in_query and query.get("account") == account)


def _check_origin(restrictions: Restrictions, address: str, referrer: str) -> None:
    if not allows_address(restrictions, address):
        raise Refused("address", 403, "Unauthorized address", remoteAddress=address)
    if restrictions.referrers is not None and not any(matches(pattern, referrer) for pattern in restrictions.referrers):
        raise Refused("referrer", 403, "Unauthorized referrer")


def matches(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern in which "*" is any text; in time linear in both."""
    first, *others = pattern.split("*")
    if not others:
        return text == first
    last = others.pop()
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in others:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
