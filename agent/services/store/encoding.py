"""How the store writes things down: facts and messages as JSON text, damage as what it is."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from agent.domain.serialization import UnreadableRecord, load_record

SEAL = 9
"""Characters of a checksum and its mark."""


def to_json_text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))  # ASCII, so half a character (JSON's "\\ud800") is no trouble


def seal_text(text: str, *keys: str) -> str:
    """Append a checksum over the text and its keys: SQLite finds a damaged page, not a bit that has flipped inside a
    text."""
    return f"{text}#{_checksum_of(text, keys)}"


def unseal_text(text: str, *keys: str) -> str:
    """Return the text without its checksum; a record of an older program has none. Raises ``ValueError`` where the
    checksum does not fit."""
    if text[-SEAL : -SEAL + 1] != "#" or text[-1] == "}":  # the end of the JSON itself: a colour may stand there
        return text
    if text[1 - SEAL :] != _checksum_of(text[:-SEAL], keys):
        raise ValueError("its checksum does not fit")
    return text[:-SEAL]


def _checksum_of(text: str, keys: Sequence[str]) -> str:
    return f"{zlib.crc32(chr(0).join((*keys, text)).encode('utf-8', 'surrogatepass')):08x}"


def escape_surrogates(text: str) -> str:
    """Escape lone surrogates: SQLite accepts only text that can be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def decode_bytes(raw: bytes) -> str:
    """Decode text of the file. Damaged bytes show as ``\\xff``, which is no JSON."""
    return raw.decode("utf-8", "backslashreplace")


_MUST_HAVE = {"transaction": "id", "ended": "id"}


def decode_fact(raw: Sequence[bytes], kind: str) -> dict[str, Any]:
    """Return the value of a fact. Raises ``ValueError`` for one that is not JSON, not an object, or without what the
    store itself needs."""
    for part in raw:
        part.decode("utf-8")
    value = json.loads(unseal_text(decode_bytes(raw[2]), *map(decode_bytes, raw[:2])))
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    if kind in _MUST_HAVE and not isinstance(value.get(_MUST_HAVE[kind]), str):
        raise ValueError(f"has no {_MUST_HAVE[kind]}")
    return value


def decode_message(body: str, *keys: str) -> Any:
    """Return a stored message. One that cannot be read back becomes the ``Poisoned`` that it raised, so that the link
    puts it in the dead-letter list."""
    try:
        return load_record(json.loads(unseal_text(body, *keys)))
    except ValueError as e:
        return UnreadableRecord(str(e))
    except UnreadableRecord as e:
        return e
