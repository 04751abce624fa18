"""What a person at the terminal is asked, in English, French or German: ``config/prompts``, one file per language."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.scenario.grammar import KINDS
from agent.scenario.wording import ENGLISH, Wording, step_in_words

MARK = ">>> "
"""Before each prompt, so that it is found among the lines of a run."""


class PromptTexts:
    """The texts of one language."""

    def __init__(self, language: str = "en") -> None:
        import config

        path = Path(next(iter(config.__path__))) / "prompts" / f"{language}.toml"
        self.table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        deeds = self.table.get("deeds")
        self._wording = Wording(deeds, self.table["values"], self.table["options"]) if deeds else ENGLISH

    def describe_deed(self, kind: str, values: Mapping[str, Any]) -> str:
        return step_in_words(KINDS[kind], values, self._wording)

    def ask_person_for_deed(self, what: str, patience_s: float) -> str:
        return self._fill_words("deed", what=what, seconds=f"{patience_s:g}")

    def ask_question_of_person(self, question: str, patience_s: float) -> str:
        return self._fill_words("question", question=question, seconds=f"{patience_s:g}")

    def ask_backend_to_send(self, action: str, payload: str, station: str, patience_s: float) -> str:
        return self._fill_words("backend", action=action, payload=payload, station=station, seconds=f"{patience_s:g}")

    def display_question(self, evse: int, screens: tuple[str, ...]) -> str:
        """Return the question whether the display shows one of these screens."""
        words, known = self.table["words"], self.table["screens"]
        named = [known.get(name) or words["other_screen"].format(name=name) for name in screens]
        return str(words["display"].format(evse=evse, screens=words["or"].join(named)))

    def hidden_payload(self, mark: str) -> str:
        """Return what stands in the place of a payload that holds a secret."""
        return str(self.table["words"]["secret"].format(hidden=mark))

    def time_left_in_words(self, seconds: float, what: str) -> str:
        return str(self.table["words"]["seconds_left"].format(seconds=f"{seconds:.0f}", what=what))

    def _fill_words(self, name: str, **values: str) -> str:
        return MARK + str(self.table["words"][name].format(**values))
