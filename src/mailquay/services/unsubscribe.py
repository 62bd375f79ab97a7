"""Leaving a list, and coming back, by the link that stands in each of its messages (RFC 2369, RFC 8058)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from mailquay.model.account import Account
from mailquay.model.blocklist import BlockedRecipient
from mailquay.model.event import EventName, NewEvent
from mailquay.services.ports import Clock
from mailquay.services.settings import SettingsService
from mailquay.services.signed_data import read_signed, sign
from mailquay.storage.store import Store

_ACT = "unsub"
_MAX_USER_AGENT = 1024


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whom a link is about: an address on a list, as one of its messages has it."""

    account: str
    list_id: str
    recipient: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who follows a link."""

    address: str | None
    user_agent: str | None


class UnsubscribeService:
    """What links of messages to lists do."""

    def __init__(self, store: Store, settings: SettingsService, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def link(self, base_url: str, subscription: Subscription) -> str:
        """The address that takes a recipient off a list; it never expires."""
        data, signature = sign(
            await self._secret(),
            {
                "act": _ACT,
                "acc": subscription.account,
                "list": subscription.list_id,
                "rcpt": subscription.recipient,
                "msg": subscription.message_id,
            },
        )
        return f"{base_url.rstrip('/')}/unsubscribe?{urlencode({'data': data, 'sig': signature})}"

    async def read(self, data: str, signature: str) -> Subscription | None:
        """What a link is about; None when it is none of ours."""
        found = read_signed(await self._secret(), data, signature) or {}
        values = [found.get(name) for name in ("acc", "list", "rcpt", "msg")]
        if found.get("act") != _ACT or not all(isinstance(value, str) for value in values):
            return None
        return Subscription(*values)  # type: ignore[arg-type]

    async def subscribed(self, subscription: Subscription) -> bool:
        """Whether the list is sent to the recipient."""
        return not await self._store.blocklists.blocked(subscription.list_id, [subscription.recipient])

    async def unsubscribe(self, subscription: Subscription, source: str, visitor: Visitor) -> bool:
        """Have the list not sent to the recipient any more, with `listUnsubscribe` if it was; False without account."""
        account = await self._store.accounts.get(subscription.account)
        if account is None:
            return False
        entry = BlockedRecipient(
            recipient=subscription.recipient,
            account=subscription.account,
            source=source,
            reason="unsubscribe",
            created_ms=self._clock.now_ms(),
            message_id=subscription.message_id or None,
            remote_address=visitor.address,
            user_agent=None if visitor.user_agent is None else visitor.user_agent[:_MAX_USER_AGENT],
        )
        event = self._event(account, EventName.LIST_UNSUBSCRIBE, subscription, visitor)
        await self._store.commit(self._store.blocklists.add(subscription.list_id, entry, [event]))
        return True

    async def subscribe(self, subscription: Subscription, visitor: Visitor) -> bool:
        """Have the list sent to the recipient again, with `listSubscribe` if it was not; False without account."""
        account = await self._store.accounts.get(subscription.account)
        if account is None:
            return False
        event = self._event(account, EventName.LIST_SUBSCRIBE, subscription, visitor)
        remove = self._store.blocklists.remove(subscription.list_id, subscription.recipient, [event])
        await self._store.commit(remove)
        return True

    def _event(self, account: Account, name: EventName, subscription: Subscription, visitor: Visitor) -> NewEvent:
        facts: dict[str, Any] = {"listId": subscription.list_id, "messageId": subscription.message_id}
        content = {**facts, "recipient": subscription.recipient}
        if visitor.address:
            content["remoteAddress"] = visitor.address
        if visitor.user_agent:
            content["userAgent"] = visitor.user_agent[:_MAX_USER_AGENT]
        return NewEvent(account.number, name, self._clock.now_ms(), facts, content)

    async def _secret(self) -> bytes:
        return str(await self._settings.get("serviceSecret")).encode()
