"""Cards with content: the TOML file that ``[simulation] cards`` names, one table per card.

A tap with the UID of a listed card holds that card to the reader. The keys are those in the card, already diversified:
a card holds no master key.
"""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.sim.card import Card
from drivers.sim.desfire_card import ENCIPHERED, MACED, PLAIN, Application, Chip, File

_COMMUNICATION = {"plain": PLAIN, "maced": MACED, "enciphered": ENCIPHERED}
_KEYS = {"uid", "random_uid", "application", "des", "keys", "files"}
_FILE_KEYS = {"number", "text", "hex", "communication", "key"}


@dataclass(frozen=True, slots=True)
class ListedCard:
    """One card of the list. All taps of the card share ``application``, which nothing here changes."""

    uid: bytes
    random_uid: bool
    number: int
    application: Application

    def make_card(self, rng: random.Random) -> Card:
        chip = Chip(self.uid, {self.number: self.application}, self.random_uid, rng)
        return Card(self.uid, "random_uid" if self.random_uid else "desfire_ev1", rng, chip)


def read_card_list(path: Path) -> dict[bytes, ListedCard]:
    """Return the cards by UID. Raises ``ValueError`` that names file, card and key."""
    try:
        tables = tomllib.loads(path.read_text("utf-8")).get("card", [])
    except OSError as e:
        raise ValueError(f"[simulation] cards {path}: {e.strerror}") from None
    except ValueError as e:
        raise ValueError(f"[simulation] cards {path}: {e}") from None
    found = {}
    for n, table in enumerate(tables, 1):
        try:
            card = _parse_card(table)
        except (ValueError, KeyError, TypeError) as e:
            why = f"{e} is missing" if isinstance(e, KeyError) else str(e)
            raise ValueError(f"[simulation] cards {path}: card {n}: {why}") from None
        found[card.uid] = card
    return found


def _parse_card(table: dict[str, Any]) -> ListedCard:
    _check_keys(table, _KEYS)
    uid, keys = bytes.fromhex(table["uid"]), [bytes.fromhex(k) for k in table["keys"]]
    des = bool(table.get("des", False))
    if len(uid) != 7:
        raise ValueError("uid: must be seven bytes in hexadecimal")
    if not all(len(k) == 16 or (des and len(k) == 24) for k in keys):
        raise ValueError("keys: must be 32 hex digits each, or 48 with des = true")
    files = dict(map(_parse_file, table.get("files", [])))
    application = Application(keys, files, not des)
    return ListedCard(uid, bool(table.get("random_uid", False)), int(table["application"], 16), application)


def _parse_file(table: dict[str, Any]) -> tuple[int, File]:
    _check_keys(table, _FILE_KEYS)
    content = bytes.fromhex(table["hex"]) if "hex" in table else str(table["text"]).encode()
    communication = table.get("communication", "enciphered")
    if communication not in _COMMUNICATION:
        raise ValueError(f"communication: must be one of {', '.join(_COMMUNICATION)}, is {communication!r}")
    return int(table["number"]), File(content, _COMMUNICATION[communication], int(table.get("key", 1)))


def _check_keys(table: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(table) - known):
        raise ValueError(f"{unknown[0]}: unknown key; known: {', '.join(sorted(known))}")
