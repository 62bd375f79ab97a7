"""The ids by which a message names itself and those it answers (RFC 5322 §3.6.4), bare: without brackets and blanks."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_RELATED_IDS = 20
"""How many ids count of a field that names several, besides the first of References, which names the conversation."""

_MAX_FIELD_BYTES = 256 * 1024
_FIELD = re.compile(rb"^references[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE | re.MULTILINE)
_ID = re.compile(r"<([^<>]{1,998})>")
_USUAL_ID = re.compile(r"<([^<>\s]{1,998})>")
_EMPTY_HEADER_BYTES = 4


def references_in(header: bytes) -> tuple[str, ...]:
    """The first id and the last ones of the References field in raw header lines, oldest first.

    Only that field is read, since some servers give others besides. An id that was folded is put together again.
    """
    if len(header) <= _EMPTY_HEADER_BYTES:
        return ()
    header = header[:_MAX_FIELD_BYTES]
    field = _FIELD.match(header) or _FIELD.search(header)
    if field is None:
        return ()
    found = _ID.findall(field[1].decode("utf-8", "replace"))
    if len(found) > MAX_RELATED_IDS + 1:
        found = [found[0], *found[-MAX_RELATED_IDS:]]
    return _joined(found)


def ids_in(text: str | None) -> tuple[str, ...]:
    """The ids in an In-Reply-To value, at most MAX_RELATED_IDS; a lone one with an @ needs no brackets."""
    if not text:
        return ()
    if (usual := _USUAL_ID.fullmatch(text)) is not None:
        return (usual[1],)
    found = _ID.findall(text)
    if not found and "@" in text and not text.split()[1:]:
        found = [text.strip(" <>")]
    return _joined(found[:MAX_RELATED_IDS])


def own_id(text: str | None) -> str | None:
    """The id in a Message-ID value, whatever stands there; None when it is empty."""
    found = ids_in(text) or _joined([(text or "").strip(" <>")])
    return found[0] if found else None


def _joined(found: Iterable[str]) -> tuple[str, ...]:
    """Each id once, without the blanks of a folded line."""
    return tuple(dict.fromkeys([joined for one in found if (joined := "".join(one.split()))]))
