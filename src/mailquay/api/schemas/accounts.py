"""Accounts: what registers and changes them, and how they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mailquay.api.schemas.common import OptionalFlag, Paging, Shown
from mailquay.api.schemas.fields import (
    Absent,
    Email,
    FalseIsNone,
    Flag,
    Given,
    Hostname,
    LeftOut,
    Line256,
    Line1024,
    NoneHidden,
    Port,
    ProxyUri,
    Seconds,
    Secret16384,
    Single,
    Text100,
    TimeMs,
    WebUri,
)
from mailquay.api.schemas.mailboxes import MailboxListed
from mailquay.api.validation import Model

StateName = Literal[
    "init",
    "unset",
    "connected",
    "connecting",
    "syncing",
    "authenticationError",
    "connectError",
    "disconnected",
    "paused",
]
AccountType = Literal[
    "imap", "gmail", "gmailService", "outlook", "outlookService", "mailRu", "oauth2", "delegated", "sending", "invalid"
]
_HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", min_length=1, max_length=1024)]
_HeaderValue = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$", max_length=10240)]


def _later(what: str) -> LeftOut:
    def refuse(value: object) -> object:
        if value not in (None, False, "", "false"):
            raise ValueError(f"is not available in this release: {what}")
        return None

    return LeftOut(refuse)


Later = _later
"""A field of something that this release lacks: it is refused, never left unheeded."""


Indexer = Literal["full", "fast"] | None


IndexName = Literal["identifiers", "envelopes", "text"]


class WebhooksCustomHeader(Model):
    """A header that goes along with the account's webhooks."""

    key: _HeaderName
    value: _HeaderValue = ""


class Authentication(Model):
    """How to log in: with a password or an access token."""

    user: Line256
    access_token: Annotated[Secret16384 | None, FalseIsNone, Field(alias="accessToken")] = None
    password: Annotated[Line256 | None, Given, Field(alias="pass")] = None


class PartialAuthentication(Authentication):
    """Changes of how to log in; null removes."""

    user: Line256 | None = None  # type: ignore[assignment]
    password: Annotated[Line256 | None, Field(alias="pass")] = None


class TlsOptions(Model):
    """TLS of a connection. Further keys are those of `ca`, `ciphers`, `maxVersion` and `servername`."""

    reject_unauthorized: Annotated[
        Flag | None, Field(alias="rejectUnauthorized", description="false accepts any certificate.")
    ] = None
    min_version: Annotated[Line256 | None, Field(alias="minVersion", description="TLSv1.2 unless given.")] = None
    max_version: Annotated[Line256 | None, Field(alias="maxVersion")] = None
    ciphers: Line1024 | None = None
    servername: Hostname | None = None
    ca: Annotated[list[Annotated[str, StringConstraints(max_length=65536)]] | None, Single] = None


class ServerOptions(Model):
    """How to reach a mail server."""

    use_auth_server: Annotated[
        Flag | None,
        Given,
        Field(alias="useAuthServer", description="Whether the authentication server is asked for the credentials."),
    ] = None
    auth: Annotated[Authentication | None, FalseIsNone] = None
    host: Annotated[Hostname | None, Absent] = None
    port: Annotated[Port | None, Given] = None
    secure: Annotated[Flag, Field(description="TLS from the start; otherwise STARTTLS where offered.")] = False
    tls: Annotated[TlsOptions | None, Given] = None


class ImapOptions(ServerOptions):
    """How to reach the IMAP server, and which mailboxes play a special part there."""

    disable_imap4rev2: Annotated[Flag | None, Given, Field(alias="disableIMAP4rev2")] = None
    resync_delay: Annotated[Seconds | None, Given, Field(alias="resyncDelay", json_schema_extra={"default": 900})] = (
        None
    )
    disabled: OptionalFlag = None
    sent_mail_path: Annotated[Line1024 | None, Field(alias="sentMailPath")] = None
    drafts_mail_path: Annotated[Line1024 | None, Field(alias="draftsMailPath")] = None
    junk_mail_path: Annotated[Line1024 | None, Field(alias="junkMailPath")] = None
    trash_mail_path: Annotated[Line1024 | None, Field(alias="trashMailPath")] = None
    archive_mail_path: Annotated[Line1024 | None, Field(alias="archiveMailPath")] = None


