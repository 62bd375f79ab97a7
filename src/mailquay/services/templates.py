"""Templates that are kept: what callers do with them, and what submissions take of them."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any, Final

from mailquay.errors import NotFound
from mailquay.model.account import Account
from mailquay.model.template import Template, TemplateChanges, TemplateContent, TemplateFormat
from mailquay.services import identifiers
from mailquay.services.ports import Clock
from mailquay.services.presentation import iso
from mailquay.storage.repositories.templates import SHARED
from mailquay.storage.store import Store

_KEPT_CHARACTERS: Final = 8 * 1024 * 1024


class TemplateService:
    """Everything about templates. What was used lately is kept, and used again while its revision is the same."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: OrderedDict[str, tuple[Template, TemplateContent]] = OrderedDict()
        self._kept_characters = 0

    async def create(
        self,
        account: Account | None,
        content: TemplateContent,
        *,
        name: str,
        description: str | None,
        template_format: TemplateFormat,
    ) -> str:
        """Keep a template for an account, or for all; its id.

        Raises NotFound when the account was removed meanwhile, InvalidRequest when there are too many.
        """
        now_ms = self._clock.now_ms()
        public_id = None if account is None else str(account.id)
        template = Template("", public_id, name, description, template_format, now_ms)
        make_id = partial(identifiers.template_id, now_ms, account_id=public_id)
        unit = self._store.templates.add(_number(account), template, content, make_id)
        return await self._store.commit(unit)

    async def page(self, account: Account | None, *, page: int, page_size: int) -> tuple[int, list[dict[str, Any]]]:
        """How many an account has, or are for all, and one page of them without their texts, newest first."""
        total, found = await self._store.templates.page(_number(account), limit=page_size, offset=page * page_size)
        return total, [_shown(template) for template in found]

    async def get(self, template_id: str) -> dict[str, Any]:
        """A template with its texts.

        Raises NotFound (TemplateNotFound).
        """
        found = await self._store.templates.get(template_id)
        if found is None:
            raise _missing()
        template, content = found
        texts = {
            "subject": content.subject,
            "text": content.text,
            "html": content.html,
            "previewText": content.preview_text,
        }
        shown = {key: text for key, text in texts.items() if text is not None}
        return {"account": template.account, **_shown(template), "content": shown}

    async def update(self, template_id: str, changes: TemplateChanges) -> str | None:
        """Change a template; the account that it belongs to.

        Raises NotFound (TemplateNotFound).
        """
        unit = self._store.templates.change(template_id, changes, self._clock.now_ms())
        found, account = await self._store.commit(unit)
        if not found:
            raise _missing()
        return account

    async def delete(self, template_id: str) -> tuple[bool, str | None]:
        """Remove a template; whether there was one, and the account that it belonged to."""
        return await self._store.commit(self._store.templates.delete(template_id))

    async def delete_all(self, account: Account) -> None:
        """Remove every template of an account."""
        await self._store.templates.delete_all(account.number)

    async def usable(self, account: Account, template_id: str) -> tuple[Template, TemplateContent]:
        """A template that the account may use: one of its own, or one for all.

        Raises NotFound (TemplateNotFound), also for those of other accounts.
        """
        revision = await self._store.templates.usable_revision(template_id, account.number)
        if revision is None:
            raise _missing()
        kept = self._kept.get(template_id)
        if kept is not None and kept[0].revision == revision:
            self._kept.move_to_end(template_id)
            return kept
        found = await self._store.templates.get(template_id)
        if found is None:
            raise _missing()
        self._keep(found)
        return found

    def _keep(self, found: tuple[Template, TemplateContent]) -> None:
        former = self._kept.pop(found[0].id, None)
        self._kept[found[0].id] = found
        self._kept_characters += found[1].size - (0 if former is None else former[1].size)
        while self._kept_characters > _KEPT_CHARACTERS:
            _, (_, content) = self._kept.popitem(last=False)
            self._kept_characters -= content.size


def _number(account: Account | None) -> int:
    return SHARED if account is None else account.number


def _missing() -> NotFound:
    return NotFound("there is no such template", code="TemplateNotFound")


def _shown(template: Template) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": template.id, "name": template.name}
    if template.description is not None:
        shown["description"] = template.description
    shown |= {"format": template.format.value, "created": iso(template.created_ms)}
    if template.updated_ms is not None:
        shown["updated"] = iso(template.updated_ms)
    return shown
