"""What replies, lost connections and broken rules mean for a submission: code, permanence, one sentence."""

from __future__ import annotations

import re

from mailquay.errors import (
    LocalProtocolError,
    MailquayError,
    RemoteProtocolError,
    SubmissionRejected,
    Unavailable,
)
from mailquay.net.tls import CERTIFICATE_CODES
from mailquay.wire.smtp.client import Command
from mailquay.wire.smtp.reply import Reply

# Without a reply code these say that the same attempt can only fail again.
_PERMANENT_CODES = frozenset(("EAUTH", "ENOAUTH", "EOAUTH2", "ETLS", "EENVELOPE", "EMESSAGE", "EPROTOCOL", "ENOSERVER"))

_NETWORK_CODES = {
    "ENOTFOUND": "EDNS",
    "EDNS": "EDNS",
    "ETIMEDOUT": "ETIMEDOUT",
    "ETLS": "ETLS",
    "ECONNRESET": "ECONNECTION",
    "EPROXY": "ECONNECTION",
}

_REFUSALS: dict[Command, tuple[str, str]] = {
    Command.GREETING: ("EPROTOCOL", "The server does not welcome us"),
    Command.EHLO: ("EPROTOCOL", "The server refused our greeting"),
    Command.HELO: ("EPROTOCOL", "The server refused our greeting"),
    Command.STARTTLS: ("ETLS", "The server refused to start TLS"),
    Command.AUTH: ("EAUTH", "The server did not accept the login"),
    Command.MAIL: ("EENVELOPE", "The sender was refused"),
    Command.RCPT: ("EENVELOPE", "Can't send mail - all recipients were rejected"),
    Command.DATA: ("EMESSAGE", "The message was refused before its content"),
    Command.BODY: ("EMESSAGE", "The message was refused"),
}

_MICROSOFT = re.compile(r"250 2\.0\.0 OK <([^<>\s]{1,500}prod\.outlook\.com)>", re.IGNORECASE)
_SES_REPLY = re.compile(r"250 Ok ([0-9a-f][0-9a-f-]{10,100})", re.IGNORECASE)
_SES_HOST = re.compile(r"(?:^|\.)(?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.)?(?:amazonaws|awsapps)\.com$")


def is_permanent(code: str, reply_code: int | None) -> bool:
    """Whether no further attempt makes sense: a reply from 500 on but 503 (bad order), or a code that says so."""
    if reply_code is not None:
        return reply_code >= 500 and reply_code != 503
    return code in _PERMANENT_CODES


def refused(command: Command | None, reply: Reply) -> SubmissionRejected:
    """The error for a negative reply to `command`; 421 is the server closing, whatever it answers."""
    code, words = _REFUSALS.get(command or Command.GREETING, ("EPROTOCOL", "The server refused a command"))
    if reply.code == 421:
        code, words = "ECONNECTION", "The server closed the session"
    return SubmissionRejected(
        f"{words}: {reply.text}",
        code=code,
        permanent=is_permanent(code, reply.code),
        reply_code=reply.code,
        command=command.value if command is not None else None,
        response=reply.text,
    )


def failed(words: str, code: str, command: Command | None = None) -> SubmissionRejected:
    """The error for a failure that no reply explains."""
    return SubmissionRejected(
        words,
        code=code,
        permanent=is_permanent(code, None),
        command=command.value if command is not None else None,
    )


def translated(error: MailquayError, command: Command | None) -> SubmissionRejected:
    """The submission's view of an error of the network or the protocol; the cause is kept."""
    if isinstance(error, SubmissionRejected):
        return error
    if isinstance(error, Unavailable):
        code = _NETWORK_CODES.get(error.code, "ESOCKET")
    elif isinstance(error, RemoteProtocolError):
        code = "ECONNECTION" if "closed the connection" in error.message else "EPROTOCOL"
    elif isinstance(error, LocalProtocolError):
        code = "EENVELOPE"
    else:
        code = "EPROTOCOL"
    rejected = failed(error.message, code, command)
    rejected.__cause__ = error
    return rejected


def is_certificate_problem(error: BaseException) -> bool:
    """Whether only the server's certificate stood in the way."""
    cause = error.__cause__
    return isinstance(cause, MailquayError) and cause.code in CERTIFICATE_CODES


def provider_message_id(reply: str, host: str) -> str | None:
    """The Message-ID that a provider gave the message in place of ours, with brackets.

    Microsoft names it in the reply; Amazon SES replies with an id from which it follows.
    """
    if found := _MICROSOFT.match(reply):
        return f"<{found[1]}>"
    server = _SES_HOST.search(host.lower())
    found = _SES_REPLY.fullmatch(reply.strip())
    if server is None or found is None:
        return None
    region = server["region"] or "us-east-1"
    return f"<{found[1]}@{'email' if region == 'us-east-1' else region}.amazonses.com>"
