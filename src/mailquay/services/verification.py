"""How the index of an account stood when it was compared with the server."""

from __future__ import annotations

from mailquay.model.account import Account
from mailquay.model.mailbox import IndexVerification
from mailquay.services.mailbox_listing import follows_path
from mailquay.storage.store import Store


async def verification(store: Store, account: Account) -> IndexVerification:
    """The verifications of the mailboxes that the account follows; others are not compared any more."""
    followed = [
        box
        for box in await store.mailboxes.of_account(account.number)
        if box.cursor is not None and box.missing_since_ms is None and follows_path(account.profile, box.listing)
    ]
    verified = [box.verification for box in followed if box.verification is not None]
    return IndexVerification(
        at_ms=min(one.at_ms for one in verified) if verified and len(verified) == len(followed) else None,
        messages=sum(one.messages for one in verified),
        missing=sum(one.missing for one in verified),
    )
