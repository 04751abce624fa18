"""A simulated station and hands that act in its world, for the checks of ``chargy-agent verify``."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from agent.commands.verify import command, report, runner
from agent.commands.verify.bench import Options
from agent.model.types import EvseId
from agent.ports.verify import Action, Skipped
from agent.station_file.settings import StationFile, parse_station_file
from drivers.sim.checked_values import Impossible
from drivers.sim.world import World
from drivers.testkit.checks.reader import APART_S
from tests.drivers.sim_stations import station
from tests.support.busy_machine import stretched

CARD = "04A1B2C3D4E5F6"
QUICK = Options(consent=True, reads=40, samples=3)
LONGEST_HOLD_S = APART_S
"""The check waits so long behind a card that was read: it is away before the next tap."""


class WorldOperator:
    """What a person would do in the street, done in the world."""

    patience_s = 10.0

    def __init__(self, world: World) -> None:
        self.world = world

    async def perform_action(self, deed: Action, evse: EvseId, what: str) -> None:
        w, n = self.world, evse or 1
        match deed:
            case Action.CAR_ASKS if w.evses[n].car is None:
                w.plug_in_vehicle(n, car={"max_a": 32})
            case Action.CAR_AWAY if w.evses[n].car is not None:
                w.unplug_vehicle(n, "ev")
            case Action.CARD:
                hold_card = partial(w.devices.tap_contactless_card, hold_s=min(stretched(0.5), LONGEST_HOLD_S))
                for tap in (hold_card, w.devices.tap_serial_token):  # whichever kind of reader it is
                    with contextlib.suppress(Impossible):
                        tap(CARD)
            case Action.BANK_CARD:
                w.devices.tap_bank_card("1234")
            case Action.BUTTON:
                w.devices.press_button(what)
            case Action.MAINS_OFF | Action.MAINS_ON:
                w.set_mains_power(deed is Action.MAINS_ON)

    async def reference_value(self, key: str, evse: EvseId, question: str) -> str:
        if key == "token":
            return CARD
        if key == "energy_kwh":
            return f"{self.world.evses[evse or 1].meter_wh / 1000:.3f}"
        if key == "limit_w":
            self.world.set_site_limit(13.0)
            return "8970"
        raise Skipped(question)

    async def report_observation(self, what: str, evse: EvseId, expected: str, question: str) -> str:
        if what == "lamp":
            return str(self.world.devices.lamp_colors()[str(evse or 1)])
        tones = self._tones()
        return "sounds" if tones and tones[-1] else "silent"

    def _tones(self) -> list[int]:
        assert self.world.devices.far_ends is not None
        assert self.world.devices.far_ends.front_panel.buzzer is not None
        self.world.devices.far_ends.front_panel.buzzer.read_tones()
        return self.world.devices.buzzer_tones()

    def panel_image(self, evse: EvseId) -> bytes | None:
        return self.world.devices.render_display_png(evse or 1)


@asynccontextmanager
async def street(folder: Path, speed: float = 1.0, **tables: Any) -> AsyncIterator[tuple[World, StationFile]]:
    """A world, and the station file that connects the production drivers to it."""
    async with World.open(station(folder, **tables), speed=speed, status_socket=folder / "s.sock") as world:
        yield world, parse_station_file(tomllib.loads(world.derived_station_file()), folder / "derived.toml")


async def verified(
    file: StationFile, hands: Any, only: Sequence[str] = (), options: Options = QUICK, names: Sequence[str] = ()
) -> list[report.Verified]:
    """``names``: of checks, all when empty."""
    made = runner.device_rounds(file, only)
    if names:
        made = [runner.DeviceChecks(r.device, r.board, tuple(c for c in r.checks if c.name in names)) for r in made]
    return await command.verify_devices(made, hands, options, lambda text: None)


def failures(done: Sequence[report.Verified]) -> list[str]:
    return [f"{v.device.name} {o.check}: {o.says}" for v in done for o in v.outcomes if o.outcome == runner.FAILED]


def left(done: Sequence[report.Verified]) -> dict[str, str]:
    return {f"{v.device.name} {o.check}": o.says for v in done for o in v.outcomes if o.outcome == runner.SKIPPED}


Mutant = Callable[[World], None]
