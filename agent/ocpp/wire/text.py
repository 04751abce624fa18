"""Texts of the other side: what is not kept (half a character, control characters), and what is
shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agent.domain.variables import TEXT_MAX
from agent.model.types import MessageContent

_FORMATS = ("ASCII", "HTML", "URI", "UTF8")
_SUSPECT = r"\\u[dD][89a-fA-F]|[\ud800-\udfff]"
_CONTROL = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"


def is_whole(frame: Any, text: str) -> bool:
    """Return whether ``frame``, parsed from ``text``, has no lone surrogate: JSON can escape
    one, but no file, database or socket accepts it. Costs one search where there is none."""
    if (text.isascii() and "\\u" not in text) or re.search(_SUSPECT, text) is None:
        return True
    try:
        json.dumps(frame, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def replace_surrogates(frame: list[Any]) -> list[Any]:
    """Return the frame with a question mark for each lone surrogate."""
    made: list[Any] = json.loads(json.dumps(frame, ensure_ascii=False).encode("utf-8", "replace"))
    return made


def is_plain(text: str) -> bool:
    """Return whether the text has no control character and no line break: fit for a token, a key
    or a value."""
    return (text.isascii() and text.isprintable()) or re.search(_CONTROL, text) is None


def parse_message_content(one: Mapping[str, Any]) -> MessageContent:
    """Parse a MessageContentType from a free text. Raises ``ValueError``, ``KeyError``."""
    language, form = one.get("language") or "", one.get("format", "UTF8")
    if not isinstance(language, str) or len(language) > 8 or not is_plain(language) or form not in _FORMATS:
        raise ValueError("language or format")
    return MessageContent(parse_single_line(one["content"]), language, form)


def parse_single_line(value: Any) -> str:
    """Return the text in one line: the display makes the line breaks. A price that does not fit
    is refused, not cut. Raises ``ValueError``."""
    if not isinstance(value, str):
        raise ValueError("no text")
    text = " ".join(value.split())
    if len(text) > TEXT_MAX or not is_plain(text):
        raise ValueError("too long, or with control characters")
    return text
