"""The catalogue of all runtime settings, by area; `SETTINGS` finds one by its key."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mailquay.model.setting import SettingDefinition, SettingKind, SettingStatus, Visibility

_WORKS, _NO_EFFECT = SettingStatus.WORKS, SettingStatus.WITHOUT_EFFECT
_HIDDEN, _READ, _INTERNAL = Visibility.HIDDEN, Visibility.READ, Visibility.INTERNAL
_WEB = ("http", "https")
_PROXIES = ("http", "https", "socks", "socks4", "socks4a", "socks5")
_MIB = 1024 * 1024
LOCALES = ("en", "et", "fr", "de", "pl", "ja", "nl")


def _flag(key: str, meaning: str, **more: Any) -> SettingDefinition:
    return SettingDefinition(key, SettingKind.BOOLEAN, meaning, **more)


def _text(key: str, meaning: str, **more: Any) -> SettingDefinition:
    return SettingDefinition(key, SettingKind.TEXT, meaning, **more)


def _count(key: str, meaning: str, **more: Any) -> SettingDefinition:
    return SettingDefinition(key, SettingKind.INTEGER, meaning, **more)


def _number(key: str, meaning: str, **more: Any) -> SettingDefinition:
    return SettingDefinition(key, SettingKind.NUMBER, meaning, **more)


def _texts(key: str, meaning: str, **more: Any) -> SettingDefinition:
    return SettingDefinition(key, SettingKind.TEXTS, meaning, **more)


def _url(key: str, meaning: str, **more: Any) -> SettingDefinition:
    return SettingDefinition(key, SettingKind.TEXT, meaning, **{"schemes": _WEB, "allow_empty": True, **more})


def _object(key: str, meaning: str, **more: Any) -> SettingDefinition:
    return SettingDefinition(key, SettingKind.OBJECT, meaning, **more)


_WEBHOOKS = (
    _flag("webhooksEnabled", "Whether webhooks are sent at all.", status=_WORKS),
    _url("webhooks", "Where webhooks go; user and password in it become Basic auth.", status=_WORKS, masked=True),
    _texts(
        "webhookEvents",
        "Names of the events that are sent; * is all but messageMoved, messageUnprocessable, messageUncertain.",
        status=_WORKS,
        default=(),
    ),
    SettingDefinition(
        "webhooksCustomHeaders",
        SettingKind.HEADERS,
        "Headers that go along with every webhook.",
        status=_WORKS,
        default=(),
        masked=True,
    ),
    _texts("notifyHeaders", "Message headers that messageNew tells; * is all.", status=_WORKS, default=()),
    _flag("inboxNewOnly", "Whether messageNew is sent for the inbox only.", status=_WORKS, default=False),
    _flag("notifyText", "Whether messageNew holds the text.", status=_WORKS, default=True),
    _flag("notifyWebSafeHtml", "Whether that HTML is made safe to show.", status=_WORKS, default=False),
    _count("notifyTextSize", "Most characters of each text.", status=_WORKS, default=2 * _MIB, minimum=0),
    _flag("notifyAttachments", "Whether messageNew holds attachment contents.", status=_WORKS, default=False),
    _count("notifyAttachmentSize", "Largest of them in bytes; 0 or unset: any.", status=_WORKS, minimum=0),
    _flag("notifyCalendarEvents", "Whether messageNew holds the events of invitations.", status=_WORKS, default=False),
)

_SERVICE = (
    _url("serviceUrl", "Where this server is reached from outside; only the origin is kept.", status=_WORKS),
    _text(
        "serviceSecret",
        "Key of webhook signatures and signed links; made at the first start; an empty one changes nothing.",
        status=_WORKS,
        encrypted=True,
        allow_empty=True,
    ),
    _flag("tokenAuditLog", "Whether each token's requests are recorded.", status=_WORKS, default=False),
    _flag("enableApiProxy", "Whether X-Forwarded-For is believed.", status=_WORKS, default=True),
    _text("locale", "Language of pages and messages.", status=_WORKS, default="en", choices=LOCALES, max_length=100),
    _text("timezone", "Time zone of dates in quoted messages.", status=_WORKS, max_length=100),
    _object(
        "logs",
        "Which accounts have a protocol log, and its length.",
        status=_WORKS,
        default=MappingProxyType({"all": False, "maxLogLines": 10000}),
    ),
    _url("notificationBaseUrl", "Where Microsoft Graph sends its notifications.", nullable=True),
    _url(
        "authServer",
        "Server that is asked for the credentials of accounts with useAuthServer; user and password become Basic auth.",
        status=_WORKS,
        masked=True,
    ),
    _text("scriptEnv", "Object that scripts see.", default="{}", max_length=_MIB, form="json"),
    _flag("sentryEnabled", "Whether errors are reported to the address in sentryDsn."),
    _url("sentryDsn", "Where errors are reported.", nullable=True),
    _flag("mcpEnabled", "Whether MCP is served.", default=False),
    _flag("mcpOAuthEnabled", "Whether MCP clients may log in by OAuth2.", default=False),
)

_MAIL = (
    _text(
        "imapIndexer",
        "Indexer of new accounts: `full` follows every change, `fast` new mail alone.",
        status=_WORKS,
        default="full",
        choices=("full", "fast"),
    ),
    _flag("ignoreMailCertErrors", "Whether mail servers' certificates go unchecked.", status=_WORKS, default=False),
    _flag("proxyEnabled", "Whether proxyUrl is used for mail servers.", status=_WORKS, default=False),
    _url("proxyUrl", "Proxy for mail servers.", status=_WORKS, schemes=_PROXIES, masked=True),
    _text(
        "smtpEhloName",
        "Name we give in EHLO; unset: that of serviceUrl, else of the machine.",
        status=_WORKS,
        form="hostname",
        nullable=True,
        allow_empty=True,
    ),
    _count(
        "textIndexSize",
        "Most characters of a message's text that accounts with index text keep.",
        status=_WORKS,
        default=100_000,
        minimum=1000,
        maximum=1_000_000,
    ),
    _count("queueKeep", "Finished queue entries to keep.", status=_WORKS, default=0, minimum=0),
    _count("deliveryAttempts", "Attempts to send a message.", status=_WORKS, default=10, minimum=0),
    _text("imapClientName", "Name in IMAP ID.", status=_WORKS, max_length=1024, allow_empty=True),
    _text("imapClientVersion", "Version in IMAP ID.", status=_WORKS, max_length=1024, allow_empty=True),
    _text("imapClientVendor", "Vendor in IMAP ID.", status=_WORKS, max_length=1024, allow_empty=True),
    _url("imapClientSupportUrl", "Support address in IMAP ID.", status=_WORKS, schemes=(*_WEB, "mailto")),
    _flag("resolveGmailCategories", "Whether Gmail's inbox tabs are found out over IMAP.", default=False),
    _text(
        "imapStrategy",
        "Local address for IMAP: the system's choice, for each account always the same of localAddresses, or any.",
        status=_WORKS,
        choices=("default", "dedicated", "random"),
        default="default",
    ),
    _text(
        "smtpStrategy",
        "Local address for SMTP: the system's choice, for each account always the same of localAddresses, or any.",
        status=_WORKS,
        choices=("default", "dedicated", "random"),
        default="default",
    ),
    _texts(
        "localAddresses",
        "Addresses of this machine to choose from, IPv4 and IPv6; those it does not have are passed over.",
        status=_WORKS,
        default=(),
        form="address",
    ),
    _flag("httpProxyEnabled", "Whether httpProxyUrl is used.", default=False),
    _url("httpProxyUrl", "Proxy for webhooks and provider APIs.", schemes=_PROXIES, masked=True),
    _count("gmailSubscriptionTtl", "Days until a Pub/Sub subscription expires; 0: never.", minimum=0, maximum=365),
    _flag("trackClicks", "Whether links in sent messages are tracked."),
    _flag("trackOpens", "Whether opening of sent messages is tracked."),
    _flag("trackSentMessages", "Both of these, as older clients say it.", visibility=_HIDDEN),
)


def _listener(prefix: str, name: str, port: int, **more: Any) -> tuple[SettingDefinition, ...]:
    """The settings that each of our listeners for mail clients has."""
    shared = "One password for all accounts."
    return (
        _flag(f"{prefix}Enabled", f"Whether the {name} listener runs.", default=False, **more),
        _count(f"{prefix}Port", "Its port.", default=port, minimum=0, maximum=65535, **more),
        _text(f"{prefix}Host", "Its address.", default="127.0.0.1", form="address", **more),
        _flag(f"{prefix}Proxy", "Whether clients come through the PROXY protocol.", default=False, **more),
        _text(f"{prefix}Password", shared, max_length=1024, nullable=True, encrypted=True, **more),
        _flag(f"{prefix}TLSEnabled", "Whether it speaks TLS from the start.", default=False, **more),
    )


_LISTENERS = (
    *_listener("smtpServer", "SMTP submission", 2525, status=_WORKS),
    _flag("smtpServerAuthEnabled", "Whether clients must log in.", status=_WORKS, default=True),
    *_listener("imapProxyServer", "IMAP proxy", 2993),
)

_PAGES = (
    _text("templateHeader", "HTML at the top of hosted pages.", max_length=_MIB),
    _text("templateHtmlHead", "HTML in the head of hosted pages.", max_length=_MIB),
    _text(
        "pageBrandName", "Name in page titles.", default="Mailquay", max_length=1024, nullable=True, allow_empty=True
    ),
)

_EXPORTS = (
    _count(
        "exportMaxConcurrent",
        "Exports of one account that are not over.",
        status=_WORKS,
        default=2,
        minimum=1,
        maximum=100,
    ),
    _count(
        "exportMaxGlobalConcurrent",
        "Exports of all accounts that are not over.",
        status=_WORKS,
        default=8,
        minimum=1,
        maximum=100,
    ),
    _count("gmailExportBatchSize", "Messages fetched at once from Gmail.", default=10, minimum=1, maximum=50),
    _count("outlookExportBatchSize", "Messages fetched at once from Graph.", default=20, minimum=1, maximum=20),
    _count(
        "exportMaxMessages",
        "Most messages of an export; those beyond it make it truncated.",
        status=_WORKS,
        default=500_000,
        minimum=1,
        maximum=10_000_000,
    ),
    _count(
        "exportMaxSize",
        "Bytes of a file after which an export takes no further message, and is truncated.",
        status=_WORKS,
        default=10 * 1024 * _MIB,
        minimum=1,
    ),
    _text("exportPath", "The option export_dir says it.", status=_NO_EFFECT, visibility=_INTERNAL),
    _count(
        "exportMaxAge",
        "The option export_retention says it.",
        status=_NO_EFFECT,
        default=86_400_000,
        visibility=_INTERNAL,
    ),
    _count(
        "exportMaxMessageSize",
        "Bytes of a text or an attachment above which an export leaves out its content.",
        status=_WORKS,
        default=50 * _MIB,
        visibility=_INTERNAL,
    ),
)

_LANGUAGE_MODEL = (
    _flag("generateEmailSummary", "Whether new mail is summarised.", default=False),
    _text("openAiAPIKey", "Key of the language model's API.", encrypted=True, allow_empty=True, max_length=10240),
    _text("openAiModel", "Name of the model.", allow_empty=True, max_length=1024),
    _url("openAiAPIUrl", "Address of the API."),
    _number("openAiTemperature", "Temperature.", minimum=0, maximum=2, allow_empty=True),
    _number("openAiTopP", "Top-p.", minimum=0, maximum=1, allow_empty=True),
    _number("openAiMaxTokens", "Size of the prompt.", minimum=0, allow_empty=True),
    _text("openAiPrompt", "Instructions instead of the built-in ones.", max_length=_MIB, allow_empty=True),
    _flag("openAiGenerateEmbeddings", "Whether messageNew holds embeddings.", default=False),
    _text("openAiPreProcessingFn", "Function that chooses messages.", max_length=_MIB // 2, allow_empty=True),
    _texts("openAiModels", "Models that the API offers.", visibility=_INTERNAL),
    _count("openAiSettingsVersion", "Number of changes to these settings.", visibility=_INTERNAL),
)

_STORED = "Kept, as the document store it is for is deprecated."
_DEPRECATED = (
    _flag(
        "generateRiskAssessment", "Kept; the other program removed what it did.", status=_NO_EFFECT, visibility=_HIDDEN
    ),
    *(
        _flag(f"documentStore{name}", _STORED, status=_NO_EFFECT, visibility=_HIDDEN)
        for name in ("Enabled", "AuthEnabled", "GenerateEmbeddings", "PreProcessingEnabled")
    ),
    *(
        _text(
            f"documentStore{name}",
            _STORED,
            status=_NO_EFFECT,
            visibility=_HIDDEN,
            allow_empty=True,
            nullable=True,
            max_length=10240,
            encrypted=name == "Password",
        )
        for name in ("Url", "Index", "Username", "Password", "ChatModel")
    ),
    *(
        _text(f"documentStore{name}", _STORED, status=_NO_EFFECT, visibility=_INTERNAL)
        for name in ("PreProcessingFn", "PreProcessingMap")
    ),
    _count("documentStoreVersion", _STORED, status=_NO_EFFECT, visibility=_INTERNAL),
    _text("license", "Not used: the licence is MIT.", status=_NO_EFFECT, visibility=_INTERNAL),
    _object("tract", "Not used: there is no trial.", status=_NO_EFFECT, visibility=_INTERNAL),
    _number("subexp", "Not used: there is no subscription.", status=_NO_EFFECT, visibility=_INTERNAL),
    _flag(
        "sentryAutoEnabled",
        "Not used: errors are reported only when asked for.",
        status=_NO_EFFECT,
        visibility=_INTERNAL,
    ),
    _count("idcount", "Not used: ids come from the database.", status=_NO_EFFECT, visibility=_INTERNAL),
)

_OWN = (
    _texts("eventTypes", "The names of all webhook events, to read only.", status=_WORKS, visibility=_READ),
    _flag("disableTokens", "Whether requests without a token pass.", status=_WORKS, visibility=_INTERNAL),
    _object("authData", "The admin's name and password hash.", status=_WORKS, visibility=_INTERNAL),
    _text("serviceId", "Id of this installation, made at the first start.", status=_WORKS, visibility=_INTERNAL),
    _text(
        "nodeSecret",
        "What nodes prove to each other with that they are nodes, made at the first start.",
        encrypted=True,
        status=_WORKS,
        visibility=_INTERNAL,
    ),
    _object("webhookErrorFlag", "The last failure of the default webhook target.", status=_WORKS, visibility=_INTERNAL),
    _flag(
        "enableOAuthTokensApi",
        "Whether access tokens of accounts can be read.",
        status=_WORKS,
        visibility=_INTERNAL,
    ),
    _flag("totpEnabled", "Whether the admin's second factor is on.", default=False, visibility=_INTERNAL),
    _text("totpSeed", "Seed of the second factor.", encrypted=True, visibility=_INTERNAL),
    _text("cookiePassword", "Key of session cookies.", encrypted=True, visibility=_INTERNAL),
)

SETTING_AREAS: tuple[tuple[str, tuple[SettingDefinition, ...]], ...] = (
    ("Webhooks", _WEBHOOKS),
    ("Service", _SERVICE),
    ("Mail servers and delivery", _MAIL),
    ("Listeners", _LISTENERS),
    ("Hosted pages", _PAGES),
    ("Exports", _EXPORTS),
    ("Language models", _LANGUAGE_MODEL),
    ("Deprecated", _DEPRECATED),
    ("Not set over the API", _OWN),
)

SETTINGS: Mapping[str, SettingDefinition] = MappingProxyType(
    {definition.key: definition for _, definitions in SETTING_AREAS for definition in definitions}
)
"""Every setting by its key."""
