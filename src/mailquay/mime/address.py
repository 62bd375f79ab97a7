"""Address lists (RFC 5322 §3.4): read leniently in one pass, written strictly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import idna

from mailquay.errors import InvalidRequest
from mailquay.mime.encoded_word import decode_header_bytes, decode_words, encode_words
from mailquay.mime.header import LINE_WIDTH, check_name, check_value, fold

MAX_ADDRESSES = 10_000
"""How many addresses of one field we read."""

_MAX_COMMENT_DEPTH = 20
_ATOM_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]*")
_DOT_ATOM = re.compile(r"[^\s()<>\[\]:;@\\,\"\x00-\x20\x7f]+")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_SPACES = re.compile(r"\s+")
_ENCODED_WORD = re.compile(r"=\?[^?\s]{1,60}\?[bBqQ]\?[^?\"<>]{0,2000}\?=")
_IN_WORD_SYNTAX = re.compile(r"([,;:()@\s])")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | "(?P<quoted>(?:[^"\\]|\\.)*)"?
      | (?P<special>[<>,;:()@])
      | (?P<literal>\[[^\[\]]*\]?)
      | (?P<word>(?:[^\s"<>,;:()@\[\\]|\\.?)+)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox; `name` is decoded and may be empty, `address` is an addr-spec, or what stood in its place."""

    name: str
    address: str

    @property
    def key(self) -> str:
        """What two spellings of one address have in common: lower case."""
        return self.address.lower()


def parse_addresses(raw: bytes | str) -> list[Address]:
    """Read an address list; groups are flattened to their members.

    Lenient: semicolons between addresses, missing angle brackets, quotes around addresses, encoded words anywhere,
    comments as names ("a@b.c (Name)"), routes, unclosed quotes and brackets, 8-bit characters. Entries without an
    address are kept with an empty `address` when they have a name.
    """
    text = raw if isinstance(raw, str) else _raw_text(raw)
    if "=?" in text and "?=" in text:
        text = _protect_words(text)
    addresses: list[Address] = []
    for entry in _entries(text):
        address = entry.address()
        if address is not None:
            addresses.append(address)
            if len(addresses) >= MAX_ADDRESSES:
                break
    return addresses


def _raw_text(raw: bytes) -> str:
    """Bytes to text with encoded words left alone: what is in them must not be taken for syntax."""
    return (
        raw.decode("ascii")
        if raw.isascii()
        else decode_header_bytes(raw.replace(b"=?", b"=\x00?")).replace("=\x00?", "=?")
    )


def _protect_words(text: str) -> str:
    """Hide what an unquoted encoded word holds (commas and spaces in Q words of careless senders) from the scanner."""
    pieces = text.split('"')
    pieces[::2] = [
        _ENCODED_WORD.sub(lambda word: _IN_WORD_SYNTAX.sub(r"\\\1", word[0]), piece) for piece in pieces[::2]
    ]
    return '"'.join(pieces)


