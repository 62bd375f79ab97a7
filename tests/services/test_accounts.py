"""Changes of accounts: what is merged, what is kept, what is refused, before any HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import InvalidRequest
from mailquay.model.account import AccountProfile, CustomHeader, ImapSettings, SmtpSettings
from mailquay.services.account_changes import AccountChanges, ServerChanges
from mailquay.services.masks import MASK, mask_headers, mask_url, unmask, unmask_headers

IMAP = ImapSettings(host="i.test", port=993, secure=True, user="u", password="p", tls={"a": 1, "b": 2})
SMTP = SmtpSettings(host="s.test", port=465, secure=True, user="u", password="p")
PROFILE = AccountProfile(name="N", email="n@example.com", imap=IMAP, smtp=SMTP, webhooks="http://u:p@h.test/")


def imap_after(values: dict[str, Any], *, partial: bool) -> ImapSettings:
    """The IMAP settings of PROFILE after a change."""
    changed = AccountChanges(imap=ServerChanges(values, partial=partial)).apply(PROFILE).imap
    assert changed is not None
    return changed


def test_nothing_given_changes_nothing() -> None:
    assert AccountChanges().apply(PROFILE) == PROFILE
    assert imap_after({}, partial=True) == IMAP


def test_partial_keeps_what_is_not_given() -> None:
    assert imap_after({"port": 1, "tls": {"b": None, "c": 3}}, partial=True) == ImapSettings(
        host="i.test", port=1, secure=True, user="u", password="p", tls={"a": 1, "c": 3}
    )
    assert imap_after({"tls": None, "secure": None}, partial=True).tls == {}
    assert not imap_after({"secure": None}, partial=True).secure


def test_whole_forgets_what_is_not_given() -> None:
    whole = {"host": "x.test", "port": 143, "user": "v", "password": "q"}
    assert imap_after(whole, partial=False) == ImapSettings(host="x.test", port=143, user="v", password="q")


def test_a_password_replaces_an_access_token_and_back() -> None:
    with_token = imap_after({"access_token": "t"}, partial=True)
    assert (with_token.password, with_token.access_token) == (None, "t")
    profile = AccountChanges(imap=ServerChanges({"access_token": "t"}, partial=True)).apply(PROFILE)
    back = AccountChanges(imap=ServerChanges({"password": "p2"}, partial=True)).apply(profile).imap
    assert back is not None and (back.password, back.access_token) == ("p2", None)


def test_a_server_can_be_taken_away() -> None:
    changed = AccountChanges(imap=ServerChanges(remove=True)).apply(PROFILE)
    assert changed.imap is None and changed.smtp == SMTP


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"port": 1, "user": "u", "password": "p"}, "imap.host"),
        ({"host": "h", "user": "u", "password": "p"}, "imap.port"),
        ({"host": "h", "port": 1}, "imap.auth"),
        ({"host": "h", "port": 1, "user": "u"}, "imap.auth.pass"),
        ({"host": "h", "port": 1, "user": "u", "password": "p", "access_token": "t"}, "not both"),
    ],
)
def test_what_could_not_work_is_refused(values: dict[str, Any], missing: str) -> None:
    with pytest.raises(InvalidRequest, match=missing):
        imap_after(values, partial=False)


def test_a_disabled_server_needs_nothing() -> None:
    assert imap_after({"disabled": True}, partial=False) == ImapSettings(disabled=True)


@pytest.mark.parametrize("partial", [True, False])
def test_a_masked_password_stands_for_the_stored_one(partial: bool) -> None:
    values = {"host": "i.test", "port": 993, "user": "u", "password": MASK}
    assert imap_after(values, partial=partial).password == "p"
    with pytest.raises(InvalidRequest, match="mask"):
        AccountChanges(imap=ServerChanges(values)).apply(AccountProfile())


def test_a_masked_address_stands_for_the_stored_one() -> None:
    same = AccountChanges({"webhooks": f"http://{MASK}:{MASK}@h.test/"}).apply(PROFILE)
    assert same == PROFILE
    for other in (f"http://{MASK}:{MASK}@h.test/x", f"http://{MASK}@h.test/", MASK):
        with pytest.raises(InvalidRequest, match="mask"):
            AccountChanges({"webhooks": other}).apply(PROFILE)
    assert AccountChanges({"webhooks": None}).apply(PROFILE).webhooks is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h.test/a?b=c#d", "https://h.test/a?b=c#d"),
        ("https://u:p@h.test:8443/", "https://******:******@h.test:8443/"),
        ("https://u@h.test/", "https://******@h.test/"),
        ("https://:p@h.test/", "https://:******@h.test/"),
        ("https://a@b:c@h.test/", "https://******:******@h.test/"),
        ("http://[::1", ""),
        ("socks5://u:p@[2001:db8::1]:1080", "socks5://******:******@[2001:db8::1]:1080"),
    ],
)
def test_addresses_are_masked(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@given(st.text(min_size=8, max_size=30), st.text(min_size=8, max_size=30))
def test_no_secret_survives_the_mask(user: str, password: str) -> None:
    from urllib.parse import quote

    user, password = quote(user, safe=""), quote(password, safe="")
    shown = mask_url(f"https://{user}:{password}@h.test/path")
    assert shown in ("", f"https://{MASK}:{MASK}@h.test/path")


def test_headers_are_masked_by_value_and_unmasked_by_name() -> None:
    stored = (CustomHeader("X-A", "1"), CustomHeader("X-B", "2"))
    assert mask_headers(stored) == [{"key": "X-A", "value": MASK}, {"key": "X-B", "value": MASK}]
    changed = (CustomHeader("x-b", MASK), CustomHeader("X-C", "3"))
    assert unmask_headers(changed, stored) == (CustomHeader("x-b", "2"), CustomHeader("X-C", "3"))
    with pytest.raises(InvalidRequest, match="X-D"):
        unmask_headers((CustomHeader("X-D", MASK),), stored)
    assert unmask(None, "stored", "shown", "n") is None
