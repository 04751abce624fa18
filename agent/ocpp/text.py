"""Texts of the other side that this station will not keep: half a character, and control characters."""

from __future__ import annotations

import json
import re
from typing import Any

_SUSPECT = r"\\u[dD][89a-fA-F]|[\ud800-\udfff]"
_CONTROL = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"


def is_whole(frame: Any, text: str) -> bool:
    """No lone surrogate anywhere in ``frame``, which ``text`` was parsed to: JSON can escape one, but no file, database
    or socket takes it. Costs one search where there is none."""
    if (text.isascii() and "\\u" not in text) or re.search(_SUSPECT, text) is None:
        return True
    try:
        json.dumps(frame, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def whole(frame: list[Any]) -> list[Any]:
    """The frame with a question mark for each lone surrogate. Raises ``RecursionError``."""
    made: list[Any] = json.loads(json.dumps(frame, ensure_ascii=False).encode("utf-8", "replace"))
    return made


def is_plain(text: str) -> bool:
    """No control character, no line break: fit to be a token, a key or a value."""
    return (text.isascii() and text.isprintable()) or re.search(_CONTROL, text) is None
