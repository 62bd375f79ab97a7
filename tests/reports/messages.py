"""Reports for tests, put together from their parts."""

from __future__ import annotations

from mailquay.reports.source import ReportSource, read_source

ORIGINAL = "From: me@sender.example\nTo: you@receiver.example\nSubject: Hello\nMessage-ID: <one@sender.example>\n"


def notice(text: str, *, header: str = "") -> ReportSource:
    """A bounce that is nothing but prose."""
    return read_source(
        f"From: Mail Delivery System <mailer-daemon@mx.example>\nSubject: Returned mail\n{header}\n{text}".encode()
    )


def multipart(*parts: tuple[str, str], kind: str = "delivery-status", header: str = "") -> bytes:
    """A multipart/report of parts with their types."""
    body = "".join(f"--b\nContent-Type: {content_type}\n\n{content}\n" for content_type, content in parts)
    return (
        "From: Mail Delivery System <mailer-daemon@mx.example>\nSubject: Undelivered Mail Returned to Sender\n"
        f'{header}MIME-Version: 1.0\nContent-Type: multipart/report; report-type={kind}; boundary="b"\n\n'
        f"{body}--b--\n"
    ).encode()


def dsn(status: str, *, original: tuple[str, str] | None = ("message/rfc822", ORIGINAL + "\nHello\n")) -> ReportSource:
    """A delivery status notification, with the original behind it."""
    parts = [("text/plain", "It could not be delivered."), ("message/delivery-status", status)]
    return read_source(multipart(*parts, *([original] if original is not None else [])))
