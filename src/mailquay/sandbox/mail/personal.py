"""Letters from people: threads among the three, and mail in many languages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailquay.mime.compose import AttachmentContent
from mailquay.sandbox.mail.contents import make_pdf, make_png
from mailquay.sandbox.mail.letter import ANSWERED, DRAFT, FLAGGED, SEEN, Letter, LetterWriter
from mailquay.sandbox.mail.people import (
    ANN,
    BRUNO,
    CHIYO,
    ELENA,
    JEAN,
    KENJI,
    LUCIA,
    OLGA,
    PEOPLE,
    SAMIR,
    WANG,
    Person,
)

_THREADS: tuple[tuple[str, Sequence[tuple[Person, float, str]]], ...] = (
    (
        "Lighthouse: plan for the spring",
        (
            (ANN, 21.4, "Hi both,\n\nhere is what I would like to finish by April: the roof, the lamp, the stairs.\n"),
            (BRUNO, 20.9, "The roof first, please. I can order slate on Monday.\n"),
            (CHIYO, 20.2, "Agreed. I will ask the harbour office about the lamp.\n\n灯台、楽しみです。\n"),
            (ANN, 18.3, "Great. Then let us meet when the slate is here.\n"),
        ),
    ),
    (
        "Abendessen am Freitag?",
        (
            (BRUNO, 9.6, "Hallo zusammen,\n\nwer hat Lust auf Käsespätzle? Ich koche, ihr spült.\n\nGrüße\nBruno\n"),
            (ANN, 9.4, "Count me in. I bring cider.\n"),
            (CHIYO, 9.1, "私も行きます。デザートは任せて。\n"),
        ),
    ),
    (
        "写真の整理について",
        (
            (
                CHIYO,
                5.2,
                "アンさん、ブルーノさん\n\n去年の写真を共有フォルダに入れました。\n見ておいてください。\n\n千代\n",
            ),
            (BRUNO, 4.7, "Danke, sehr schön! Darf ich drei davon drucken lassen?\n"),
            (CHIYO, 4.1, "もちろん、どうぞ。\n"),
        ),
    ),
    (
        "Slate has arrived",
        (
            (BRUNO, 1.6, "The slate is here, 240 pieces, four broken. Who has a van on Saturday?\n"),
            (CHIYO, 0.9, "I can borrow one until noon.\n"),
        ),
    ),
)
_FOREIGN: tuple[tuple[Person, str, str], ...] = (
    (
        LUCIA,
        "¿Nos vemos en la estación? Mañana a las 8:30",
        "Hola:\n\nel tren sale a las 8:52, así que nos da tiempo a un café.\n",
    ),
    (
        JEAN,
        "Réservation confirmée – été à Besançon",
        "Bonjour,\n\nvotre chambre côté jardin est réservée. À très bientôt !\n",
    ),
    (ELENA, "Отчёт за сентябрь", "Добрый день!\n\nОтчёт готов, посмотрите, пожалуйста, до пятницы.\n\nЕлена\n"),
    (WANG, "关于下周会议的安排", "您好:\n\n会议改到周三上午十点,地点不变。\n\n王小明\n"),
    (SAMIR, "موعد الاجتماع القادم", "مرحبا،\n\nهل يناسبك يوم الثلاثاء الساعة العاشرة؟\n\nسمير\n"),
    (OLGA, "Přání k narozeninám 🎂", "Milá přítelkyně, milý příteli,\n\nvšechno nejlepší, hodně zdraví a štěstí! 🎉\n"),
)


def personal_letters(writer: LetterWriter) -> Iterator[Letter]:
    """Everything that people wrote."""
    for subject, posts in _THREADS:
        yield from _thread(writer, subject, posts)
    for owner in PEOPLE:
        yield from _foreign(writer, owner)
        yield from _with_contents(writer, owner)
        yield from _own(writer, owner)
    yield _japanese(writer)
    yield _russian(writer)


def _thread(writer: LetterWriter, subject: str, posts: Sequence[tuple[Person, float, str]]) -> Iterator[Letter]:
    """A conversation: each post in its author's Sent and in the INBOX of the others."""
    thread: list[Letter] = []
    quoted = ""
    for index, (author, days, text) in enumerate(posts):
        others = [person for person in PEOPLE if person != author]
        shown = subject if not thread else f"Re: {subject}"
        body = text + quoted
        sent = writer.write(author, "Sent", author, shown, days, to=others, text=body, thread=thread, flags=[SEEN])
        yield sent
        last, answered = index == len(posts) - 1, index + 1 < len(posts)
        for other in others:
            answers = answered and posts[index + 1][0] == other
            recent = last and days < 7
            yield sent.put(other, "INBOX", *((SEEN, ANSWERED) if answers else () if recent else (SEEN,)))
        thread.append(sent)
        lines = "\n".join(f"> {line}" if line[:1] != ">" else f">{line}" for line in body.rstrip("\n").split("\n"))
        quoted = f"\nOn {sent.received:%d %B}, {author.name} wrote:\n\n{lines}\n"


