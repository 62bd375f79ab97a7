"""Folders that hold no mail: Exchange lists its calendars, contacts, tasks, notes and journals like mailboxes."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from mailquay.model.mailbox import ListedMailbox
from mailquay.wire.imap.identification import IdParameters

_EXCHANGE: Final = re.compile(r"Microsoft[. ]Exchange", re.IGNORECASE)

_NAMES: Final = """calendar|kalender|calendrier|calendario|calendário|agenda|kalendarz|kalendář|kalendár|naptár
    |kalenteri|календарь|календар|takvim|予定表|일정|日历|行事曆|לוח שנה|التقويم
    |contacts|kontakte|contactos|contatti|contatos|contactpersonen|kontakter|yhteystiedot|kontakty|névjegyalbum
    |контакты|контакти|kişiler|連絡先|연락처|联系人|連絡人|אנשי קשר|جهات الاتصال
    |tasks|aufgaben|tâches|tareas|attività|tarefas|taken|uppgifter|opgaver|oppgaver|tehtävät|zadania|úkoly|úlohy
    |feladatok|задачи|завдання|görevler|タスク|仕事|작업|任务|工作|משימות|المهام
    |notes|notizen|notas|note|notities|anteckningar|noter|notater|muistiinpanot|notatki|poznámky|feljegyzések
    |заметки|нотатки|notlar|メモ|메모|便笺|記事|פתקים|الملاحظات
    |journal|diario|diário|logboek|dagbok|päiväkirja|dziennik|deník|denník|napló|дневник|щоденник|günlük|履歴
    |업무 일지|日记|日誌|יומן|دفتر اليومية"""
_BY_NAME: Final = frozenset(
    unicodedata.normalize("NFKC", name.strip()).casefold() for name in _NAMES.replace("\n", " ").split("|")
)


def is_groupware(greeting: str, identity: IdParameters) -> bool:
    """Whether a server says, in its greeting or by ID (RFC 2971), that it is one whose folders are not all mail."""
    return any(_EXCHANGE.search(text) for text in (greeting, *(value or "" for _, value in identity)))


def with_groupware(listed: Sequence[ListedMailbox]) -> list[ListedMailbox]:
    """The mailboxes of such a server; its own folders at the top, by name in many languages, and all below them.

    There can be no mail folder of the same name beside them. A name alone, on any other server, says nothing.
    """
    return [dataclasses.replace(box, groupware=True) if _is_no_mail(box) else box for box in listed]


def _is_no_mail(box: ListedMailbox) -> bool:
    top = box.path.partition(box.delimiter)[0] if box.delimiter else box.path
    return box.special_use is None and unicodedata.normalize("NFKC", top).casefold() in _BY_NAME
