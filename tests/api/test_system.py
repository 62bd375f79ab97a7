"""Settings, queues, statistics, metrics, licence, logs and the pages around the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mailquay.errors import StorageError
from mailquay.model.setting_catalogue import SETTINGS
from mailquay.version import __version__
from tests.api.world import World


async def test_settings_that_are_written_are_shown(world: World) -> None:
    body = {
        "webhooks": "https://user:key@hooks.example.com/a",
        "webhooksEnabled": "on",
        "webhookEvents": ["*"],
        "webhooksCustomHeaders": [{"key": "X-Custom", "value": "abc"}],
        "serviceUrl": "https://mail.example.com/path?x",
        "serviceSecret": "very secret",
        "notifyTextSize": "65536",
        "logs": {"all": "true", "maxLogLines": 1000},
    }
    reply = await world.call("POST", "/v1/settings", body)
    assert reply.json == {"updated": list(body)}
    query = "&".join(f"{key}=true" for key in (*body, "queueKeep", "authServer")) + "&timezone=false"
    assert (await world.call("GET", f"/v1/settings?{query}")).json == {
        "webhooks": "https://******:******@hooks.example.com/a",
        "webhooksEnabled": True,
        "webhookEvents": ["*"],
        "webhooksCustomHeaders": [{"key": "X-Custom", "value": "******"}],
        "serviceUrl": "https://mail.example.com",
        "serviceSecret": True,
        "notifyTextSize": 65536,
        "logs": {"all": True, "maxLogLines": 1000},
        "queueKeep": 0,
        "authServer": None,
    }


async def test_masks_that_come_back_are_skipped_and_others_refused(world: World) -> None:
    headers = [{"key": "X", "value": "v"}]
    await world.call("POST", "/v1/settings", {"webhooks": "https://u:p@h.test/", "webhooksCustomHeaders": headers})
    shown = (await world.call("GET", "/v1/settings?webhooks=true&webhooksCustomHeaders=true")).json
    reply = await world.call("POST", "/v1/settings", {**shown, "inboxNewOnly": True})
    assert reply.json == {"updated": ["inboxNewOnly"]}
    assert await world.settings.get("webhooks") == "https://u:p@h.test/"
    assert await world.settings.get("webhooksCustomHeaders") == headers
    for bad in (
        {"webhooks": "https://******:******@other.test/"},
        {"webhooksCustomHeaders": [{"key": "Y", "value": "******"}]},
        {"serviceSecret": "******"},
        {"proxyUrl": "http://******@p.test"},
    ):
        refused = await world.call("POST", "/v1/settings", bad)
        assert [field["key"] for field in refused.json["fields"]] == list(bad)
    assert (await world.call("POST", "/v1/settings", {"templateHeader": "<b>******</b>"})).status == 200


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        ({"nosuch": 1, "notifyTextSize": -1, "locale": "xx"}, {"nosuch", "notifyTextSize", "locale"}),
        ({"imapIndexer": "slow"}, {"imapIndexer"}),
        ({"logs": {"all": 3, "what": 1}, "nosuch": 1}, {"all", "what", "nosuch"}),
        ({"disableTokens": True}, {"disableTokens"}),
        ({"eventTypes": []}, {"eventTypes"}),
    ],
)
async def test_settings_that_are_refused(world: World, body: dict[str, Any], keys: set[str]) -> None:
    reply = await world.call("POST", "/v1/settings", body)
    assert reply.status == 400
    assert {field["key"] for field in reply.json["fields"]} == keys


async def test_a_blank_service_secret_is_left_alone(world: World) -> None:
    await world.call("POST", "/v1/settings", {"serviceSecret": "kept"})
    assert (await world.call("POST", "/v1/settings", {"serviceSecret": " "})).json == {"updated": []}
    assert await world.settings.get("serviceSecret") == "kept"


async def test_event_types_and_unknown_names(world: World) -> None:
    shown = (await world.call("GET", "/v1/settings?eventTypes=true")).json
    assert len(shown["eventTypes"]) == 27 and "messageNew" in shown["eventTypes"]
    assert (await world.call("GET", "/v1/settings")).json == {}
    assert (await world.call("GET", "/v1/settings?disableTokens=true")).status == 400


async def test_switching_webhooks_off_forgets_their_last_failure(world: World) -> None:
    await world.settings.write({"webhookErrorFlag": {"message": "x"}})
    await world.call("POST", "/v1/settings", {"webhooksEnabled": False})
    assert await world.settings.get("webhookErrorFlag") == SETTINGS["webhookErrorFlag"].default


async def test_queues(world: World) -> None:
    assert (await world.call("PUT", "/v1/settings/queue/submit", {"paused": True})).json == {
        "queue": "submit",
        "paused": True,
    }
    assert (await world.call("GET", "/v1/settings/queue/submit")).json == {
        "queue": "submit",
        "jobs": {"active": 0, "delayed": 0, "paused": 0, "waiting": 0},
        "paused": True,
    }
    await world.register()
    notify = (await world.call("GET", "/v1/settings/queue/notify")).json
    assert (notify["jobs"]["waiting"], notify["paused"]) == (1, False)
    assert (await world.call("GET", "/v1/settings/queue/other")).status == 400


async def test_statistics(world: World) -> None:
    await world.register()
    world.metrics.count("webhooks:success", 3)
    await world.call("GET", "/v1/nothing-here")
    await world.call("GET", "/v1/account/nobody")
    await world.metrics.flush()
    stats = (await world.call("GET", "/v1/stats?seconds=60")).json
    assert (stats["version"], stats["license"], stats["accounts"]) == (__version__, "MIT", 1)
    assert stats["connections"]["init"] == 1 and set(stats["connections"]) >= {"connected", "unassigned"}
    assert stats["queues"]["notify"] == {
        "active": 0,
        "delayed": 0,
        "waiting": 1,
        "paused": 0,
        "isPaused": False,
        "total": 1,
    }
    assert stats["counters"] == {
        "events:accountAdded": 1,
        "webhooks:success": 3,
        "apiCall:success": 1,
        "apiCall:fail": 1,
    }
    world.clock.ms += 120_000
    assert (await world.call("GET", "/v1/stats?seconds=60")).json["counters"] == {}
    assert (await world.call("GET", "/v1/stats?seconds=604801")).status == 400


async def test_metrics(world: World, golden: Callable[[str, str], None]) -> None:
    await world.register()
    world.metrics.webhook("messageNew", success=False, milliseconds=250.0)
    world.metrics.webhook("messageNew", success=True, milliseconds=70_000.5)
    world.traffic.responses[("NO", "OVERQUOTA")] += 2
    world.traffic.sent_bytes, world.traffic.received_bytes = 12, 34
    await world.call("GET", "/v1/account/ann")
    await world.call("PROPFIND", "/v1/account/ann")
    text = (await world.call("GET", "/metrics")).body.decode()
    lines = text.splitlines()
    assert 'api_call{method="GET",statusCode="200",route="/v1/account/{account}"} 1' in lines
    assert 'api_call{method="OTHER",statusCode="405",route="(no route)"} 1' in lines
    assert 'webhooks{status="fail",event="messageNew"} 1' in lines
    assert lines_of(lines, "webhook_req_b")[:2] == ['webhook_req_bucket{le="100"} 0', 'webhook_req_bucket{le="250"} 1']
    assert lines_of(lines, "webhook_req_")[-4:] == [
        'webhook_req_bucket{le="60000"} 1',
        'webhook_req_bucket{le="+Inf"} 2',
        "webhook_req_sum 70250.500",
        "webhook_req_count 2",
    ]
    assert 'imap_responses{response="NO",code="OVERQUOTA"} 2' in lines
    assert "imap_bytes_sent 12" in lines and "imap_bytes_received 34" in lines
    assert 'events{event="accountAdded"} 1' in lines
    assert 'imap_connections{status="init"} 1' in lines
    assert 'queue_size{queue="notify",state="waiting"} 1' in lines
    assert "# TYPE api_call counter" in lines and "license_days_remaining -1" in lines
    assert "process_resident_memory_bytes" in text
    assert "ann" not in text
    assert (await world.call("GET", "/metrics", token=None)).status == 401
    ours = [line for line in lines if not re.match(r"#|process_|python_", line)]
    shapes = {re.sub(r'="[^"]*"', "", line.rsplit(" ", 1)[0]) for line in ours}
    kinds = [line for line in lines if re.match(r"# TYPE (?!process_|python_)", line)]
    golden("metrics.txt", "\n".join([*kinds, *sorted(shapes)]) + "\n")
    parsed = {family.name for family in text_string_to_metric_families(text)}
    assert {"api_call", "webhook_req", "imap_responses", "imap_bytes_sent", "imap_bytes_received"} <= parsed


def lines_of(lines: list[str], start: str) -> list[str]:
    """The lines that begin so."""
    return [line for line in lines if line.startswith(start)]


async def test_the_licence_is_always_active(world: World) -> None:
    shown = {"active": True, "type": "MIT", "details": False}
    assert (await world.call("GET", "/v1/license")).json == shown
    assert (await world.call("POST", "/v1/license", {"license": "-----BEGIN"})).json == shown
    assert (await world.call("DELETE", "/v1/license")).json == shown
    assert (await world.call("POST", "/v1/license", {})).status == 400


async def test_logs_of_an_account(world: World) -> None:
    await world.register(logs=True)
    account = await world.store.accounts.get("ann")
    assert account is not None
    world.logs.write(account, {"msg": "A1 LOGIN ann hunter2", "src": "c"})
    reply = await world.call("GET", "/v1/logs/ann")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["content-disposition"] == 'attachment; filename="logs.ann.txt"'
    assert reply.body == b'{"msg":"A1 LOGIN ann ******","src":"c","t":1795219200000}\n'
    assert (await world.call("GET", "/v1/logs/nobody")).body == b"No logs found for nobody"


async def test_health(world: World) -> None:
    reply = await world.call("GET", "/health", token=None)
    assert reply.body == b'{"success":true}'
    world.recorder.error = StorageError("hunter2")
    reply = await world.call("GET", "/health", token=None)
    assert reply.status == 500 and b"hunter2" not in reply.body


async def test_the_home_page_tells_no_account(world: World) -> None:
    await world.register("secret-account-name")
    reply = await world.call("GET", "/", token=None)
    assert reply.status == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in reply.headers["content-security-policy"]
    assert reply.headers["x-frame-options"] == "DENY"
    text = reply.body.decode()
    assert __version__ in text and "<td>1</td>" in text and "/reference" in text
    assert "secret-account-name" not in text


async def test_the_reference_needs_nobody_else(world: World) -> None:
    page = (await world.call("GET", "/reference", token=None)).body.decode()
    for asset in ("/static/swagger-ui-bundle.js", "/static/swagger-ui.css", "/static/reference.js"):
        assert asset in page
        reply = await world.call("GET", asset, token=None)
        assert reply.status == 200 and reply.headers["x-content-type-options"] == "nosniff"
    assert "http://" not in page and "https://" not in page
    license_text = (await world.call("GET", "/static/swagger-ui.LICENSE.txt", token=None)).body
    assert b"Apache License" in license_text
    for missing in ("/static/..%2Fapp.py", "/static/%2e%2e", "/static/nothing.js"):
        assert (await world.call("GET", missing, token=None)).status == 404


async def test_small_files(world: World) -> None:
    assert b"Disallow: /" in (await world.call("GET", "/robots.txt", token=None)).body
    icon = await world.call("GET", "/favicon.ico", token=None)
    assert (icon.status, icon.headers["content-type"]) == (200, "image/svg+xml")
