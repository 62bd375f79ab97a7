"""Start-up names of the EmailEngine API that do nothing here, or not yet: each with the reason.

A name that asks for something whose absence would lose mail or safety stops the start (`refused`) as long as its value
asks for it; the others are reported in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ForeignStatus(Enum):
    """What becomes of a name that fills no option of ours."""

    WITHOUT_EFFECT = "accepted without effect"
    LATER = "later"
    REFUSED = "later, refused until then"


@dataclass(frozen=True, slots=True)
class ForeignName:
    """A variable, or a family of them when it ends in `*`, with its configuration key. A quiet one is not reported."""

    variable: str
    status: ForeignStatus
    why: str
    dotted: str | None = None
    quiet: bool = False

    def covers(self, name: str) -> bool:
        """Tell whether an environment variable is this one, read directly or from a file."""
        plain = name.removesuffix("_FILE")
        if self.variable.endswith("*"):
            return name.startswith(self.variable[:-1])
        return self.variable in (name, plain)


_NO, _LATER, _REFUSED = ForeignStatus.WITHOUT_EFFECT, ForeignStatus.LATER, ForeignStatus.REFUSED
_WORKERS = "accounts run as tasks of one process; more processes come with --processes"
_REDIS = "everything is in the SQL database; no Redis is used"
_SMTP_TLS = "certificate, key, passphrase, ciphers and least version can be given; the rest is as OpenSSL has it"
_IMAP_PROXY = "the IMAP proxy comes later"
_ADMIN = "the admin pages come later"
_SSO = "single sign-on comes with the admin pages"
_TLS = "TLS for mail servers verifies certificates and starts at TLS 1.2; accounts loosen it with their `tls` object"
_VENDOR = "concerns the other program's vendor only"
_NODE = "concerns another runtime"

FOREIGN_NAMES: tuple[ForeignName, ...] = (
    ForeignName("EENGINE_REDIS", _NO, _REDIS, "dbs.redis"),
    ForeignName("REDIS_URL", _NO, _REDIS, quiet=True),
    ForeignName("EENGINE_REDIS_PREFIX", _NO, _REDIS),
    ForeignName("EENGINE_WORKERS", _NO, _WORKERS, "workers.imap"),
    ForeignName("EENGINE_WORKERS_API", _NO, _WORKERS, "workers.api"),
    ForeignName("EENGINE_WORKERS_SUBMIT", _NO, _WORKERS, "workers.submit"),
    ForeignName("EENGINE_WORKERS_WEBHOOKS", _NO, _WORKERS, "workers.webhooks"),
    ForeignName("EENGINE_WORKERS_EXPORT", _NO, _WORKERS, "workers.export"),
    ForeignName(
        "EENGINE_SUBMIT_QC", _NO, "each account delivers by itself, side by side with the others", "queues.submit"
    ),
    ForeignName("EENGINE_NOTIFY_QC", _NO, "each account's webhooks go by themselves, in order", "queues.notify"),
    ForeignName("EENGINE_EXPORT_QC", _NO, "the exports of an account run one after another, beside those of others"),
    ForeignName("EENGINE_SUBMIT_DELAY", _REFUSED, "sending at a limited rate comes later", "submitDelay"),
    ForeignName("EENGINE_CONNECTION_SETUP_DELAY", _NO, "connect_concurrency spreads logins", "service.setupDelay"),
    ForeignName("EENGINE_LOG_RAW", _LATER, "logging of protocol bytes comes later", "log.raw"),
    ForeignName("EENGINE_CHUNK_SIZE", _NO, "downloads are passed on as they come"),
    ForeignName("EENGINE_DISABLE_COMPRESSION", _NO, "IMAP COMPRESS is not used yet"),
    ForeignName("EENGINE_GMAIL_FALLBACK_POLL_INTERVAL", _LATER, "the Gmail API comes later"),
    ForeignName("EENGINE_EXPORT_TIMEOUT", _NO, "every command has its own deadline; export_patience bounds the rest"),
    ForeignName("EENGINE_SMTP_TLS_REQUEST_CERT", _REFUSED, "certificates of clients are not asked for"),
    ForeignName("EENGINE_SMTP_TLS_*", _NO, _SMTP_TLS),
    ForeignName("EENGINE_IMAP_PROXY_ENABLED", _REFUSED, _IMAP_PROXY, "imap-proxy.enabled"),
    ForeignName("EENGINE_IMAP_PROXY_SECRET", _LATER, _IMAP_PROXY, "imap-proxy.secret"),
    ForeignName("EENGINE_IMAP_PROXY_HOST", _LATER, _IMAP_PROXY, "imap-proxy.host"),
    ForeignName("EENGINE_IMAP_PROXY_PORT", _LATER, _IMAP_PROXY, "imap-proxy.port"),
    ForeignName("EENGINE_IMAP_PROXY_PROXY", _LATER, _IMAP_PROXY, "imap-proxy.proxy"),
    ForeignName("EENGINE_IMAPPROXY_TLS_*", _LATER, _IMAP_PROXY),
    ForeignName("EENGINE_API_TLS", _REFUSED, "HTTPS needs a reverse proxy for now", "api.tls"),
    ForeignName("EENGINE_API_TLS_*", _REFUSED, "HTTPS needs a reverse proxy for now"),
    ForeignName("EENGINE_TLS_MIN_VERSION", _NO, _TLS),
    ForeignName("EENGINE_TLS_MIN_DH_SIZE", _NO, _TLS),
    ForeignName("EENGINE_TLS_CIPHERS", _NO, _TLS),
    ForeignName("EENGINE_ADMIN_ACCESS_ADDRESSES", _LATER, _ADMIN),
    ForeignName("EENGINE_DISABLE_SETUP_WARNINGS", _LATER, _ADMIN),
    ForeignName("EENGINE_DISABLE_MESSAGE_BROWSER", _LATER, _ADMIN),
    ForeignName("EENGINE_UPDATE_CHECK_DISABLED", _NO, "no release is ever looked for"),
    ForeignName("EENGINE_HTTP_PROXY_ENABLED", _REFUSED, "a proxy for webhooks comes later"),
    ForeignName("EENGINE_HTTP_PROXY_URL", _REFUSED, "a proxy for webhooks comes later"),
    ForeignName("EENGINE_DOCUMENT_STORE_ENABLED", _NO, "the document store is deprecated", "documentStore.enabled"),
    ForeignName("EENGINE_MCP_ENABLED", _LATER, "MCP comes later", "mcp.enabled"),
    ForeignName("EENGINE_DISABLE_THREAD_COLLAPSE", _NO, "quoted history is never folded"),
    ForeignName("EENGINE_PREPARED_LICENSE", _NO, "the licence is MIT and always active", "preparedLicense"),
    ForeignName("EENGINE_BEACON_DISABLED", _NO, _VENDOR),
    ForeignName("EENGINE_DOCEAN", _NO, _VENDOR),
    ForeignName("EENGINE_INSTALL_SCRIPT", _NO, _VENDOR),
    ForeignName("SENTRY_DSN", _LATER, "error reporting comes later", quiet=True),
    ForeignName("NODE_ENV", _NO, _NODE, quiet=True),
    ForeignName("UV_THREADPOOL_SIZE", _NO, _NODE, quiet=True),
    ForeignName("NODE_TLS_REJECT_UNAUTHORIZED", _NO, _TLS, quiet=True),
    ForeignName("OIDC_ISSUER", _LATER, _SSO),
    ForeignName("OIDC_CLIENT_ID", _LATER, _SSO),
    ForeignName("OIDC_CLIENT_SECRET", _LATER, _SSO),
    ForeignName("OIDC_PROVIDER_NAME", _LATER, _SSO),
    ForeignName("OIDC_SCOPES", _LATER, _SSO),
    ForeignName("OIDC_ALLOWED_USERS", _LATER, _SSO),
    ForeignName("OIDC_ALLOWED_GROUPS", _LATER, _SSO),
    ForeignName("OIDC_GROUPS_CLAIM", _LATER, _SSO),
    ForeignName("OIDC_FORCED", _LATER, _SSO),
    ForeignName("OIDC_LOGOUT", _LATER, _SSO),
    ForeignName("OIDC_POST_LOGOUT_REDIRECT_URI", _LATER, _SSO),
    ForeignName("OKTA_OAUTH2_ISSUER", _LATER, _SSO),
    ForeignName("OKTA_OAUTH2_CLIENT_ID", _LATER, _SSO),
    ForeignName("OKTA_OAUTH2_CLIENT_SECRET", _LATER, _SSO),
)
