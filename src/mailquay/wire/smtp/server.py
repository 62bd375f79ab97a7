"""What a client says to a submission server: commands, their arguments and parameters (RFC 5321 §4.1.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.smtp.path import forward_path, needs_smtputf8, reverse_path

MAX_LINE_OCTETS = 2048
"""RFC 5321 §4.5.3.1.4 asks for 512; extensions add to it, and addresses beyond ASCII are longer."""

MAX_AUTH_OCTETS = 12288
"""RFC 4954 §4."""

_VERB = re.compile(r"([A-Za-z]{1,20})(?: +(.*))?", re.DOTALL)
_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*+"|[^<>"])*+)>(?: +(.*))?', re.DOTALL)
_ROUTE = re.compile(r"\A@[^:<>\s]*:")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE = re.compile(r"[^\x00-\x20=\x7f]+")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_HEX_PAIR = re.compile(rb"\+([0-9A-F]{2})")
_UNITEXT = re.compile(r"\\x\{(?:0?([2-9A-F][0-9A-F])|([1-9A-F][0-9A-F]{2,4})|(10[0-9A-F]{4}))\}")
_MAX_ENVID, _MAX_ORCPT = 100, 500
_NOTIFY = frozenset(("NEVER", "SUCCESS", "FAILURE", "DELAY"))
_MAIL_PARAMETERS = frozenset(("SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"))
_RCPT_PARAMETERS = frozenset(("NOTIFY", "ORCPT"))
_BODIES = frozenset(("7BIT", "8BITMIME"))
_RET = {"FULL": "full", "HDRS": "headers"}


class Refusal(RemoteProtocolError):
    """A negative reply: its code, its enhanced code (RFC 3463) and a sentence."""

    def __init__(self, reply_code: int, enhanced_code: str, text: str) -> None:
        super().__init__(text)
        self.reply_code = reply_code
        self.enhanced_code = enhanced_code

    @property
    def reply(self) -> str:
        """The reply in one line; what is not printable ASCII is left out (RFC 5321 §4.2)."""
        text = "".join(c if " " <= c <= "~" else "?" for c in self.message)
        return f"{self.reply_code} {self.enhanced_code} {text[:400]}"


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL FROM: the reverse-path ("" for the null sender) and what its parameters say. `ret`: "full" or "headers"."""

    address: str
    size_bytes: int | None = None
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class RcptTo:
    """RCPT TO: the forward-path, and when to report on it (RFC 3461 §4.1, §4.2); `notify` in lower case."""

    address: str
    notify: tuple[str, ...] = ()
    orcpt: str | None = None


def parse_command(line: bytes) -> tuple[str, str]:
    """The verb in capitals and its argument.

    Raises Refusal for what is no command.
    """
    try:
        found = _VERB.fullmatch(line.decode("utf-8").rstrip(" \t"))
    except UnicodeDecodeError:
        found = None
    if found is None or "\0" in found[0]:
        raise Refusal(500, "5.5.2", "That is no command")
    return found[1].upper(), found[2] or ""


def parse_mail(argument: str) -> MailFrom:
    """Read the argument of MAIL.

    Raises Refusal for bad syntax, an address that cannot be written, an unknown or wrong parameter.
    """
    path, parameters = _split(argument, "FROM", _MAIL_PARAMETERS)
    smtputf8 = "SMTPUTF8" in parameters
    if parameters.get("SMTPUTF8") is not None:
        raise _bad_parameter("SMTPUTF8 takes no value")
    address = _address(path, smtputf8=smtputf8, null_sender=True)
    if "BODY" in parameters and (parameters["BODY"] or "").upper() not in _BODIES:
        raise _bad_parameter("BODY must be 7BIT or 8BITMIME")
    ret = parameters.get("RET")
    if "RET" in parameters and (ret or "").upper() not in _RET:
        raise _bad_parameter("RET must be FULL or HDRS")
    return MailFrom(
        address,
        size_bytes=_size(parameters),
        smtputf8=smtputf8,
        ret=None if ret is None else _RET[ret.upper()],
        envid=None if "ENVID" not in parameters else _envid(parameters["ENVID"] or ""),
    )