def _foreign(writer: LetterWriter, owner: Person) -> Iterator[Letter]:
    for index, (sender, subject, text) in enumerate(_FOREIGN):
        days = 2.5 + index * 4.1 + PEOPLE.index(owner) * 0.7
        flags = [SEEN] if days > 6 else []
        yield writer.write(owner, "INBOX", sender, subject, days, text=text, flags=flags)


def _with_contents(writer: LetterWriter, owner: Person) -> Iterator[Letter]:
    """A picture inside HTML, a document and a picture attached, a message forwarded as attachment."""
    photo = AttachmentContent(make_png(96, 64, (32, 96, 160)), "harbour.png", "image/png", content_id="harbour@mail")
    yield writer.write(
        owner,
        "INBOX",
        LUCIA,
        "Photo from the harbour",
        3.3,
        text="The harbour this morning (see the picture).\n",
        html='<p>The harbour <b>this morning</b>:</p><p><img src="cid:harbour@mail" alt="harbour"></p>',
        attachments=[photo],
    )
    offer = make_pdf(["Offer 2041", "240 pieces of slate, delivered", "Total: 1,180.00"])
    offered = writer.write(
        owner,
        "INBOX",
        JEAN,
        "Devis n° 2041 et photo de l’échantillon",
        11.2,
        text="Bonjour,\n\nvous trouverez ci-joint notre devis.\n\nCordialement,\nJ.-F. Lefèvre\n",
        attachments=[
            AttachmentContent(offer, "devis-2041.pdf", "application/pdf"),
            AttachmentContent(make_png(64, 64, (90, 90, 96)), "échantillon ardoise.png", "image/png"),
        ],
        flags=[SEEN, FLAGGED],
    )
    yield offered
    yield writer.write(
        owner,
        "Archive",
        OLGA,
        "Fwd: Devis n° 2041",
        10.1,
        text="Is this a good price? I attach what they wrote to me.\n",
        attachments=[AttachmentContent(offered.raw, "Devis.eml", "message/rfc822")],
        flags=[SEEN, "$Forwarded"],
    )
    for days, subject in ((29.1, "Keys to the shed"), (27.4, "Map of the old harbour"), (24.8, "Thank you for Sunday")):
        yield writer.write(
            owner, "Archive", OLGA, subject, days, text=f"{subject}: as we said.\n\nOlga\n", flags=[SEEN]
        )


def _own(writer: LetterWriter, owner: Person) -> Iterator[Letter]:
    """A draft, and something thrown away."""
    yield writer.write(
        owner,
        "Drafts",
        owner,
        "Re: Отчёт за сентябрь",
        0.4,
        to=[ELENA],
        text="Dear Elena,\n\nthank you, I have two questions:\n",
        flags=[DRAFT, SEEN],
    )
    yield writer.write(
        owner, "Trash", LUCIA, "Old timetable", 14.5, text="This one is no longer valid.\n", flags=[SEEN]
    )


def _japanese(writer: LetterWriter) -> Letter:
    """As older Japanese programs write: ISO-2022-JP in header and body."""
    text = "千代様\r\n\r\nお世話になっております。見積書をお送りします。\r\n\r\n山田\r\n"
    return writer.assemble(
        CHIYO,
        "INBOX",
        KENJI,
        b"=?ISO-2022-JP?B?GyRCOCtAUT1xJE43bxsoQg==?=",
        7.7,
        "text/plain; charset=ISO-2022-JP",
        b"Content-Transfer-Encoding: 7bit\r\n\r\n" + text.encode("iso2022_jp"),
        flags=[SEEN],
    )


def _russian(writer: LetterWriter) -> Letter:
    """As older Russian programs write: KOI8-R, eight bits."""
    text = "Здравствуйте!\r\n\r\nПривезу документы в понедельник.\r\n\r\nЕлена\r\n"
    return writer.assemble(
        BRUNO,
        "INBOX",
        ELENA,
        b"=?KOI8-R?B?5M/L1c3FztTZ?=",
        8.8,
        "text/plain; charset=koi8-r",
        b"Content-Transfer-Encoding: 8bit\r\n\r\n" + text.encode("koi8-r"),
        flags=[SEEN],
    )
