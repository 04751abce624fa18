"""How the store writes things down: facts and messages as JSON text, damage as what it is."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from agent.domain.serialization import UnreadableRecord, load_record

SEAL = 9
"""Characters of a checksum and its mark."""


def text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))  # ASCII, so half a character (JSON's "\\ud800") is no trouble


def sealed(text: str, *keys: str) -> str:
    """With a checksum over it and its keys: SQLite finds a damaged page, not a bit that has flipped inside a text."""
    return f"{text}#{_crc(text, keys)}"


def unsealed(text: str, *keys: str) -> str:
    """Without its checksum; a record of an older program has none. Raises ``ValueError`` where it does not fit."""
    if text[-SEAL : -SEAL + 1] != "#" or text[-1] == "}":  # the end of the JSON itself: a colour may stand there
        return text
    if text[1 - SEAL :] != _crc(text[:-SEAL], keys):
        raise ValueError("its checksum does not fit")
    return text[:-SEAL]


def _crc(text: str, keys: Sequence[str]) -> str:
    return f"{zlib.crc32(chr(0).join((*keys, text)).encode('utf-8', 'surrogatepass')):08x}"


def safe(text: str) -> str:
    """Half characters escaped: SQLite takes only what can be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def decoded(raw: bytes) -> str:
    """Text of the file; damaged bytes show as ``\\xff``, which is no JSON."""
    return raw.decode("utf-8", "backslashreplace")


_MUST_HAVE = {"transaction": "id", "ended": "id"}


def judged(raw: Sequence[bytes], kind: str) -> dict[str, Any]:
    """The value of a fact. Raises ``ValueError``: not JSON, not an object, or without what the store itself needs."""
    for part in raw:
        part.decode("utf-8")
    value = json.loads(unsealed(decoded(raw[2]), *map(decoded, raw[:2])))
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    if kind in _MUST_HAVE and not isinstance(value.get(_MUST_HAVE[kind]), str):
        raise ValueError(f"has no {_MUST_HAVE[kind]}")
    return value


def message(body: str, *keys: str) -> Any:
    """A stored message; one that cannot be read back travels as the ``Poisoned`` it raised, for the link to bury."""
    try:
        return load_record(json.loads(unsealed(body, *keys)))
    except ValueError as e:
        return UnreadableRecord(str(e))
    except UnreadableRecord as e:
        return e
