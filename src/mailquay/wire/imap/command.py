"""What every command has in common, and the commands that fit no family (RFC 9051 §6.1, §6.2).

A command is a frozen value. The client core writes it, the server core reads it, and both use the same type. Whether
`UID` stands in front of FETCH, STORE, COPY, MOVE and SEARCH follows from the type of the set it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mailquay.wire.imap.identification import IdParameters, IdResponse, read_id_parameters, write_id_parameters
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.response import CapabilityResponse, EnabledResponse, Response
from mailquay.wire.imap.writer import Writer


class Command:
    """Base of all commands."""

    __slots__ = ()

    name: ClassVar[str]
    """The command's word on the wire, without UID."""

    @property
    def wire_name(self) -> str:
        """The word or words that begin the command."""
        return self.name

    def write(self, w: Writer) -> None:
        """Write the command behind its tag, without CRLF. Raises LocalProtocolError for unacceptable arguments."""
        w.raw(self.wire_name.encode("ascii"))

    def claims(self, response: Response) -> bool:
        """Whether an untagged response is an answer to this command, rather than news."""
        return False


@dataclass(frozen=True, slots=True)
class Capability(Command):
    """CAPABILITY (RFC 9051 §6.1.1)."""

    name = "CAPABILITY"

    def claims(self, response: Response) -> bool:
        return isinstance(response, CapabilityResponse)


@dataclass(frozen=True, slots=True)
class Noop(Command):
    """NOOP (RFC 9051 §6.1.2)."""

    name = "NOOP"


@dataclass(frozen=True, slots=True)
class Logout(Command):
    """LOGOUT (RFC 9051 §6.1.3)."""

    name = "LOGOUT"


@dataclass(frozen=True, slots=True)
class StartTls(Command):
    """STARTTLS (RFC 9051 §6.2.1)."""

    name = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Login(Command):
    """LOGIN (RFC 9051 §6.2.3). Non-ASCII credentials go out as literals."""

    name = "LOGIN"

    username: str
    password: str = field(repr=False)

    def write(self, w: Writer) -> None:
        w.raw(b"LOGIN ")
        w.text(self.username)
        w.raw(b" ")
        w.text(self.password)

    def claims(self, response: Response) -> bool:
        return isinstance(response, CapabilityResponse)


def read_login(r: Reader) -> Login:
    """Read the arguments of LOGIN."""
    username = r.astring().decode("utf-8", "replace")
    r.space()
    return Login(username, r.astring().decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """AUTHENTICATE, with an initial response where both sides know SASL-IR (RFC 9051 §6.2.2, RFC 4959 §3).

    `initial_response` is in base64; `=` stands for an empty one.
    """

    name = "AUTHENTICATE"

    mechanism: str
    initial_response: bytes | None = field(default=None, repr=False)

    def write(self, w: Writer) -> None:
        w.raw(b"AUTHENTICATE ")
        w.atom(self.mechanism)
        if self.initial_response is not None:
            w.raw(b" " + (self.initial_response or b"="))

    def claims(self, response: Response) -> bool:
        return isinstance(response, CapabilityResponse)


def read_authenticate(r: Reader) -> Authenticate:
    """Read the arguments of AUTHENTICATE."""
    mechanism = r.atom().decode("latin-1").upper()
    initial_response: bytes | None = None
    if r.skip(b" "):
        initial_response = r.rest().strip(b" ")
        if initial_response == b"=":
            initial_response = b""
    return Authenticate(mechanism, initial_response)


@dataclass(frozen=True, slots=True)
class Id(Command):
    """ID: tell the server who we are; empty asks without telling (RFC 2971 §3.1)."""

    name = "ID"

    parameters: IdParameters = ()

    def write(self, w: Writer) -> None:
        w.raw(b"ID ")
        write_id_parameters(w, self.parameters)

    def claims(self, response: Response) -> bool:
        return isinstance(response, IdResponse)


def read_id_command(r: Reader) -> Id:
    """Read the arguments of ID."""
    return Id(read_id_parameters(r))


@dataclass(frozen=True, slots=True)
class Enable(Command):
    """ENABLE (RFC 9051 §6.3.1, RFC 5161)."""

    name = "ENABLE"

    capabilities: tuple[str, ...]

    def write(self, w: Writer) -> None:
        w.raw(b"ENABLE")
        for capability in self.capabilities:
            w.raw(b" ")
            w.atom(capability)

    def claims(self, response: Response) -> bool:
        return isinstance(response, EnabledResponse)


def read_enable(r: Reader) -> Enable:
    """Read the arguments of ENABLE, at least one."""
    capabilities = [r.atom().decode("latin-1").upper()]
    while r.skip(b" "):
        capabilities.append(r.atom().decode("latin-1").upper())
        if len(capabilities) > r.limits.max_list_items:
            raise r.error("fewer capabilities")
    return Enable(tuple(capabilities))