def parse_rcpt(argument: str, *, smtputf8: bool) -> RcptTo:
    """Read the argument of RCPT; `smtputf8`: MAIL has asked for addresses beyond ASCII (RFC 6531 §3.4).

    Raises Refusal as `parse_mail` does.
    """
    path, parameters = _split(argument, "TO", _RCPT_PARAMETERS)
    address = _address(path, smtputf8=smtputf8, null_sender=False)
    notify: tuple[str, ...] = ()
    if "NOTIFY" in parameters:
        wishes = (parameters["NOTIFY"] or "").upper().split(",")
        if not set(wishes) <= _NOTIFY or ("NEVER" in wishes and len(wishes) > 1):
            raise _bad_parameter("NOTIFY must be NEVER alone, or any of SUCCESS, FAILURE, DELAY")
        notify = tuple(dict.fromkeys(wish.lower() for wish in wishes))
    orcpt = None if "ORCPT" not in parameters else _original_recipient(parameters["ORCPT"] or "")
    return RcptTo(address, notify, orcpt)


def _split(argument: str, word: str, known: frozenset[str]) -> tuple[str, Mapping[str, str | None]]:
    """The path and the parameters behind `FROM:` or `TO:`; a space behind the colon is borne."""
    before, colon, rest = argument.partition(":")
    found = _PATH.fullmatch(rest.strip()) if colon and before.strip().upper() == word else None
    if found is None:
        raise Refusal(501, "5.5.4", f"Syntax: {word}:<address>")
    parameters: dict[str, str | None] = {}
    for item in (found[2] or "").split():
        name, equals, value = item.partition("=")
        if not _KEYWORD.fullmatch(name) or (equals and not _VALUE.fullmatch(value)) or name.upper() in parameters:
            raise _bad_parameter(f"{item[:60]} cannot be read")
        if name.upper() not in known:
            raise Refusal(555, "5.5.4", f"The parameter {name[:60]} is not known here")
        parameters[name.upper()] = value if equals else None
    return found[1], parameters


def _address(path: str, *, smtputf8: bool, null_sender: bool) -> str:
    """The mailbox of a path; a source route before it means nothing any more (RFC 5321 §4.1.2, appendix C)."""
    address = _ROUTE.sub("", path.strip(), count=1)
    try:
        (reverse_path if null_sender else forward_path)(address)
    except LocalProtocolError as error:
        kind = "5.1.7" if null_sender else "5.1.3"
        raise Refusal(553, kind, error.message) from None
    if not smtputf8 and (needs_smtputf8(address) or not address.isascii()):
        raise Refusal(553, "5.6.7", "An address beyond ASCII needs the parameter SMTPUTF8")
    return address


def _size(parameters: Mapping[str, str | None]) -> int | None:
    if "SIZE" not in parameters:
        return None
    text = parameters["SIZE"] or ""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise _bad_parameter("SIZE must be a number")
    return int(text)


def _envid(text: str) -> str:
    envid = _from_xtext(text)
    if len(envid) > _MAX_ENVID or not all(" " <= c <= "~" for c in envid):
        raise _bad_parameter(f"ENVID must be at most {_MAX_ENVID} printable characters")
    return envid


def _original_recipient(text: str) -> str:
    """An ORCPT of the type rfc822, or utf-8 (RFC 6533 §3), as an address."""
    kind, semicolon, value = text.partition(";")
    if kind.lower() == "utf-8":
        address = _UNITEXT.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), value)
    elif kind.lower() == "rfc822":
        address = _from_xtext(value)
    else:
        raise _bad_parameter("ORCPT must be of the type rfc822 or utf-8")
    if not semicolon or not address or len(address) > _MAX_ORCPT or not address.isprintable():
        raise _bad_parameter("ORCPT cannot be read")
    return address


def _from_xtext(text: str) -> str:
    """Text of which some characters stand there as +XX (RFC 3461 §4)."""
    if not _XTEXT.fullmatch(text):
        raise _bad_parameter("a value is no xtext")
    raw = _HEX_PAIR.sub(lambda found: bytes((int(found[1], 16),)), text.encode("ascii"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad_parameter("a value is not UTF-8") from None


def _bad_parameter(text: str) -> Refusal:
    return Refusal(501, "5.5.4", text[:1].upper() + text[1:])
