"""The breaches of the grammar that we accept, each with a name, so that it can be tested, counted and explained.

The number is the row of our list of edge cases that the leniency answers.
"""

from __future__ import annotations

from enum import Enum


class Leniency(Enum):
    """A deviation seen from real servers. `row` is its edge case, `explanation` says what we do about it."""

    row: int
    explanation: str

    def __new__(cls, name: str, row: int, explanation: str) -> Leniency:
        member = object.__new__(cls)
        member._value_ = name
        member.row = row
        member.explanation = explanation
        return member

    TEXT_MISSING = ("text-missing", 3, "a status response ends after its response code or status; its text is empty")
    CODE_MALFORMED = ("code-malformed", 3, "a response code is not shaped as its RFC says; it is kept uninterpreted")
    MULTIPART_WITHOUT_PARTS = (
        "multipart-without-parts",
        4,
        "a BODYSTRUCTURE names a multipart subtype but no parts; it becomes an empty multipart",
    )
    BODY_NUMBER_NIL = ("body-number-nil", 17, "NIL stands where BODYSTRUCTURE needs a number; it counts as zero")
    DISPOSITION_BARE = (
        "disposition-bare",
        17,
        "a disposition is a bare string instead of a list; it has no parameters",
    )
    BODY_FIELD_MALFORMED = (
        "body-field-malformed",
        17,
        "an optional BODYSTRUCTURE field has a shape of its own; it is treated as absent",
    )
    UNTAGGED_BEFORE_CONTINUATION = (
        "untagged-before-continuation",
        15,
        "untagged data arrives between a command and its continuation request; both are taken",
    )
    COPYUID_UNTAGGED = ("copyuid-untagged", 21, "COPYUID of a COPY comes in an untagged OK; it counts for that command")
    CODE_AFTER_TEXT = ("code-after-text", 21, "COPYUID or APPENDUID stands inside the text; it counts as the code")
    OBJECTID_NIL = ("objectid-nil", 36, "EMAILID or THREADID is NIL; it counts as absent")
    OBJECTID_BARE = ("objectid-bare", 36, "an object id lacks its parentheses; it is taken as it is")
    BODY_FIELDS_MISSING = (
        "body-fields-missing",
        43,
        "a BODYSTRUCTURE part ends before its mandatory fields; they get default values",
    )
    NUMBER_FLOATING = ("number-floating", 46, "a number is written with exponent or fraction; it is rounded down")
    ENVELOPE_SENDER_NIL = (
        "envelope-sender-nil",
        46,
        "ENVELOPE has From but a NIL sender, which the server should have filled in; it is left empty",
    )
    PARAMETER_NIL = ("parameter-nil", 46, "a body parameter such as boundary is NIL; its value is empty")
    MULTIPART_AS_LEAF = (
        "multipart-as-leaf",
        47,
        "a nested multipart is described as if it were a leaf; it is kept as a leaf of type multipart",
    )
    ENVELOPE_WRAPPED = ("envelope-wrapped", 48, "ENVELOPE has extra parentheses; they are removed")
    ENVELOPE_EMPTY = ("envelope-empty", 48, "ENVELOPE is NIL or (); the message counts as one without envelope")
    BODY_EMPTY = ("body-empty", 48, "BODYSTRUCTURE is NIL or (); the message counts as one without structure")
    ENVELOPE_SHORT = ("envelope-short", 52, "ENVELOPE has fewer than ten fields; the missing ones at its end are NIL")
    ENVELOPE_LONG = ("envelope-long", 52, "ENVELOPE has more than ten fields; the rest is dropped")
    ADDRESS_MALFORMED = ("address-malformed", 46, "an address has not four fields; it is padded or cut")
    MESSAGE_ISOLATED = (
        "message-isolated",
        59,
        "a FETCH response cannot be parsed to its end; that message is reported, the session goes on",
    )
    EXTRA_BLANK = (
        "extra-blank",
        62,
        "blanks stand where none belong, as before a closing parenthesis; they are skipped",
    )
    CONTINUATION_BARE = ("continuation-bare", 65, "a continuation request has no text, or not even a blank; it counts")
    UIDVALIDITY_ZERO = ("uidvalidity-zero", 66, "UIDVALIDITY is 0; the mailbox counts as one without UIDVALIDITY")
    MAILBOX_NAME_INVALID = (
        "mailbox-name-invalid",
        61,
        "a mailbox name is not valid modified UTF-7; it is shown as it is and addressed by its own bytes",
    )
    QUOTED_LINE_BREAK = ("quoted-line-break", 59, "a quoted string contains a bare CR or LF; it is kept")
