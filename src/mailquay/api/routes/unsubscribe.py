"""Leaving a list: the page behind the link of a message, and what mail programs send by themselves (RFC 8058)."""

from __future__ import annotations

from html import escape
from typing import Annotated

from pydantic import Field, StringConstraints

from mailquay.api.http import TEXT, Answer
from mailquay.api.locale import locale_of
from mailquay.api.operation import Call, Operation
from mailquay.api.routes.site import page
from mailquay.api.routes.unsubscribe_texts import TEXTS, Texts
from mailquay.api.validation import Model
from mailquay.services.unsubscribe import Subscription, Visitor

_TAG = "Lists"
_FORM_BYTES = 64 * 1024
_Signed = Annotated[str, StringConstraints(max_length=16 * 1024)]


class LinkQuery(Model):
    """What stands in a link."""

    data: _Signed = ""
    sig: _Signed = ""
    locale: Annotated[str, StringConstraints(max_length=100), Field(description="Language of the page.")] = ""


async def _texts(call: Call, asked: str) -> tuple[Texts, str]:
    usual = await call.services.settings.get("locale")
    locale = locale_of(asked, call.request.headers, str(usual or ""))
    return TEXTS[locale], locale


def _visitor(call: Call) -> Visitor:
    return Visitor(call.principal.address or None, call.request.headers.get("user-agent"))


async def _page(call: Call) -> Answer:
    query = call.parameters(LinkQuery)
    return await _shown(call, query.data, query.sig, query.locale)


async def _change(call: Call) -> Answer:
    """What a button of the page does; everything but which button comes from the signed data."""
    data, signature = call.form.get("data", ""), call.form.get("sig", "")
    subscription = await call.services.unsubscribe.read(data, signature)
    if subscription is not None:
        if call.form.get("action") == "unsubscribe":
            await call.services.unsubscribe.unsubscribe(subscription, "form", _visitor(call))
        elif call.form.get("action") == "subscribe":
            await call.services.unsubscribe.subscribe(subscription, _visitor(call))
    return await _shown(call, data, signature, call.form.get("locale", ""))


async def _one_click(call: Call) -> Answer:
    """Mail programs read nothing of the answer but its status."""
    query = call.parameters(LinkQuery)
    if call.form.get("List-Unsubscribe") != "One-Click":
        return Answer(b"not ok", TEXT)
    subscription = await call.services.unsubscribe.read(query.data, query.sig)
    if subscription is None:
        return Answer(b"data validation failed", TEXT)
    done = await call.services.unsubscribe.unsubscribe(subscription, "one-click", _visitor(call))
    return Answer(b"ok" if done else b"unknown account", TEXT)


async def _shown(call: Call, data: str, signature: str, asked: str) -> Answer:
    texts, locale = await _texts(call, asked)
    subscription = await call.services.unsubscribe.read(data, signature)
    if subscription is None or await call.services.accounts.get(subscription.account) is None:
        return page(
            texts.title, f"<h1>{escape(texts.title)}</h1><p>{escape(texts.invalid)}</p>", status=403, locale=locale
        )
    subscribed = await call.services.unsubscribe.subscribed(subscription)
    return page(texts.title, _form(texts, subscription, data, signature, locale, subscribed), locale=locale, forms=True)


def _form(texts: Texts, subscription: Subscription, data: str, signature: str, locale: str, subscribed: bool) -> str:
    action = "unsubscribe" if subscribed else "subscribe"
    hidden = {"action": action, "data": data, "sig": signature, "locale": locale}
    fields = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in hidden.items())
    said = texts.subscribed if subscribed else texts.unsubscribed
    button = texts.unsubscribe if subscribed else texts.subscribe
    address = f"<strong>{escape(subscription.recipient)}</strong>"
    return (
        f"<h1>{escape(texts.title)}</h1><p>{escape(said).replace('{address}', address)}</p>"
        f'<form method="post" action="/unsubscribe/address">{fields}<button>{escape(button)}</button></form>'
    )


OPERATIONS = (
    Operation(
        "getUnsubscribe",
        "GET",
        "/unsubscribe",
        _TAG,
        "Page of a subscription",
        _page,
        public=True,
        query=LinkQuery,
        documented=False,
    ),
    Operation(
        "postUnsubscribe",
        "POST",
        "/unsubscribe",
        _TAG,
        "Unsubscribe with one click",
        _one_click,
        public=True,
        query=LinkQuery,
        takes_form=True,
        body_bytes=_FORM_BYTES,
        documented=False,
    ),
    Operation(
        "postUnsubscribeAddress",
        "POST",
        "/unsubscribe/address",
        _TAG,
        "Unsubscribe or subscribe",
        _change,
        public=True,
        takes_form=True,
        body_bytes=_FORM_BYTES,
        documented=False,
    ),
)
