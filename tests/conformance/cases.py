"""Every official certification case that concerns a charge point: 107 of OCPP 1.6, 432 of OCPP 2.0.1.

The lists are data (``cases-VERSION.toml``). Whether a case is claimed follows from what the station declares
(``declared.py``); no case can be left out without taking back a feature. A claimed case has a test, or stands in
``OPEN`` for as long as it is being built.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from agent.domain.variables import FEATURE_PROFILES
from tests.conformance.declared import lacking

HERE = Path(__file__).parent
VERSIONS = ("1.6", "2.0.1")
ALWAYS = ("Core", "Security")
"""Blocks of 1.6 that are no feature profile, or the one that every station has."""


@dataclass(frozen=True)
class Case:
    """``id``: as in the official lists (004_1, B_02). ``title``: in our own words. ``why_not``: "" if it is claimed."""

    id: str
    version: str
    block: str
    title: str
    why_not: str = ""

    @property
    def claimed(self) -> bool:
        return not self.why_not


def _of_16() -> list[Case]:
    table = tomllib.loads((HERE / "cases-1.6.toml").read_text("utf-8"))
    return [Case(id_, "1.6", b, t, _not_offered(b)) for b, rows in table.items() for id_, t in rows.items()]


def _not_offered(block: str) -> str:
    profile = block.split(":")[0]
    return "" if profile in (*ALWAYS, *FEATURE_PROFILES) else f"{profile} is not offered"


def _of_201() -> list[Case]:
    table = tomllib.loads((HERE / "cases-2.0.1.toml").read_text("utf-8"))
    return [
        Case(id_, "2.0.1", block, title, lacking(needs))
        for block, rows in table.items()
        for id_, (title, needs) in rows.items()
    ]


CASES: dict[str, Case] = {c.id: c for c in (*_of_16(), *_of_201())}
"""By id; the ids of the two versions do not collide."""

_WAITING: dict[str, str] = {}
OPEN: dict[str, str] = {id_: why for why, ids in _WAITING.items() for id_ in ids.split()}
"""Claimed, and not shown by a test yet: id -> what it waits for. A case with a test does not stand here."""
