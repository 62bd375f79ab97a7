"""Letters from machines: newsletters, receipts, notices, an invitation, an auto-reply, a bounce, junk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from mailquay.mime.compose import AttachmentContent
from mailquay.sandbox.mail.contents import make_appointment, make_pdf, make_png
from mailquay.sandbox.mail.letter import FLAGGED, SEEN, Letter, LetterWriter, join_parts
from mailquay.sandbox.mail.people import BANK, BRUNO, DAILY, ELENA, FORGE, PEOPLE, POSTMASTER, PRIZES, SHOP, Person

_ISSUES = (
    ("Parcels of the week: slate, string, and a lamp", 1.1),
    ("Why letters still matter", 8.2),
    ("Ten envelopes you will love", 15.3),
    ("The post office on the mountain", 22.2),
)
_BUILDS = (
    ("lighthouse#412 passed", 0.2),
    ("lighthouse#411 failed: 1 of 86 tests", 0.6),
    ("lighthouse#398 passed", 6.3),
    ("lighthouse#377 passed", 13.4),
)


def machine_letters(writer: LetterWriter) -> Iterator[Letter]:
    """Everything that no person wrote."""
    for owner in PEOPLE:
        for subject, days in _ISSUES:
            yield _newsletter(writer, owner, subject, days)
        for subject, days in _BUILDS:
            yield _build(writer, owner, subject, days)
        yield _receipt(writer, owner)
        yield _notice(writer, owner)
        yield _auto_reply(writer, owner)
        yield _bounce(writer, owner)
        yield from _junk(writer, owner)
        if owner != BRUNO:
            yield _invitation(writer, owner)


def _newsletter(writer: LetterWriter, owner: Person, subject: str, days: float) -> Letter:
    link = f"https://daily-parcel.example/u/{owner.id}"
    logo = AttachmentContent(make_png(120, 24, (180, 40, 40)), "logo.png", "image/png", content_id="logo@daily-parcel")
    return writer.write(
        owner,
        "INBOX",
        DAILY,
        subject,
        days,
        text=f"{subject}\n\nRead it at https://daily-parcel.example/\n\nUnsubscribe: {link}\n",
        html=(
            f'<table width="100%"><tr><td><img src="cid:logo@daily-parcel" alt="The Daily Parcel"></td></tr>'
            f"<tr><td><h1>{subject}</h1><p>Dear {owner.first_name}, this week we visit those who still write.</p>"
            f'<p><a href="https://daily-parcel.example/">Read more</a></p><p><small><a href="{link}">Unsubscribe</a>'
            f"</small></p></td></tr></table>"
        ),
        attachments=[logo],
        headers=[
            ("List-Id", "The Daily Parcel <weekly.daily-parcel.example>"),
            ("List-Unsubscribe", f"<{link}>, <mailto:unsubscribe@daily-parcel.example?subject={owner.id}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("Precedence", "bulk"),
        ],
        flags=[SEEN] if days > 10 else [],
    )


def _build(writer: LetterWriter, owner: Person, subject: str, days: float) -> Letter:
    text = f"{subject}\n\nSee https://forge.example/lighthouse for the log.\n"
    headers = [("Auto-Submitted", "auto-generated"), ("X-Forge-Project", "lighthouse")]
    flags = [SEEN] if days > 3 else []
    return writer.write(owner, "INBOX", FORGE, f"[forge] {subject}", days, text=text, headers=headers, flags=flags)


def _receipt(writer: LetterWriter, owner: Person) -> Letter:
    invoice = make_pdf(["Paper & Pen", "Invoice 77-1204", f"For {owner.email}", "2 notebooks: 17.80"])
    return writer.write(
        owner,
        "INBOX",
        SHOP,
        "Your order 77-1204 is on its way",
        4.4,
        text="Thank you for your order.\n\n2 notebooks  17.80\n\nYour invoice is attached.\n",
        html="<h2>Thank you for your order</h2><table><tr><td>2 notebooks</td><td>17.80</td></tr></table>",
        attachments=[AttachmentContent(invoice, "invoice-77-1204.pdf", "application/pdf")],
        headers=[("Auto-Submitted", "auto-generated")],
        flags=[FLAGGED],
    )


def _notice(writer: LetterWriter, owner: Person) -> Letter:
    html = f"<p>Dear {owner.first_name},</p><p>your statement is ready. We never ask for your password.</p>"
    return writer.write(owner, "INBOX", BANK, "Your statement is ready", 16.6, html=html, flags=[SEEN])


def _auto_reply(writer: LetterWriter, owner: Person) -> Letter:
    return writer.write(
        owner,
        "INBOX",
        ELENA,
        "Automatic reply: Lighthouse: plan for the spring",
        12.1,
        text="I am away until Monday and will answer then.\n\nЯ в отпуске до понедельника.\n",
        headers=[("Auto-Submitted", "auto-replied"), ("X-Auto-Response-Suppress", "All")],
        flags=[SEEN],
    )


def _bounce(writer: LetterWriter, owner: Person) -> Letter:
    """A delivery status notification with the message that could not be delivered."""
    lost = Person("", "nobody@closed.example")
    original = writer.write(owner, "Sent", owner, "Are you there?", 6.6, to=[lost], text="Hello?\n")
    boundary = writer.boundary()
    status = (
        "Reporting-MTA: dns; smtp.sandbox.test\r\n\r\n"
        f"Final-Recipient: rfc822; {lost.email}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Remote-MTA: dns; mx.closed.example\r\nDiagnostic-Code: smtp; 550 5.1.1 There is no such user here\r\n"
    )
    text = f"Your message to {lost.email} could not be delivered.\r\n"
    body = join_parts(
        boundary,
        [
            ("Content-Type: text/plain; charset=us-ascii", text.encode("ascii")),
            ("Content-Type: message/delivery-status", status.encode("ascii")),
            ("Content-Type: message/rfc822", original.raw),
        ],
    )
    return writer.assemble(
        owner,
        "INBOX",
        POSTMASTER,
        "Undelivered Mail Returned to Sender",
        6.5,
        f'multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
        body,
        headers=[("Auto-Submitted", "auto-replied"), ("In-Reply-To", original.message_id)],
    )


def _invitation(writer: LetterWriter, owner: Person) -> Letter:
    boundary = writer.boundary()
    start = (writer.now + timedelta(days=2)).replace(minute=0, second=0)
    guests = [person.email for person in PEOPLE if person != BRUNO]
    calendar = make_appointment(f"{boundary[2:14]}@sandbox.test", "Slate on the roof", start, BRUNO.email, guests)
    text = f"Bruno invites you: Slate on the roof, {start:%d %B, %H:%M} UTC\r\n"
    body = join_parts(
        boundary,
        [
            ("Content-Type: text/plain; charset=utf-8", text.encode("utf-8")),
            ("Content-Type: text/calendar; charset=utf-8; method=REQUEST", calendar.encode("utf-8")),
        ],
    )
    content_type = f'multipart/alternative;\r\n boundary="{boundary}"'
    return writer.assemble(owner, "INBOX", BRUNO, "Invitation: Slate on the roof", 1.3, content_type, body)


def _junk(writer: LetterWriter, owner: Person) -> Iterator[Letter]:
    for days, subject in ((0.8, "Y O U   H A V E   W O N"), (10.9, "Re: your parcel waits"), (19.5, "Cheap slate!!!")):
        html = f'<body bgcolor="#ffff00"><font size="7">{subject}</font><br>Claim now, {owner.email}!</body>'
        yield writer.write(owner, "Junk", PRIZES, subject, days, html=html, flags=["$Junk"])
