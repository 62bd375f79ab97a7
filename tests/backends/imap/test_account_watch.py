"""Beginning to listen to all mailboxes: what is told in the meantime is neither lost nor mistaken."""

from __future__ import annotations

from mailquay.backends.imap.account_watch import ImapAccountWatch
from mailquay.backends.interface import MailboxNewsKind
from mailquay.model.mailbox import MailboxEvidence
from tests.backends.imap.driving import PASSWORD, connected
from tests.backends.imap.scripted_server import Expect, Hang, Send, Step

_OFFERED = b"IMAP4rev1 SASL-IR AUTH=PLAIN CONDSTORE ENABLE NOTIFY IDLE LIST-EXTENDED LIST-STATUS"
_BEGUN: tuple[Step, ...] = (
    Send(b"* OK [CAPABILITY " + _OFFERED + b"] hi\r\n"),
    Expect("A1 AUTHENTICATE PLAIN .*"),
    Send(b"A1 OK [CAPABILITY " + _OFFERED + b"] in\r\n"),
    Expect("A2 ENABLE CONDSTORE"),
    Send(b"* ENABLED CONDSTORE\r\nA2 OK\r\n"),
    Expect("A3 NOTIFY SET .*"),
)
_LISTED = b'* LIST () "/" INBOX\r\n* LIST () "/" Work\r\n'


def _status(path: str, counters: str) -> bytes:
    return f"* STATUS {path} ({counters})\r\n".encode()


async def test_what_is_told_while_listening_begins_is_heard() -> None:
    steps = (
        *_BEGUN,
        Send(_status("INBOX", "MESSAGES 4 UIDNEXT 6 UIDVALIDITY 7") + b"A3 OK\r\n"),
        Expect("A4 IDLE"),
        Send(_status("INBOX", "HIGHESTMODSEQ 30") + b'* LIST () "/" New\r\n+ idling\r\n'),
        Hang(),
    )
    async with connected(*steps) as connection:
        await connection.login(PASSWORD)
        watch = ImapAccountWatch(connection, "INBOX", restart_seconds=60)
        assert await watch.start() is None
        [early] = await watch.next_news()
        assert (early.path, early.evidence) == ("INBOX", MailboxEvidence(uidvalidity=7, uidnext=6, messages=4))
        counted, made = await watch.next_news()
        assert (counted.path, counted.evidence) == ("INBOX", MailboxEvidence(highestmodseq=30))
        assert (made.kind, made.path) == (MailboxNewsKind.APPEARED, "New")


async def test_news_between_the_answers_of_a_survey_count_with_them() -> None:
    steps = (
        *_BEGUN,
        Send(b"A3 OK\r\n"),
        Expect("A4 LIST .*STATUS.*"),
        Send(_LISTED),
        Send(_status("INBOX", "MESSAGES 3 UIDNEXT 5 UIDVALIDITY 7 UNSEEN 1 HIGHESTMODSEQ 20")),
        Send(_status("Work", "MESSAGES 1 UIDNEXT 2 UIDVALIDITY 8 UNSEEN 0 HIGHESTMODSEQ 9")),
        Send(_status("INBOX", "UIDVALIDITY 7 HIGHESTMODSEQ 21") + b"A4 OK\r\n"),
        Expect("A5 IDLE"),
        Send(b"+ idling\r\n" + _status("Work", "MESSAGES 2 UIDNEXT 3")),
        Hang(),
    )
    async with connected(*steps) as connection:
        await connection.login(PASSWORD)
        watch = ImapAccountWatch(connection, "INBOX", restart_seconds=60)
        surveyed = await watch.start(survey=True)
        assert surveyed is not None
        listed, counted = surveyed
        assert [box.path for box in listed] == ["INBOX", "Work"]
        assert counted == {
            "INBOX": MailboxEvidence(uidvalidity=7, uidnext=5, messages=3, unseen=1, highestmodseq=21),
            "Work": MailboxEvidence(uidvalidity=8, uidnext=2, messages=1, unseen=0, highestmodseq=9),
        }
        [news] = await watch.next_news()
        assert (news.path, news.evidence) == ("Work", MailboxEvidence(messages=2, uidnext=3))


async def test_a_survey_that_is_refused_hinders_nobody_from_listening() -> None:
    steps = (
        *_BEGUN,
        Send(b"A3 OK\r\n"),
        Expect("A4 LIST .*"),
        Send(b"A4 NO not now\r\n"),
        Expect("A5 LIST .*"),
        Send(b"A5 NO not now\r\n"),
        Expect('A6 LIST "" .*'),
        Send(b"A6 NO not now\r\n"),
        Expect("A7 IDLE"),
        Send(b"+ idling\r\n" + _status("INBOX", "MESSAGES 2")),
        Hang(),
    )
    async with connected(*steps) as connection:
        await connection.login(PASSWORD)
        watch = ImapAccountWatch(connection, "INBOX", restart_seconds=60)
        assert await watch.start(survey=True) is None
        assert [one.path for one in await watch.next_news()] == ["INBOX"]
