"""Putting the letters into their mailboxes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from mailquay.backends.memory import MemoryMailStore
from mailquay.sandbox.mail.letter import LetterWriter
from mailquay.sandbox.mail.machines import machine_letters
from mailquay.sandbox.mail.people import ANN, BRUNO, CHIYO, PEOPLE
from mailquay.sandbox.mail.personal import personal_letters

_SPECIAL: Final = {
    "Archive": "\\Archive",
    "Drafts": "\\Drafts",
    "Junk": "\\Junk",
    "Sent": "\\Sent",
    "Trash": "\\Trash",
}
_OWN: Final = {
    ANN.email: ("Projects/Lighthouse",),
    BRUNO.email: ("Rechnungen/Überfällig",),
    CHIYO.email: ("旅行",),
}


def fill_mailboxes(stores: Mapping[str, MemoryMailStore], now: datetime, seed: int, *, with_mail: bool) -> None:
    """Make the mailboxes of the users, whose stores are given by address, and put the letters in by date."""
    for email, store in stores.items():
        for path in (*_SPECIAL, *_OWN[email]):
            store.create(path, frozenset([_SPECIAL[path]] if path in _SPECIAL else []))
        for mailbox in store.mailboxes():
            store.subscribe(mailbox.path)
    if not with_mail:
        return
    writer = LetterWriter(now, seed)
    letters = [*personal_letters(writer), *machine_letters(writer)]
    for letter in sorted(letters, key=lambda letter: letter.received):
        stores[letter.owner.email].append(letter.path, letter.raw, letter.flags, letter.received)
    for person in PEOPLE:
        store, own = stores[person.email], _OWN[person.email][0]
        store.copy([message for message in store.mailbox("INBOX") if b"lighthouse" in message.raw.lower()][:3], own)
