"""A step in words: what a person is asked to do, and its title in reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.model.fastclass import frozen
from agent.scenario.grammar import COMMON, StepKind

USUAL: Mapping[str, Any] = {"evse": 1, "side": "station", "behaviour": "approve", "active": True, "sender": "station"}
"""Values that a sentence names although a file may leave them out."""
_UNSAID = {key.name for key in COMMON} | {"within_s", "set", "car", "for_s", "hold_s", "simulated", "payload"}
"""Not in a sentence; ``payload`` may hold a password."""


@frozen
class Wording:
    """Words of another language. ``sentences``: by kind of step; ``values`` and ``options``: by their English name.
    What is missing stays English."""

    sentences: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


ENGLISH = Wording()


def step_in_words(kind: StepKind, values: Mapping[str, Any], wording: Wording = ENGLISH) -> str:
    """Return the sentence of a step. Options that have no place of their own in it follow as ``name = value``."""
    sentence = wording.sentences.get(kind.kind_name, kind.sentence)
    english = {name: _value_words(value) for name, value in {**USUAL, **values}.items()}
    known = {name: wording.values.get(text, text) for name, text in english.items()}
    own = {kind.kind_name, *_UNSAID, *(name for name in USUAL if f"{{{name}}}" in sentence)}
    shown = [key.name for key in kind.options if key.name in values and key.name not in own]
    known["details"] = ", ".join(f"{wording.options.get(name, name)} = {known[name]}" for name in shown)
    return " ".join(sentence.format(**known).split()).removesuffix(":").rstrip()


def step_title(kind: StepKind, values: Mapping[str, Any]) -> str:
    """Return the title of a step: its own, else its sentence."""
    return str(values.get("title") or step_in_words(kind, values))


def _value_words(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return " or ".join(map(str, value))
    if isinstance(value, Mapping):
        said = [f"{key} = {_value_words(inner)}" for key, inner in value.items() if key != "value"]  # may be a secret
        return "{" + ", ".join(said) + "}"
    return str(value)
