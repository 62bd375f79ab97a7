"""Bounces in prose: the ways in which mail servers and providers say which address failed, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mailquay.reports.notice import (
    Notice,
    addresses_in,
    indent_of,
    is_boilerplate,
    is_field_line,
    is_heading,
    only_address,
)
from mailquay.reports.reply import Reply, enhanced_status, joined, read_reply

_MAX_REPLY_LINES = 40
_NEAR_LINES = 8
_ADDRESSED = re.compile(
    r"[ \t*]{0,12}(?:<(?P<angle>[^<>\s]{1,320})>|\"(?P<quoted>[^\"\s@]{1,256}@[^\"\s@]{1,255})\"|"
    r"(?P<bare>[^\s<>\"():;,@]{1,256}@[^\s<>\"():;,@]{1,255}))"
    r"(?:[ \t](?:\((?:expanded|reason|generated)[^()]{0,400}\)|\.\.\.))?[ \t]?:(?P<rest>[ \t].*)?$",
    re.IGNORECASE,
)
_INTRODUCTIONS = (
    *("following address", "following recipient", "following recipients", "these recipients", "following e-mail"),
    *("could not be delivered to", "cannot be delivered to", "not delivered to the following", "unable to deliver"),
    *("had permanent fatal errors", "had delivery problems", "had delivery errors", "had fatal errors"),
    *("had transient non-fatal errors", "had permanent delivery errors", "had errors", "failed addresses follow"),
    *("address(es) failed", "recipients were affected", "failed recipient", "failed address", "recipient address:"),
    *("invalid final delivery userid", "undeliverable to", "delivering your mail to", "undeliverable recipient"),
    *("returned permanent errors", "failed permanently", "was aborted after", "was undeliverable", "message to"),
    *("delivery failed", "failure reasons", "not been delivered is", "not yet been delivered", "has been delayed"),
    *("could not be delivered", "couldn't be delivered", "wasn't delivered to", "was not delivered to"),
    *("did not reach the following", "has failed to these", "to one or more of", "could not deliver"),
    *("can't be delivered", "error, address:", "user unknown:", "unknown user:", "no such user:", "mailbox full:"),
    *("delivery to", "sending your mail to", "recipient:", "to the recipient", "there was a problem"),
    *("не может быть доставлено", "не было доставлено", "送信に失敗しました", "次のあて先へ", "配信できません"),
    *("送信できません", "届けることができません", "no se pudo entregar", "no pudo ser entregado", "nicht zugestellt"),
    *("to this address", "mailbox is full:", "incorrectly constructed", "list of recipients", "failed to deliver to"),
    *("n'a pas pu être", "non è stato possibile", "nao pode ser enviada", "não pode ser entregue"),
)
_DELAYED = (
    *("has been delayed", "not yet been delivered", "this is a warning message only", "will be retried"),
    *("delivery attempts will continue", "could not send mail for past", "has not yet been", "still trying"),
    *("message is delayed", "delivery is delayed", "is still being attempted", "will keep trying"),
    *("temporary problem", "will retry for"),
)
_DELAYED_FOR_GOOD = ("failed permanently", "permanent error", "given up", "giving up", "permanent fatal errors")
_LAST_RESORT = re.compile(r"(?<!\d)(55\d)[-: ]{1,3}(.{10,100})")
_STARTS_WITH_REPLY = re.compile(
    r"[ \t>*]{0,12}(?:SMTP error[^:]{0,40}:[ \t]{0,4})?[45]\d\d[ \t-]#?[45]\.\d{1,3}\.\d{1,3}\b"
)
_ONLY_ENHANCED = re.compile(r"[ \t*-]{0,12}[45]\.\d{1,3}\.\d{1,3}(?:[ ]-)?[ ]\S")
_RCPT = re.compile(r"RCPT TO:[ \t]{0,4}<?([^<>\s]{1,320})", re.IGNORECASE)
_SENDMAIL = re.compile(
    r"[ \t]{0,8}[45]\d\d[ ](?:[45]\.\d\.\d[ ])?<?([^<>\s@]{1,256}@[^<>\s@]{1,255}?)>?(?:\.\.\.|,)[ ]"
)
_DEFERRED = re.compile(r"[ \t]{0,8}[45]\d\d[ ][^ ]{1,256}(?:[ ]\([a-z]{1,20}\))?\.\.\.[ ]")
_ANSWER = re.compile(r"[ \t]{0,12}(?:<<<|Out:)[ \t]{0,4}([45]\d\d.*)")
_MMS = re.compile(r"Error:[ \t]{0,4}(.{0,60}(?:invalid|no valid|not taken).{0,200})", re.IGNORECASE)
_REASONS = frozenset({"mailbox is full:", "user unknown:", "unknown user:", "no such user:", "mailbox full:"})
_TIME = re.compile(r"on .{0,40}\d\d?:\d\d")
_REASON = re.compile(r"[ \t]{0,8}(?:reason|error|because)\b.{0,60}:[ \t]{0,8}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wording:
    """What the prose says of its first recipient; everything that it leaves out is None."""

    recipient: str | None = None
    action: str | None = None
    message: str | None = None
    status: str | None = None
    mta: str | None = None

    def filled_from(self, other: Wording) -> Wording:
        """This, its gaps filled."""
        return Wording(
            self.recipient or other.recipient,
            self.action or other.action,
            self.message or other.message,
            self.status or other.status,
            self.mta or other.mta,
        )


def read_wording(notice: Notice) -> Wording:
    """Look for every family of wording in the order of how sure they are; later ones only fill gaps."""
    found = Wording()
    for family in _FAMILIES:
        told = family(notice)
        if told is not None:
            found = found.filled_from(told)
        if found.recipient and found.message and found.status:
            break
    if found.recipient is None and found.message is None:
        return found
    if not _is_reply(found.message or "") and (bare := _bare_reply(notice)) is not None:
        found = bare.filled_from(found)
    return replace(found, action=_action(notice))


def _action(notice: Notice) -> str:
    text = notice.lower
    if any(phrase in text for phrase in _DELAYED_FOR_GOOD):
        return "failed"
    return "delayed" if any(phrase in text for phrase in _DELAYED) else "failed"


def _addressed(notice: Notice) -> Wording | None:
    """`<address>:` with the reply behind it or below it: Postfix, qmail, Yahoo, GMX, MX Logic, 163 and many more."""
    for position, line in enumerate(notice.lines):
        match = _ADDRESSED.match(line)
        if match is None or is_field_line(line):
            continue
        recipient = match["angle"] or match["quoted"] or match["bare"]
        rest = (match["rest"] or "").strip()
        if "@" not in recipient or (match["bare"] and rest and not rest[:1].isdigit() and "host" not in rest):
            continue
        reply = read_reply([rest, *_below(notice.lines, position + 1, blank_ends=bool(rest))])
        return _wording(recipient, reply)
    return None


def _below(lines: Sequence[str], start: int, *, blank_ends: bool) -> list[str]:
    """The lines that belong to an address: up to a blank one behind the first, or to the next address."""
    taken: list[str] = []
    for line in lines[start : start + _MAX_REPLY_LINES]:
        if not line.strip():
            if taken or blank_ends:
                break
            continue
        if _ADDRESSED.match(line) or only_address(line) or is_boilerplate(line):
            break
        taken.append(line)
    return taken


def _introduced(notice: Notice) -> Wording | None:
    """An address behind or below words that announce it: Exim, Google, Exchange, Sendmail, carriers."""
    for position, line in enumerate(notice.lines):
        lower = line.lower()
        introduced = [words for words in _INTRODUCTIONS if words in lower]
        for words in introduced:
            behind = addresses_in(line[lower.find(words) + len(words) :])
            if behind:
                reason = line if words in _REASONS else line.partition(behind[0])[2]
                reply = read_reply(_reason(reason, notice.lines, position + 1))
                return _wording(behind[0], reply if reply.message is not None else read_reply([line]))
        if introduced and (found := _announced(notice.lines, position + 1)) is not None:
            return found
    return None


def _announced(lines: Sequence[str], start: int) -> Wording | None:
    """The first address in the next lines, unless these are fields of the message that is returned."""
    for position in range(start, min(start + _NEAR_LINES, len(lines))):
        line = lines[position]
        if is_field_line(line) and "recipient" not in line.lower():
            continue
        if addresses := addresses_in(line):
            rest = line.partition(addresses[0])[2]
            reply = read_reply(_reason(rest, lines, position + 1))
            if reply.message is None:
                # Some say why before they say to whom.
                reply = read_reply([above for above in lines[start:position] if not is_heading(above)])
            return _wording(addresses[0], reply)
    return None


def _reason(rest: str, lines: Sequence[str], start: int) -> list[str]:
    """What stands behind an address and goes on below, or what is said below it."""
    rest = rest.lstrip('>:"]),. \t')
    # The address once more, or the time.
    if not rest or only_address(rest) or rest.startswith(("<mailto:", "(mailto:")) or _TIME.match(rest):
        return _details(lines, start)
    return [rest, *_below(lines, start, blank_ends=True)]


def _details(lines: Sequence[str], start: int) -> list[str]:
    """What is said below an address: the paragraph that has a reply, or the first one that says anything."""
    first: list[str] = []
    paragraph: list[str] = []
    for line in [*lines[start : start + _MAX_REPLY_LINES], ""]:
        ends = not line.strip() or is_boilerplate(line) or (only_address(line) and _outdented(line, paragraph))
        if not ends:
            if paragraph or not is_heading(line):
                paragraph.append(line)
            continue
        if paragraph:
            first = first or paragraph
            if any(_is_reply(one) for one in paragraph):
                return paragraph
            paragraph = []
    return first


def _outdented(line: str, paragraph: list[str]) -> bool:
    """Whether a line stands further left than the paragraph, as the next address does; or there is no paragraph."""
    return not paragraph or indent_of(line) < indent_of(paragraph[0])


def _is_reply(line: str) -> bool:
    reply = read_reply([line])
    return reply.status is not None or (reply.message is not None and reply.message[:3].isdigit())


def _transcript(notice: Notice) -> Wording | None:
    """A conversation with the other server: `RCPT TO:<address>` and its answer, `550 <address>... User unknown`."""
    recipient: str | None = None
    for line in notice.lines:
        if (command := _RCPT.search(line)) is not None:
            recipient = recipient or (command[1] if "@" in command[1] else None)
        elif (answer := _ANSWER.match(line)) is not None and recipient is not None:
            return _wording(recipient, read_reply([answer[1]]))
        elif (sent := _SENDMAIL.match(line)) is not None:
            return _wording(sent[1], read_reply([line]))
        elif _DEFERRED.match(line):
            return _wording(recipient, read_reply([line]))
    return Wording(recipient) if recipient else None


def _alone(notice: Notice) -> Wording | None:
    """An address in angle brackets that has a line for itself, below what was wrong with it."""
    above = ""
    for line in notice.lines:
        bare = line.strip()
        if bare.startswith("<") and bare.endswith(">") and only_address(line):
            return Wording(addresses_in(line)[0], message=None if is_heading(above) else joined([above]))
        above = line if bare else above
    return None


def _bare_reply(notice: Notice) -> Wording | None:
    """A line that is nothing but a reply with an enhanced status code."""
    for position, line in enumerate(notice.lines):
        if _STARTS_WITH_REPLY.match(line) or _ONLY_ENHANCED.match(line):
            lines = [line]
            for more in notice.lines[position + 1 : position + _NEAR_LINES]:
                if not more.strip() or is_field_line(more):
                    break
                lines.append(more)
            return _wording(None, read_reply(lines))
    return None


def _reasoned(notice: Notice) -> Wording | None:
    """A heading such as `Reason:`, and what stands below it."""
    for position, line in enumerate(notice.lines):
        if _REASON.match(line):
            below = _below(notice.lines, position + 1, blank_ends=False)
            if below:
                return _wording(None, read_reply(below))
    return None


def _mms(notice: Notice) -> Wording | None:
    """Gateways to telephones: `Error: Invalid user address`."""
    for line in notice.lines:
        if (match := _MMS.search(line)) is not None:
            return Wording(message=joined([match[1]]))
    return None


def _last_resort(notice: Notice) -> Wording | None:
    """Any 55x with words behind it."""
    for line in notice.lines:
        if (match := _LAST_RESORT.search(line)) is not None:
            text = joined([line[match.start() :]])
            return Wording(message=text, status=enhanced_status(text))
    return None


def _wording(recipient: str | None, reply: Reply) -> Wording:
    return Wording(recipient, None, reply.message, reply.status, reply.mta)


_FAMILIES: tuple[Callable[[Notice], Wording | None], ...] = (
    *(_addressed, _introduced, _transcript, _alone, _bare_reply, _reasoned, _mms, _last_resort),
)
