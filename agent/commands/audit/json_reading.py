"""Read a JSON file of an audit, part by part: each mistake names its place, and each text is safe to show."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

BYTES_MAX = 64 * 1024 * 1024
"""Of one JSON file. An audit of 400 obligations with all its frames takes 4 MB."""
_REQUIRED: Any = object()
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufffe\uffff]"
)
"""Control characters, what turns the direction of the text around it, halves of surrogate pairs."""


class RecordError(Exception):
    """A file of an audit cannot be used. ``str()``: file, place and what is wrong."""


def shown_text(text: str) -> str:
    """Return a text with every character that would not be seen, or would mislead, written as its code."""
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


def load_json_file(path: Path, bytes_max: int = BYTES_MAX) -> JsonPart:
    """Return the content of a JSON file. Raises ``RecordError``."""
    return parse_json_bytes(read_file_bytes(path, bytes_max), path.name)


def read_file_bytes(path: Path, bytes_max: int = BYTES_MAX, name: str = "") -> bytes:
    """Return the content of a file. ``name``: how an error calls it.

    Raises ``RecordError`` if it cannot be read or is longer than ``bytes_max``.
    """
    name = name or path.name
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as e:
        raise RecordError(f"{name}: cannot be read: {e.strerror or e}") from None
    if len(content) > bytes_max:
        raise RecordError(f"{name}: is larger than {bytes_max} bytes")
    return content


def parse_json_bytes(content: bytes, name: str) -> JsonPart:
    """Return the content of a JSON text. A name that stands twice in one object is refused.

    Raises ``RecordError``.
    """
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_distinct_pairs)
    except (ValueError, RecursionError) as e:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise RecordError(f"{name}: is no JSON text: {e}") from None
    return JsonPart(value, name)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _distinct_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


class JsonPart:
    """A value of a JSON file, and its place. The methods raise ``RecordError`` if something else is there than
    they are asked for, or nothing and no ``default`` is given. null counts as nothing."""

    def __init__(self, value: Any, place: str) -> None:
        self.value, self.place = value, place

    def refuse_value(self, why: str) -> NoReturn:
        raise RecordError(f"{self.place}: {why}")

    def value_at(self, key: str, kinds: tuple[type, ...], kind: str, default: Any) -> Any:
        """Return the value under ``key``, which must be one of ``kinds``."""
        if not isinstance(self.value, dict):
            self.refuse_value("must be an object")
        found = self.value.get(key)
        if found is None:
            if default is _REQUIRED:
                raise RecordError(f"{self.place}: {key} is missing")
            return default
        if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
            raise RecordError(f"{self.place}.{key}: must be {kind}")
        return found

    def text_at(self, key: str, default: str = _REQUIRED) -> str:
        return shown_text(self.value_at(key, (str,), "a text", default))

    def number_at(self, key: str, default: float = _REQUIRED) -> float:
        try:
            number = float(self.value_at(key, (int, float), "a number", default))
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise RecordError(f"{self.place}.{key}: is too large a number")
        return number

    def optional_number_at(self, key: str) -> float | None:
        return None if self.value_at(key, (int, float), "a number", None) is None else self.number_at(key)

    def integer_at(self, key: str, default: int = _REQUIRED) -> int:
        return int(self.value_at(key, (int,), "a whole number", default))

    def word_at(self, key: str, words: tuple[str, ...], default: str = _REQUIRED) -> str:
        """Return the text under ``key``, which must be one of ``words``."""
        word = self.text_at(key, default)
        if word not in words:
            raise RecordError(f"{self.place}.{key}: must be one of {', '.join(words)}")
        return word

    def part_at(self, key: str) -> JsonPart | None:
        """Return the object under ``key``, None if there is none."""
        found = self.value_at(key, (dict,), "an object", None)
        return None if found is None else JsonPart(found, f"{self.place}.{key}")

    def parts_at(self, key: str) -> list[JsonPart]:
        """Return the objects of the list under ``key``."""
        return [JsonPart(one, place) for one, place in self._items_at(key, dict, "objects")]

    def texts_at(self, key: str) -> tuple[str, ...]:
        """Return the texts of the list under ``key``."""
        return tuple(shown_text(one) for one, _ in self._items_at(key, str, "texts"))

    def _items_at(self, key: str, kind: type, kinds: str) -> list[tuple[Any, str]]:
        found = self.value_at(key, (list,), f"a list of {kinds}", [])
        for number, one in enumerate(found):
            if not isinstance(one, kind):
                raise RecordError(f"{self.place}.{key}[{number}]: must be one of a list of {kinds}")
        return [(one, f"{self.place}.{key}[{number}]") for number, one in enumerate(found)]
