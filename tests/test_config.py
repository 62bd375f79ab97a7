"""Start-up configuration: order of sources, names, values, and the one line that a mistake gets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mailquay.config import Config, load_config
from mailquay.errors import ConfigError
from mailquay.model.node import ROLES
from mailquay.settings_foreign import FOREIGN_NAMES
from mailquay.settings_table import NODE_ROLES, OPTIONS


def load(tmp_path: Path, flags: dict[str, object] | None = None, **environ: str) -> Config:
    return load_config(flags or {}, environ, tmp_path)


def test_without_anything_said_the_defaults_count(tmp_path: Path) -> None:
    assert load(tmp_path) == Config(data_dir=tmp_path / "data")


def test_flags_win_over_environment_over_dotenv_over_file_over_default(tmp_path: Path) -> None:
    (tmp_path / "mailquay.toml").write_text('port = 1\nhost = "file"\nlog_level = "warn"\nsync_batch_size = 7\n')
    (tmp_path / ".env").write_text(
        "MAILQUAY_PORT=2\nMAILQUAY_HOST=dotenv\nexport MAILQUAY_LOG_LEVEL='error'\nOTHER=x\n"
    )
    config = load(tmp_path, {"port": "4"}, MAILQUAY_PORT="3", MAILQUAY_HOST="environment")
    assert (config.port, config.host, config.log_level, config.sync_batch_size) == (4, "environment", "error", 7)
    assert config.notices == ()


@pytest.mark.parametrize("name", ["port", "api.port"])
def test_a_flag_has_its_own_and_its_dotted_name(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, {name: "8080"}).port == 8080


def test_dotted_names_stand_as_tables_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(
        '[api]\nport = 99\n[service]\ncommandTimeout = 2500\n[settings]\nlocale = "et"\n'
    )
    for config in (load(tmp_path, {"config": "other.toml"}), load(tmp_path, MAILQUAY_CONFIG="other.toml")):
        assert (config.port, config.command_timeout_seconds) == (99, 2.5)
        assert config.prepared_settings == {"locale": "et"}


def test_a_variable_may_name_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\n")
    config = load(tmp_path, EENGINE_SECRET_FILE=str(tmp_path / "secret"))
    assert config.encryption_secret == "correct horse"


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, MAILQUAY_PORT="", EENGINE_PORT="81").port == 81


def test_of_two_variables_the_first_wins_and_the_log_says_so(tmp_path: Path) -> None:
    config = load(tmp_path, PORT="5", EENGINE_PORT="4", MAILQUAY_PORT="3")
    assert config.port == 3
    assert config.notices == (
        "EENGINE_PORT (environment) is ignored: MAILQUAY_PORT (environment) says otherwise",
        "PORT (environment) is ignored: MAILQUAY_PORT (environment) says otherwise",
    )


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("MAILQUAY_COMMAND_TIMEOUT", "1.5s", "command_timeout_seconds", 1.5),
        ("MAILQUAY_COMMAND_TIMEOUT", "250 ms", "command_timeout_seconds", 0.25),
        ("EENGINE_TIMEOUT", "2500", "command_timeout_seconds", 2.5),
        ("EENGINE_TOKEN_LOG_AGE", "60", "token_log_age_seconds", 60),
        ("EENGINE_MAX_IMAP_AUTH_FAILURE_TIME", "3d", "auth_failure_limit_seconds", 259200),
        ("EENGINE_MAX_SIZE", "5M", "max_attachment_bytes", 5242880),
        ("MAILQUAY_MAX_BODY_SIZE", "1.5k", "max_body_bytes", 1536),
        ("MAILQUAY_SANDBOX", "Y", "sandbox", True),
        ("MAILQUAY_SANDBOX", "off", "sandbox", False),
        ("MAILQUAY_ROLES", "api, sync", "roles", ("sync", "api")),
        ("EENGINE_CORS_ORIGIN", "https://a.test https://b.test", "cors_origins", ("https://a.test", "https://b.test")),
        ("EENGINE_API_PROXY_ADDRESSES", "10.0.0.0/8, ::1", "api_proxy_addresses", ("10.0.0.0/8", "::1")),
        ("EENGINE_SETTINGS", '{"locale":"et"}', "prepared_settings", {"locale": "et"}),
        ("EENGINE_REQUIRE_API_AUTH", "false", "initial_settings", {"disableTokens": True}),
        ("EENGINE_API_PROXY", "false", "initial_settings", {"enableApiProxy": False}),
        ("EENGINE_QUEUE_REMOVE_AFTER", "12", "initial_settings", {"queueKeep": 12}),
    ],
)
def test_values_are_read_by_kind(tmp_path: Path, name: str, text: str, field: str, value: object) -> None:
    assert getattr(load_config({}, {name: text}, tmp_path), field) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("MAILQUAY_PORT", "http", "MAILQUAY_PORT (environment) is 'http', which is not a whole number"),
        ("MAILQUAY_PORT", "65536", "MAILQUAY_PORT (environment) is 65536, but must be at most 65535"),
        ("MAILQUAY_LEASE_TTL", "9", "MAILQUAY_LEASE_TTL (environment) is '9', which lacks a unit (ms, s, m, h, d)"),
        ("MAILQUAY_LEASE_TTL", "-1s", "MAILQUAY_LEASE_TTL (environment) is '-1s', which is not a duration such as"),
        ("MAILQUAY_LEASE_TTL", "9e9y", "is '9e9y', which is not a duration"),
        ("MAILQUAY_LEASE_TTL", "999999999y", "which is longer than a hundred years"),
        ("MAILQUAY_LEASE_TTL", "5s", "lease_renew (3s) must be at most half of lease_ttl (5s)"),
        ("MAILQUAY_SANDBOX", "perhaps", "MAILQUAY_SANDBOX (environment) is 'perhaps', which is neither true nor false"),
        ("MAILQUAY_ROLES", "api,smtp", "MAILQUAY_ROLES (environment) is 'smtp', but must be one of sync, api, admin"),
        ("MAILQUAY_ROLES", ",", "MAILQUAY_ROLES (environment) must name at least one of sync, api, admin"),
        ("MAILQUAY_MAX_BODY_SIZE", "5Q", "MAILQUAY_MAX_BODY_SIZE (environment) is '5Q', which is not a size"),
        ("MAILQUAY_API_PROXY_ADDRESSES", "10.0.0.0/33", "holds '10.0.0.0/33', which is no address or network"),
        ("MAILQUAY_SETTINGS", "{", "MAILQUAY_SETTINGS (environment) is not JSON"),
        ("MAILQUAY_SETTINGS", "[]", "MAILQUAY_SETTINGS (environment) must be a JSON object"),
        ("MAILQUAY_DATABASE", "mysql://x", "database must begin with postgresql:// or sqlite:"),
        ("MAILQUAY_PROCESSES", "3", "processes is 3, but SQLite carries at most 2; use PostgreSQL"),
        ("MAILQUAY_NODE_ADDRESS", "here", "node_address is 'here', but must be HOST:PORT"),
        ("MAILQUAY_HOST", "a\nb", "MAILQUAY_HOST (environment) holds a control character"),
        ("MAILQUAY_PROT", "1", "MAILQUAY_PROT (environment) is not an option; did you mean MAILQUAY_PORT?"),
        ("MAILQUAY_XYZZY", "1", "MAILQUAY_XYZZY (environment) is not an option"),
        ("EENGINE_WEBHOOK_EGRESS_POLICY", "none", "is 'none', but must be one of off, link-local, private"),
        ("EENGINE_SECRET_FILE", "/nowhere/secret", "EENGINE_SECRET_FILE (environment) cannot be read: No such file"),
        ("MAILQUAY_CONFIG", "nowhere.toml", "cannot be read: No such file"),
        (
            "EENGINE_IMAP_PROXY_ENABLED",
            "true",
            "EENGINE_IMAP_PROXY_ENABLED (environment) asks for something that is not there",
        ),
        ("EENGINE_API_TLS_KEY_FILE", "/key", "HTTPS needs a reverse proxy for now"),
    ],
)
def test_a_mistake_gets_one_line_that_names_it(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({}, {name: text}, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = [", "mailquay.toml is not TOML"),
        ("prot = 1", "prot (mailquay.toml) is not an option; did you mean port?"),
        ("[api]\nport = 1.5", "api.port (mailquay.toml) is 1.5, which is not a whole number"),
        ("sandbox = 2", "sandbox (mailquay.toml) is 2, which is neither true nor false"),
        ("lease_ttl = 9", "lease_ttl (mailquay.toml) is 9, which lacks a unit"),
        ("lease_ttl = true", "lease_ttl (mailquay.toml) is True, which is not a duration"),
        ("host = 1", "host (mailquay.toml) must be a text"),
        ("roles = [1]", "roles (mailquay.toml) must be a list of texts"),
        ("[imap-proxy]\nenabled = true", "imap-proxy.enabled (mailquay.toml) asks for something that is not there"),
        ("smtp_server_require_tls = true", "smtp_server_require_tls is given, but smtp_server_tls_cert is not"),
        ('secret = "a"\nkey_file = "b"', "secret and key_file are both given"),
    ],
)
def test_mistakes_in_the_file_are_named_too(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mailquay.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert message in str(caught.value)


def test_an_unknown_flag_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--api.prot is not an option; did you mean --api.port\?"):
        load(tmp_path, {"api.prot": "1"})


def test_a_value_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MAILQUAY_SECRET \(environment\) and MAILQUAY_SECRET_FILE"):
        load(tmp_path, MAILQUAY_SECRET="a", MAILQUAY_SECRET_FILE="b")


def test_names_without_effect_are_told_with_the_reason(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        {"workers.imap": "4", "log.raw": "false"},
        EENGINE_REDIS="redis://x",
        EENGINE_LOG_RAW="false",
        EENGINE_NEVER_HEARD="1",
        NODE_ENV="production",
        HOME="/root",
    )
    assert config.notices == (
        "EENGINE_REDIS (environment) has no effect: everything is in the SQL database; no Redis is used",
        "EENGINE_NEVER_HEARD (environment) has no effect: it is not known here",
        "--workers.imap has no effect: accounts run as tasks of one process; more processes come with --processes",
    )


def test_secrets_show_neither_in_messages_nor_in_repr(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        MAILQUAY_SECRET="hunter2",
        MAILQUAY_DATABASE="postgresql://u:hunter2@db/x",
        MAILQUAY_PREPARED_TOKEN="hunter2",
        MAILQUAY_PREPARED_PASSWORD="hunter2",
        MAILQUAY_SETTINGS='{"serviceSecret":"hunter2"}',
    )
    assert "hunter2" not in repr(config)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, MAILQUAY_SETTINGS='"hunter2"')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "postgres", "path"),
    [
        (None, False, "data/mailquay.db"),
        ("sqlite:other.db", False, "other.db"),
        ("sqlite:///var/lib/m.db", False, "/var/lib/m.db"),
        ("postgresql://db/x", True, None),
    ],
)
def test_the_store_follows_from_the_database_address(url: str | None, postgres: bool, path: str | None) -> None:
    config = Config(database_url=url)
    assert config.uses_postgres is postgres
    assert path is None or config.sqlite_path == Path(path)


def test_paths_are_taken_from_the_working_directory(tmp_path: Path) -> None:
    config = load(tmp_path, {"data-dir": "d", "key-file": "/k"})
    assert (config.data_dir, config.key_file) == (tmp_path / "d", Path("/k"))
    assert load(tmp_path).key_file == tmp_path / "data/encryption.key"


def test_the_table_fills_every_field_and_names_nothing_twice() -> None:
    fields = {field.name for field in dataclasses.fields(Config)} - {"notices"}
    assert {option.field for option in OPTIONS} == fields
    names = [name for option in OPTIONS for name in (option.variable, *option.aliases)]
    names += [name.variable for name in FOREIGN_NAMES]
    dotted = [option.dotted for option in OPTIONS if option.dotted] + [
        one.dotted for one in FOREIGN_NAMES if one.dotted
    ]
    assert len(set(names)) == len(names)
    assert len(set(dotted)) == len(dotted)


def test_the_roles_are_those_of_the_model() -> None:
    assert set(NODE_ROLES) == set(ROLES)


def test_the_names_of_the_smtp_listener(tmp_path: Path) -> None:
    """Some seed settings at the first start, some are options."""
    names = {
        "EENGINE_SMTP_ENABLED": "true",
        "EENGINE_SMTP_PORT": "2526",
        "EENGINE_SMTP_SECRET": "s",
        "EENGINE_SMTP_TLS_CERT": "cert.pem",
        "EENGINE_SMTP_TLS_MIN_VERSION": "TLSv1.3",
        "EENGINE_SMTP_TLS_DHPARAM": "dh.pem",
        "EENGINE_MAX_SMTP_MESSAGE_SIZE": "10M",
    }
    config = load_config({}, names, tmp_path)
    assert config.initial_settings == {
        "smtpServerEnabled": True,
        "smtpServerPort": 2526,
        "smtpServerPassword": "s",
    }
    assert config.smtp_server_tls_cert == tmp_path / "cert.pem"
    assert (config.smtp_server_tls_min_version, config.smtp_server_max_message_bytes) == ("tlsv1.3", 10 * 1024**2)
    assert [notice.partition(" ")[0] for notice in config.notices] == ["EENGINE_SMTP_TLS_DHPARAM"]
    with pytest.raises(ConfigError, match="certificates of clients are not asked for"):
        load_config({}, {"EENGINE_SMTP_TLS_REQUEST_CERT": "true"}, tmp_path)