def _check_auth(options: ServerOptions) -> None:
    auth = options.auth
    if auth is None or (options.use_auth_server and auth.password is None and auth.access_token is None):
        return
    if (auth.password is None) == (auth.access_token is None):
        raise ValueError("needs auth.pass or auth.accessToken, and not both")


class ImapConfiguration(ImapOptions):
    """An IMAP server, as a whole."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for key in ("host", "port", "auth"):
            if getattr(self, key) is None and not self.disabled and not (key == "auth" and self.use_auth_server):
                raise ValueError(f"needs {key}")
        _check_auth(self)
        return self


class SmtpConfiguration(ServerOptions):
    """A submission server, as a whole."""

    host: Hostname
    port: Port

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _check_auth(self)
        return self


class ImapUpdate(ImapOptions):
    """Changes of the IMAP server: as a whole, or with `partial` only what is given; null removes."""

    partial: Flag = False
    auth: Annotated[PartialAuthentication | None, FalseIsNone] = None
    host: Hostname | None = None
    port: Port | None = None
    secure: Flag | None = None  # type: ignore[assignment]
    tls: TlsOptions | None = None
    resync_delay: Annotated[Seconds | None, Field(alias="resyncDelay")] = None
    disabled: Flag | None = None


class SmtpUpdate(ServerOptions):
    """Changes of the submission server: as a whole, or with `partial` only what is given; null removes."""

    partial: Flag = False
    auth: Annotated[PartialAuthentication | None, FalseIsNone] = None
    host: Hostname | None = None
    port: Port | None = None
    secure: Flag | None = None  # type: ignore[assignment]
    tls: TlsOptions | None = None


class _Profile(Model):
    """What registering and changing an account share."""

    email: Annotated[Email | None, Absent] = None
    path: Annotated[
        list[Line1024] | None, Single, Field(description="Mailboxes to sync, special-use tags allowed; * is all.")
    ] = None
    subconnections: Annotated[list[Line256] | None, Single, Given] = None
    webhooks: Annotated[WebUri | None, Absent] = None
    copy_sent: Annotated[
        Flag | None, Field(alias="copy", description="Whether sent messages are copied to the sent mailbox.")
    ] = None
    notify_from: Annotated[TimeMs | None, Field(alias="notifyFrom", json_schema_extra={"x-default": "now"})] = None
    sync_from: Annotated[
        TimeMs | None,
        Field(alias="syncFrom", description="Messages received earlier are not read in advance; null reads all."),
    ] = None
    proxy: Annotated[ProxyUri | None, Absent] = None
    smtp_ehlo_name: Annotated[Hostname | None, Field(alias="smtpEhloName")] = None
    imap_indexer: Annotated[Indexer, Field(alias="imapIndexer")] = None
    index: Annotated[
        IndexName | None,
        Given,
        Field(
            description="How much of each message the index keeps; identifiers is nothing that it says, text also the "
            "words of its text, to be searched for.",
            json_schema_extra={"default": "envelopes"},
        ),
    ] = None
    when_uncertain: Annotated[
        Literal["hold", "retry"] | None,
        Given,
        Field(
            alias="whenUncertain",
            description="What becomes of a message of which nobody knows whether it was sent: it waits for somebody to "
            "say so, or is sent again, perhaps twice.",
            json_schema_extra={"default": "hold"},
        ),
    ] = None
    oauth2: Annotated[dict[str, Any] | None, Later("accounts with OAuth2")] = None
    webhooks_custom_headers: Annotated[
        Annotated[list[WebhooksCustomHeader], Field(max_length=1000)] | None,
        Given,
        Field(alias="webhooksCustomHeaders"),
    ] = None
    locale: Annotated[Text100 | None, Absent] = None
    tz: Annotated[Text100 | None, Absent] = None


class CreateAccount(_Profile):
    """An account to register, or to change when its id is known."""

    account: Annotated[Line256 | None, Field(description="The id; null has one made.")]
    name: Line256
    expected_email: Annotated[Email | None, Absent, Field(alias="expectedEmail")] = None
    logs: Annotated[Flag, Field(description="Whether a protocol log is kept.")] = False
    imap: Annotated[ImapConfiguration | None, FalseIsNone] = None
    smtp: Annotated[SmtpConfiguration | None, FalseIsNone] = None


class UpdateAccount(_Profile):
    """Changes of an account; what is not given stays."""

    name: Annotated[Line256 | None, Given] = None
    expected_email: Annotated[Email | None, Field(alias="expectedEmail")] = None
    logs: OptionalFlag = None
    imap: Annotated[ImapUpdate | None, FalseIsNone] = None
    smtp: Annotated[SmtpUpdate | None, FalseIsNone] = None


class VerifyAccount(Model):
    """Server settings to try out."""

    mailboxes: Annotated[Flag, Field(description="Whether to list the mailboxes too.")] = False
    imap: Annotated[ImapConfiguration | None, FalseIsNone] = None
    smtp: Annotated[SmtpConfiguration | None, FalseIsNone] = None
    proxy: Annotated[ProxyUri | None, Absent] = None
    smtp_ehlo_name: Annotated[Hostname | None, Field(alias="smtpEhloName")] = None


class AccountsQuery(Paging):
    """Which accounts to list."""

    state: Annotated[StateName | None, Absent] = None
    query: Annotated[str | None, Absent, Field(description="Part of the id, the name or the address.")] = None


class AccountQuery(Model):
    """What else to show of an account."""

    quota: Annotated[Flag, Field(description="Whether to ask the server how full the mailbox is.")] = False


class DeleteAccountQuery(Model):
    """How to delete an account."""

    revoke: Annotated[Flag, Field(description="Whether to withdraw the provider's grant, where there is one.")] = False


class Reconnect(Model):
    """A request to connect anew."""

    reconnect: Flag = False


class Sync(Model):
    """A request to sync at once."""

    sync: Flag = False


class Flush(Model):
    """A request to forget the index."""

    flush: Flag = False
    notify_from: Annotated[TimeMs | None, Field(alias="notifyFrom", json_schema_extra={"x-default": "now"})] = None
    imap_indexer: Annotated[Indexer, Field(alias="imapIndexer")] = None


# -- answers --------------------------------------------------------------------------------------


class AccountRegistered(Shown):
    """What became of a registration."""

    account: str
    state: Literal["existing", "new"]


class AccountUpdated(Shown):
    """The account that was changed."""

    account: str


class AccountDeleted(Shown):
    """The account that was deleted."""

    account: str
    deleted: bool


class AccountToken(Shown):
    """The access token of this moment. `cached`: it was not asked for just now."""

    account: str
    user: str
    access_token: Annotated[str, Field(alias="accessToken")]
    cached: bool


class SenderSignature(Shown):
    """What the provider puts below messages from an address."""

    address: str
    signature: str


class AccountSignatures(Shown):
    """Signatures that the provider keeps; IMAP knows of none."""

    signatures: list[SenderSignature]
    signatures_supported: Annotated[bool, Field(alias="signaturesSupported")]


class AccountError(Shown):
    """What keeps an account from working."""

    response: str
    description: str | NoneHidden = None
    server_response_code: Annotated[str, Field(alias="serverResponseCode")]


class SmtpStatus(Shown):
    """How the last delivery went."""

    created: datetime | None = None
    status: Literal["ok", "error"]
    response: str | NoneHidden = None
    description: str | NoneHidden = None
    response_code: Annotated[int | NoneHidden, Field(alias="responseCode")] = None
    code: str | NoneHidden = None
    command: str | NoneHidden = None
    network_routing: Annotated[dict[str, Any] | None, Field(alias="networkRouting")] = None


class SyncError(Shown):
    """Where the last sync failed."""

    path: str
    time: datetime
    error: str


class Counters(Shown):
    """How often each event happened."""

    events: dict[str, int]


class AccountEntry(Shown):
    """An account in a list."""

    account: str
    name: str
    email: str | NoneHidden = None
    type: AccountType
    state: StateName
    webhooks: str | NoneHidden = None
    proxy: str | NoneHidden = None
    smtp_ehlo_name: Annotated[str | NoneHidden, Field(alias="smtpEhloName")] = None
    counters: Counters
    sync_time: Annotated[datetime | NoneHidden, Field(alias="syncTime")] = None
    last_error: Annotated[AccountError | None, Field(alias="lastError")] = None


class Quota(Shown):
    """How full the mailbox is, in bytes and as a percentage."""

    usage: int
    limit: int
    status: str


class AccountInfo(AccountEntry):
    """An account, secrets masked."""

    expected_email: Annotated[str | NoneHidden, Field(alias="expectedEmail")] = None
    copy_sent: Annotated[bool | NoneHidden, Field(alias="copy")] = None
    logs: bool
    notify_from: Annotated[datetime | None, Field(alias="notifyFrom")] = None
    sync_from: Annotated[datetime | None, Field(alias="syncFrom")] = None
    path: list[str] | Literal["*"]
    subconnections: list[str] | NoneHidden = None
    webhooks_custom_headers: Annotated[
        list[WebhooksCustomHeader] | NoneHidden, Field(alias="webhooksCustomHeaders")
    ] = None
    imap_indexer: Annotated[Literal["full", "fast"] | NoneHidden, Field(alias="imapIndexer")] = None
    index: IndexName
    when_uncertain: Annotated[Literal["hold", "retry"], Field(alias="whenUncertain")]
    locale: str | NoneHidden = None
    tz: str | NoneHidden = None
    imap: ImapOptions | NoneHidden = None
    smtp: ServerOptions | NoneHidden = None
    connections: Annotated[int | NoneHidden, Field(description="Open IMAP connections, if this node knows.")] = None
    send_only: Annotated[bool | NoneHidden, Field(alias="sendOnly")] = None
    smtp_status: Annotated[SmtpStatus | None, Field(alias="smtpStatus")] = None
    sync_error: Annotated[SyncError | NoneHidden, Field(alias="syncError")] = None
    coverage: Annotated[
        float | NoneHidden, Field(description="Part of the server's messages that the index held when last compared.")
    ] = None
    last_verified_at: Annotated[
        datetime | NoneHidden,
        Field(alias="lastVerifiedAt", description="Since when every mailbox was compared with the server."),
    ] = None
    unexplained_missing: Annotated[
        int | NoneHidden,
        Field(alias="unexplainedMissing", description="Messages that the comparison found and nothing had told of."),
    ] = None
    quota: Annotated[Literal[False] | Quota | NoneHidden, Field(description="false: not supported.")] = None


class AccountList(Shown):
    """A page of accounts."""

    total: int
    page: int
    pages: int
    query: str | Literal[False]
    state: str
    accounts: list[AccountEntry]


class VerifyOutcome(Shown):
    """How it went on one side, and how far it got if it failed."""

    success: bool
    error: str | NoneHidden = None
    code: str | NoneHidden = None
    status_code: Annotated[int | NoneHidden, Field(alias="statusCode")] = None
    response_text: Annotated[str | NoneHidden, Field(alias="responseText")] = None
    phase: Literal["connect", "login", "list"] | NoneHidden = None


class VerifyResult(Shown):
    """How it went on the given sides."""

    imap: VerifyOutcome | NoneHidden = None
    smtp: VerifyOutcome | NoneHidden = None
    mailboxes: list[MailboxListed] | NoneHidden = None
