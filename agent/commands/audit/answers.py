"""Answers that were prepared for an audit without a person: a TOML file, by id of the obligation or by question."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from agent.scenario.target import Person
from agent.station_file.settings import SettingsError


class PreparedPerson:
    """Gives the prepared answers, and has another person answer the rest. ``obligation_id``: what is exercised now."""

    def __init__(self, answers: Mapping[str, str], other: Person) -> None:
        self._answers, self._other = answers, other
        self.obligation_id = ""

    async def answer_question(self, question: str, patience_s: float) -> str | None:
        for key in (question, self.obligation_id):
            if key in self._answers:
                return self._answers[key]
        return await self._other.answer_question(question, patience_s)


def load_answers(path: Path | None) -> dict[str, str]:
    """Return the answers of a file, by id or question. Raises ``SettingsError``."""
    if path is None:
        return {}
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise SettingsError([f"{path}: cannot be read: {e.strerror}"]) from None
    except ValueError as e:
        raise SettingsError([f"{path}: {e}"]) from None
    table = raw.get("answers")
    if not isinstance(table, dict) or set(raw) != {"answers"}:
        raise SettingsError([f'{path}: must have one table [answers], with lines like "identity.seal" = "yes"'])
    if wrong := [key for key, value in table.items() if not isinstance(value, str | int | float)]:
        raise SettingsError([f"{path}: answers.{key}: must be a text" for key in wrong])
    return {key: _answer_text(value) for key, value in table.items()}


def _answer_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
