"""What every store promises about templates."""

from __future__ import annotations

import asyncio

import pytest

from mailquay.errors import InvalidRequest, NotFound
from mailquay.model.account import Account
from mailquay.model.template import Template, TemplateChanges, TemplateContent, TemplateFormat
from mailquay.storage.repositories import templates as module
from mailquay.storage.repositories.templates import SHARED
from mailquay.storage.store import Store
from tests.contract.records import NOW, register

_CONTENT = TemplateContent("s", "t", "h", "p")


async def _add(store: Store, account: Account | None, name: str = "n", content: TemplateContent = _CONTENT) -> str:
    public_id = None if account is None else account.id
    template = Template("", public_id, name, "d", TemplateFormat.MARKDOWN, NOW)
    number = SHARED if account is None else account.number
    return await store.commit(store.templates.add(number, template, content, lambda n: f"id{n}"))


async def test_a_template_comes_back_as_it_was_given(store: Store) -> None:
    account = await register(store)
    for owner in (account, None):
        template_id = await _add(store, owner)
        found = await store.templates.get(template_id)
        public_id = None if owner is None else "ann"
        assert found == (Template(template_id, public_id, "n", "d", TemplateFormat.MARKDOWN, NOW), _CONTENT)
    assert await store.templates.get("id99") is None
    empty = await _add(store, None, content=TemplateContent())
    found = await store.templates.get(empty)
    assert found is not None and found[1] == TemplateContent()


async def test_texts_may_be_large_and_of_any_script(store: Store) -> None:
    content = TemplateContent("\U0001f600 ü", "x" * 5_000_000, "ы" * 1_000_000, "")
    found = await store.templates.get(await _add(store, None, content=content))
    assert found is not None and found[1] == content


async def test_pages_are_of_one_owner_and_newest_first(store: Store) -> None:
    ann, bob = await register(store), await register(store, "bob")
    ids = [await _add(store, ann, f"n{n}") for n in range(5)]
    shared = await _add(store, None, "all")
    total, page = await store.templates.page(ann.number, limit=2, offset=1)
    assert total == 5 and [one.id for one in page] == [ids[3], ids[2]]
    assert [one.account for one in page] == ["ann", "ann"]
    assert await store.templates.page(bob.number, limit=10, offset=0) == (0, [])
    total, page = await store.templates.page(SHARED, limit=10, offset=0)
    assert total == 1 and [(one.id, one.account) for one in page] == [(shared, None)]


async def test_who_may_use_a_template(store: Store) -> None:
    ann, bob = await register(store), await register(store, "bob")
    own, shared = await _add(store, ann), await _add(store, None)
    assert await store.templates.usable_revision(own, ann.number) == 1
    assert await store.templates.usable_revision(own, bob.number) is None
    assert await store.templates.usable_revision(shared, bob.number) == 1
    assert await store.templates.usable_revision("id99", bob.number) is None


async def test_changes(store: Store) -> None:
    account = await register(store)
    template_id = await _add(store, account)
    assert await store.commit(store.templates.change(template_id, TemplateChanges(), NOW + 1)) == (True, "ann")
    found = await store.templates.get(template_id)
    assert found == (Template(template_id, "ann", "n", "d", TemplateFormat.MARKDOWN, NOW, NOW + 1, 2), _CONTENT)
    changes = TemplateChanges("m", "", TemplateFormat.HTML, TemplateContent(html="x"))
    assert await store.commit(store.templates.change(template_id, changes, NOW + 2)) == (True, "ann")
    found = await store.templates.get(template_id)
    expected = Template(template_id, "ann", "m", None, TemplateFormat.HTML, NOW, NOW + 2, 3)
    assert found == (expected, TemplateContent(html="x"))
    assert await store.templates.usable_revision(template_id, account.number) == 3
    assert await store.commit(store.templates.change("id99", changes, NOW)) == (False, None)


async def test_removing_one(store: Store) -> None:
    account = await register(store)
    own, shared = await _add(store, account), await _add(store, None)
    assert await store.commit(store.templates.delete(own)) == (True, "ann")
    assert await store.commit(store.templates.delete(own)) == (False, None)
    assert await store.commit(store.templates.delete(shared)) == (True, None)
    assert await store.templates.get(own) is None


async def test_removing_all_of_an_account(store: Store) -> None:
    ann, bob = await register(store), await register(store, "bob")
    for n in range(11):
        await _add(store, ann, f"n{n}")
    kept, shared = await _add(store, bob), await _add(store, None)
    await store.templates.delete_all(ann.number)
    assert (await store.templates.page(ann.number, limit=10, offset=0))[0] == 0
    assert await store.templates.get(kept) is not None and await store.templates.get(shared) is not None
    await store.templates.delete_all(ann.number)


async def test_with_an_account_its_templates_go(store: Store) -> None:
    account = await register(store)
    template_id = await _add(store, account)
    await store.commit(store.accounts.delete(account.id, NOW))
    assert await store.templates.get(template_id) is None
    assert await store.commit(store.templates.change(template_id, TemplateChanges("m"), NOW)) == (False, None)
    assert await store.commit(store.templates.delete(template_id)) == (False, None)
    with pytest.raises(NotFound):
        await _add(store, account)
    again = await register(store)
    assert await store.templates.page(again.number, limit=10, offset=0) == (0, [])


async def test_there_are_not_too_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OF_ACCOUNT", 3)
    account = await register(store)
    results = await asyncio.gather(*(_add(store, account) for _ in range(5)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, InvalidRequest)]
    assert len(refused) == 2 and {error.code for error in refused} == {"TooManyTemplates"}
    await _add(store, None)
