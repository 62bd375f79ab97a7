"""Every start-up option: its names, kind, bounds and meaning. Config and docs/settings.md are made from this table.

An option called `command_timeout` is given as `--command-timeout`, as MAILQUAY_COMMAND_TIMEOUT or
MAILQUAY_COMMAND_TIMEOUT_FILE, or as `command_timeout` in the TOML file; further names are those of the EmailEngine API.
Defaults stand in `mailquay.config.Config`, whose field the option fills.
"""

from __future__ import annotations

from mailquay.settings_option import BareNumber, Kind, Option

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
    Option("body_budget", "body_budget_bytes", _S, "Request bodies held in memory at once; beyond it 503.", minimum=1),
    Option(
        "content_cache",
        "content_cache_bytes",
        _S,
        "Texts and headers of messages that are kept in memory for whoever asks for them again; 0 keeps none.",
        minimum=0,
    ),
)

MAIL = (
    Option(
        "auth_server_timeout",
        "auth_server_timeout_seconds",
        _D,
        "Time the authentication server may take for one account's credentials, further tries included.",
        ("EENGINE_FETCH_TIMEOUT",),
        minimum=0.001,
    ),
    Option(
        "dns_servers",
        "dns_servers",
        Kind.LIST,
        "Name servers for questions about mail domains, ADDRESS or ADDRESS:PORT; unset: those of the system.",
    ),
    Option(
        "autoconfig_timeout",
        "autoconfig_timeout_seconds",
        _D,
        "Time each source of an address's mail settings may take.",
        minimum=0.001,
    ),
    Option(
        "autoconfig_egress_policy",
        "autoconfig_egress_policy",
        Kind.CHOICE,
        "Addresses that a mail domain may not lead us to; names as in webhook_egress_policy.",
        choices=("off", "link-local", "private"),
    ),
    Option(
        "isp_database",
        "isp_database",
        _T,
        "Where the settings of known mail domains are looked up, the domain follows; `off`: nowhere.",
    ),
    Option(
        "imap_connect_timeout",
        "imap_connect_timeout_seconds",
        _D,
        "Time to connect, agree on TLS and read the greeting.",
        minimum=0.001,
    ),
    Option(
        "imap_command_timeout",
        "imap_command_timeout_seconds",
        _D,
        "Silence of the server that ends a connection.",
        ("EENGINE_IMAP_SOCKET_TIMEOUT",),
        minimum=0.001,
    ),
    Option(
        "imap_idle_restart",
        "imap_idle_restart_seconds",
        _D,
        "Age at which IDLE is ended and started again: a dead connection is found 25 seconds later at most.",
        minimum=0.001,
    ),
    Option(
        "imap_sweep_interval",
        "imap_sweep_interval_seconds",
        _D,
        "How often mailboxes that the server does not announce are looked at.",
        minimum=0.001,
    ),
    Option(
        "imap_flag_scan_interval",
        "imap_flag_scan_interval_seconds",
        _D,
        "How often all flags are compared where the server keeps no mod-sequences.",
        minimum=0.001,
    ),
    Option(
        "imap_command_idle",
        "imap_command_idle_seconds",
        _D,
        "Idle time after which a connection for reads is closed.",
        minimum=0.001,
    ),
    Option(
        "imap_command_connections",
        "imap_command_connections",
        _I,
        "Most connections for API reads of one account.",
        minimum=1,
        maximum=50,
    ),
    Option(
        "imap_verify_interval",
        "imap_verify_interval_seconds",
        _D,
        "How often each mailbox's index is compared with the server, message by message.",
        minimum=0.001,
    ),
    Option(
        "imap_verify_pause",
        "imap_verify_pause_seconds",
        _D,
        "Pause between two such comparisons of one account.",
        minimum=0.001,
    ),
    Option(
        "flush_pause",
        "flush_pause_seconds",
        _D,
        "Time between a flush and the new connection; no other account is flushed until then.",
        minimum=0,
    ),
    Option(
        "sync_batch_size",
        "sync_batch_size",
        _I,
        "Messages read and committed together in a sync.",
        ("EENGINE_FETCH_BATCH_SIZE",),
        "service.fetchBatchSize",
        minimum=1,
        maximum=100_000,
    ),
    Option(
        "connect_concurrency",
        "connect_concurrency",
        _I,
        "Accounts of one node that log in at the same time.",
        minimum=1,
    ),
    Option(
        "connect_concurrency_per_host",
        "connect_concurrency_per_host",
        _I,
        "Connections of one node that log in at one IMAP host at the same time; fewer after the host complains.",
        minimum=1,
    ),
    Option(
        "reconnect_backoff",
        "reconnect_backoff_seconds",
        _D,
        "Wait before the first new try; it doubles each time.",
        minimum=0.001,
    ),
    Option(
        "reconnect_backoff_limit",
        "reconnect_backoff_limit_seconds",
        _D,
        "Longest wait between two tries.",
        minimum=0.001,
    ),
    Option(
        "auth_failure_limit",
        "auth_failure_limit_seconds",
        _D,
        "Time of refused logins after which an account's IMAP is disabled.",
        ("EENGINE_MAX_IMAP_AUTH_FAILURE_TIME",),
        minimum=0.001,
    ),
    Option(
        "smtp_connect_timeout",
        "smtp_connect_timeout_seconds",
        _D,
        "Time to connect, agree on TLS and read the greeting.",
        minimum=0.001,
    ),
    Option(
        "smtp_command_timeout",
        "smtp_command_timeout_seconds",
        _D,
        "Time the server may take for one reply.",
        minimum=0.001,
    ),
    Option(
        "smtp_data_timeout",
        "smtp_data_timeout_seconds",
        _D,
        "Time the server may take for its reply to the end of the data.",
        minimum=0.001,
    ),
    Option(
        "smtp_pool_idle",
        "smtp_pool_idle_seconds",
        _D,
        "Idle time after which a delivery connection is closed.",
        minimum=0.001,
    ),
    Option("smtp_pool_messages", "smtp_pool_messages", _I, "Messages sent over one connection.", minimum=1),
    Option(
        "submit_backoff",
        "submit_backoff_seconds",
        _D,
        "Wait before a message's second attempt; it doubles each time.",
        minimum=0.001,
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
    ("Webhooks", WEBHOOKS),
    ("Several nodes", NODES),
    ("Retention", RETENTION),
    ("Exports", EXPORTS),
)

OPTIONS: tuple[Option, ...] = tuple(option for _, options in SECTIONS for option in options)
