"""Every leniency has a handwritten transcript of a server that needs it, and none needs more than it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, Disposition, walk_parts
from mailquay.wire.imap.condstore import HighestModSeq, Vanished
from mailquay.wire.imap.envelope import Address, Envelope
from mailquay.wire.imap.esearch import EsearchResponse
from mailquay.wire.imap.flag import ANSWERED, ANY_KEYWORD, DELETED, DRAFT, FLAGGED, SEEN
from mailquay.wire.imap.identification import IdResponse
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.listing import ListKind, ListResponse
from mailquay.wire.imap.response import Continuation, Exists, FlagsResponse, TaggedResponse, UntaggedStatus
from mailquay.wire.imap.response_code import Code, MailboxId, PermanentFlags, UidNext, UidValidity
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.imap.status import StatusResponse
from mailquay.wire.imap.uidplus import CopyUid
from tests.wire.imap import transcripts
from tests.wire.imap.transcripts import Played, load, play

NOTHING = Envelope(None, None, (), (), (), (), (), (), None, None)


def played(name: str) -> Played:
    return play(load(transcripts.FOLDER / f"{name}.transcript"))


def codes(result: Played) -> list[object]:
    return [
        event.code
        for event in result.events
        if isinstance(event, UntaggedStatus | TaggedResponse) and event.code is not None
    ]


@pytest.mark.parametrize("path", transcripts.PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("step_bytes", [None, 1, 7])
def test_transcript(path: Path, step_bytes: int | None) -> None:
    transcript = load(path)
    result = play(transcript, step_bytes)
    assert result.client.leniencies == transcript.leniencies
    assert result.sent == b"".join(line + b"\r\n" for speaker, line in transcript.lines if speaker == "C")
    assert result.events == play(transcript).events


def test_every_leniency_has_a_transcript() -> None:
    needed = {leniency for path in transcripts.PATHS for leniency in load(path).leniencies}
    assert needed == set(Leniency)


def test_leniencies_explain_themselves() -> None:
    for leniency in Leniency:
        assert 1 <= leniency.row <= 75
        assert leniency.explanation
        assert leniency.value == leniency.name.lower().replace("_", "-")


def test_highestmodseq_without_text() -> None:
    """Row 3."""
    assert codes(played("gmail-highestmodseq-without-text"))[:2] == [UidValidity(3), HighestModSeq(4207)]


def test_malformed_codes_are_kept_uninterpreted() -> None:
    """Row 3."""
    found = codes(played("courier-code-with-odd-arguments"))
    assert found == [Code("UIDNEXT", b"soon"), Code("PERMANENTFLAGS", b"none"), Code("READ-ONLY")]


def test_multipart_without_parts() -> None:
    """Row 4."""
    structure = played("gmail-multipart-without-parts").rows()[7].body_structure
    assert structure == BodyMultipart((), "mixed", (("boundary", b"=_b"),))


def test_nil_numbers_and_bare_dispositions() -> None:
    """Row 17."""
    structure = played("exchange-structure-with-nil-numbers").rows()[8].body_structure
    assert isinstance(structure, BodyMultipart)
    text, image = structure.parts
    assert isinstance(text, BodyPart) and isinstance(image, BodyPart)
    assert (text.size_bytes, text.lines, text.disposition) == (0, None, Disposition("inline", ()))
    assert (image.parameters, image.size_bytes) == ((), 100)


def test_news_before_the_continuation() -> None:
    """Rows 15 and 40."""
    assert [type(event) for event in played("outlook-news-before-idle-confirmation").events[2:]] == [
        Exists,
        Continuation,
        Exists,
    ]
    assert [type(event) for event in played("zoho-flags-before-continuation").events[2:]] == [
        FlagsResponse,
        Continuation,
    ]


@pytest.mark.parametrize(
    "name", ["exchange-copyuid-in-untagged-ok", "exchange-copyuid-behind-text", "move-copyuid-in-untagged-ok"]
)
def test_copyuid_in_odd_places(name: str) -> None:
    """Row 21."""
    assert codes(played(name)) == [CopyUid(14, ((1, 2),), ((31, 32),))]


def test_object_ids() -> None:
    """Row 36."""
    result = played("objectid-nil-and-bare")
    assert [(row.email_id, row.thread_id) for row in result.rows().values()] == [
        ("M6d99ac3275bb4e", None),
        (None, "T64b478a75b7ea9"),
        ("M5fdc09b49ea703", "T11863d02dd95b5"),
    ]
    assert codes(result) == [MailboxId("F2212ea87-6097-4256-9d51-71338625")]


def test_missing_fields() -> None:
    """Row 43."""
    structure = played("yandex-structure-with-missing-fields").rows()[9].body_structure
    assert structure == BodyMultipart(
        (
            BodyPart("text", "html"),
            BodyPart("application", "pdf", (("name", b"a.pdf"),), encoding="base64", size_bytes=512),
        ),
        "mixed",
    )


def test_floating_numbers() -> None:
    """Row 46."""
    row = played("mailru-floating-sizes").rows()[10]
    assert row.size_bytes == 9_373_600
    assert isinstance(row.body_structure, BodyMultipart)
    assert row.body_structure.parameters == (("boundary", b""),)
    assert isinstance(row.body_structure.parts[1], BodyPart)
    assert row.body_structure.parts[1].size_bytes == 9_373_300
    assert row.envelope is not None and row.envelope.sender == ()


def test_multipart_as_leaf() -> None:
    """Row 47."""
    structure = played("gmx-multipart-as-leaf").rows()[11].body_structure
    assert isinstance(structure, BodyMultipart)
    leaf = structure.parts[1]
    assert isinstance(leaf, BodyPart)
    assert (leaf.media_type, leaf.subtype, leaf.size_bytes) == ("multipart", "alternative", 700)


def test_wrapped_and_empty_envelopes() -> None:
    """Row 48."""
    rows = played("domino-wrapped-and-empty-envelopes").rows()
    assert rows[1].envelope is not None and rows[1].envelope.subject == b"wrapped"
    assert [(rows[uid].envelope, rows[uid].body_structure, rows[uid].error) for uid in (2, 3)] == [
        (None, None, None)
    ] * 2


def test_short_and_long_envelopes() -> None:
    """Row 52."""
    rows = played("qq-short-envelope").rows()
    assert rows[1].envelope is not None
    assert (rows[1].envelope.subject, rows[1].envelope.message_id) == (b"short", None)
    assert rows[2].envelope is not None and rows[2].envelope.message_id == b"<2@qq.example>"
    assert rows[3].envelope == NOTHING._replace(
        subject=b"addresses",
        from_=(Address(b"A", b"a", b"qq.example", None),),
        sender=(Address(None, None, b"Bob <b", b"qq.example"),),
        reply_to=(Address(b"B", None, b"b", b"qq.example"),),
        to=(Address(None, None, b"c", b"qq.example"),),
    )


def test_unbalanced_envelopes_cost_one_message_each() -> None:
    """Row 59."""
    rows = played("cyrus-unbalanced-envelope").rows()
    assert [(uid, row.error is None, row.envelope is None) for uid, row in rows.items()] == [
        (1, True, False),
        (2, False, True),
        (3, False, True),
        (4, True, False),
    ]


def test_stray_blanks() -> None:
    """Row 62."""
    result = played("dovecot-trailing-blanks")
    assert StatusResponse("INBOX", messages=3, uidnext=8) in result.events
    assert IdResponse((("name", "Dovecot"), ("version", None))) in result.events
    assert FlagsResponse(frozenset({"\\Seen"})) in result.events
    assert result.rows()[1].flags == frozenset({"\\Seen"})


def test_uidvalidity_zero_counts_as_absent() -> None:
    """Row 66."""
    result = played("uidvalidity-zero")
    assert codes(result) == [Code("UIDVALIDITY", b"0")]
    assert StatusResponse("Other", messages=4, uidvalidity=None) in result.events


def test_broken_mailbox_names_keep_their_bytes() -> None:
    """Row 61."""
    names = [event for event in played("mailbox-names-in-broken-encoding").events if isinstance(event, ListResponse)]
    assert [(row.mailbox, row.argument) for row in names] == [
        ("R & D", b"R & D"),
        ("Entwürfe", "Entwürfe"),
        ("Büro", "Büro".encode()),
    ]


def test_dovecot_session() -> None:
    result = played("dovecot-session")
    assert Vanished(UidSet.parse(b"3:9,11"), earlier=True) in result.events
    assert EsearchResponse("A5", uid=True, count=2, all=UidSet.of([12, 13])) in result.events
    assert PermanentFlags(frozenset({ANSWERED, FLAGGED, DELETED, SEEN, DRAFT, "$Forwarded", ANY_KEYWORD})) in codes(
        result
    )
    assert UidNext(21) in codes(result)
    assert result.client.capabilities is not None and "QRESYNC" in result.client.capabilities
    assert result.client.enabled == frozenset({"QRESYNC"})
    row = result.rows()[10]
    assert row.envelope is not None and row.body_structure is not None
    assert row.envelope.subject == b"Hello (you)"
    assert row.envelope.from_ == (Address(b'Ann "A"', None, b"ann", b"example.test"),)
    assert row.envelope.to[0] == Address(None, None, b"team", None)
    numbered = {number: part for number, part in walk_parts(row.body_structure) if isinstance(part, BodyPart)}
    assert [(number, part.media_type) for number, part in numbered.items()] == [
        ((1,), "text"),
        ((2,), "message"),
        ((2, 1), "text"),
    ]
    assert numbered[(1,)].languages == (b"de", b"en")
    assert numbered[(2,)].disposition == Disposition("inline", ())


def test_gmail_session() -> None:
    result = played("gmail-session")
    row = result.rows()[5]
    assert row.gmail_message_id == row.gmail_thread_id == 1278455344230334865
    assert row.gmail_labels == ("\\Inbox", "\\Sent", "Important", "Muy Importante", "日本語")
    assert row.sections[0].data == b"Subject: x\r\n\r\n"
    listed = [event for event in result.events if isinstance(event, ListResponse)]
    assert [(one.mailbox, one.kind) for one in listed] == [
        ("INBOX", ListKind.XLIST),
        ("[Gmail]/All Mail", ListKind.XLIST),
    ]
    assert "\\AllMail" in listed[1].attributes
