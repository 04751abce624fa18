"""The texts of the field page, one file per language: ``config/page/LANGUAGE.toml``."""

from __future__ import annotations

from functools import cache

from agent.services.language_texts import LanguageTexts

LANGUAGES = {"fr": "Français", "de": "Deutsch", "en": "English"}


class PageTexts(LanguageTexts):
    """The texts of one language. A key is a path with dots."""

    def __init__(self, language: str) -> None:
        super().__init__("page", language)

    def text_or(self, key: str, otherwise: str) -> str:
        """Return a text, or ``otherwise`` if there is none of this key: for words of devices and of backends."""
        try:
            return self.text_of(key)
        except (KeyError, TypeError):
            return otherwise

    def number_text(self, number: float, digits: int) -> str:
        text = f"{number:.{digits}f}"
        return text if self.language == "en" else text.replace(".", ",")


@cache
def texts_of_language(language: str) -> PageTexts:
    return PageTexts(language)
