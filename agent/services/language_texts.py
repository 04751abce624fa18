"""Texts for people in a language, one file per language: ``config/FOLDER/LANGUAGE.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


class LanguageTexts:
    """The texts of one language in this folder of ``config``. A key is a path with dots."""

    def __init__(self, folder: str, language: str) -> None:
        import config

        self.language = language
        path = Path(next(iter(config.__path__))) / folder / f"{language}.toml"
        self.table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))

    def text_of(self, key: str, **values: object) -> str:
        """Return a text with its values filled in. Raises ``KeyError`` if there is none."""
        found: Any = self.table
        for step in key.split("."):
            found = found[step]
        return str(found).format(**values) if values else str(found)
