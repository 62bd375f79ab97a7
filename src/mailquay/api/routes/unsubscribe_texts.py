"""What the page of a subscription says, in every language that we have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Texts:
    """`{address}` is the recipient's."""

    title: str
    subscribed: str
    unsubscribed: str
    unsubscribe: str
    subscribe: str
    invalid: str


TEXTS = {
    "en": Texts(
        title="Subscription",
        subscribed="This mailing is sent to {address}.",
        unsubscribed="This mailing is no longer sent to {address}.",
        unsubscribe="Unsubscribe",
        subscribe="Subscribe again",
        invalid="This link is not valid, or no longer.",
    ),
    "et": Texts(
        title="Tellimus",
        subscribed="See uudiskiri saadetakse aadressile {address}.",
        unsubscribed="Seda uudiskirja aadressile {address} enam ei saadeta.",
        unsubscribe="Loobu tellimusest",
        subscribe="Telli uuesti",
        invalid="See link ei kehti või ei kehti enam.",
    ),
    "fr": Texts(
        title="Abonnement",
        subscribed="Cette lettre est envoyée à {address}.",
        unsubscribed="Cette lettre n’est plus envoyée à {address}.",
        unsubscribe="Se désabonner",
        subscribe="Se réabonner",
        invalid="Ce lien n’est pas valable, ou ne l’est plus.",
    ),
    "de": Texts(
        title="Abonnement",
        subscribed="Diese Nachrichten gehen an {address}.",
        unsubscribed="Diese Nachrichten gehen nicht mehr an {address}.",
        unsubscribe="Abbestellen",
        subscribe="Wieder bestellen",
        invalid="Dieser Link ist nicht oder nicht mehr gültig.",
    ),
    "pl": Texts(
        title="Subskrypcja",
        subscribed="Te wiadomości są wysyłane na adres {address}.",
        unsubscribed="Te wiadomości nie są już wysyłane na adres {address}.",
        unsubscribe="Wypisz się",
        subscribe="Zapisz się ponownie",
        invalid="Ten link jest nieprawidłowy lub już nie działa.",
    ),
    "ja": Texts(
        title="配信設定",
        subscribed="このメールは {address} に配信されています。",
        unsubscribed="このメールは {address} には配信されません。",
        unsubscribe="配信を停止する",
        subscribe="もう一度配信を受ける",
        invalid="このリンクは無効か、期限が切れています。",
    ),
    "nl": Texts(
        title="Abonnement",
        subscribed="Deze berichten worden naar {address} gestuurd.",
        unsubscribed="Deze berichten worden niet meer naar {address} gestuurd.",
        unsubscribe="Afmelden",
        subscribe="Opnieuw aanmelden",
        invalid="Deze link is niet of niet meer geldig.",
    ),
}
