"""Leaving a list over HTTP: by the page, by one click of a mail program, and by nobody else."""

from __future__ import annotations

import html
import re
from urllib.parse import urlencode, urlsplit

import pytest

from mailquay.model.event import EventName
from mailquay.services.unsubscribe import Subscription
from tests.api.world import World

_FORM = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Reader/1"}


@pytest.fixture
async def ann(world: World) -> World:
    """A world in which ann has sent something to a list."""
    await world.register()
    return world


async def _link(world: World, recipient: str = "Bob <x>@example.com", account: str = "ann") -> str:
    link = await world.unsubscribe.link("https://x.example", Subscription(account, "news", recipient, "<m@x>"))
    return urlsplit(link)._replace(scheme="", netloc="").geturl()


async def _events(world: World) -> list[tuple[EventName, str | None]]:
    account = await world.store.accounts.get("ann")
    assert account is not None
    found = await world.store.events.of_account_after(account.number, 0, 100)
    names = (EventName.LIST_UNSUBSCRIBE, EventName.LIST_SUBSCRIBE)
    return [(event.name, str(event.facts["listId"])) for event in found if event.name in names]


async def _press(world: World, page: str) -> str:
    """Press the only button of a page."""
    fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}
    reply = await world.call("POST", "/unsubscribe/address", data=urlencode(fields), headers=_FORM, token=None)
    assert reply.status == 200, reply.body
    return reply.body.decode()


async def test_the_page_takes_one_off_the_list_and_back(ann: World) -> None:
    link = await _link(ann)
    for _ in range(2):
        reply = await ann.call("GET", link, token=None)
        assert reply.status == 200 and "form-action 'self'" in reply.headers["content-security-policy"]
    page = reply.body.decode()
    assert "<strong>Bob &lt;x&gt;@example.com</strong>" in page and ">Unsubscribe<" in page
    assert await _events(ann) == [], "programs that only look at links take nobody off"
    page = await _press(ann, page)
    assert "no longer" in page and ">Subscribe again<" in page
    [entry] = (await ann.call("GET", "/v1/blocklist/news")).json["addresses"]
    assert (entry["source"], entry["reason"], entry["messageId"], entry["userAgent"], entry["remoteAddress"]) == (
        "form",
        "unsubscribe",
        "<m@x>",
        "Reader/1",
        "127.0.0.1",
    )
    page = await _press(ann, page)
    assert ">Unsubscribe<" in page
    assert await _events(ann) == [(EventName.LIST_UNSUBSCRIBE, "news"), (EventName.LIST_SUBSCRIBE, "news")]


async def test_one_click_of_a_mail_program(ann: World) -> None:
    link, click = await _link(ann), "List-Unsubscribe=One-Click"
    for form, answer in ((click, b"ok"), (click, b"ok"), ("List-Unsubscribe=No", b"not ok"), ("", b"not ok")):
        reply = await ann.call("POST", link, data=form, headers=_FORM, token=None)
        assert (reply.status, reply.body) == (200, answer)
    assert await _events(ann) == [(EventName.LIST_UNSUBSCRIBE, "news")], "told once"
    for target, answer in (
        (link.replace("sig=", "sig=A"), b"data validation failed"),
        ("/unsubscribe", b"data validation failed"),
        (await _link(ann, account="nobody"), b"unknown account"),
    ):
        reply = await ann.call("POST", target, data=click, headers=_FORM, token=None)
        assert (reply.status, reply.body) == (200, answer)


async def test_links_that_are_not_ours(ann: World) -> None:
    link = await _link(ann)
    for target in ("/unsubscribe", link.replace("sig=", "sig=A"), await _link(ann, account="nobody")):
        assert (await ann.call("GET", target, token=None)).status == 403
    wrong = urlencode({"action": "unsubscribe", "data": "e30", "sig": "x"})
    assert (await ann.call("POST", "/unsubscribe/address", data=wrong, headers=_FORM, token=None)).status == 403
    for broken in (b"\xff=%ff", "&".join(f"a{n}=1" for n in range(100)).encode()):
        reply = await ann.call("POST", "/unsubscribe/address", data=broken, headers=_FORM, token=None)
        assert reply.status == 400
    assert await _events(ann) == []


@pytest.mark.parametrize(
    ("headers", "query", "language"),
    [
        ({}, "", "en"),
        ({"Accept-Language": "xx, fr;q=0.5, de;q=0.9"}, "", "de"),
        ({"Accept-Language": "de", "Cookie": "a=b; locale=pl"}, "", "pl"),
        ({"Accept-Language": "de", "X-EE-Locale": "ja-JP"}, "&locale=nl", "nl"),
        ({"X-EE-Locale": "ja-JP"}, "&locale=tlh", "ja"),
        ({"Accept-Language": "en;q=0, et"}, "", "et"),
    ],
)
async def test_the_language_of_the_page(ann: World, headers: dict[str, str], query: str, language: str) -> None:
    reply = await ann.call("GET", await _link(ann) + query, headers=headers, token=None)
    assert f'<html lang="{language}">' in reply.body.decode()
