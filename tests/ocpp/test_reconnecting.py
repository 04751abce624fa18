"""The back-off between connections (OCPP 2.0.1 part 4, 5.3): it grows until a CALL was answered. A handshake alone may
be the work of a proxy, and a whole network must not dial a backend that hangs up every few seconds."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from agent.domain.messages import HeartbeatWanted
from tests.ocpp.ocpp_stand_ins import QUICK, Central, boot_answer, build, running, served, until

FIRST_S = 0.02
GROWING = replace(QUICK, backoff_s=FIRST_S, backoff_random_s=0.0)


class HangsUp(Central):
    """``kind`` while it answers; otherwise it takes the upgrade and hangs up."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = True
        self.came_s: list[float] = []

    async def serve(self, ws: Any) -> None:
        self.connections.append(ws)
        self.came_s.append(time.monotonic())
        if not self.kind:
            return
        async for text in ws:
            _, id_, action, payload = json.loads(text)
            self.calls.append((id_, action, payload))
            await ws.send(json.dumps([3, id_, boot_answer()]))

    def waits_s(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.came_s)]


@pytest.mark.parametrize("booted", [True, False])
async def test_a_backend_that_takes_the_upgrade_and_hangs_up_is_dialled_ever_less_often(booted: bool) -> None:
    central = HangsUp()
    async with served(central):
        central.kind = booted
        room = build(central, patience=GROWING, reconnect_s=None)
        async with running(room, up=booted):
            central.kind = False
            if booted:
                await central.ws.close()
            await until(lambda: len(central.connections) >= 7)
            waits_s = central.waits_s()[-5:]
            assert all(wait_s >= FIRST_S * 2**n for n, wait_s in enumerate(waits_s)), waits_s


async def test_it_begins_from_the_start_with_the_first_answer() -> None:
    central = HangsUp()
    async with served(central):
        room = build(central, patience=GROWING, reconnect_s=None)
        async with running(room):
            central.kind = False
            await central.ws.close()
            await until(lambda: len(central.connections) >= 5)
            central.kind = True
            await until(lambda: room.link.is_up and len(central.connections) >= 6)
            assert room.link._connector._backoff._step > 3  # the handshake has not changed it
            room.link.send(HeartbeatWanted())
            await until(lambda: central.of("Heartbeat"))
            await until(lambda: room.link._connector._backoff._step == 0)


async def test_a_connection_that_lasts_is_none_that_is_cut_at_once() -> None:
    """Nothing is said on it for hours, and then a router forgets it: the next wait is a short one."""
    central = HangsUp()
    async with served(central):
        room = build(central, patience=replace(GROWING, lasting_s=0.3), reconnect_s=None)
        async with running(room):
            central.kind = False
            await central.ws.close()
            await until(lambda: len(central.connections) >= 4)
            central.kind = True
            await until(lambda: room.link.is_up and len(central.connections) >= 5)
            began_s, before = time.monotonic(), len(central.connections)
            await until(lambda: time.monotonic() - began_s > 0.35)
            await central.ws.close()
            await until(lambda: len(central.connections) > before)
            assert room.link._connector._backoff._step == 1
