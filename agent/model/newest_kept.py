"""Keep the newest entries of a mapping.

A dict, because an empty one takes a third of an empty ``OrderedDict``, and a station has ten of them.
"""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def remember_newest(kept: dict[K, V], key: K, value: V, most: int) -> None:
    """Put an entry behind all others, and forget the oldest ones beyond ``most``."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > most:
        del kept[next(iter(kept))]
