"""Templates, of one account or for all."""

from __future__ import annotations

from collections.abc import Callable

from mailquay.errors import InvalidRequest, NotFound
from mailquay.model.template import Template, TemplateChanges, TemplateContent, TemplateFormat
from mailquay.storage.interface import Database, Pending, Row, Run, Script, Unit

SHARED = 0
"""The account number of templates that every account may use."""

MAX_OF_ACCOUNT = 10_000
_DELETED_AT_ONCE = 4
"""Each may have 10 MB."""


class TemplateRepository:
    """Reads and units of work about templates. `account` is an account's number, or SHARED."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, account: int, *, limit: int, offset: int) -> tuple[int, list[Template]]:
        """How many there are, and one page of them, newest first."""
        [(total,)] = await self._database.fetch("template_count", account)
        rows = await self._database.fetch("template_page", account, limit, offset)
        return int(total), [_template(row) for row in rows]

    async def get(self, template_id: str) -> tuple[Template, TemplateContent] | None:
        """A template with its texts, which may be long."""
        rows = await self._database.fetch("template_by_id", template_id)
        return (_template(rows[0][:8]), TemplateContent(*rows[0][8:])) if rows else None

    async def usable_revision(self, template_id: str, account: int) -> int | None:
        """The revision of a template that is the account's or for all; None when there is none."""
        rows = await self._database.point("template_usable", template_id, account)
        return int(rows[0][0]) if rows else None

    def add(
        self, account: int, template: Template, content: TemplateContent, make_id: Callable[[int], str]
    ) -> Unit[str]:
        """Store a new template under the id that `make_id` gives to its number; that id.

        Raises NotFound when the account was removed meanwhile, InvalidRequest (TooManyTemplates).
        """

        def script(_pending: Pending) -> Script[str]:
            if account != SHARED and not (yield Run("account_hold", (account,))):
                raise NotFound("the account has been removed")
            [(number,)] = yield Run("id_draw")
            [(count,)] = yield Run("template_count", (account,))
            if count >= MAX_OF_ACCOUNT:
                raise InvalidRequest(f"there are {MAX_OF_ACCOUNT} templates already", code="TooManyTemplates")
            template_id = make_id(number)
            meta = (template.name, template.description, template.format.value, template.created_ms)
            yield Run("template_insert", (number, template_id, account, *meta, *_texts(content)))
            return template_id

        return script

    def change(self, template_id: str, changes: TemplateChanges, now_ms: int) -> Unit[tuple[bool, str | None]]:
        """Change a template; whether there is one, and the public id of its account."""

        def script(_pending: Pending) -> Script[tuple[bool, str | None]]:
            kind = None if changes.format is None else changes.format.value
            rows = yield Run("template_update", (template_id, changes.name, changes.description, kind, now_ms))
            if not rows:
                return False, None
            if changes.content is not None:
                yield Run("template_update_content", (template_id, *_texts(changes.content)))
            return True, (yield from _public_id(rows[0][0]))

        return script

    def delete(self, template_id: str) -> Unit[tuple[bool, str | None]]:
        """Remove a template; whether there was one, and the public id of its account."""

        def script(_pending: Pending) -> Script[tuple[bool, str | None]]:
            rows = yield Run("template_delete", (template_id,))
            return (True, (yield from _public_id(rows[0][0]))) if rows else (False, None)

        return script

    async def delete_all(self, account: int) -> None:
        """Remove every template that an account has now, a few in each transaction."""
        [(newest,)] = await self._database.fetch("template_newest", account)

        def script(_pending: Pending) -> Script[bool]:
            return bool((yield Run("template_delete_some", (account, newest, _DELETED_AT_ONCE))))

        while await self._database.commit(script):
            continue


def _public_id(account: int) -> Script[str | None]:
    rows = yield Run("template_account", (account,))
    return rows[0][0] if rows else None


def _texts(content: TemplateContent) -> tuple[str | None, ...]:
    return content.subject, content.text, content.html, content.preview_text


def _template(row: Row) -> Template:
    template_id, account, name, description, kind, created_ms, updated_ms, revision = row
    return Template(
        id=template_id,
        account=account,
        name=name,
        description=description,
        format=TemplateFormat(kind),
        created_ms=created_ms,
        updated_ms=updated_ms,
        revision=revision,
    )
