"""Access tokens that are given away, and what an IMAP account has of the other things that OAuth2 accounts have."""

from __future__ import annotations

from typing import Any

from tests.api.world import World
from tests.servers.introspection import CredentialServer

_ASKS: dict[str, Any] = {"host": "mail.example.com", "port": 993, "secure": True, "useAuthServer": True}


async def _allow(world: World) -> None:
    await world.settings.establish({"enableOAuthTokensApi": True}, {})


async def _refused(world: World, account: str, status: int, code: str) -> None:
    reply = await world.call("GET", f"/v1/account/{account}/oauth-token")
    assert (reply.status, reply.json.get("code")) == (status, code), reply.body


async def test_tokens_are_given_away_only_where_that_is_allowed(world: World) -> None:
    await world.register()
    await _refused(world, "ann", 403, "ApiEndpointDisabled")
    await _allow(world)
    await _refused(world, "ann", 403, "AccountNotOAuth2")
    assert (await world.call("GET", "/v1/account/nobody/oauth-token")).status == 404


async def test_the_token_of_this_moment_comes_from_the_authentication_server(world: World) -> None:
    await _allow(world)
    async with CredentialServer() as server:
        await world.settings.write(world.settings.check({"authServer": server.url}))
        await world.register(imap=_ASKS)
        await world.register("sends", imap=None, smtp={**_ASKS, "port": 465})
        for account, protocol, token in (("ann", "imap", "t1"), ("sends", "smtp", "t2"), ("ann", "imap", "t3")):
            server.logins[account] = {"user": f"{account}@x.test", "accessToken": token}
            reply = await world.call("GET", f"/v1/account/{account}/oauth-token")
            assert reply.json == {
                "account": account,
                "user": f"{account}@x.test",
                "accessToken": token,
                "cached": False,
            }
            assert server.asked[-1] == (account, protocol)
        server.logins["ann"] = {"user": "u", "pass": "correct horse"}
        await _refused(world, "ann", 403, "MissingAccessToken")
        server.logins["ann"] = 404
        await _refused(world, "ann", 503, "AuthenticationFails")


async def test_a_narrowed_token_reads_no_credentials(world: World) -> None:
    await _allow(world)
    await world.register()
    body = {"permissions": {"actions": ["read"], "groups": ["account"]}, "description": "reads"}
    token = (await world.call("POST", "/v1/tokens", body)).json["token"]
    assert (await world.call("GET", "/v1/account/ann", token=token)).status == 200
    assert (await world.call("GET", "/v1/account/ann/server-signatures", token=token)).status == 200
    assert (await world.call("GET", "/v1/account/ann/oauth-token", token=token)).status == 403


async def test_imap_keeps_no_signatures(world: World) -> None:
    await world.register()
    reply = await world.call("GET", "/v1/account/ann/server-signatures")
    assert reply.json == {"signatures": [], "signaturesSupported": False}
    assert (await world.call("GET", "/v1/account/nobody/server-signatures")).status == 404