class _Entry:
    """What stands between two commas."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.comments: list[str] = []
        self.angle: list[str] | None = None
        self.quoted = False

    def __bool__(self) -> bool:
        return bool(self.words or self.comments or self.angle is not None)

    def address(self) -> Address | None:
        if self.angle is not None:
            spec = "".join(part for part in self.angle if not part.isspace())
            spec = spec.rpartition(":")[2] if spec.startswith("@") else spec
            name = _phrase(self.words) or _comment(self.comments)
            return self._checked(name, _without_quotes(spec.strip("'")))
        return self._bare()

    def _bare(self) -> Address | None:
        """No angle brackets: the word with the @ is the address, the rest is the name."""
        text = "".join(self.words).strip()
        if not text:
            return None
        if "@" not in text:
            # An encoded word must not turn into an address (RFC 2047 §5 rule 3): mail would go where nobody looked.
            name = _phrase(self.words)
            return Address(name, "") if name else None
        if not _SPACES.search(text) or self.quoted:
            return Address(_comment(self.comments), text)
        parts = re.sub(r"\s*@\s*", "@", text).split()
        spec = next(part for part in reversed(parts) if "@" in part)
        name = " ".join(part for part in parts if part is not spec)
        return Address(decode_words(name) or _comment(self.comments), spec)

    def _checked(self, name: str, spec: str) -> Address | None:
        if spec == name:
            name = ""
        if not spec and not name:
            return None
        return Address(name, spec)


def _without_quotes(spec: str) -> str:
    return spec[1:-1] if len(spec) > 1 and spec[0] == spec[-1] == '"' else spec


def _phrase(words: list[str]) -> str:
    name = decode_words("".join(words)).strip()
    return name[1:-1].strip() if len(name) > 1 and name[0] == name[-1] == "'" else name


def _comment(comments: list[str]) -> str:
    return _SPACES.sub(" ", decode_words(" ".join(comments))).strip()


def _entries(text: str) -> Iterator[_Entry]:
    entry = _Entry()
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            position += 1
            continue
        position = token.end()
        kind, value = token.lastgroup, token[0]
        if kind == "special" and value == "(":
            comment, position = _skip_comment(text, position)
            entry.comments.append(comment)
        elif kind == "special" and value in ",;":
            if entry.angle is None or value == "," or entry.words or entry.angle:
                yield entry
                entry = _Entry()
        elif kind == "special" and value == ":" and entry.angle is None and not _looks_like_address(entry):
            entry = _Entry()  # the words so far were the name of a group
        elif kind == "special" and value == "<":
            if entry.angle:
                yield entry
                entry = _Entry()
            entry.angle, position = _angle(text, position)
        elif kind != "special" or value in "@:":
            _add_word(entry, kind, token)
    yield entry


def _looks_like_address(entry: _Entry) -> bool:
    return any("@" in word for word in entry.words)


def _add_word(entry: _Entry, kind: str | None, token: re.Match[str]) -> None:
    if entry.angle is not None:
        return  # what follows the closing bracket belongs to nothing
    if kind == "quoted":
        value = _QUOTED_PAIR.sub(r"\1", token["quoted"])
        if token.string[token.end() : token.end() + 1] == "@":
            entry.quoted = True
            value = token[0]
        entry.words.append(value)
    elif kind == "space":
        if entry.words[-1:] != [" "]:
            entry.words.append(" ")
    else:
        entry.words.append(_QUOTED_PAIR.sub(r"\1", token[0]))


def _angle(text: str, position: int) -> tuple[list[str], int]:
    """What stands in the brackets that opened before `position`, up to ">" or, when it is missing, a comma."""
    end = text.find(">", position)
    comma = text.find(",", position)
    if end < 0:
        end = comma if comma >= 0 else len(text)
        return [text[position:end]], end
    inner = text[position:end]
    if inner.startswith('"') and "," in inner:
        return [inner], end + 1
    if 0 <= comma < end and not inner.startswith("@") and "@" in text[position:comma]:
        return [text[position:comma]], comma
    return [inner], end + 1


def _skip_comment(text: str, position: int) -> tuple[str, int]:
    """The text of a comment, nested ones included, and where it ends."""
    depth, start = 1, position
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == "(":
            depth += 1
            if depth > _MAX_COMMENT_DEPTH:
                return "", len(text)
        elif character == ")":
            depth -= 1
            if depth == 0:
                return _QUOTED_PAIR.sub(r"\1", text[start:position]), position + 1
        position += 1
    return text[start:], len(text)


def split_address(address: str) -> tuple[str, str]:
    """Local part and domain; raises InvalidRequest that says what is wrong when `address` is not an addr-spec."""
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise InvalidRequest(f"{address[:100]!r} is not an e-mail address")
    quoted = local.startswith('"') and local.endswith('"') and len(local) > 1
    if not quoted and not _DOT_ATOM.fullmatch(local):
        raise InvalidRequest(f"The part of {address[:100]!r} before the @ needs quotes")
    literal = domain.startswith("[") and domain.endswith("]")
    if not literal and not _DOT_ATOM.fullmatch(domain):
        raise InvalidRequest(f"{domain[:100]!r} is not a domain")
    return local, domain


def ascii_domain(domain: str) -> str:
    """The domain as A-labels (RFC 5891 §4); raises InvalidRequest when it has none."""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise InvalidRequest(f"{domain[:100]!r} is not a domain") from error


def needs_smtputf8(address: str) -> bool:
    """Whether the local part has characters beyond ASCII, so that no other form exists (RFC 6531 §3.2)."""
    return not address.rpartition("@")[0].isascii()


def ascii_address(address: str) -> str:
    """`address` with its domain in ASCII where that is all it needs; raises InvalidRequest as `split_address` does."""
    local, domain = split_address(address)
    return f"{local}@{ascii_domain(domain)}"


def format_address(address: Address) -> str:
    """For people and JSON: `Name <address>`, the name quoted where it needs it, nothing encoded."""
    if not address.name:
        return address.address
    return f"{_quoted(address.name)} <{address.address}>"


def _quoted(name: str) -> str:
    if _ATOM_PHRASE.fullmatch(name) and "=?" not in name and name == name.strip() and "  " not in name:
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def encode_addresses(name: str, addresses: Iterable[Address], *, utf8: bool = False) -> bytes:
    """A whole address field, folded between addresses and words, ended by CRLF.

    Names become encoded words where they are not ASCII, unless `utf8`. Raises InvalidRequest that names the field
    for an address that cannot be written.
    """
    check_name(name)
    entries = list(addresses)
    tokens: list[str] = []
    for index, entry in enumerate(entries):
        comma = "," if index + 1 < len(entries) else ""
        check_value(name, entry.name)
        check_value(name, entry.address)
        spec = entry.address if utf8 and needs_smtputf8(entry.address) else ascii_address(entry.address)
        if entry.name:
            tokens += _name_tokens(entry.name, name, utf8=utf8)
            tokens.append(f"<{spec}>{comma}")
        else:
            tokens.append(spec + comma)
    return fold(name, tokens)


def _name_tokens(text: str, field: str, *, utf8: bool) -> list[str]:
    if (text.isascii() or utf8) and "=?" not in text and len(text.encode("utf-8")) < LINE_WIDTH * 4:
        return [_quoted(text)]
    return encode_words(text, first_width=LINE_WIDTH - len(field) - 2)
