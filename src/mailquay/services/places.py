"""Where a message id points now: ids outlive the numbers that they were made of."""

from __future__ import annotations

from mailquay.errors import MessageNotFound, Unavailable
from mailquay.model.account import AccountNumber
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import MessageRef
from mailquay.storage.store import Store


async def place_of(store: Store, account: AccountNumber, ref: MessageRef) -> tuple[Mailbox, MessageRef]:
    """The mailbox of a message, and the message in it; an id from before a change of UIDVALIDITY is followed.

    Raises MessageNotFound, also for an id of another account, and Unavailable while the mailbox is being read anew.
    """
    mailbox = await store.mailboxes.get(ref.mailbox)
    if mailbox is None:
        # In this order: whatever was carried over before the replacement was closed has its place by then.
        successor = await store.replacements.successor(ref.mailbox)
        now = await store.replacements.place(ref)
        if now is None:
            replaced = None if successor is None else await store.mailboxes.get(successor)
            if replaced is not None and replaced.account == account:
                raise Unavailable("the mailbox is being read anew after its server replaced it; try again in a moment")
            raise MessageNotFound("there is no such message")
        ref = now
        mailbox = await store.mailboxes.get(ref.mailbox)
    if mailbox is None or mailbox.account != account or ref.uid == 0:
        raise MessageNotFound("there is no such message")
    return mailbox, ref
