"""Messages to a list: who has left it gets none, and whoever gets one can leave (RFC 2919, RFC 2369, RFC 8058)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from mailquay.model.account import Account
from mailquay.model.blocklist import blocked_form
from mailquay.services.composition import fresh_message_id
from mailquay.services.submit_request import MergeEntry, SubmitRequest
from mailquay.services.unsubscribe import Subscription, UnsubscribeService
from mailquay.storage.store import Store

_OURS = frozenset(["list-id", "list-unsubscribe", "list-unsubscribe-post"])


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient of a mail merge. `blocked` is why the list is not sent there; `link` takes the address off it."""

    message_id: str | None = None
    blocked: str | None = None
    link: str | None = None

    def placeholders(self, entry: MergeEntry) -> Mapping[str, Any]:
        """What {{rcpt.…}} stands for."""
        shown = {"name": entry.to.name, "address": entry.to.address}
        return shown if self.link is None else {**shown, "unsubscribeUrl": self.link}


class ListMail:
    """What makes messages of a mail merge messages to a list."""

    def __init__(self, store: Store, unsubscribe: UnsubscribeService) -> None:
        self._store = store
        self._unsubscribe = unsubscribe

    async def addressees(
        self, account: Account, request: SubmitRequest, base_url: str | None, entries: Sequence[MergeEntry]
    ) -> list[Addressee]:
        """What is to be known of some recipients; of nobody anything where it is no list."""
        if request.list_id is None:
            return [Addressee()] * len(entries)
        addresses = [entry.to.address for entry in entries]
        blocked = await self._store.blocklists.blocked(request.list_id, addresses)
        found = []
        for entry in entries:
            message_id = f"<{(entry.message_id or fresh_message_id(account, request.from_)).strip('<>')}>"
            link = None
            if base_url:
                subscription = Subscription(account.id, request.list_id, entry.to.address, message_id)
                link = await self._unsubscribe.link(base_url, subscription)
            found.append(Addressee(message_id, blocked.get(blocked_form(entry.to.address)), link))
        return found


def addressed(request: SubmitRequest, base_url: str | None, addressee: Addressee) -> SubmitRequest:
    """The message with the headers of its list, which nobody else may set."""
    if request.list_id is None or not base_url or addressee.link is None:
        return request
    own = {
        "List-ID": (f"<{request.list_id}.{urlsplit(base_url).hostname}>",),
        "List-Unsubscribe": (f"<{addressee.link}>",),
        "List-Unsubscribe-Post": ("List-Unsubscribe=One-Click",),
    }
    given = {name: values for name, values in request.headers.items() if name.lower() not in _OURS}
    return replace(request, headers={**given, **own})
