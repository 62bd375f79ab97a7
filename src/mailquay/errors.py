"""Every error Mailquay raises on purpose: a stable code, whose fault it is, and whether a retry can help."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Fault(Enum):
    """Who has to change something before the same request can succeed."""

    CALLER = "caller"
    PEER = "peer"
    US = "us"


class MailquayError(Exception):
    """Base of all expected errors. `code` is stable and public; `str(error)` is for people."""

    fault: Fault = Fault.US
    retryable: bool = False
    default_code = "ServerBug"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code


class ConfigError(MailquayError):
    """The start-up configuration is wrong; the message is one line that names the key."""

    fault = Fault.CALLER
    default_code = "ConfigError"


class InvalidRequest(MailquayError):
    """The caller asked for something that cannot be done as asked."""

    fault = Fault.CALLER
    default_code = "InvalidInput"


class NotFound(InvalidRequest):
    """The caller named a record of ours that does not exist."""

    default_code = "NotFound"


class MessageTooLarge(InvalidRequest):
    """The mail server takes no message of this size; the message names both sizes, in bytes, where both are known."""

    default_code = "MessageTooLarge"


class TemplateError(InvalidRequest):
    """A template cannot be filled in. `part` is the text it stands in (subject, text, html, previewText), `line` counts
    from 1; None where that is not known.
    """

    default_code = "TemplateError"

    def __init__(self, message: str, *, part: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.part = part
        self.line = line


class Forbidden(InvalidRequest):
    """The caller may not do this."""

    default_code = "Forbidden"


class ProtocolError(MailquayError):
    """Bytes on the wire broke the rules of their protocol."""

    default_code = "ProtocolError"


class LocalProtocolError(ProtocolError):
    """We tried to send something the protocol forbids (wrong state, CR/LF in an argument)."""

    fault = Fault.US


class RemoteProtocolError(ProtocolError):
    """The peer sent something that we cannot accept, or exceeded a limit of ours."""

    fault = Fault.PEER
    retryable = True


class BackendError(MailquayError):
    """A mail server or provider could not, or would not, do what was asked.

    `network_routing` tells which way mail was to take, when not the system alone decided about it.
    """

    fault = Fault.PEER
    default_code = "BackendError"
    network_routing: Mapping[str, str | None] | None = None


class AuthenticationFailed(BackendError):
    """The server rejected the credentials. `response_code` is the IMAP response code or SMTP enhanced code, if any."""

    default_code = "AuthenticationFails"

    def __init__(self, message: str, *, code: str | None = None, response_code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.response_code = response_code


class Unavailable(BackendError):
    """The server cannot be reached, went away, or answered that it is temporarily unable (network, TLS, time-out)."""

    retryable = True
    default_code = "ConnectionError"


class RateLimited(Unavailable):
    """The server asked us to slow down."""

    default_code = "RateLimited"

    def __init__(self, message: str, *, retry_after_seconds: float, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class PartUnavailable(RateLimited):
    """Something that the server needs is down (UNAVAILABLE, RFC 5530 §3): for all, for a mailbox, or for a message.

    The account waits as after a request to slow down, unless it proves to be one message alone.
    """

    default_code = "UNAVAILABLE"


class MailboxNotFound(BackendError):
    """The mailbox does not exist on the server."""

    fault = Fault.CALLER
    default_code = "FolderNotFound"


class MessageNotFound(BackendError):
    """The message does not exist (any more) on the server."""

    fault = Fault.CALLER
    default_code = "MessageNotFound"


class Unsupported(BackendError):
    """The server lacks what the operation needs."""

    default_code = "MissingServerExtension"


class CommandRejected(BackendError):
    """The server answered NO or BAD to a command; `response_code` is its IMAP response code, if any."""

    default_code = "CommandRejected"

    def __init__(self, message: str, *, code: str | None = None, response_code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.response_code = response_code


class SubmissionRejected(BackendError):
    """The submission server refused the message, or a phase of the dialogue.

    `reply_code` is the SMTP reply code (None when there was no reply), `command` the phase ("RCPT TO", "DATA" …),
    `response` the reply text; `permanent` tells that no further attempt makes sense.
    """

    default_code = "EENVELOPE"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        permanent: bool,
        reply_code: int | None = None,
        command: str | None = None,
        response: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.permanent = permanent
        self.retryable = not permanent
        self.reply_code = reply_code
        self.command = command
        self.response = response


class StorageError(MailquayError):
    """The database failed or holds something unexpected."""

    default_code = "StorageError"


class Fenced(StorageError):
    """A write carried a lease epoch that is no longer the account's: another node owns it now."""

    default_code = "Fenced"


class KeyMismatch(StorageError):
    """The encryption key at hand is not the one the database was written with."""

    default_code = "KeyMismatch"


class EgressBlocked(BackendError):
    """The operator's egress policy forbids connecting to the address; retrying changes nothing."""

    fault = Fault.CALLER
    default_code = "EEGRESSBLOCKED"


class SubmissionUncertain(BackendError):
    """The connection ended after end-of-data went out and before its reply came: the message may have been sent.

    Never to be retried blindly (RFC 5321 §4.2.5, RFC 1047).
    """

    default_code = "EUNCERTAIN"


class NotOperational(MailquayError):
    """The account cannot be used now; `state` is its public state, `code` says why (NotYetConnected, NotSyncing …)."""

    fault = Fault.PEER
    retryable = True
    default_code = "NoAvailable"

    def __init__(self, message: str, *, code: str | None = None, state: str | None = None) -> None:
        super().__init__(message, code=code)
        self.state = state
