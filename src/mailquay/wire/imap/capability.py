"""What a server offers: the names of capabilities, and what some of them tell besides (RFC 9051 §7.2.2)."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


class Extension(StrEnum):
    """The extensions whose grammar this package knows, as CAPABILITY spells them.

    Those that carry a value (`APPENDLIMIT=35651584`) are named without it; see `capability_number`.
    """

    IMAP4REV1 = "IMAP4REV1"
    IMAP4REV2 = "IMAP4REV2"
    APPENDLIMIT = "APPENDLIMIT"
    BINARY = "BINARY"
    CHILDREN = "CHILDREN"
    COMPRESS_DEFLATE = "COMPRESS=DEFLATE"
    CONDSTORE = "CONDSTORE"
    CREATE_SPECIAL_USE = "CREATE-SPECIAL-USE"
    ENABLE = "ENABLE"
    ESEARCH = "ESEARCH"
    GMAIL = "X-GM-EXT-1"
    ID = "ID"
    IDLE = "IDLE"
    INPROGRESS = "INPROGRESS"
    LIST_EXTENDED = "LIST-EXTENDED"
    LIST_STATUS = "LIST-STATUS"
    LITERAL_MINUS = "LITERAL-"
    LITERAL_PLUS = "LITERAL+"
    LOGINDISABLED = "LOGINDISABLED"
    MESSAGELIMIT = "MESSAGELIMIT"
    MOVE = "MOVE"
    MULTIAPPEND = "MULTIAPPEND"
    NAMESPACE = "NAMESPACE"
    NOTIFY = "NOTIFY"
    OBJECTID = "OBJECTID"
    PARTIAL = "PARTIAL"
    PREVIEW = "PREVIEW"
    QRESYNC = "QRESYNC"
    QUOTA = "QUOTA"
    QUOTASET = "QUOTASET"
    REPLACE = "REPLACE"
    SASL_IR = "SASL-IR"
    SAVEDATE = "SAVEDATE"
    SAVELIMIT = "SAVELIMIT"
    SEARCHRES = "SEARCHRES"
    SPECIAL_USE = "SPECIAL-USE"
    STARTTLS = "STARTTLS"
    STATUS_SIZE = "STATUS=SIZE"
    UIDONLY = "UIDONLY"
    UIDPLUS = "UIDPLUS"
    UNSELECT = "UNSELECT"
    UTF8_ACCEPT = "UTF8=ACCEPT"
    WITHIN = "WITHIN"
    XLIST = "XLIST"


_MAX_DIGITS = 19


def capability_values(names: Collection[str], name: str) -> frozenset[str]:
    """What stands behind `name=` in the capabilities: the mechanisms of AUTH, or the resources of QUOTA=RES-."""
    start = name + "="
    return frozenset(one.removeprefix(start) for one in names if one.startswith(start))


def capability_number(names: Collection[str], name: str) -> int | None:
    """The number behind `name=`, as the bytes of APPENDLIMIT (RFC 7889 §2) or the messages of MESSAGELIMIT.

    None when there is none, or none that can be read; the smallest when there are several.
    """
    numbers = [
        int(value)
        for value in capability_values(names, name)
        if value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS
    ]
    return min(numbers, default=None)


def quota_resources(names: Collection[str]) -> frozenset[str]:
    """The resources that a server counts, as STORAGE (RFC 9208 §3.1); empty for servers of RFC 2087."""
    return frozenset(
        value.removeprefix("RES-") for value in capability_values(names, "QUOTA") if value.startswith("RES-")
    )


def speaks_only_rev2(names: Collection[str]) -> bool:
    """Whether a server knows IMAP4rev2 alone, so that its rules hold without ENABLE (RFC 9051 §6.3.1)."""
    return Extension.IMAP4REV2 in names and Extension.IMAP4REV1 not in names
