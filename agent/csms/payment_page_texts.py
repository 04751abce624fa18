"""The texts of the demonstration's payment page, in the languages of the telephones that scan its codes."""

from __future__ import annotations

from collections.abc import Mapping

PAGE_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Station {station}, outlet {outlet}",
        "demonstration": "A demonstration: no money is involved.",
        "price": "{price} € per kWh, VAT included",
        "limits": "At most {limits}",
        "continue": "Continue to payment",
        "kept": "The outlet is kept for you for a minute.",
        "pay": "Pay and charge",
        "cancel": "Cancel",
        "waiting": "Waiting for your car",
        "plug_in": "Please plug in.",
        "charging": "Charging",
        "receipt": "Receipt",
        "period": "{begin} to {end}",
        "cancelled": "Cancelled",
        "not_started": "The charge could not be started",
        "nothing_taken": "Nothing was taken from your account.",
        "unknown": "Unknown address",
        "unknown_do": "Please scan the code on the station's display.",
        "invalid": "This code is not valid",
        "invalid_do": "It changes every half minute. Please scan it again.",
        "used": "This code was used already",
        "used_do": "Please scan the one on the display now.",
        "in_use": "This outlet is in use",
        "in_use_do": "Please choose another one.",
    },
    "fr": {
        "title": "Borne {station}, prise {outlet}",
        "demonstration": "Une démonstration : il n’y a pas d’argent en jeu.",
        "price": "{price} € par kWh, TVA comprise",
        "limits": "Au plus {limits}",
        "continue": "Continuer vers le paiement",
        "kept": "La prise vous est réservée pendant une minute.",
        "pay": "Payer et recharger",
        "cancel": "Annuler",
        "waiting": "En attente de votre véhicule",
        "plug_in": "Branchez votre véhicule, s’il vous plaît.",
        "charging": "Recharge en cours",
        "receipt": "Reçu",
        "period": "{begin} à {end}",
        "cancelled": "Annulé",
        "not_started": "La recharge n’a pas pu démarrer",
        "nothing_taken": "Rien n’a été débité.",
        "unknown": "Adresse inconnue",
        "unknown_do": "Scannez le code à l’écran de la borne, s’il vous plaît.",
        "invalid": "Ce code n’est pas valable",
        "invalid_do": "Il change toutes les trente secondes. Scannez-le de nouveau, s’il vous plaît.",
        "used": "Ce code a déjà servi",
        "used_do": "Scannez celui qui est maintenant à l’écran, s’il vous plaît.",
        "in_use": "Cette prise est occupée",
        "in_use_do": "Choisissez-en une autre, s’il vous plaît.",
    },
    "de": {
        "title": "Ladesäule {station}, Ladepunkt {outlet}",
        "demonstration": "Eine Vorführung: es geht nicht um Geld.",
        "price": "{price} € je kWh, inkl. MwSt.",
        "limits": "Höchstens {limits}",
        "continue": "Weiter zur Zahlung",
        "kept": "Der Ladepunkt wird eine Minute für Sie freigehalten.",
        "pay": "Zahlen und laden",
        "cancel": "Abbrechen",
        "waiting": "Warten auf Ihr Fahrzeug",
        "plug_in": "Bitte Fahrzeug anstecken.",
        "charging": "Fahrzeug lädt",
        "receipt": "Beleg",
        "period": "{begin} bis {end}",
        "cancelled": "Abgebrochen",
        "not_started": "Der Ladevorgang konnte nicht beginnen",
        "nothing_taken": "Es wurde nichts abgebucht.",
        "unknown": "Unbekannte Adresse",
        "unknown_do": "Bitte den Code auf der Anzeige der Ladesäule scannen.",
        "invalid": "Dieser Code gilt nicht",
        "invalid_do": "Er wechselt jede halbe Minute. Bitte noch einmal scannen.",
        "used": "Dieser Code ist verbraucht",
        "used_do": "Bitte den scannen, der jetzt auf der Anzeige steht.",
        "in_use": "Dieser Ladepunkt ist in Gebrauch",
        "in_use_do": "Bitte einen anderen wählen.",
    },
}


class PaymentPageTexts:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def text_of(self, key: str, **values: object) -> str:
        return PAGE_TEXTS[self.language][key].format(**values)

    def figure_text(self, figure: str) -> str:
        """Return a figure with the decimal sign of the language."""
        return figure if self.language == "en" else figure.replace(".", ",")
