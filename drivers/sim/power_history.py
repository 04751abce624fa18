"""The power and the register of each outlet in the last minutes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, TypeAlias

from drivers.sim.world import World

Json: TypeAlias = dict[str, Any]

SAMPLE_EVERY_S = 1.0
SAMPLES_MAX = 900
"""A quarter of an hour of this machine's time."""


class PowerHistory:
    """Samples of all outlets. ``begin_s`` and the samples are in seconds since 1970 of this machine."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._samples: deque[tuple[float, dict[int, tuple[int, int]]]] = deque(maxlen=SAMPLES_MAX)

    def take_sample(self) -> None:
        """Keep the present power (W) and register (Wh) of each outlet."""
        pictures = {n: self._world.evse_picture(n) for n in self._world.evses}
        self._samples.append((time.time(), {n: (p["power_w"], p["meter_wh"]) for n, p in pictures.items()}))

    async def sample_regularly(self) -> None:
        """Take samples without end."""
        while True:
            self.take_sample()
            await asyncio.sleep(SAMPLE_EVERY_S)

    def history_picture(self) -> Json:
        samples = list(self._samples)
        return {
            "t": [round(at, 3) for at, _ in samples],
            "evses": [
                {
                    "number": n,
                    "power_w": [values[n][0] for _, values in samples],
                    "meter_wh": [values[n][1] for _, values in samples],
                }
                for n in sorted(self._world.evses)
            ],
        }
