"""Submissions into a real store, without mail servers: nothing here refers to messages of the account."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

from mailquay.model.account import Account, AccountId, AccountProfile, SmtpSettings
from mailquay.model.template import TemplateContent, TemplateFormat
from mailquay.services.messages import MessageReader
from mailquay.services.references import ReferenceService
from mailquay.services.rendering import RenderingService
from mailquay.services.settings import SettingsService
from mailquay.services.submission import SubmissionService
from mailquay.services.submit_request import SubmitRequest
from mailquay.services.templates import TemplateService
from mailquay.storage.store import Store, open_store
from mailquay.templating.pool import RenderPool

NOW_MS = 1_800_000_000_000


class Clock:
    """A clock that tests set."""

    ms = NOW_MS

    def now_ms(self) -> int:
        """The time that was set."""
        return self.ms


class Desk:
    """A store with the accounts ann and bob, and what queues their messages."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.settings = SettingsService(store)
        self.templates = TemplateService(store, self.clock)
        self.pool = RenderPool(2)
        self.ann: Account
        self.bob: Account
        self.service = self.new_service()

    def new_service(self) -> SubmissionService:
        """A service as another process has it: it knows only what is stored."""
        references = ReferenceService(cast(MessageReader, None), self.settings)
        rendering = RenderingService(TemplateService(self.store, self.clock), self.settings, self.pool, self.clock)
        return SubmissionService(self.store, self.settings, references, rendering, self.clock)

    async def register(self, name: str) -> Account:
        """An account that can send."""
        profile = AccountProfile(
            name=name.title(), email=f"{name}@example.com", smtp=SmtpSettings(host="smtp.example.com", user=name)
        )
        return (await self.store.commit(self.store.accounts.upsert(AccountId(name), lambda _: profile, NOW_MS))).account

    async def keep(self, account: Account | None, content: TemplateContent, kind: str = "html") -> str:
        """The id of a new template."""
        return await self.templates.create(
            account, content, name="t", description=None, template_format=TemplateFormat(kind)
        )

    async def submit(self, request: SubmitRequest, key: str | None = None) -> dict[str, Any]:
        """Submit for ann."""
        return await self.service.submit(self.ann, request, idempotency_key=key, timeout_seconds=60)

    async def preview(self, request: SubmitRequest) -> EmailMessage:
        """What a dry run shows."""
        answer = await self.submit(request)
        return parsed(base64.b64decode(answer["preview"]))

    async def queued(self, queue_id: str) -> EmailMessage:
        """A message of the outbox."""
        return parsed(b"".join([chunk async for chunk in self.store.outbox.body(queue_id)]))

    async def waiting(self) -> int:
        """How many messages there are in the outbox."""
        return (await self.store.outbox.page(self.clock.ms, limit=1, offset=0))[0]


def parsed(body: bytes) -> EmailMessage:
    """A message as another library reads it."""
    message = email.message_from_bytes(body, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage, kind: str) -> str:
    """The text or HTML of a message."""
    part = message.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content


@contextlib.asynccontextmanager
async def desk_at(folder: Path) -> AsyncIterator[Desk]:
    """A desk with a store of its own."""
    store = await open_store(f"sqlite:///{folder}/mailquay.db", key_file=folder / "key")
    desk = Desk(store)
    desk.ann, desk.bob = await desk.register("ann"), await desk.register("bob")
    try:
        yield desk
    finally:
        await desk.pool.close()
        await store.close()
