"""Start-up configuration: read once, checked whole, then immutable.

Order: command-line flags, then environment, then the `.env` file of the working directory, then the TOML file, then the
defaults of `Config`. A wrong key or value stops the start with one line that names the key and where it was given.
"""

from __future__ import annotations

import difflib
import io
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from mailquay.config_values import WrongValue, is_true, read_value
from mailquay.errors import ConfigError
from mailquay.settings_foreign import FOREIGN_NAMES, ForeignName, ForeignStatus
from mailquay.settings_option import Kind, Option
from mailquay.settings_table import NODE_ROLES, OPTIONS

CONFIG_FILE = "mailquay.toml"
_OUR_PREFIX, _COMPATIBLE_PREFIX = "MAILQUAY_", "EENGINE_"
_CONFIG_VARIABLE = "MAILQUAY_CONFIG"
_MAX_FILE_BYTES = 1024 * 1024
_SQLITE_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a node needs to know before it starts. Docs of each field: `settings_table`."""

    host: str = "127.0.0.1"
    port: int = 3000
    data_dir: Path = Path("data")
    database_url: str | None = field(default=None, repr=False)
    sandbox: bool = False
    roles: tuple[str, ...] = NODE_ROLES
    processes: int = 1
    node_address: str | None = None
    log_level: str = "info"
    log_format: str = "auto"
    drain_timeout_seconds: float = 10.0

    encryption_secret: str | None = field(default=None, repr=False)
    encryption_key_file: Path | None = None
    prepared_settings: Mapping[str, object] = field(default_factory=dict, repr=False)
    prepared_token: str | None = field(default=None, repr=False)
    prepared_password: str | None = field(default=None, repr=False)
    initial_settings: Mapping[str, object] = field(default_factory=dict)
    api_proxy_addresses: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    cors_max_age_seconds: float = 60.0
    webhook_egress_policy: str = "link-local"

    command_timeout_seconds: float = 10.0
    max_attachment_bytes: int = 5 * 1024 * 1024
    max_body_bytes: int = 50 * 1024 * 1024
    body_timeout_seconds: float = 10.0
    body_budget_bytes: int = 256 * 1024 * 1024
    content_cache_bytes: int = 32 * 1024 * 1024

    auth_server_timeout_seconds: float = 10.0
    dns_servers: tuple[str, ...] = ()
    autoconfig_timeout_seconds: float = 5.0
    autoconfig_egress_policy: str = "private"
    isp_database: str = "https://autoconfig.thunderbird.net/v1.1/"
    imap_connect_timeout_seconds: float = 30.0
    imap_command_timeout_seconds: float = 90.0
    imap_idle_restart_seconds: float = 60.0
    imap_sweep_interval_seconds: float = 60.0
    imap_flag_scan_interval_seconds: float = 15 * 60.0
    imap_command_idle_seconds: float = 60.0
    imap_command_connections: int = 3
    imap_verify_interval_seconds: float = 24 * 3600.0
    imap_verify_pause_seconds: float = 10 * 60.0
    flush_pause_seconds: float = 5.0
    sync_batch_size: int = 1000
    connect_concurrency: int = 50
    connect_concurrency_per_host: int = 20
    reconnect_backoff_seconds: float = 2.0
    reconnect_backoff_limit_seconds: float = 10 * 60.0
    auth_failure_limit_seconds: float = 3 * 86400.0
    smtp_connect_timeout_seconds: float = 30.0
    smtp_command_timeout_seconds: float = 60.0
    smtp_data_timeout_seconds: float = 10 * 60.0
    smtp_pool_idle_seconds: float = 60.0
    smtp_pool_messages: int = 100
    smtp_gateway_connections: int = 10
    submit_backoff_seconds: float = 5.0
    uncertain_hold_seconds: float = 3600.0

    smtp_server_tls_cert: Path | None = None
    smtp_server_tls_key: Path | None = None
    smtp_server_tls_passphrase: str | None = field(default=None, repr=False)
    smtp_server_tls_ciphers: str | None = None
    smtp_server_tls_min_version: str = "tlsv1.2"
    smtp_server_require_tls: bool = False
    smtp_server_max_message_bytes: int = 25 * 1024 * 1024
    smtp_server_max_connections: int = 1000
    smtp_server_max_connections_per_address: int = 100
    smtp_server_command_timeout_seconds: float = 5 * 60.0
    smtp_server_data_timeout_seconds: float = 3 * 60.0

    webhook_timeout_seconds: float = 30.0
    webhook_attempts: int = 10
    webhook_backoff_seconds: float = 5.0
    webhook_retry_limit_seconds: float = 3 * 86400.0

    lease_ttl_seconds: float = 9.0
    lease_renew_seconds: float = 3.0
    poll_interval_seconds: float = 1.0

    event_retention_seconds: float = 30 * 86400.0
    queue_keep_failed: int = 500
    queue_keep_failed_age_seconds: float = 7 * 86400.0
    token_log_entries: int = 1000
    token_log_age_seconds: float = 7 * 86400.0
    retention_interval_seconds: float = 600.0

    export_dir: Path | None = None
    export_retention_seconds: float = 86400.0
    export_patience_seconds: float = 6 * 3600.0

    notices: tuple[str, ...] = ()
    """Lines for the log of the start: names that were given and have no effect, and why."""

    @property
    def uses_postgres(self) -> bool:
        """Tell whether the store is PostgreSQL; otherwise it is SQLite."""
        return self.database_url is not None and not self.database_url.startswith("sqlite:")

    @property
    def sqlite_path(self) -> Path:
        """Where the SQLite file lies when the store is SQLite."""
        if self.database_url is not None:
            return Path(self.database_url.removeprefix("sqlite:").removeprefix("//"))
        return self.data_dir / "mailquay.db"

    @property
    def key_file(self) -> Path:
        """Where the encryption key lies when there is no passphrase."""
        return self.encryption_key_file or self.data_dir / "encryption.key"

    @property
    def export_folder(self) -> Path:
        """Where the files of exports lie."""
        return self.export_dir or self.data_dir / "exports"


@dataclass(frozen=True, slots=True)
class _Given:
    """A value with the name it was given under, as messages tell it."""

    value: object
    source: str
    bare_number: bool


def load_config(flags: Mapping[str, object], environ: Mapping[str, str], directory: Path) -> Config:
    """Read the configuration of a start in `directory`.

    `flags` maps names as given on the command line, without the leading dashes (`port`, `data-dir`, `api.port`,
    `config`), to their values. Raises ConfigError with one line about the first thing that is wrong.
    """
    flags = dict(flags)
    variables = {**_read_dotenv(directory / ".env"), **{name: (text, "environment") for name, text in environ.items()}}
    toml_name = flags.pop("config", None) or variables.pop(_CONFIG_VARIABLE, ("", ""))[0] or None
    toml = _read_toml(directory, None if toml_name is None else str(toml_name))
    notices = [*_judge_variables(variables), *_judge_flags(flags), *_judge_toml(toml)]

    values: dict[str, object] = {}
    initial_settings: dict[str, object] = {}
    for option in OPTIONS:
        given = [*_from_flags(option, flags), *_from_variables(option, variables), *_from_toml(option, toml)]
        if not given:
            continue
        value = _read(option, given[0])
        if option.first_boot_of:
            initial_settings[option.first_boot_of] = not value if option.name == "require_api_auth" else value
        else:
            values[option.field] = directory / value if isinstance(value, Path) else value
        notices += [f"{other.source} is ignored: {given[0].source} says otherwise" for other in _overruled(given)]
    # The sandbox's accounts and token must not end up among real ones by an oversight.
    values.setdefault("data_dir", directory / ("data/sandbox" if values.get("sandbox") else "data"))
    config = Config(**values, initial_settings=initial_settings, notices=tuple(notices))  # type: ignore[arg-type]
    _check_together(config)
    return config


def _read(option: Option, given: _Given) -> object:
    try:
        return read_value(option, given.value, bare_number=given.bare_number)
    except WrongValue as error:
        raise ConfigError(f"{given.source} {error}") from None


def _overruled(given: list[_Given]) -> list[_Given]:
    """The variables that a variable of another name overrules: most likely a mistake, unlike a flag over a variable."""
    first = given[0]
    if "(environment)" not in first.source:
        return []
    return [one for one in given[1:] if "(environment)" in one.source and one.value != first.value]


def _check_together(config: Config) -> None:
    """Check what concerns several options."""
    url = config.database_url
    if url is not None and not url.startswith(("postgresql://", "postgres://", "sqlite:")):
        raise ConfigError("database must begin with postgresql:// or sqlite:")
    if config.processes > _SQLITE_PROCESSES and not config.uses_postgres:
        raise ConfigError(
            f"processes is {config.processes}, but SQLite carries at most {_SQLITE_PROCESSES}; "
            "use PostgreSQL: --database postgresql://..."
        )
    if config.lease_renew_seconds * 2 > config.lease_ttl_seconds:
        raise ConfigError(
            f"lease_renew ({config.lease_renew_seconds:g}s) must be at most half of lease_ttl "
            f"({config.lease_ttl_seconds:g}s)"
        )
    if config.isp_database != "off" and not config.isp_database.startswith(("https://", "http://")):
        raise ConfigError(f"isp_database is {config.isp_database!r}, but must be off or begin with https://")
    if config.node_address is not None:
        host, _, port = config.node_address.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ConfigError(f"node_address is {config.node_address!r}, but must be HOST:PORT")
    if config.smtp_server_tls_cert is None and (config.smtp_server_require_tls or config.smtp_server_tls_key):
        name = "smtp_server_require_tls" if config.smtp_server_require_tls else "smtp_server_tls_key"
        raise ConfigError(
            f"{name} is given, but smtp_server_tls_cert is not: there can be no TLS without a certificate"
        )
    if config.encryption_secret is not None and config.encryption_key_file is not None:
        raise ConfigError("secret and key_file are both given; one of them encrypts")


# -- flags --


def _from_flags(option: Option, flags: Mapping[str, object]) -> Iterator[_Given]:
    for name in (option.flag.removeprefix("--"), option.name, option.dotted):
        if name is not None and name in flags and flags[name] is not None:
            yield _Given(flags[name], f"--{name}", bare_number=name == option.dotted)
            return


def _judge_flags(flags: Mapping[str, object]) -> Iterator[str]:
    known = {option.flag.removeprefix("--") for option in OPTIONS} | {option.name for option in OPTIONS}
    known |= {option.dotted for option in OPTIONS if option.dotted}
    foreign = {name.dotted: name for name in FOREIGN_NAMES if name.dotted}
    for name, value in flags.items():
        if name in foreign:
            yield from _judge_foreign(foreign[name], f"--{name}", value)
        elif name not in known:
            raise ConfigError(f"--{name} is not an option{_suggest(name, known, '--')}")


# -- environment --


def _read_dotenv(path: Path) -> dict[str, tuple[str, str]]:
    """Read the names that concern us from a `.env` file; others in it are for other programs."""
    if not path.is_file():
        return {}
    read = dotenv_values(stream=io.StringIO(_read_text(path)), interpolate=False)
    named = {alias for option in OPTIONS for alias in option.aliases}
    return {
        name: (text, ".env")
        for name, text in read.items()
        if text is not None
        and (name.startswith((_OUR_PREFIX, _COMPATIBLE_PREFIX)) or name in named or _foreign(name) is not None)
    }


def _from_variables(option: Option, variables: Mapping[str, tuple[str, str]]) -> Iterator[_Given]:
    """Yield what the environment says under each name of the option; an empty variable says nothing."""
    for name in (option.variable, *option.aliases):
        text, origin = variables.get(name, ("", ""))
        path, path_origin = variables.get(f"{name}_FILE", ("", ""))
        if text and path:
            raise ConfigError(f"{name} ({origin}) and {name}_FILE ({path_origin}) are both given")
        bare = name != option.variable
        if text:
            yield _Given(text, f"{name} ({origin})", bare)
        elif path:
            content = _read_text(Path(path), f"{name}_FILE ({path_origin})").rstrip("\r\n")
            yield _Given(content, f"{name}_FILE ({path_origin})", bare)


def _foreign(name: str) -> ForeignName | None:
    exact = (one for one in FOREIGN_NAMES if not one.variable.endswith("*") and one.covers(name))
    return next(exact, None) or next((one for one in FOREIGN_NAMES if one.covers(name)), None)


def _judge_variables(variables: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    ours = {option.variable for option in OPTIONS} | {_CONFIG_VARIABLE}
    known = ours | {alias for option in OPTIONS for alias in option.aliases}
    for name, (text, origin) in variables.items():
        if name in known or name.removesuffix("_FILE") in known:
            continue
        if name.startswith(_OUR_PREFIX):
            raise ConfigError(f"{name} ({origin}) is not an option{_suggest(name, ours)}")
        if foreign := _foreign(name):
            yield from _judge_foreign(foreign, f"{name} ({origin})", text)
        elif name.startswith(_COMPATIBLE_PREFIX):
            yield f"{name} ({origin}) has no effect: it is not known here"


def _judge_foreign(foreign: ForeignName, source: str, value: object) -> Iterator[str]:
    """Report a name that fills no option, as long as its value asks for something."""
    if foreign.quiet or not is_true(str(value)):
        return
    if foreign.status is ForeignStatus.REFUSED:
        raise ConfigError(f"{source} asks for something that is not there: {foreign.why}")
    yield f"{source} has no effect: {foreign.why}"


# -- TOML file --


def _read_toml(directory: Path, given: str | None) -> dict[str, tuple[object, str]]:
    """Read the configuration file, if any: key, or dotted key of nested tables -> (value, file name)."""
    path = directory / (given or CONFIG_FILE)
    if given is None and not path.is_file():
        return {}
    name = path.name
    try:
        document = tomllib.loads(_read_text(path, f"the configuration file {path}"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not TOML: {error}") from None
    return {key: (value, name) for key, value in _flatten(document)}


def _flatten(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    objects = {name for option in OPTIONS if option.kind is Kind.OBJECT for name in (option.name, option.dotted)}
    for key, value in table.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and path not in objects:
            yield from _flatten(value, f"{path}.")
        else:
            yield path, value


def _from_toml(option: Option, toml: Mapping[str, tuple[object, str]]) -> Iterator[_Given]:
    for key in (option.name, option.dotted):
        if key is not None and key in toml:
            value, name = toml[key]
            yield _Given(value, f"{key} ({name})", bare_number=key != option.name)
            return


def _judge_toml(toml: Mapping[str, tuple[object, str]]) -> Iterator[str]:
    known = {option.name for option in OPTIONS} | {option.dotted for option in OPTIONS if option.dotted}
    foreign = {name.dotted: name for name in FOREIGN_NAMES if name.dotted}
    for key, (value, name) in toml.items():
        if key in foreign:
            yield from _judge_foreign(foreign[key], f"{key} ({name})", value)
        elif key not in known:
            raise ConfigError(f"{key} ({name}) is not an option{_suggest(key, known)}")


# -- shared --


def _suggest(name: str, known: set[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _read_text(path: Path, source: str | None = None) -> str:
    """Read a small UTF-8 file; raises ConfigError naming what pointed to it."""
    source = source or str(path)
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConfigError(f"{source} is larger than {_MAX_FILE_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{source} is not UTF-8 text") from None
