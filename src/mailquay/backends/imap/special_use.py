"""What a mailbox is for: from SPECIAL-USE and XLIST attributes, else from its name in many languages."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence

from mailquay.model.mailbox import ListedMailbox

_ATTRIBUTES = {
    "\\all": "\\All",
    "\\allmail": "\\All",
    "\\archive": "\\Archive",
    "\\drafts": "\\Drafts",
    "\\flagged": "\\Flagged",
    "\\starred": "\\Flagged",
    "\\junk": "\\Junk",
    "\\spam": "\\Junk",
    "\\sent": "\\Sent",
    "\\trash": "\\Trash",
    "\\inbox": "\\Inbox",
}

_NO_LABELS = frozenset(["\\All", "\\Junk", "\\Trash"])

_NAMES = {
    "\\Sent": """sent
        |sent mail|sent messages|sent items|sent-mail|outgoing|gesendet|gesendete elemente|gesendete objekte
        |gesendete nachrichten|envoyés|éléments envoyés|messages envoyés|enviados|elementos enviados|mensajes enviados
        |itens enviados|correo enviado|posta inviata|inviati|inviata|verzonden|verzonden items|verzonden berichten
        |skickat|skickade objekt|sendt|sendte elementer|sendt post|sendte beskeder|lähetetyt|saadetud|saadetud kirjad
        |wysłane|elementy wysłane|odeslané|odoslané|elküldött|elküldött elemek|trimise|elemente trimise|изпратени
        |отправленные|отправленные письма|надіслані|відправлені|gönderilmiş öğeler|gönderilenler|gönderilen
        |送信済み|送信済みアイテム|送信済みメール|보낸편지함|보낸 메일함|已发送|已发送邮件|已发邮件|寄件備份|已傳送""",
    "\\Drafts": """drafts|draft|entwürfe|entwurf|brouillons|brouillon|borradores|borrador|rascunhos|bozze|concepten
        |utkast|kladder|kladde|luonnokset|mustandid|szkice|wersje robocze|kopie robocze|koncepty|rozpísané|piszkozatok
        |ciorne|чернови|черновики|чернетки|taslaklar|taslak|下書き|임시보관함|임시 보관함|草稿|草稿箱|草稿匣""",
    "\\Junk": """junk|junk e-mail|junk email|junk mail|spam|bulk mail|bulk|spamverdacht|junk-e-mail|unerwünscht|werbung
        |courrier indésirable|indésirables|pourriel|correo no deseado|no deseado|lixo eletrônico|lixo eletrónico
        |posta indesiderata|ongewenste e-mail|ongewenste reclame|skräppost|søppelpost|uønsket e-mail|uønsket post
        |roskaposti|rämpspost|wiadomości-śmieci|niechciane|nevyžádaná pošta|nevyžiadaná pošta|levélszemét|спам
        |нежелательная почта|небажана пошта|önemsiz|önemsiz e-posta|istenmeyen posta|迷惑メール|迷惑メールフォルダ
        |스팸메일함|스팸 메일함|스팸|垃圾邮件|垃圾箱|垃圾郵件|垃圾信件匣""",
    "\\Trash": """trash|deleted|deleted items|deleted messages|bin|waste|wastebasket|papierkorb|gelöscht
        |gelöschte elemente|gelöschte objekte|gelöschte nachrichten|corbeille|éléments supprimés|supprimés|papelera
        |elementos eliminados|eliminados|lixeira|lixo|itens excluídos|itens eliminados|cestino|posta eliminata|eliminati
        |prullenbak|verwijderde items|papperskorgen|borttagna objekt|papirkurv|slettede elementer|slettet post
        |slettede beskeder|roskakori|poistetut|prügikast|kustutatud|kosz|elementy usunięte|koš|odstraněná pošta
        |kôš|odstránené|kuka|lomtár|törölt elemek|coș de gunoi|elemente șterse|кошче|корзина|удаленные|удалённые
        |кошик|видалені|çöp kutusu|silinmiş öğeler|çöp|ゴミ箱|ごみ箱|削除済みアイテム|휴지통|지운 편지함|已删除
        |已删除邮件|废件箱|刪除的郵件|垃圾桶|刪除""",
    "\\Archive": """archive|archives|archiv|archivé|archivés|archivo|archivados|arquivo|arquivados|archivio|archiviati
        |archief|arkiv|arkiverat|arkisto|arhiiv|archiwum|archív|archívum|arhivă|архив|архів|arşiv|アーカイブ|보관함
        |归档|存档|封存""",
}
_BY_NAME = {
    unicodedata.normalize("NFKC", name.strip()).casefold(): use
    for use, names in _NAMES.items()
    for name in names.replace("\n", " ").split("|")
}


def with_special_use(listed: Sequence[ListedMailbox]) -> list[ListedMailbox]:
    """The mailboxes with their special use (RFC 6154 §2), each use at most once: attributes win over names.

    The attributes are lower case. INBOX is the inbox whatever its attributes.
    """
    taken: dict[str, str] = {}
    sources: dict[str, str] = {}
    for box in listed:
        use = "\\Inbox" if box.path.upper() == "INBOX" else _attribute_use(box)
        if use is not None and use not in sources:
            sources[use] = "name" if use == "\\Inbox" else "extension"
            taken[box.path] = use
    for box in sorted(listed, key=lambda item: (item.path.count(item.delimiter or "/"), item.path)):
        use = _BY_NAME.get(unicodedata.normalize("NFKC", box.name).casefold())
        if use is not None and use not in sources and box.path not in taken and box.selectable:
            sources[use] = "name"
            taken[box.path] = use
    return [
        dataclasses.replace(box, special_use=taken[box.path], special_use_source=sources[taken[box.path]])
        if box.path in taken
        else box
        for box in listed
    ]


def with_labels(listed: Sequence[ListedMailbox]) -> list[ListedMailbox]:
    """Tell the labels of a Gmail server from the mailboxes, which are All Mail and what is not part of it.

    Users can hide All Mail from IMAP: then each label has to do as a mailbox, and nothing is told.
    """
    if not any(box.special_use == "\\All" and box.selectable for box in listed):
        return list(listed)
    return [
        dataclasses.replace(box, label=box.special_use not in _NO_LABELS, all_mail=box.special_use == "\\All")
        for box in listed
    ]


def _attribute_use(box: ListedMailbox) -> str | None:
    return next((_ATTRIBUTES[name] for name in sorted(box.attributes) if name in _ATTRIBUTES), None)
