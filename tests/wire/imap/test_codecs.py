"""One table per family: bytes as servers write them, and the value they mean; whole, byte by byte, and with a tail."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, Disposition, walk_parts
from mailquay.wire.imap.condstore import HighestModSeq, Modified, Vanished
from mailquay.wire.imap.envelope import Address, Envelope
from mailquay.wire.imap.esearch import EsearchResponse, SearchResponse
from mailquay.wire.imap.fetch import FetchResponse, SectionData
from mailquay.wire.imap.identification import IdResponse
from mailquay.wire.imap.in_progress import InProgress
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.listing import ListKind, ListResponse
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.namespace import Namespace, NamespaceResponse
from mailquay.wire.imap.partial import PartialRange, PartialResult
from mailquay.wire.imap.quota_data import QuotaResource, QuotaResponse, QuotaRootResponse
from mailquay.wire.imap.response import (
    CapabilityResponse,
    Continuation,
    EnabledResponse,
    Exists,
    Expunge,
    FlagsResponse,
    Recent,
    Status,
    TaggedResponse,
    UnknownResponse,
    UntaggedResponse,
    UntaggedStatus,
    read_response,
    write_response,
)
from mailquay.wire.imap.response_code import BadCharsetCode, BadEvent, CapabilityCode, Code, PermanentFlags, Unseen
from mailquay.wire.imap.section import Section, SectionText
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.status import StatusResponse
from mailquay.wire.imap.uidplus import AppendUid, CopyUid
from mailquay.wire.imap.writer import LiteralMode, Writer
from tests.wire.imap.test_round_trip import heard

ANN = Address(b"Ann", None, b"ann", b"x.example")
EMPTY = Envelope(None, None, (), (), (), (), (), (), None, None)
PLAIN = BodyPart("text", "plain", (("charset", b"utf-8"),), encoding="7bit", size_bytes=10, lines=2)

MAILBOX_DATA: list[tuple[bytes, UntaggedResponse]] = [
    (b"* CAPABILITY IMAP4rev1 auth=plain", CapabilityResponse(frozenset({"IMAP4REV1", "AUTH=PLAIN"}))),
    (b"* ENABLED", EnabledResponse(frozenset())),
    (b"* 23 EXISTS", Exists(23)),
    (b"* 0 recent", Recent(0)),
    (b"* 44 Expunge", Expunge(44)),
    (b"* FLAGS (\\SEEN Work)", FlagsResponse(frozenset({"\\Seen", "Work"}))),
    (b'* LIST (\\Noselect) "/" ~/Mail/foo', ListResponse("~/Mail/foo", "/", frozenset({"\\Noselect"}))),
    (b"* LIST () NIL inbox", ListResponse("INBOX", None)),
    (b'* LSUB () "." {3}\r\na b', ListResponse("a b", ".", kind=ListKind.LSUB)),
    (
        b'* LIST (\\NonExistent) "/" "Fruit" ("CHILDINFO" ("SUBSCRIBED") "X" (1 (2)))',
        ListResponse("Fruit", "/", frozenset({"\\NonExistent"}), child_info=("SUBSCRIBED",)),
    ),
    (b'* LIST () "/" "New" ("OLDNAME" ("Old"))', ListResponse("New", "/", old_name="Old")),
    (b"* STATUS blurdy (MESSAGES 231 UIDNEXT 44292)", StatusResponse("blurdy", messages=231, uidnext=44292)),
    (
        b"* STATUS x (SIZE 7 HIGHESTMODSEQ 9 MAILBOXID (F1) X-NEW (1 2) APPENDLIMIT NIL)",
        StatusResponse("x", size=7, highestmodseq=9, mailboxid="F1"),
    ),
    (b"* STATUS x ()", StatusResponse("x")),
    (b"* SEARCH", SearchResponse(())),
    (b"* SEARCH 2 84 882", SearchResponse((2, 84, 882))),
    (b"* SEARCH 2 5 (MODSEQ 917162500)", SearchResponse((2, 5), 917162500)),
    (b"* SEARCH (MODSEQ 5)", SearchResponse((), 5)),
    (b'* ESEARCH (TAG "A282") MIN 2 COUNT 3', EsearchResponse("A282", uid=False, minimum=2, count=3)),
    (
        b'* ESEARCH (TAG "A283") UID ALL 2,10:11 MODSEQ 5',
        EsearchResponse("A283", uid=True, all=UidSet.parse(b"2,10:11"), modseq=5),
    ),
    (b"* ESEARCH ALL 1:3 X-NEW (a)", EsearchResponse(None, uid=False, all=SeqSet.span(1, 3))),
    (b"* ESEARCH", EsearchResponse(None, uid=False)),
    (b"* VANISHED (EARLIER) 41,43:116", Vanished(UidSet.parse(b"41,43:116"), earlier=True)),
    (b"* VANISHED 405", Vanished(UidSet.of([405]))),
    (
        b'* NAMESPACE (("" "/")("#mh/" "/" "X-PARAM" ("FLAG1" "FLAG2"))) NIL (("#shared/" NIL))',
        NamespaceResponse((Namespace("", "/"), Namespace("#mh/", "/")), (), (Namespace("#shared/", None),)),
    ),
    (b'* ID ("name" "Cyrus" "vendor" NIL)', IdResponse((("name", "Cyrus"), ("vendor", None)))),
    (b"* ID NIL", IdResponse(())),
    (
        b'* QUOTA "" (STORAGE 10 512 MESSAGE 3 1000)',
        QuotaResponse("", (QuotaResource("STORAGE", 10, 512), QuotaResource("MESSAGE", 3, 1000))),
    ),
    (b"* QUOTA #user/ann ()", QuotaResponse("#user/ann")),
    (b'* QUOTAROOT inbox "User quota" ""', QuotaRootResponse("INBOX", ("User quota", ""))),
    (b"* QUOTAROOT comp.mail.mime", QuotaRootResponse("comp.mail.mime")),
    (b"* STATUS x (DELETED 4 DELETED-STORAGE 8)", StatusResponse("x", deleted=4, deleted_storage=8)),
    (
        b'* ESEARCH (TAG "A01") UID PARTIAL (-1:-100 200:250,252:300)',
        EsearchResponse(
            "A01", uid=True, partial=PartialResult(PartialRange(1, 100, True), UidSet.parse(b"200:250,252:300"))
        ),
    ),
    (
        b"* ESEARCH UID PARTIAL (24000:23500 NIL) COUNT 9",
        EsearchResponse(None, uid=True, count=9, partial=PartialResult(PartialRange(23500, 24000))),
    ),
    (b"* OK [NOTIFICATIONOVERFLOW] lost", UntaggedStatus(Status.OK, Code("NOTIFICATIONOVERFLOW"), "lost")),
    (b"* OK [INPROGRESS] wait", UntaggedStatus(Status.OK, InProgress(), "wait")),
    (b'* OK [INPROGRESS ("A1" 454 1000)] wait', UntaggedStatus(Status.OK, InProgress("A1", 454, 1000), "wait")),
    (b"* OK [inprogress (NIL 7 NIL)] wait", UntaggedStatus(Status.OK, InProgress(None, 7), "wait")),
    (b"* X-THING 7", UnknownResponse(b"* X-THING 7")),
    (b"* 7 X-THING", UnknownResponse(b"* 7 X-THING")),
    (b"* OK", UntaggedStatus(Status.OK, None, "")),
    (b"* BYE Autologout; idle for too long", UntaggedStatus(Status.BYE, None, "Autologout; idle for too long")),
    (b"* OK [UNSEEN 12] Message 12 is first {7}", UntaggedStatus(Status.OK, Unseen(12), "Message 12 is first {7}")),
    (
        b"* OK [PERMANENTFLAGS (\\Deleted \\*)] Limited",
        UntaggedStatus(Status.OK, PermanentFlags(frozenset({"\\Deleted", "\\*"})), "Limited"),
    ),
    (b"* NO [ALERT] 100% full", UntaggedStatus(Status.NO, Code("ALERT"), "100% full")),
    (
        b"* OK [CAPABILITY IMAP4rev1 IDLE] hi",
        UntaggedStatus(Status.OK, CapabilityCode(frozenset({"IMAP4REV1", "IDLE"})), "hi"),
    ),
    (b'* OK [X-URL "a]b"] y', UntaggedStatus(Status.OK, Code("X-URL", b'"a]b"'), "y")),
    (b"* OK [broken text", UntaggedStatus(Status.OK, None, "[broken text")),
    (b"* OK [NOMODSEQ] none", UntaggedStatus(Status.OK, Code("NOMODSEQ"), "none")),
    (b"* OK [HIGHESTMODSEQ 715194045007] x", UntaggedStatus(Status.OK, HighestModSeq(715194045007), "x")),
]

FETCHES: list[tuple[bytes, FetchResponse]] = [
    (b"* 1 FETCH ()", FetchResponse(1)),
    (b"* 12 FETCH (FLAGS (\\Seen) UID 7)", FetchResponse(12, 7, frozenset({"\\Seen"}))),
    (b"* 12 fetch (uid 7 flags (\\seen))", FetchResponse(12, 7, frozenset({"\\Seen"}))),
    (b"* 12 FETCH (MODSEQ (65402) UID 7 FLAGS ())", FetchResponse(12, 7, frozenset(), 65402)),
    (
        b'* 3 FETCH (RFC822.SIZE 44286 INTERNALDATE "01-Jan-2026 10:00:00 +0000" UID 9)',
        FetchResponse(3, 9, internal_date=datetime(2026, 1, 1, 10, tzinfo=UTC), size_bytes=44286),
    ),
    (
        b'* 3 FETCH (ENVELOPE (NIL "s" ((NIL NIL "a" "b")("Ann" NIL "ann" "x.example")) NIL NIL NIL NIL NIL NIL NIL))',
        FetchResponse(3, envelope=EMPTY._replace(subject=b"s", from_=(Address(None, None, b"a", b"b"), ANN))),
    ),
    (
        b'* 3 FETCH (ENVELOPE (nil {3}\r\na"b ("x" (NIL NIL "a" "b")) NIL NIL NIL NIL NIL NIL NIL))'.replace(
            b'("x" (NIL NIL "a" "b"))', b'((NIL NIL {1}\r\na "b"))'
        ),
        FetchResponse(3, envelope=EMPTY._replace(subject=b'a"b', from_=(Address(None, None, b"a", b"b"),))),
    ),
    (
        b'* 3 FETCH (BODY ("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 10 2))',
        FetchResponse(3, body=PLAIN),
    ),
    (
        b'* 3 FETCH (BODYSTRUCTURE (("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 10 2) '
        b'("image" "gif" ("name" "a\\"b" "x" "y") "<i>" {3}\r\nd d "base64" 99 "md5" ("inline" ("filename" "f")) '
        b'("en" "de") "loc" "more" 7 (8)) "mixed"))',
        FetchResponse(
            3,
            body_structure=BodyMultipart(
                (
                    PLAIN,
                    BodyPart(
                        "image",
                        "gif",
                        (("name", b'a"b'), ("x", b"y")),
                        b"<i>",
                        b"d d",
                        "base64",
                        99,
                        md5=b"md5",
                        disposition=Disposition("inline", (("filename", b"f"),)),
                        languages=(b"en", b"de"),
                        location=b"loc",
                    ),
                ),
                "mixed",
            ),
        ),
    ),
    (
        b"* 2 FETCH (BODY[1.2.HEADER.FIELDS (SUBJECT {2}\r\nTo)]<5> {3}\r\nabc UID 1)",
        FetchResponse(
            2, 1, sections=(SectionData(Section((1, 2), SectionText.HEADER_FIELDS, ("SUBJECT", "To")), 5, b"abc", 3),)
        ),
    ),
    (
        b'* 2 FETCH (BODY[] "" BODY[TEXT] NIL RFC822.HEADER {0}\r\n BINARY[1] ~{2}\r\n\0x BINARY.SIZE[2] 77)',
        FetchResponse(
            2,
            sections=(
                SectionData(Section(), None, b"", 0),
                SectionData(Section((), SectionText.TEXT), None, None, 0),
                SectionData(Section((), SectionText.HEADER), None, b"", 0, "RFC822.HEADER"),
                SectionData(Section((1,)), None, b"\0x", 2, "BINARY"),
            ),
            binary_sizes=((Section((2,)), 77),),
        ),
    ),
    (
        b"* 2 FETCH (X-GM-MSGID 18446744073709551615 X-GM-LABELS (\\Inbox a &AOk-) EMAILID (M1) PREVIEW {2}\r\nhi)",
        FetchResponse(2, gmail_message_id=2**64 - 1, gmail_labels=("\\Inbox", "a", "é"), email_id="M1", preview=b"hi"),
    ),
    (
        b'* 3 FETCH (UID 5 FLAGS (\\Seen) ENVELOPE (NIL "a (b" NIL NIL NIL NIL NIL NIL NIL NIL))',
        FetchResponse(3, 5, frozenset({"\\Seen"}), envelope=EMPTY._replace(subject=b"a (b")),
    ),
    (
        b'* 3 FETCH (UID 5 ENVELOPE (NIL "a" NIL NIL NIL NIL NIL NIL NIL NIL) FLAGS (\\Seen))',
        FetchResponse(3, 5, frozenset({"\\Seen"}), envelope=EMPTY._replace(subject=b"a")),
    ),
    (
        b'* 3 FETCH (UID 5 FLAGS (\\Seen) ENVELOPE (NIL "a \\"b\\\\" NIL NIL NIL NIL NIL NIL NIL NIL))',
        FetchResponse(3, 5, frozenset({"\\Seen"}), envelope=EMPTY._replace(subject=b'a "b\\')),
    ),
    (b"* 25996 UIDFETCH (FLAGS (\\Seen) MODSEQ (12))", FetchResponse(0, 25996, frozenset({"\\Seen"}), 12)),
    (b"* 25996 uidfetch (RFC822.SIZE 7 UID 25996)", FetchResponse(0, 25996, size_bytes=7)),
    (b'* 2 FETCH (X-NEW (a "b)" {1}\r\nc) UID 4)', FetchResponse(2, 4, unknown=(("X-NEW", b'(a "b)" "c")'),))),
]


@pytest.mark.parametrize(("data", "value"), [*MAILBOX_DATA, *FETCHES])
def test_responses(data: bytes, value: UntaggedResponse) -> None:
    line = data + b"\r\n"
    assert heard(line) == [value]
    assert heard(*(line[index : index + 1] for index in range(len(line)))) == [value]
    assert heard(line + b"* 1 EXP") == [value]
    assert heard(line + line) == [value, value]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"A1 OK done", TaggedResponse("A1", Status.OK, None, "done")),
        (b"A1 ok", TaggedResponse("A1", Status.OK, None, "")),
        (b"a.2 NO [TRYCREATE] no", TaggedResponse("a.2", Status.NO, Code("TRYCREATE"), "no")),
        (b"A1 OK [APPENDUID 38505 3955] x", TaggedResponse("A1", Status.OK, AppendUid(38505, ((3955, 3955),)), "x")),
        (
            b"A1 OK [COPYUID 38505 304,319:320 3956:3958] x",
            TaggedResponse("A1", Status.OK, CopyUid(38505, ((304, 304), (319, 320)), ((3956, 3958),)), "x"),
        ),
        (
            b"A1 BAD [BADCHARSET (utf-8 US-ASCII)] x",
            TaggedResponse("A1", Status.BAD, BadCharsetCode(("UTF-8", "US-ASCII")), "x"),
        ),
        (b"A1 NO [BADCHARSET] x", TaggedResponse("A1", Status.NO, BadCharsetCode(), "x")),
        (
            b"A1 NO [BADEVENT (MessageNew FlagChange)] x",
            TaggedResponse("A1", Status.NO, BadEvent(("MessageNew", "FlagChange")), "x"),
        ),
        (b"A1 OK [MESSAGELIMIT 1000 23221] x", TaggedResponse("A1", Status.OK, MessageLimit(1000, 23221), "x")),
        (b"A1 NO [MESSAGELIMIT 1000] x", TaggedResponse("A1", Status.NO, MessageLimit(1000), "x")),
        (b"A1 BAD [UIDREQUIRED] x", TaggedResponse("A1", Status.BAD, Code("UIDREQUIRED"), "x")),
        (b"A1 NO [COMPRESSIONACTIVE] x", TaggedResponse("A1", Status.NO, Code("COMPRESSIONACTIVE"), "x")),
        (b"A1 OK [MODIFIED 7,9] x", TaggedResponse("A1", Status.OK, Modified(((7, 7), (9, 9))), "x")),
        (b"+ Ready", Continuation("Ready")),
        (b"+ [ALERT] look", Continuation("look", Code("ALERT"))),
        (b"+", Continuation("")),
        (b"+ ", Continuation("")),
        (b"+OK", Continuation("OK")),
    ],
)
def test_other_responses(line: bytes, value: object) -> None:
    assert read_response(Reader(line)) == value


@pytest.mark.parametrize(
    "line",
    [
        b"* LIST",
        b"* LIST (\\a b",
        b'* LIST () "/" x y',
        b"* STATUS x MESSAGES",
        b"* STATUS x (MESSAGES)",
        b"* SEARCH one",
        b"* ESEARCH (FOO x)",
        b"* ESEARCH ALL 0",
        b"* ESEARCH ALL 1:*",
        b"* VANISHED 7:*",
        b"* VANISHED 0",
        b"* VANISHED *x",
        b"* FLAGS x",
        b"* NAMESPACE x",
        b"* ID (x)",
        b"* 5 EXISTS now",
        b"* QUOTA x",
        b"* QUOTA x (STORAGE 1)",
        b"* QUOTA x (STORAGE one 2)",
        b"* ESEARCH UID PARTIAL (0:5 1)",
        b"* ESEARCH UID PARTIAL (-1:5 1)",
        b"* ESEARCH UID PARTIAL 1:5",
        b"* ESEARCH UID PARTIAL (1:5 1:*)",
    ],
)
def test_what_cannot_be_read_is_handed_on(line: bytes) -> None:
    value = read_response(Reader(line))
    assert isinstance(value, UnknownResponse)
    assert value.raw == line
    assert value.error


@pytest.mark.parametrize(
    "code",
    [
        b"COPYUID 1 1:2 5",
        b"COPYUID 1 1:* 5:*",
        b"APPENDUID 1",
        b"UIDNEXT x",
        b"MODIFIED 0",
        b"MAILBOXID F1",
        b"INPROGRESS (1 2 3)",
        b"MESSAGELIMIT many",
        b"BADEVENT x",
    ],
)
def test_malformed_codes_do_not_cost_the_response(code: bytes) -> None:
    value = read_response(Reader(b"A1 OK [" + code + b"] done"))
    name, _, argument = code.partition(b" ")
    assert value == TaggedResponse("A1", Status.OK, Code(name.decode(), argument), "done")


@pytest.mark.parametrize(
    "line",
    [
        b"* 5 FETCH",
        b"* 5 FETCH UID 3",
        b"* 5 FETCH (UID 0)",
        b"* 5 FETCH (UID 4294967296)",
        b"* 5 FETCH (FLAGS \\Seen)",
        b"* 5 FETCH (MODSEQ 5)",
        b'* 5 FETCH (INTERNALDATE "yesterday")',
        b"* 5 FETCH (RFC822.SIZE big)",
        b"* 5 FETCH (BODY[0] NIL)",
        b"* 5 FETCH (BODY[MIME] NIL)",
        b"* 5 FETCH (BODY[1.FOO] NIL)",
        b'* 5 FETCH (ENVELOPE "x")',
        b"* 5 FETCH (ENVELOPE ((a) b c d e f g h i j))",
        b"* 5 FETCH (BODYSTRUCTURE x)",
        b"* 5 FETCH (FLAGS ()) trailing",
        b"* 5 FETCH (FLAGS (",
        b"* 5 FETCH (X-GM-LABELS (a",
        b"* 5 FETCH (EMAILID ())",
        b"* 5 UIDFETCH (FLAGS",
    ],
)
def test_a_broken_fetch_is_isolated(line: bytes) -> None:
    value = heard(line + b"\r\n* 6 FETCH (UID 7)\r\n")
    assert len(value) == 2
    broken = value[0]
    if isinstance(broken, FetchResponse):
        assert 5 in (broken.seq, broken.uid)
        assert broken.error
    else:
        assert isinstance(broken, UnknownResponse)
    assert value[1] == FetchResponse(6, 7)


def test_the_uid_of_a_broken_fetch_is_recovered_from_its_end() -> None:
    value = heard(b'* 5 FETCH (ENVELOPE ("UID 4)" UID 9)\r\n')[0]
    assert isinstance(value, FetchResponse)
    assert (value.uid, value.error is None) == (9, False)


def test_part_numbers() -> None:
    """RFC 9051 §6.4.5.1: the example tree."""
    leaf = BodyPart("text", "plain", lines=1)
    message = BodyPart("message", "rfc822", lines=9, body=BodyMultipart((leaf, leaf), "mixed"))
    inner = BodyMultipart((BodyPart("image", "gif"), message), "mixed")
    tree = BodyMultipart((leaf, BodyPart("application", "octet-stream"), message, inner), "mixed")
    assert [".".join(map(str, number)) for number, part in walk_parts(tree) if isinstance(part, BodyPart)] == [
        "1",
        "2",
        "3",
        "3.1",
        "3.2",
        "4.1",
        "4.2",
        "4.2.1",
        "4.2.2",
    ]
    assert [number for number, _ in walk_parts(leaf)] == [(1,)]
    nested = BodyPart("message", "rfc822", lines=9, body=leaf)
    assert [number for number, _ in walk_parts(nested)] == [(1,), (1, 1)]


@pytest.mark.parametrize(
    "response",
    [
        TaggedResponse("A 1", Status.OK, None, "x"),
        TaggedResponse("A1", Status.OK, None, "x\r\nA2 OK injected"),
        UntaggedStatus(Status.OK, Code("X", b"\r\n"), "x"),
        FlagsResponse(frozenset({"a b"})),
        ListResponse("a\r\n", "/"),
        FetchResponse(1, email_id="a b"),
        FetchResponse(0, email_id="M1"),
        UntaggedStatus(Status.OK, BadEvent(("a b",)), "x"),
        UntaggedStatus(Status.OK, InProgress('a"b'), "x"),
        QuotaResponse("x", (QuotaResource("a b", 1, 2),)),
        FetchResponse(1, size_bytes=-1),
        IdResponse((("n" * 31, None),)),
        IdResponse(tuple((str(number), None) for number in range(31))),
    ],
)
def test_a_server_cannot_be_made_to_write_nonsense(response: UntaggedResponse | TaggedResponse) -> None:
    with pytest.raises(LocalProtocolError):
        write_response(Writer(LiteralMode.SERVER), response)
