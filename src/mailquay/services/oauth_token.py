"""The access token with which an account logs in at this moment, for programs that call the provider themselves."""

from __future__ import annotations

from collections.abc import Iterator

from mailquay.errors import Forbidden
from mailquay.model.account import Account, ServerSettings
from mailquay.services.auth_server import AuthServer, Protocol
from mailquay.services.settings import SettingsService


class OAuthTokenService:
    """Gives tokens away where the operator allows it."""

    def __init__(self, settings: SettingsService, auth_server: AuthServer) -> None:
        self._settings = settings
        self._auth_server = auth_server

    async def current(self, account: Account) -> dict[str, object]:
        """The token of an account whose credentials the authentication server keeps: asked for anew each time.

        Raises Forbidden while that is not allowed, for accounts that log in with what is stored, and where the server
        gives a password; what AuthServer.fill raises.
        """
        if not await self._settings.get("enableOAuthTokensApi"):
            raise Forbidden("the setting enableOAuthTokensApi is off", code="ApiEndpointDisabled")
        for server, protocol in _servers(account):
            if server.use_auth_server:
                filled = await self._auth_server.fill(server, account.id, protocol)
                if not filled.access_token:
                    raise Forbidden("the authentication server gives no token", code="MissingAccessToken")
                return {
                    "account": account.id,
                    "user": filled.user,
                    "accessToken": filled.access_token,
                    "cached": False,
                }
        raise Forbidden("the account does not log in with tokens", code="AccountNotOAuth2")


def _servers(account: Account) -> Iterator[tuple[ServerSettings, Protocol]]:
    if account.profile.imap is not None:
        yield account.profile.imap, "imap"
    if account.profile.smtp is not None:
        yield account.profile.smtp, "smtp"
