"""What messages are said to be by their mailbox and labels."""

from __future__ import annotations

import pytest

from mailquay.model.mailbox import ListedMailbox
from mailquay.services.presentation import is_in_inbox, message_special_use

_ALL_MAIL = ListedMailbox("[Gmail]/All Mail", "/", frozenset(), special_use="\\All", all_mail=True)


@pytest.mark.parametrize(
    ("labels", "use"),
    [
        (("\\Inbox", "Work"), "\\Inbox"),
        (("\\Inbox", "\\Sent"), "\\Sent"),
        (("\\Draft",), "\\Drafts"),
        (("Work", "\\Starred"), None),
        (None, None),
    ],
)
def test_labels_tell_what_a_message_of_all_mail_is(labels: tuple[str, ...] | None, use: str | None) -> None:
    assert message_special_use(_ALL_MAIL, labels) == use


def test_elsewhere_the_mailbox_tells_it() -> None:
    assert message_special_use(ListedMailbox("Spam", "/", frozenset(), special_use="\\Junk"), ("\\Inbox",)) == "\\Junk"
    assert message_special_use(ListedMailbox("Old", "/", frozenset(), special_use="\\Archive"), None) is None


def test_the_inbox_is_a_mailbox_or_a_label() -> None:
    assert is_in_inbox("\\Inbox", None) and is_in_inbox("\\All", ("\\Inbox", "\\Sent"))
    assert not is_in_inbox("\\All", ("Work",)) and not is_in_inbox(None, None)
