"""Every start-up option: its names, kind, bounds and meaning. Config and docs/settings.md are made from this table.

An option called `command_timeout` is given as `--command-timeout`, as MAILQUAY_COMMAND_TIMEOUT or
MAILQUAY_COMMAND_TIMEOUT_FILE, or as `command_timeout` in the TOML file; further names are those of the EmailEngine API.
Defaults stand in `mailquay.config.Config`, whose field the option fills.
"""

from __future__ import annotations

from mailquay.settings_mail import MAIL
from mailquay.settings_option import BareNumber, Kind, Option
from mailquay.settings_smtp_server import SMTP_SERVER

NODE_ROLES = ("sync", "api", "admin")
LOG_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "silent")

_T, _I, _B, _D, _S = Kind.TEXT, Kind.INTEGER, Kind.BOOLEAN, Kind.DURATION, Kind.BYTES

SERVER = (
    Option("host", "host", _T, "Address the API listens on.", ("EENGINE_HOST",), "api.host"),
    Option(
        "port",
        "port",
        _I,
        "Port the API listens on; 0 takes a free one.",
        ("EENGINE_PORT", "PORT"),
        "api.port",
        minimum=0,
        maximum=65535,
    ),
    Option(
        "data_dir",
        "data_dir",
        Kind.PATH,
        "Folder for the database file, keys and the node's identity; with `sandbox` it is `data/sandbox`.",
    ),
    Option(
        "database",
        "database_url",
        _T,
        "postgresql://… or sqlite:PATH; unset: a SQLite file in the data folder.",
        secret=True,
    ),
    Option("sandbox", "sandbox", _B, "Also start the built-in mail servers with three ready mailboxes."),
    Option(
        "roles", "roles", Kind.CHOICES, "What this node does. Only nodes with `sync` own accounts.", choices=NODE_ROLES
    ),
    Option(
        "processes", "processes", _I, "Nodes to start on this machine; on SQLite at most 2.", minimum=1, maximum=256
    ),
    Option(
        "node_address",
        "node_address",
        _T,
        "HOST:PORT on which other nodes reach this one; unset: a unix socket in the data folder, for one machine only.",
    ),
    Option(
        "log_level",
        "log_level",
        Kind.CHOICE,
        "Least level that is logged.",
        ("EENGINE_LOG_LEVEL",),
        "log.level",
        choices=LOG_LEVELS,
    ),
    Option(
        "log_format",
        "log_format",
        Kind.CHOICE,
        "Lines for people or JSON; auto: by whether a terminal reads them.",
        choices=("auto", "text", "json"),
    ),
    Option("drain_timeout", "drain_timeout_seconds", _D, "Time a stopping node takes to finish work and hand over."),
)

SECURITY = (
    Option(
        "secret",
        "encryption_secret",
        _T,
        "Passphrase for the encryption of stored secrets, instead of the key file.",
        ("EENGINE_SECRET",),
        "service.secret",
        secret=True,
    ),
    Option(
        "key_file",
        "encryption_key_file",
        Kind.PATH,
        "File of the encryption key; unset: encryption.key in the data folder, made for an empty database.",
    ),
    Option(
        "settings",
        "prepared_settings",
        Kind.OBJECT,
        "Runtime settings that are written at every start; a wrong one stops it.",
        ("EENGINE_SETTINGS",),
        "settings",
        secret=True,
    ),
    Option(
        "prepared_token",
        "prepared_token",
        _T,
        "Access token as printed by `mailquay token export`; imported unless it is known.",
        ("EENGINE_PREPARED_TOKEN",),
        "preparedToken",
        secret=True,
    ),
    Option(
        "prepared_password",
        "prepared_password",
        _T,
        "Hash as printed by `mailquay password --hash`; becomes the admin password at every start.",
        ("EENGINE_PREPARED_PASSWORD",),
        "preparedPassword",
        secret=True,
    ),
    Option(
        "require_api_auth",
        "initial_settings",
        _B,
        "First start: false lets requests without a token pass.",
        ("EENGINE_REQUIRE_API_AUTH",),
        first_boot_of="disableTokens",
    ),
    Option(
        "enable_oauth_tokens_api",
        "initial_settings",
        _B,
        "First start: whether access tokens of accounts can be read.",
        ("EENGINE_ENABLE_OAUTH_TOKENS_API",),
        first_boot_of="enableOAuthTokensApi",
    ),
    Option(
        "api_proxy",
        "initial_settings",
        _B,
        "First start: whether X-Forwarded-For is believed.",
        ("EENGINE_API_PROXY",),
        "api.proxy",
        first_boot_of="enableApiProxy",
    ),
    Option(
        "api_proxy_addresses",
        "api_proxy_addresses",
        Kind.NETWORKS,
        "Proxies whose X-Forwarded-For is believed; unset: any.",
        ("EENGINE_API_PROXY_ADDRESSES",),
    ),
    Option(
        "cors_origins",
        "cors_origins",
        Kind.LIST,
        "Origins that browsers may call the API from; unset: none.",
        ("EENGINE_CORS_ORIGIN",),
        "cors.origin",
    ),
    Option(
        "cors_max_age",
        "cors_max_age_seconds",
        _D,
        "How long a browser may keep a preflight answer.",
        ("EENGINE_CORS_MAX_AGE",),
        "cors.maxAge",
        BareNumber.SECONDS,
    ),
    Option(
        "webhook_egress_policy",
        "webhook_egress_policy",
        Kind.CHOICE,
        "Addresses webhooks and authServer may not have: none, link-local and metadata ones, or all private ones.",
        ("EENGINE_WEBHOOK_EGRESS_POLICY",),
        choices=("off", "link-local", "private"),
    ),
)

