"""What JSON of a far side may be, judged before anything reads it: how long, how deep, and how many values.

Python's JSON readers and writers recurse, and so does every function that walks through what they make. A text within
these limits costs the event loop a known time and ends no recursion. The judgement itself is linear: it counts, and it
looks closer only where there are more brackets or commas than a text may have values.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

LENGTH_MAX = 1024 * 1024
"""Octets of a frame of OCPP: what ``LocalAuthListCtrlr.BytesPerMessage`` promises. More is refused (1009)."""
DEPTH_MAX = 32
"""Brackets inside each other, the frame's own included. The deepest message of the standards has 13 (sales tariff)."""
VALUES_MAX = 32 * 1024
"""Values in a text. The longest local list (1,000 entries of 2.0.1 with every field) has 26,000."""
DIGITS_MAX = 1000
"""Of a whole number: to read one takes the square of its length."""

# Patterns are compiled when a text needs them: most starts see no such text.
_STRING = r'(?s:"[^"\\]*(?:\\.[^"\\]*)*")'
_NO_BRACKET = r"[^\[\]{}]+"
_HEAD = r'(?s:\s*\[\s*(\d)\s*,\s*("[^"\\]{0,255}(?:\\.[^"\\]{0,255}){0,255}")\s*[,\]])'
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


def why_excessive(text: str) -> str | None:
    """Return why this text is too much to be read; None: it is not. The text need not be JSON."""
    if _count_brackets(text) <= DEPTH_MAX and _count_brackets(text) + text.count(",") <= VALUES_MAX:
        return None
    if text.count('"') - text.count('\\"') > 4 * VALUES_MAX:  # a value may have a name, each of two quotation marks
        return f"more than {VALUES_MAX} values"
    bare = re.sub(_STRING, "", text)
    if _count_brackets(bare) + bare.count(",") > VALUES_MAX:
        return f"more than {VALUES_MAX} values"
    if _count_brackets(bare) > DEPTH_MAX and _bracket_depth(bare) > DEPTH_MAX:
        return f"more than {DEPTH_MAX} brackets inside each other"
    return None


def read_json(text: str | bytes, **options: Any) -> Any:
    """Read JSON as ``json.loads`` does, within the limits. Raises ``ValueError``, and nothing else."""
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    if (why := why_excessive(text)) is not None:
        raise ValueError(why)
    return json.loads(text, **options)


def _count_brackets(text: str) -> int:
    return text.count("[") + text.count("{")


def _bracket_depth(bare: str) -> int:
    """``bare``: without strings, and with few enough values for a loop in Python."""
    return max(accumulate(map(_STEP.__getitem__, re.sub(_NO_BRACKET, "", bare))), default=0)


def frame_head(text: str) -> tuple[int, str] | None:
    """Return message type and id of a frame that is not read; None where there are none."""
    match = re.match(_HEAD, text)
    if match is None:
        return None
    try:
        id_ = json.loads(match[2])
    except ValueError:
        return None
    return int(match[1]), id_
