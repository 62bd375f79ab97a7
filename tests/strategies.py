"""Hypothesis strategies for values that several suites need: everything an IMAP peer can say."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from mailquay.wire.imap import command as base
from mailquay.wire.imap import command_mailbox as mailboxes
from mailquay.wire.imap import command_message as messages
from mailquay.wire.imap import response as responses
from mailquay.wire.imap import response_code as codes
from mailquay.wire.imap import search
from mailquay.wire.imap.append import Append, AppendMessage, MessageForm
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, BodyStructure, Disposition
from mailquay.wire.imap.command_search import Search, SearchReturn
from mailquay.wire.imap.compress import Compress
from mailquay.wire.imap.condstore import HighestModSeq, Modified, QresyncParameter, Vanished
from mailquay.wire.imap.envelope import Address, Envelope
from mailquay.wire.imap.esearch import EsearchResponse, SearchResponse
from mailquay.wire.imap.fetch import FetchResponse, SectionData
from mailquay.wire.imap.flag import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from mailquay.wire.imap.identification import IdResponse
from mailquay.wire.imap.idle import Idle
from mailquay.wire.imap.in_progress import InProgress
from mailquay.wire.imap.listing import ListKind, ListOptions, ListResponse, ListReturn, ListSelection
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.move import Move
from mailquay.wire.imap.namespace import Namespace, NamespaceResponse
from mailquay.wire.imap.notify import EventGroup, MailboxFilter, Notify, NotifyEvent
from mailquay.wire.imap.partial import PartialRange, PartialResult
from mailquay.wire.imap.quota import GetQuota, GetQuotaRoot, SetQuota
from mailquay.wire.imap.quota_data import QuotaResource, QuotaResponse, QuotaRootResponse
from mailquay.wire.imap.replace import Replace
from mailquay.wire.imap.searchres import SavedResult
from mailquay.wire.imap.section import FetchAttribute, FetchSection, Section, SectionKind, SectionText
from mailquay.wire.imap.sequence_set import STAR, SeqSet, UidSet
from mailquay.wire.imap.status import StatusItem, StatusResponse
from mailquay.wire.imap.uidplus import AppendUid, CopyUid

ATOM_CHARACTERS = string.ascii_letters + string.digits + "$_-.!#+,/:;<=>?@^`|~'"
uint32 = st.integers(1, 2**32 - 1)
uint63 = st.integers(0, 2**63 - 1)
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
line_text = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n[]"), max_size=40).map(str.strip)
names = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=12)
header_names = st.text(string.ascii_letters + "-", min_size=1, max_size=12)
strings = st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
nstrings = st.none() | strings
client_strings = strings.map(lambda value: value.replace(b"\0", b"x"))
atoms = st.text(ATOM_CHARACTERS, min_size=1, max_size=12)
object_ids = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=20)
tags = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)

mailbox_names = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=20).filter(
    lambda name: name.upper() != "INBOX"
) | st.just("INBOX")
flags = st.sampled_from([SEEN, ANSWERED, FLAGGED, DELETED, DRAFT]) | st.text(
    string.ascii_letters + string.digits + "$_-", min_size=1, max_size=10
)
flag_sets = st.frozensets(flags, max_size=5)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.builds(
    lambda moment, zone: moment.replace(microsecond=0, tzinfo=zone),
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)),
    zones | st.just(UTC),
)
_ranges = st.lists(st.tuples(uint32, uint32), min_size=1, max_size=6)
_open_ranges = st.lists(st.tuples(uint32 | st.just(STAR), uint32 | st.just(STAR)), min_size=1, max_size=6)
uid_sets = _open_ranges.map(UidSet)
seq_sets = _open_ranges.map(SeqSet)
finite_uid_sets = _ranges.map(UidSet)
saved_results = st.builds(SavedResult, st.booleans())
message_sets = uid_sets | seq_sets | saved_results
plain_ranges = _ranges.map(lambda pairs: tuple((min(pair), max(pair)) for pair in pairs))


@st.composite
def copyuids(draw: st.DrawFn) -> CopyUid:
    """COPYUID codes whose sets have the same length, in any order."""
    sizes = draw(st.lists(st.integers(1, 50), min_size=1, max_size=4))
    starts = st.integers(1, 2**31)
    source = tuple((start, start + size - 1) for size in sizes for start in [draw(starts)])
    destination = tuple((start, start + size - 1) for size in reversed(sizes) for start in [draw(starts)])
    return CopyUid(draw(uint32), source, destination)


partial_ranges = st.builds(
    lambda first, length, from_newest: PartialRange(first, first + length, from_newest),
    st.integers(1, 2**31),
    st.integers(0, 2**31 - 1),
    st.booleans(),
)

# Messages

addresses = st.lists(st.builds(Address, nstrings, nstrings, nstrings, nstrings), max_size=3).map(tuple)
envelopes = st.builds(
    Envelope, nstrings, nstrings, addresses, addresses, addresses, addresses, addresses, addresses, nstrings, nstrings
)
parameters = st.lists(st.tuples(names, strings), max_size=3).map(tuple)
dispositions = st.none() | st.builds(Disposition, names, parameters)
languages = st.lists(names.map(str.encode), max_size=3).map(tuple)
_media_types = st.sampled_from(["application", "image", "audio", "x-other"])
_encodings = st.sampled_from(["7bit", "8bit", "base64", "quoted-printable", "binary"])


def _leaves(extended: bool) -> st.SearchStrategy[BodyPart]:
    tail = (nstrings, dispositions, languages, nstrings) if extended else (st.none(), st.none(), st.just(()), st.none())
    common = (parameters, nstrings, nstrings, _encodings, st.integers(0, 2**40))
    text_parts = st.builds(
        BodyPart, st.just("text"), names, *common, st.integers(0, 10**6), st.none(), st.none(), *tail
    )
    return text_parts | st.builds(BodyPart, _media_types, names, *common, st.none(), st.none(), st.none(), *tail)


def body_structures(*, extended: bool = True) -> st.SearchStrategy[BodyStructure]:
    """MIME trees; without extension data when they are for BODY."""
    tail = (nstrings, dispositions, languages, nstrings) if extended else (st.none(), st.none(), st.just(()), st.none())

    def grow(children: st.SearchStrategy[BodyStructure]) -> st.SearchStrategy[BodyStructure]:
        multiparts = st.builds(
            BodyMultipart,
            st.lists(children, max_size=3).map(tuple),
            names,
            parameters if extended else st.just(()),
            *tail[1:],
        )
        embedded = st.builds(
            BodyPart,
            st.just("message"),
            st.just("rfc822"),
            parameters,
            nstrings,
            nstrings,
            _encodings,
            st.integers(0, 2**40),
            st.integers(0, 10**6),
            st.none() | envelopes,
            children,
            *tail,
        )
        return multiparts | embedded

    leaves: st.SearchStrategy[BodyStructure] = _leaves(extended)
    return st.recursive(leaves, grow, max_leaves=6)


part_numbers = st.lists(st.integers(1, 999), max_size=4).map(tuple)


@st.composite
def sections(draw: st.DrawFn) -> Section:
    """Sections of a body."""
    part = draw(part_numbers)
    kinds = [kind for kind in SectionText if part or kind is not SectionText.MIME]
    kind = draw(st.sampled_from(kinds))
    fields: tuple[str, ...] = ()
    if kind in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
        fields = tuple(draw(st.lists(header_names, min_size=1, max_size=3)))
    return Section(part, kind, fields)


binary_sections = part_numbers.map(Section)
_partials = st.none() | st.tuples(st.integers(0, 2**40), st.integers(1, 2**40))
fetch_items = st.sampled_from(list(FetchAttribute)) | st.one_of(
    st.builds(FetchSection, sections(), st.booleans(), _partials, st.just(SectionKind.BODY)),
    st.builds(FetchSection, binary_sections, st.booleans(), _partials, st.just(SectionKind.BINARY)),
    st.builds(FetchSection, binary_sections, st.just(True), st.none(), st.just(SectionKind.BINARY_SIZE)),
)


def _section_data(section: Section, origin: int | None, data: bytes | None, item: str) -> SectionData:
    return SectionData(section, origin, data, len(data or b""), item)


section_data = (
    st.builds(_section_data, sections(), st.none() | uint63, nstrings, st.just("BODY"))
    | st.builds(_section_data, binary_sections, st.none() | uint63, nstrings, st.just("BINARY"))
    | st.builds(_section_data, st.just(Section()), st.none(), nstrings, st.just("RFC822"))
    | st.builds(_section_data, st.just(Section((), SectionText.HEADER)), st.none(), nstrings, st.just("RFC822.HEADER"))
)
labels = st.lists(mailbox_names | st.sampled_from(["\\Inbox", "\\Sent", "\\Important"]), max_size=3).map(tuple)
fetch_responses = st.builds(
    lambda numbers, **items: FetchResponse(*numbers, **items),
    numbers=st.tuples(uint32, st.none() | uint32) | st.tuples(st.just(0), uint32),
    flags=st.none() | flag_sets,
    modseq=st.none() | uint63,
    internal_date=st.none() | moments,
    size_bytes=st.none() | uint63,
    envelope=st.none() | envelopes,
    body_structure=st.none() | body_structures(),
    body=st.none() | body_structures(extended=False),
    email_id=st.none() | object_ids,
    thread_id=st.none() | object_ids,
    gmail_message_id=st.none() | st.integers(0, 2**64 - 1),
    gmail_thread_id=st.none() | st.integers(0, 2**64 - 1),
    gmail_labels=st.none() | labels,
    save_date=st.none() | moments,
    preview=nstrings,
    sections=st.lists(section_data, max_size=3).map(tuple),
    binary_sizes=st.lists(st.tuples(binary_sections, uint63), max_size=2).map(tuple),
    unknown=st.lists(st.tuples(st.just("X-NEW"), st.sampled_from([b"NIL", b"(a (b) 7)", b'"x"'])), max_size=1).map(
        tuple
    ),
    error=st.none(),
)

# Responses

attributes = st.frozensets(
    st.sampled_from(["\\Noselect", "\\HasChildren", "\\Sent", "\\Junk", "\\AllMail", "\\Marked", "\\X-Odd"]), max_size=4
)
delimiters = st.none() | st.sampled_from(["/", ".", "\\", '"', "|"])
list_responses = st.builds(
    ListResponse,
    mailbox_names,
    delimiters,
    attributes,
    st.none(),
    st.lists(st.sampled_from(["SUBSCRIBED", "REMOTE"]), max_size=2).map(tuple),
    st.none() | mailbox_names,
    st.sampled_from(list(ListKind)),
)
_counter = st.none() | uint63
_positive = st.none() | uint32
status_responses = st.builds(
    StatusResponse,
    mailbox_names,
    _counter,
    _counter,
    _positive,
    _positive,
    _counter,
    _counter,
    _counter,
    _counter,
    _counter,
    st.none() | object_ids,
    _counter,
)
search_responses = st.builds(SearchResponse, st.lists(uint32, max_size=8).map(tuple), st.none() | uint63)


def _esearch(
    all_of: st.SearchStrategy[UidSet] | st.SearchStrategy[SeqSet], uid: bool
) -> st.SearchStrategy[EsearchResponse]:
    return st.builds(
        EsearchResponse,
        st.none() | tags,
        st.just(uid),
        _positive,
        _positive,
        _counter,
        st.none() | all_of,
        _counter,
        st.none() | st.builds(PartialResult, partial_ranges, st.none() | all_of),
    )


esearch_responses = _esearch(finite_uid_sets, True) | _esearch(_ranges.map(SeqSet), False)
namespaces = st.lists(
    st.builds(Namespace, st.just("") | mailbox_names, st.none() | st.sampled_from(["/", "."])), max_size=2
).map(tuple)
id_parameters = st.lists(
    st.tuples(st.text(string.ascii_letters, min_size=1, max_size=20), st.none() | text), max_size=4
).map(tuple)
capability_names = st.frozensets(
    st.sampled_from(["IMAP4REV1", "IDLE", "AUTH=PLAIN", "LITERAL+", "X-GM-EXT-1", "UTF8=ACCEPT"]), max_size=4
)
_code_arguments = st.none() | st.text(ATOM_CHARACTERS + " ()", min_size=1, max_size=20).map(str.strip).filter(bool).map(
    str.encode
)
response_codes: st.SearchStrategy[codes.ResponseCode] = (
    st.builds(codes.Code, st.sampled_from(["ALERT", "TRYCREATE", "READ-WRITE", "X-OWN"]), _code_arguments)
    | st.builds(codes.CapabilityCode, capability_names.filter(bool))
    | st.builds(codes.PermanentFlags, flag_sets)
    | st.builds(codes.UidNext, uint32)
    | st.builds(codes.UidValidity, uint32)
    | st.builds(codes.Unseen, uint32)
    | st.builds(codes.MailboxId, object_ids)
    | st.builds(HighestModSeq, uint63)
    | st.builds(Modified, plain_ranges)
    | st.builds(AppendUid, uint32, plain_ranges)
    | copyuids()
    | st.builds(codes.BadCharsetCode, st.lists(st.sampled_from(["US-ASCII", "UTF-8"])).map(tuple))
    | st.builds(codes.BadEvent, st.lists(st.sampled_from(["MessageNew", "FlagChange"]), min_size=1).map(tuple))
    | st.builds(InProgress, st.none() | tags, st.none() | uint32, st.none() | uint32)
    | st.builds(MessageLimit, uint32, st.none() | uint32)
)
statuses = st.sampled_from([responses.Status.OK, responses.Status.NO, responses.Status.BAD])
untagged_statuses = st.builds(
    responses.UntaggedStatus, statuses | st.just(responses.Status.BYE), st.none() | response_codes, line_text
)
tagged_responses = st.builds(responses.TaggedResponse, tags, statuses, st.none() | response_codes, line_text)
continuations = st.builds(responses.Continuation, line_text, st.none() | response_codes)
quota_roots = st.sampled_from(["", "User quota", "#user/ann"]) | text.filter(lambda root: "\0" not in root)
quota_resources = st.builds(QuotaResource, st.sampled_from(["STORAGE", "MESSAGE", "X-OWN"]), uint63, uint63)
untagged_responses: st.SearchStrategy[responses.UntaggedResponse] = (
    untagged_statuses
    | st.builds(responses.CapabilityResponse, capability_names)
    | st.builds(responses.EnabledResponse, capability_names.filter(lambda names: "UTF8=ACCEPT" not in names))
    | st.builds(responses.FlagsResponse, flag_sets)
    | st.builds(responses.Exists, st.integers(0, 2**32 - 1))
    | st.builds(responses.Recent, st.integers(0, 2**32 - 1))
    | st.builds(responses.Expunge, uint32)
    | fetch_responses
    | list_responses
    | status_responses
    | search_responses
    | esearch_responses
    | st.builds(Vanished, finite_uid_sets, st.booleans())
    | st.builds(NamespaceResponse, namespaces, namespaces, namespaces)
    | st.builds(IdResponse, id_parameters)
    | st.builds(QuotaResponse, quota_roots, st.lists(quota_resources, max_size=3).map(tuple))
    | st.builds(QuotaRootResponse, mailbox_names, st.lists(quota_roots, max_size=3).map(tuple))
)

# Commands

search_leaves: st.SearchStrategy[search.SearchKey] = (
    st.sampled_from(list(search.Simple))
    | st.builds(search.Keyword, st.text(string.ascii_letters, min_size=1, max_size=8), st.booleans())
    | st.builds(search.Text, st.sampled_from(list(search.TextField)), text)
    | st.builds(search.Header, header_names, text)
    | st.builds(search.Date, st.sampled_from(list(search.DateField)), st.dates())
    | st.builds(search.Number, st.sampled_from(list(search.NumberField)), uint63)
    | st.builds(search.ObjectIdKey, st.sampled_from(list(search.IdField)), object_ids)
    | message_sets
)
search_keys: st.SearchStrategy[search.SearchKey] = st.recursive(
    search_leaves,
    lambda keys: (
        st.builds(search.Not, keys)
        | st.builds(search.Or, keys, keys)
        | st.builds(search.And, st.lists(keys, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=6,
)
qresyncs = st.builds(
    QresyncParameter, uint32, uint63, st.none() | finite_uid_sets, st.none() | st.tuples(seq_sets, finite_uid_sets)
)
list_options = st.builds(
    ListOptions,
    st.frozensets(st.sampled_from(list(ListSelection))),
    st.frozensets(st.sampled_from(list(ListReturn))),
    st.lists(st.sampled_from(list(StatusItem)), max_size=3).map(tuple),
)
patterns = st.sampled_from(["*", "%", "INBOX", ""]) | mailbox_names
_search_returns = st.sampled_from(list(SearchReturn))
_page_returns = _search_returns.filter(lambda option: option is not SearchReturn.ALL)
_forms = st.sampled_from([MessageForm.BINARY, MessageForm.UTF8])
_append_messages = st.builds(AppendMessage, strings, flag_sets, st.none() | moments, _forms)
_more_messages = st.lists(_append_messages, max_size=2).map(tuple)


@st.composite
def event_groups(draw: st.DrawFn) -> EventGroup:
    """Groups of NOTIFY events."""
    chosen = draw(st.sampled_from(list(MailboxFilter)))
    named = chosen in (MailboxFilter.SUBTREE, MailboxFilter.MAILBOXES)
    selected = chosen in (MailboxFilter.SELECTED, MailboxFilter.SELECTED_DELAYED)
    events = draw(st.frozensets(st.sampled_from(list(NotifyEvent))))
    fetch = selected and NotifyEvent.MESSAGE_NEW in events
    return EventGroup(
        chosen,
        events,
        tuple(draw(st.lists(mailbox_names, min_size=1, max_size=3))) if named else (),
        tuple(draw(st.lists(fetch_items, max_size=3))) if fetch else (),
    )


_one_number = st.builds(lambda kind, number: kind.of([number]), st.sampled_from([SeqSet, UidSet]), uint32)
_extension_commands: st.SearchStrategy[base.Command] = (
    st.builds(Compress)
    | st.just(Notify())
    | st.builds(Notify, st.lists(event_groups(), min_size=1, max_size=3).map(tuple), st.booleans())
    | st.builds(GetQuota, quota_roots)
    | st.builds(GetQuotaRoot, mailbox_names)
    | st.builds(SetQuota, quota_roots, st.lists(st.tuples(st.sampled_from(["STORAGE", "MESSAGE"]), uint63)).map(tuple))
    | st.builds(Replace, _one_number, mailbox_names, strings, flag_sets, st.none() | moments, _forms)
)
_modes = st.sampled_from(list(messages.StoreMode))
_unchanged_since = st.none() | uint63
commands: st.SearchStrategy[base.Command] = (
    st.sampled_from([base.Capability(), base.Noop(), base.Logout(), base.StartTls(), Idle()])
    | st.sampled_from([mailboxes.Check(), mailboxes.Close(), mailboxes.Unselect(), mailboxes.NamespaceCommand()])
    | st.builds(base.Login, text, text)
    | st.builds(base.Authenticate, st.just("PLAIN"), st.none() | st.sampled_from([b"", b"AHUAcA=="]))
    | st.builds(base.Id, id_parameters)
    | st.builds(base.Enable, st.lists(st.sampled_from(["CONDSTORE", "QRESYNC"]), min_size=1).map(tuple))
    | st.builds(mailboxes.Delete, mailbox_names)
    | st.builds(mailboxes.Subscribe, mailbox_names)
    | st.builds(mailboxes.Unsubscribe, mailbox_names)
    | st.builds(mailboxes.Create, mailbox_names, st.frozensets(st.sampled_from(["\\Sent", "\\Trash"])))
    | st.builds(mailboxes.Rename, mailbox_names, mailbox_names)
    | st.builds(mailboxes.Select, mailbox_names, st.booleans(), st.booleans(), st.none() | qresyncs)
    | st.builds(
        mailboxes.List,
        st.just("") | mailbox_names,
        st.lists(patterns, min_size=1, max_size=3).map(tuple),
        list_options,
        st.sampled_from(list(ListKind)),
    )
    | st.builds(mailboxes.StatusCommand, mailbox_names, st.lists(st.sampled_from(list(StatusItem))).map(tuple))
    | st.builds(
        messages.Fetch, message_sets, st.lists(fetch_items, min_size=1, max_size=4).map(tuple), st.none() | uint63
    )
    | st.builds(
        messages.Fetch,
        uid_sets,
        st.just((FetchAttribute.PREVIEW_LAZY,)),
        uint63,
        st.booleans(),
        st.none() | partial_ranges,
    )
    | st.builds(messages.Store, message_sets, _modes, flag_sets, st.none(), st.booleans(), _unchanged_since)
    | st.builds(messages.Store, message_sets, _modes, st.none(), labels, st.booleans(), _unchanged_since)
    | st.builds(messages.Copy, message_sets, mailbox_names)
    | st.builds(Move, message_sets, mailbox_names)
    | st.builds(messages.ExpungeCommand, st.none() | uid_sets | st.just(SavedResult()))
    | st.builds(Search, search_keys, st.booleans(), st.none() | st.frozensets(_search_returns, min_size=1))
    | st.builds(Search, search_keys, st.booleans(), st.frozensets(_page_returns), partial_ranges)
    | st.builds(Append, mailbox_names, client_strings, flag_sets, st.none() | moments)
    | st.builds(Append, mailbox_names, strings, flag_sets, st.none() | moments, _forms, _more_messages)
    | _extension_commands
)