LIMITS = (
    Option(
        "command_timeout",
        "command_timeout_seconds",
        _D,
        "Time one API request may take; X-EE-Timeout overrides.",
        ("EENGINE_TIMEOUT",),
        "service.commandTimeout",
        minimum=0.001,
    ),
    Option(
        "max_attachment_size",
        "max_attachment_bytes",
        _S,
        "Largest single attachment, raw message, text or html in a submission.",
        ("EENGINE_MAX_SIZE",),
        "api.maxSize",
        minimum=1,
    ),
    Option(
        "max_body_size",
        "max_body_bytes",
        _S,
        "Largest request body of submission and upload.",
        ("EENGINE_MAX_BODY_SIZE",),
        "api.maxBodySize",
        minimum=1,
    ),
    Option(
        "body_timeout",
        "body_timeout_seconds",
        _D,
        "Longest pause while a request body arrives; all of it may take this and a second for each 16 KB.",
        ("EENGINE_MAX_PAYLOAD_TIMEOUT",),
        "api.maxPayloadTimeout",
        minimum=0.001,
    ),
    Option(
        "body_budget",
        "body_budget_bytes",
        _S,
        "Request bodies and messages on their way in that are held in memory at once; beyond it 503, or 452 over SMTP.",
        minimum=1,
    ),
    Option(
        "content_cache",
        "content_cache_bytes",
        _S,
        "Texts and headers of messages that are kept in memory for whoever asks for them again; 0 keeps none.",
        minimum=0,
    ),
)

WEBHOOKS = (
    Option(
        "webhook_timeout",
        "webhook_timeout_seconds",
        _D,
        "Time one delivery attempt may take.",
        ("EENGINE_WEBHOOK_TIMEOUT",),
        minimum=0.001,
    ),
    Option(
        "webhook_attempts", "webhook_attempts", _I, "Attempts before an event that alone fails is put aside.", minimum=1
    ),
    Option(
        "webhook_backoff",
        "webhook_backoff_seconds",
        _D,
        "Wait before an event's second attempt; it doubles each time.",
        minimum=0.001,
    ),
    Option(
        "webhook_retry_limit",
        "webhook_retry_limit_seconds",
        _D,
        "How long an endpoint that fails for everything is retried.",
        minimum=0.001,
    ),
)

NODES = (
    Option(
        "lease_ttl", "lease_ttl_seconds", _D, "Silence after which other nodes take a node's accounts.", minimum=0.001
    ),
    Option("lease_renew", "lease_renew_seconds", _D, "How often a node renews its leases.", minimum=0.001),
    Option("poll_interval", "poll_interval_seconds", _D, "Slow poll behind wake-ups between nodes.", minimum=0.001),
)

RETENTION = (
    Option("event_retention", "event_retention_seconds", _D, "How long events stay in the log.", minimum=0.001),
    Option(
        "queue_keep",
        "initial_settings",
        _I,
        "First start: finished queue entries to keep.",
        ("EENGINE_QUEUE_REMOVE_AFTER",),
        minimum=0,
        first_boot_of="queueKeep",
    ),
    Option(
        "queue_keep_failed",
        "queue_keep_failed",
        _I,
        "Failed queue entries to keep.",
        ("EENGINE_QUEUE_KEEP_FAILED",),
        minimum=0,
    ),
    Option(
        "queue_keep_failed_age",
        "queue_keep_failed_age_seconds",
        _D,
        "How long failed queue entries are kept.",
        ("EENGINE_QUEUE_KEEP_FAILED_AGE",),
        bare_number=BareNumber.SECONDS,
    ),
    Option(
        "token_log_entries",
        "token_log_entries",
        _I,
        "Audit entries kept per access token.",
        ("EENGINE_TOKEN_LOG_ENTRIES",),
        minimum=1,
    ),
    Option(
        "token_log_age",
        "token_log_age_seconds",
        _D,
        "How long audit entries are kept.",
        ("EENGINE_TOKEN_LOG_AGE",),
        bare_number=BareNumber.SECONDS,
    ),
    Option(
        "retention_interval", "retention_interval_seconds", _D, "How often what is too old is removed.", minimum=0.001
    ),
)

EXPORTS = (
    Option(
        "export_dir",
        "export_dir",
        Kind.PATH,
        "Folder for the files of exports, encrypted; unset: `exports` in the data folder.",
        ("EENGINE_EXPORT_PATH",),
    ),
    Option(
        "export_retention",
        "export_retention_seconds",
        _D,
        "How long the file of an export is kept.",
        ("EENGINE_EXPORT_MAX_AGE",),
        minimum=0.001,
    ),
    Option(
        "export_patience",
        "export_patience_seconds",
        _D,
        "How long an export waits for a mail server that is away before it fails.",
        minimum=0,
    ),
)

SECTIONS: tuple[tuple[str, tuple[Option, ...]], ...] = (
    ("Server", SERVER),
    ("Security", SECURITY),
    ("Limits of requests", LIMITS),
    ("Mail servers", MAIL),
    ("SMTP submission listener", SMTP_SERVER),
    ("Webhooks", WEBHOOKS),
    ("Several nodes", NODES),
    ("Retention", RETENTION),
    ("Exports", EXPORTS),
)

OPTIONS: tuple[Option, ...] = tuple(option for _, options in SECTIONS for option in options)
