"""Runtime settings: every kind of value, what is refused, and the catalogue as a whole."""

from __future__ import annotations

from collections import Counter

import pytest

from mailquay.errors import InvalidRequest
from mailquay.model.setting import SettingKind, Visibility, read_setting
from mailquay.model.setting_catalogue import SETTING_AREAS, SETTINGS


@pytest.mark.parametrize(
    ("key", "given", "stored"),
    [
        ("webhooksEnabled", "Y", True),
        ("webhooksEnabled", "on", True),
        ("webhooksEnabled", 1, True),
        ("webhooksEnabled", "", False),
        ("webhooksEnabled", None, None),
        ("webhooks", " https://user:pass@hook.test/x ", "https://user:pass@hook.test/x"),
        ("webhooks", "", None),
        ("webhookEvents", "messageNew", ["messageNew"]),
        ("webhookEvents", [" messageNew ", "*"], ["messageNew", "*"]),
        (
            "webhooksCustomHeaders",
            [{"key": "X-A", "value": "b"}, {"key": "X-C"}],
            [{"key": "X-A", "value": "b"}, {"key": "X-C", "value": ""}],
        ),
        ("notifyTextSize", "1024", 1024),
        ("openAiTemperature", 0.5, 0.5),
        ("proxyUrl", "socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080"),
        ("smtpEhloName", "mail.example.test", "mail.example.test"),
        ("smtpEhloName", None, None),
        ("smtpServerHost", "0:0:0:0:0:0:0:1", "::1"),
        ("localAddresses", ["127.0.0.1"], ["127.0.0.1"]),
        ("scriptEnv", '{"a":1}', '{\n  "a": 1\n}'),
        ("logs", {"all": True}, {"all": True}),
        ("imapClientSupportUrl", "mailto:help@example.test", "mailto:help@example.test"),
        ("serviceSecret", "k\x01y", "k\x01y"),
        ("templateHeader", "<p>\n</p>", "<p>\n</p>"),
    ],
)
def test_a_good_value_is_stored_in_one_form(key: str, given: object, stored: object) -> None:
    assert read_setting(SETTINGS[key], given) == stored


@pytest.mark.parametrize(
    ("key", "given", "message"),
    [
        ("webhooksEnabled", "maybe", "must be a boolean"),
        ("webhooksEnabled", 2, "must be a boolean"),
        ("webhooks", "ftp://x.test", "must be a URI with the scheme http, https"),
        ("webhooks", "https://", "must be a valid URI"),
        ("webhooks", "https://x.test:99999/", "must be a valid URI"),
        ("webhooks", "https://x.test/a b", "must be a valid URI"),
        ("webhooks", "https://x.test/\r\nX: y", "must be a valid URI"),
        ("webhooks", None, "must not be null"),
        ("webhooks", 1, "must be a string"),
        ("webhookEvents", [1], "must be an array of strings"),
        ("webhookEvents", ["x" * 257], "at most 256 characters"),
        ("webhookEvents", ["x"] * 1001, "at most 1000 items"),
        ("webhooksCustomHeaders", [{"key": "X\r\nY", "value": "b"}], "must hold valid header names"),
        ("webhooksCustomHeaders", [{"key": "X", "value": "a\r\nb"}], "must hold header values without line breaks"),
        ("webhooksCustomHeaders", [{"key": "X", "other": "b"}], "must be an array of objects with key and value"),
        ("webhooksCustomHeaders", "X: y", "must be an array of objects with key and value"),
        ("notifyTextSize", -1, "must be greater than or equal to 0"),
        ("notifyTextSize", 1.5, "must be an integer"),
        ("notifyTextSize", True, "must be a number"),
        ("notifyTextSize", "nan", "must be a number"),
        ("notifyTextSize", 1e300, "must be a number"),
        ("smtpServerPort", 65536, "must be less than or equal to 65535"),
        ("smtpServerHost", "localhost", "must be a valid IP address"),
        ("smtpEhloName", "a b", "must be a valid hostname"),
        ("smtpEhloName", "x\r\nRCPT TO:<y>", "must be a valid hostname"),
        ("imapClientName", "a\r\nb", "must not hold control characters"),
        ("imapClientName", "x" * 1025, "must be at most 1024 characters long"),
        ("locale", "xx", "must be one of en, et, fr, de, pl, ja, nl"),
        ("scriptEnv", "[]", "must be the text of a JSON object"),
        ("scriptEnv", "[" * 100_000, "must be the text of a JSON object"),
        ("logs", [], "must be an object"),
    ],
)
def test_a_bad_value_is_refused_with_the_reason(key: str, given: object, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_setting(SETTINGS[key], given)


def test_no_key_stands_twice() -> None:
    keys = Counter(definition.key for _, definitions in SETTING_AREAS for definition in definitions)
    assert [key for key, count in keys.items() if count > 1] == []
    assert len(SETTINGS) == 113


def test_every_default_is_a_value_the_setting_itself_accepts() -> None:
    for definition in SETTINGS.values():
        if definition.default is not None:
            stored = read_setting(definition, definition.default)
            default = list(definition.default) if isinstance(definition.default, tuple) else definition.default
            assert stored == default, definition.key


def test_settings_that_hold_secrets_are_sealed_and_some_are_never_written_over_the_api() -> None:
    sealed = {key for key, definition in SETTINGS.items() if definition.encrypted}
    assert {"serviceSecret", "smtpServerPassword", "openAiAPIKey", "totpSeed", "cookiePassword"} <= sealed
    assert not SETTINGS["disableTokens"].writable
    assert not SETTINGS["eventTypes"].writable
    assert SETTINGS["trackSentMessages"].visibility is Visibility.HIDDEN
    assert SETTINGS["webhooksCustomHeaders"].kind is SettingKind.HEADERS
