from __future__ import annotations

from mailquay.mime.content import find_attachments, find_texts
from mailquay.mime.message import parse_message
from tests.mime.test_message import MIXED, crlf

MAIL = """Content-Type: multipart/mixed; boundary=M

--M
Content-Type: multipart/related; boundary=R

--R
Content-Type: text/html; charset=utf-8

<img src="cid:logo">
--R
Content-Type: image/png; name=logo.png
Content-ID: <logo>
Content-Transfer-Encoding: base64

aGk=
--R
Content-Type: image/gif
Content-Disposition: attachment; filename=x.gif

gif
--R--
--M
Content-Type: text/plain; format=flowed

flowed{space}
line
--M
Content-Type: text/plain

second
--M
Content-Type: text/csv
Content-Disposition: attachment; filename=a.csv

1,2
--M
Content-Type: text/calendar

BEGIN:VCALENDAR
--M
Content-Type: application/pdf
Content-Disposition: inline; filename=b.pdf

pdf
--M
Content-Type: message/rfc822

Content-Type: multipart/mixed; boundary=I

--I

inner text
--I
Content-Type: application/zip
Content-Disposition: attachment; filename=c.zip

zip
--I--
--M--
""".replace("{space}", " ")


def test_texts() -> None:
    texts = find_texts(parse_message(crlf(MAIL)))
    assert texts.plain_text() == "flowed line\nsecond"
    assert texts.html_text() == '<img src="cid:logo">'
    assert [part.number for part in texts.other] == ["5"]


def test_attachments() -> None:
    rows = [
        (a.part.number, a.content_type, a.filename, a.content_id, a.embedded, a.inline, a.encoded_in_message)
        for a in find_attachments(parse_message(crlf(MAIL)))
    ]
    assert rows == [
        ("1.2", "image/png", "logo.png", "<logo>", True, True, False),
        ("1.3", "image/gif", "x.gif", None, True, False, False),
        ("4", "text/csv", "a.csv", None, False, False, False),
        ("6", "application/pdf", "b.pdf", None, False, True, False),
        ("7", "message/rfc822", None, None, False, False, False),
        ("7.2", "application/zip", "c.zip", None, False, False, True),
    ]


def test_encoded_size_is_the_transferred_one() -> None:
    sizes = [a.encoded_size for a in find_attachments(parse_message(crlf(MAIL)))]
    assert sizes[0] == 4


def test_embedded_messages_do_not_add_to_the_text() -> None:
    assert find_texts(parse_message(crlf(MIXED))).plain_text() == "one\ntwo\n"


def test_multipart_without_parts_reads_as_text() -> None:
    message = parse_message(b"Content-Type: multipart/mixed; boundary=a\n\nwords in the wrong place")
    assert find_texts(message).plain_text() == "words in the wrong place"


def test_charset_from_meta() -> None:
    message = parse_message(b'Content-Type: text/html\n\n<meta charset="iso-8859-1"><p>caf\xe9 \xe0 la')
    assert find_texts(message).html_text().endswith("café à la")
