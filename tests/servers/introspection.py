"""What issues bearer tokens and tells a mail server whose they are (RFC 7662), and an authentication server over it."""

from __future__ import annotations

import json
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.servers.webhook_sink import Answer, WebhookRequest, WebhookSink

JSON = (("Content-Type", "application/json"),)


class Introspection:
    """Tokens that are good until they are revoked; `asked` holds those that somebody has looked up."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.asked: list[str] = []
        self._sink = WebhookSink()
        self._sink.decide = self._answer

    @property
    def url(self) -> str:
        """Where to look tokens up."""
        return self._sink.url

    def issue(self, token: str, user: str) -> str:
        """Make a token good for a user."""
        self.tokens[token] = user
        return token

    def revoke(self, token: str) -> None:
        """Have a token run out."""
        del self.tokens[token]

    def _answer(self, request: WebhookRequest) -> Answer:
        [token] = parse_qs(request.body.decode())["token"]
        self.asked.append(token)
        user = self.tokens.get(token)
        found = {"active": True, "username": user, "scope": "mail"} if user else {"active": False}
        return Answer(headers=JSON, body=json.dumps(found).encode())

    async def __aenter__(self) -> Self:
        await self._sink.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._sink.__aexit__(*error)


class CredentialServer:
    """An operator's authentication server: `logins` by account, an HTTP status instead where it is a number."""

    def __init__(self) -> None:
        self.logins: dict[str, dict[str, object] | int] = {}
        self.asked: list[tuple[str, str]] = []
        self.sink = WebhookSink()
        self.sink.decide = self._answer

    @property
    def url(self) -> str:
        """Where it is, with the user and password that it wants."""
        return self.sink.url.replace("http://", "http://me:s%40cret@")

    def _answer(self, request: WebhookRequest) -> Answer:
        query = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        account = query["account"][0]
        self.asked.append((account, query["proto"][0]))
        if request.headers.get("Authorization") != "Basic bWU6c0BjcmV0":
            return Answer(401)
        login = self.logins.get(account, 404)
        if isinstance(login, int):
            return Answer(login)
        return Answer(headers=JSON, body=json.dumps(login).encode())

    async def __aenter__(self) -> Self:
        await self.sink.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.sink.__aexit__(*error)
