"""Who writes to whom in the sandbox."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.mime.address import Address


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an address; `id` names the account of those who have a mailbox here."""

    name: str
    email: str
    id: str = ""

    @property
    def address(self) -> Address:
        """The address as a header field shows it."""
        return Address(self.name, self.email)

    @property
    def first_name(self) -> str:
        """What friends call them."""
        return self.name.split()[0]


ANN = Person("Ann Archer", "ann@sandbox.test", "ann")
BRUNO = Person("Bruno Müller", "bruno@sandbox.test", "bruno")
CHIYO = Person("Chiyo 千代 Tanaka", "chiyo@sandbox.test", "chiyo")
PEOPLE = (ANN, BRUNO, CHIYO)
CATCH_ALL = Person("Everybody Else", "everybody@elsewhere.test", "elsewhere")
"""Mail for all other domains ends here."""

ELENA = Person("Елена Соколова", "elena@contoso.example")
LUCIA = Person("Lucía Fernández", "lucia@correo.example")
JEAN = Person("Jean-François Lefèvre", "jf@courrier.example")
WANG = Person("王小明", "wang@youjian.example")
SAMIR = Person("سمير حداد", "samir@barid.example")
KENJI = Person("山田 健二", "kenji@yubin.example")
OLGA = Person("Olga Novák", "olga@posta.example")
SHOP = Person("Paper & Pen", "orders@paper-and-pen.example")
BANK = Person("Harbour Bank", "no-reply@harbour-bank.example")
DAILY = Person("The Daily Parcel", "news@daily-parcel.example")
FORGE = Person("Forge CI", "builds@forge.example")
POSTMASTER = Person("Mail Delivery System", "mailer-daemon@sandbox.test")
PRIZES = Person("PRIZE DEPARTMENT", "winner@you-have-won.example")
