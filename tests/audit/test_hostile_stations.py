"""Whatever a station sends, no judge raises: values of a good conversation are replaced by others at random."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from agent.audit.judge_table import known_judges
from agent.audit.verdicts import AuditVerdict
from agent.model.fastclass import replace
from agent.scenario.frames import Frame
from tests.audit.test_good_stations import everything_that_a_backend_orders, two_sessions_of_201
from tests.support.audit_script import AuditScript
from tests.support.simulated_station import CAMPAIGN

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**70, 1e308, "", "Accepted", "1e400", "9999-12-31T23:59:59Z", "L1", [], [None], [[]], {},
    {"a": 1}, {"id": []}, [{"key": 1, "value": {}}],
)  # fmt: skip


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each table or list with each key or position in it."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places_in(value[key])


def make_hostile(script: AuditScript, seed: int) -> AuditScript:
    """Replace some values of the station's messages. Answers keep their requests."""
    chance = random.Random(seed)
    changed: list[Frame] = []
    for frame in script.frames:
        payload, asked = copy.deepcopy(frame.payload), frame.answers
        places = list(places_in(payload)) if frame.from_station else []
        if places and chance.random() < 0.4:
            where, key = chance.choice(places)
            if chance.random() < 0.2:
                del where[key]
            else:
                where[key] = chance.choice(ODD)
        changed.append(replace(frame, payload=payload, answers=changed[asked.seq] if asked is not None else None))
    script.frames = changed
    return script


SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "20261128"))


@pytest.mark.campaign
def test_no_judge_raises_whatever_a_station_sends(record_property: Any) -> None:
    """Random values at random places of the messages of a station: each judge still gives a verdict."""
    rounds = 400 if CAMPAIGN else 12
    for seed in range(SEED, SEED + rounds):
        for build in (everything_that_a_backend_orders, two_sessions_of_201):
            script = make_hostile(build(), seed)
            for name in known_judges():
                assert isinstance(script.judge(name).verdict, AuditVerdict), (name, seed)
    record_property("conversations", 2 * rounds)
