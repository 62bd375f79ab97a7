"""How we deal with servers that keep to the grammar and still behave in a way of their own, each way with a name.

Breaches of the grammar are in `wire/imap/leniency.py`. The numbers are rows of our list of edge cases; a habit that was
met later has none.
"""

from __future__ import annotations

from enum import Enum


class Conduct(Enum):
    """One habit of servers. `rows` are its edge cases, `explanation` says what is seen and what we do."""

    rows: tuple[int, ...]
    explanation: str

    def __new__(cls, name: str, rows: tuple[int, ...], explanation: str) -> Conduct:
        member = object.__new__(cls)
        member._value_ = name
        member.rows = rows
        member.explanation = explanation
        return member

    TOO_MANY_SESSIONS = (
        "too-many-sessions",
        (2, 35, 60),
        "a login is refused because there are too many connections; it is tried again later, and nobody doubts the "
        "password",
    )
    NOT_CONNECTED = (
        "not-connected",
        (12,),
        "a command is refused because the user is authenticated but not connected; that passes within minutes",
    )
    BACKOFF_NAMED = (
        "backoff-named",
        (13,),
        "the text of an answer names a time to wait; it is waited for exactly so long, a day at most",
    )
    MESSAGES_GONE = (
        "messages-gone",
        (18,),
        "a FETCH fails because some of its messages are gone; the rows that came are taken for all there are",
    )
    ITEMS_OFFERED = (
        "items-offered",
        (19,),
        "a FETCH item of an extension fails the whole FETCH; only items of extensions on offer are asked for",
    )
    LOGIN_FOR_SLASHES = (
        "login-for-slashes",
        (20,),
        "a user name with a slash or backslash works with LOGIN alone; other mechanisms are not tried then",
    )
    MESSAGE_LIMIT = (
        "message-limit",
        (32,),
        "a command is carried out for the newest messages only; further ones ask for those below, until all are there",
    )
    GROUPWARE_FOLDERS = (
        "groupware-folders",
        (16,),
        "calendars, contacts, tasks and notes are listed as mailboxes, and their items are no mail; they are shown and "
        "not followed, unless the account names them",
    )
    CHARSET_REFUSED = (
        "charset-refused",
        (33, 55),
        "a SEARCH that names a charset is refused; only texts beyond ASCII need one, and it is left out when refused",
    )
    MESSAGE_UNAVAILABLE = (
        "message-unavailable",
        (34,),
        "one message fails every FETCH it is part of; it is found by halving and marked, and the rest is read",
    )
    MESSAGE_LATE = (
        "message-late",
        (69,),
        "a new message is counted and found, and not fetched yet; it is asked for again, then told as missing, and "
        "announced once it is there",
    )
    BODY_MISSING = (
        "body-missing",
        (37,),
        "a FETCH is answered OK without the body it asked for; the message counts as not found, not as empty",
    )
    LITERAL_CUT = (
        "literal-cut",
        (43,),
        "another response stands where the rest of a literal should; nothing more can be trusted, the connection goes",
    )
    SEARCH_EMPTY = (
        "search-empty",
        (44,),
        "a SEARCH for everything finds nothing in a mailbox with messages; FETCH is asked for the UIDs instead",
    )
    TEXTS_REFUSED = (
        "texts-refused",
        (51,),
        "a SEARCH for a text is refused; the server finds flags, dates and UIDs, and we look for the text in those",
    )
    SETS_ASCENDING = (
        "sets-ascending",
        (40, 50, 67),
        "sets that descend, overlap or hold 0 are refused; ours are sorted and merged, and cannot hold 0",
    )
    ID_FIRST = (
        "id-first",
        (53,),
        "SELECT is refused until the client has said who it is; ID follows right after the login where it is offered",
    )
    STATUS_EMPTY = ("status-empty", (54,), "STATUS is answered without any counter; they count as not told")
    ALERT_IGNORED = (
        "alert-ignored",
        (58,),
        "an alert about the server's own troubles comes at any time; it changes nothing",
    )
    UID_EXPUNGE_REFUSED = (
        "uid-expunge-refused",
        (63,),
        "UIDPLUS is offered and UID EXPUNGE refused; the marks of other messages are taken off while EXPUNGE runs",
    )
    RECENT_NEVER = (
        "recent-never",
        (64,),
        "connections are dropped over SEARCH NEW and RECENT; we never send them",
    )
    USE_BY_NAME = (
        "use-by-name",
        (38, 72),
        "no mailbox says what it is for; names in many languages tell, each use is given once",
    )
    UIDS_RETURN = (
        "uids-return",
        (70,),
        "a message turns up with an old date or among old UIDs; new is what the index does not hold, whatever its age",
    )
    UNSELECTABLE_AWHILE = (
        "unselectable-awhile",
        (71,),
        "LIST shows a mailbox as one that cannot be opened for a while; it is told as deleted, then as new, ids kept",
    )
    PARENTS_UNMARKED = (
        "parents-unmarked",
        (),
        "a mailbox that is gone is listed like any other while there are some below it; one that the server shows and "
        "does not find is a mere level",
    )
    REV1_PREFERRED = (
        "rev1-preferred",
        (14,),
        "IMAP4rev2 is offered, and searches break once it is enabled; it never is where IMAP4rev1 is offered too",
    )
    LABELS_AS_MAILBOXES = (
        "labels-as-mailboxes",
        (),
        "labels are listed as mailboxes, each with messages of one that holds all; that one is followed, with its "
        "labels",
    )
    FLAGS_UNTOLD = (
        "flags-untold",
        (),
        "IDLE tells nothing of flags that others change; the watched mailbox is looked at now and then all the same",
    )
    LARGE_REFUSED = (
        "large-refused",
        (57,),
        "a FETCH of a large message is refused or ends the connection; it goes on in blocks, from where that broke off",
    )
    SIZES_LIMITED = (
        "sizes-limited",
        (74,),
        "a hostile server announces or claims sizes without end; lines, literals, lists and depths have limits",
    )
    ARGUMENTS_CHECKED = (
        "arguments-checked",
        (75,),
        "a line break in a name or a search would end the command and begin another; it never reaches a server",
    )
