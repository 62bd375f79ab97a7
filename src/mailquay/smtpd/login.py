"""Who logs in: an account's id with the password of all accounts, or with a token that may send for it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from mailquay.model.account import Account
from mailquay.model.token import AuditEntry, Token
from mailquay.services.accounts import AccountService
from mailquay.services.ports import Clock
from mailquay.services.settings import SettingsService
from mailquay.services.token_reach import allows_address, has_scope, permission_fault, rate_window
from mailquay.services.tokens import TokenService
from mailquay.wire.smtp.server import Refusal

_SCOPE, _ACTION, _GROUP = "smtp", "send", "submit"
_PATH = "smtp"


@dataclass(frozen=True, slots=True)
class Login:
    """A client that has logged in: for which account, and with which token's value, if any."""

    account_id: str
    token_value: str | None = field(default=None, repr=False)


class Gate:
    """Checks credentials, and tokens again for each message: one may be revoked while a connection stands."""

    def __init__(self, accounts: AccountService, tokens: TokenService, settings: SettingsService, clock: Clock) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._settings = settings
        self._clock = clock

    async def account(self, account_id: str) -> Account | None:
        """The account with this id."""
        return await self._accounts.get(account_id)

    async def log_in(self, username: str, password: str, address: str) -> Login | None:
        """Let a client in; None when the credentials are not right, whatever is wrong with them."""
        shared = await self._settings.get("smtpServerPassword")
        if shared and hmac.compare_digest(str(shared).encode(), password.encode()):
            return Login(username) if await self._accounts.get(username) is not None else None
        token = await self._tokens.verify(password)
        if token is None:
            return None
        reason = fault_of(token, username, address)
        if reason is None and await self._accounts.get(username) is None:
            reason = "username"
        await self._record(token, "AUTH", username, address, reason)
        return Login(username, password) if reason is None else None

    async def pass_message(self, login: Login, address: str) -> None:
        """Let a message of a client that has logged in pass, and count it.

        Raises Refusal when its token is no longer good, or has been used too often.
        """
        if login.token_value is None:
            return
        token = await self._tokens.verify(login.token_value)
        if token is None:
            raise Refusal(535, "5.7.8", "The token is no longer valid")
        reason = fault_of(token, login.account_id, address)
        limit = token.restrictions.rate_limit if token.restrictions is not None else None
        reset = 0
        if reason is None and limit is not None:
            window, reset = rate_window(limit, self._clock.now_ms())
            if await self._tokens.count_request(token.id, window) > limit.max_requests:
                reason = "rateLimit"
        await self._record(token, "MAIL", login.account_id, address, reason)
        if reason == "rateLimit":
            raise Refusal(450, "4.7.1", f"Rate limit exceeded, try again in {reset} seconds")
        if reason is not None:
            raise Refusal(550, "5.7.1", "The token does not allow this")

    async def _record(self, token: Token, method: str, account: str, address: str, reason: str | None) -> None:
        if reason is None:
            self._tokens.record_use(token.id, address)
        if await self._settings.get("tokenAuditLog"):
            entry = AuditEntry(
                time_ms=self._clock.now_ms(),
                ip=address,
                method=method,
                path=_PATH,
                action=_ACTION,
                group=_GROUP,
                account=account[:256],
                allowed=reason is None,
                reason=reason,
            )
            self._tokens.record_audit(token.id, entry)


def fault_of(token: Token, username: str, address: str) -> str | None:
    """Why a token does not let this user send from this address; None when it does.

    One that is bound to web pages is good for none: there is no Referer here.
    """
    if not has_scope(token, _SCOPE):
        return "scope"
    reason = permission_fault(token.permissions, _ACTION, _GROUP)
    if reason is not None:
        return reason
    if token.account is not None and token.account != username:
        return "username"
    restrictions = token.restrictions
    if restrictions is not None and not allows_address(restrictions, address):
        return "ip"
    return "referrer" if restrictions is not None and restrictions.referrers is not None else None
