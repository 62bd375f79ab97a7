"""Every habit of servers that has a name, in a handwritten transcript that a whole session plays over a socket."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.backends.imap.conduct import Conduct
from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import SearchTerms
from mailquay.errors import (
    CommandRejected,
    LocalProtocolError,
    MailquayError,
    MessageNotFound,
    RateLimited,
    RemoteProtocolError,
)
from mailquay.model.account import ImapSettings
from mailquay.model.mailbox import MailboxEvidence
from mailquay.services import late_messages
from mailquay.wire.sasl import Credentials
from tests.backends.imap.scripted_server import Expect, ScriptedServer, Send, Step

FOLDER = Path(__file__).parents[2] / "corpus/imap/conduct"
BY_NAME = {conduct.value: conduct for conduct in Conduct}
PASSWORD = Credentials("u", password="p")


def header(path: Path) -> set[Conduct]:
    names = path.read_text().splitlines()[0].removeprefix("# conduct:").replace(",", " ").split()
    return {BY_NAME[name] for name in names}


def steps(name: str) -> list[Step]:
    """`C:` lines are what must come, `S:` lines what is sent."""
    script: list[Step] = []
    for line in (FOLDER / f"{name}.transcript").read_bytes().splitlines()[1:]:
        speaker, text = line[:1], line[3:]
        script.append(Send(text + b"\r\n") if speaker == b"S" else Expect(re.escape(text.decode("latin-1"))))
    return script


@contextlib.asynccontextmanager
async def played(name: str) -> AsyncIterator[ImapSession]:
    """A session with the server of a transcript; all of it must have been played in the end."""
    async with ScriptedServer(*steps(name)) as server:
        connection = await ImapConnection.open(await server.connect())
        yield ImapSession(connection)
        await server.finished.wait()
        await connection.aclose()


async def uids_of_flags(session: ImapSession, uids: str) -> list[int]:
    return [state.uid async for batch in session.fetch_flags(uids) for state in [*batch]]


def test_every_conduct_has_a_transcript() -> None:
    assert {conduct for path in FOLDER.glob("*.transcript") for conduct in header(path)} == set(Conduct)


def test_conducts_explain_themselves() -> None:
    for conduct in Conduct:
        assert all(1 <= row <= 75 for row in conduct.rows)
        assert conduct.explanation
        assert conduct.value == conduct.name.lower().replace("_", "-")


async def test_too_many_sessions_are_no_wrong_password() -> None:
    async with played("gmail-too-many-sessions") as session:
        with pytest.raises(RateLimited) as refused:
            await session._connection.login(PASSWORD)
        assert refused.value.retry_after_seconds == 60


@pytest.mark.parametrize(("name", "seconds"), [("outlook-not-connected", 300), ("outlook-backoff-named", 2.5)])
async def test_pauses(name: str, seconds: float) -> None:
    async with played(name) as session:
        with pytest.raises(RateLimited) as refused:
            await session.open_mailbox("INBOX")
        assert refused.value.retry_after_seconds == seconds


async def test_messages_that_are_gone() -> None:
    async with played("exchange-messages-gone") as session:
        await session.open_mailbox("INBOX")
        assert await uids_of_flags(session, "1:3") == [1, 3]


async def test_only_items_on_offer_are_asked_for() -> None:
    async with played("outlook-items-offered") as session:
        await session.open_mailbox("INBOX")
        [[entry]] = [batch async for batch in session.fetch_identifiers("1:*")]
        assert entry.size_bytes == 70


async def test_login_for_names_with_slashes() -> None:
    async with played("exchange-login-for-slashes") as session:
        await session._connection.login(Credentials("example\\ann/shared", password="p"))


async def test_a_message_limit() -> None:
    async with played("yahoo-message-limit") as session:
        await session.open_mailbox("INBOX")
        assert await uids_of_flags(session, "1:*") == [9, 7, 5, 4, 2]
        assert await session.uids() == [2, 4, 5, 7, 9]


async def test_folders_that_hold_no_mail() -> None:
    async with played("exchange-groupware-folders") as session:
        listed = await session.list_mailboxes()
    assert [box.path for box in listed if box.groupware] == ["Kalender", "Kalender/Geburtstage", "Tâches"]


async def test_a_refused_charset() -> None:
    async with played("yahoo-charset-refused") as session:
        await session.open_mailbox("INBOX")
        assert await session.search(SearchTerms(text={"subject": "Grüß"})) == [2]
        assert await session.search(SearchTerms(text={"subject": "plain"})) == [1]


async def test_a_search_for_a_text_that_is_refused() -> None:
    async with played("qq-texts-refused") as session:
        await session.open_mailbox("INBOX")
        assert await session.search(SearchTerms(text={"subject": "plain"}, flags={"seen": False})) == [2]


async def test_a_message_that_is_unavailable() -> None:
    async with played("yahoo-message-unavailable") as session:
        await session.open_mailbox("INBOX")
        found = {entry.uid: entry.error async for batch in session.fetch_identifiers("1:*") for entry in [*batch]}
        assert {uid: error is None for uid, error in found.items()} == {1: True, 2: False, 3: True, 4: True}


async def test_a_message_that_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_messages, "_PAUSES_SECONDS", (0.001, 0.001, 0.001))
    async with played("message-late") as session:
        await session.open_mailbox("INBOX")
        late = await late_messages.wait_for_late(session, [], 8, 8, patient=True)
        assert ([entry.uid for entry in late.entries], late.missing, late.retries) == ([8], (), 2)


async def test_a_missing_body() -> None:
    async with played("icloud-body-missing") as session:
        await session.open_mailbox("INBOX")
        with pytest.raises(MessageNotFound):
            await anext(aiter(session.stream_section(7, "")))


async def test_a_literal_that_is_cut() -> None:
    async with played("yandex-literal-cut") as session:
        await session.open_mailbox("INBOX")
        with pytest.raises(RemoteProtocolError, match="literal"):
            await anext(aiter(session.stream_section(7, "")))
        assert not session.usable


async def test_a_search_that_finds_nothing() -> None:
    async with played("yandex-search-empty") as session:
        await session.open_mailbox("INBOX")
        assert await session.uids() == [4, 9]


async def test_sets_are_sorted_and_never_hold_zero() -> None:
    async with played("qq-sets-ascending") as session:
        await session.open_mailbox("INBOX")
        assert await uids_of_flags(session, "5,3,4,1,1") == [1]
        with pytest.raises(MailquayError):
            await uids_of_flags(session, "0:*")


async def test_id_follows_the_login() -> None:
    async with ScriptedServer(*steps("netease-id-first")) as server:
        settings = ImapSettings(host="127.0.0.1", port=server.port, user="u", password="p", tls={"disabled": True})
        options = ImapOptions(
            connect_seconds=5,
            command_seconds=5,
            idle_restart_seconds=60,
            poll_seconds=1,
            client_id={"name": "mailquay"},
        )
        session = await ImapBackend(settings, options).open_session()
        assert (await session.open_mailbox("INBOX")).messages == 0
        await session.close()


async def test_an_empty_status() -> None:
    async with played("netease-status-empty") as session:
        assert await session.status(["INBOX"]) == {"INBOX": MailboxEvidence()}


async def test_alerts_change_nothing() -> None:
    async with played("courier-alert-ignored") as session:
        await session._connection.login(PASSWORD)
        assert (await session.open_mailbox("INBOX")).messages == 1


async def test_a_refused_uid_expunge() -> None:
    async with played("bridge-uid-expunge-refused") as session:
        await session.open_mailbox("INBOX", writable=True)
        await session.expunge("1")


async def test_recent_is_not_asked_for() -> None:
    async with played("freefr-recent-never") as session:
        await session.open_mailbox("INBOX")
        assert await session.search(SearchTerms(flags={"unseen": True})) == [2]


async def test_uses_by_name() -> None:
    async with played("icloud-use-by-name") as session:
        uses = {box.path: box.special_use for box in await session.list_mailboxes()}
        assert uses == {
            "INBOX": "\\Inbox",
            "Sent Messages": "\\Sent",
            "Deleted Messages": "\\Trash",
            "Entwürfe": "\\Drafts",
            "Projects/Sent": None,
        }


async def test_labels_are_told_from_mailboxes() -> None:
    async with played("gmail-labels-as-mailboxes") as session:
        listed = await session.list_mailboxes()
    assert {box.path for box in listed if not box.label} == {"[Gmail]/All Mail", "[Gmail]/Spam", "[Gmail]/Trash"}
    assert [box.path for box in listed if box.all_mail] == ["[Gmail]/All Mail"]


async def test_flags_that_nobody_tells_of() -> None:
    async with played("hoodiecrow-flags-untold") as session:
        before = await session.open_mailbox("INBOX")
        after = await session.open_mailbox("INBOX")
        assert (before.highestmodseq, after.highestmodseq) == (2, 3)
        [states] = [states async for states in session.fetch_flags("1:2", changed_since=before.highestmodseq)]
        assert [(state.uid, state.flags) for state in states] == [(1, ("\\Seen",))]


async def test_a_mailbox_that_cannot_be_opened_for_a_while() -> None:
    async with played("unselectable-awhile") as session:
        assert [box.selectable for box in await session.list_mailboxes()] == [False]
        with pytest.raises(CommandRejected):
            await session.open_mailbox("Work")
        assert [box.selectable for box in await session.list_mailboxes()] == [True]


async def test_a_parent_that_is_listed_and_not_there() -> None:
    async with played("dovecot-parents-unmarked") as session:
        listed, counted = await session.survey()
    assert [box.path for box in listed if box.selectable] == ["INBOX", "Work/Old"]
    assert counted is not None and set(counted) == {"INBOX", "Work/Old"}


async def test_a_message_among_old_uids() -> None:
    async with played("uids-return") as session:
        before = await session.open_mailbox("INBOX")
        after = await session.open_mailbox("INBOX")
        assert (before.messages, before.uidnext) == (after.messages, after.uidnext)
        [states] = [states async for states in session.fetch_flags("1:8", changed_since=before.highestmodseq)]
        assert [state.uid for state in states] == [3]


async def test_rev1_is_preferred() -> None:
    async with played("outlook-rev1-preferred") as session:
        assert [box.path for box in await session.list_mailboxes()] == ["Entwürfe"]
        await session.open_mailbox("Entwürfe")
        assert await session.uids() == [3]


async def test_a_message_that_is_too_large_to_be_had_as_a_whole() -> None:
    async with played("large-refused") as session:
        await session.open_mailbox("INBOX")
        assert [piece async for piece in session.stream_section(7, "")] == [b"first ", b"second"]


async def test_sizes_have_limits() -> None:
    async with played("hostile-sizes") as session:
        await session.open_mailbox("INBOX")
        with pytest.raises(RemoteProtocolError, match="claims"):
            await session.uids()
        with pytest.raises(RemoteProtocolError, match="limit"):
            await anext(aiter(session.stream_section(7, "")))
        assert not session.usable


async def test_arguments_cannot_smuggle_commands_in() -> None:
    async with played("arguments-checked") as session:
        hostile = "x\r\nA2 DELETE INBOX"
        for attempt in (session.open_mailbox, session.create_mailbox, session.delete_mailbox):
            with pytest.raises(LocalProtocolError):
                await attempt(hostile)
        await session.noop()
        assert session.usable
