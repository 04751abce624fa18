"""All maps on a line that breaks frames, loses them and delivers them late: what is published is what the meter had.

A corrupted frame passes its checksum about once in 65,536 times, by nature; such escapes are counted and printed. What
must not happen is that one is published as a reading for a bill (two looks, plausibility) or with another energy.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.ports import DeviceError
from agent.ports.driver import Where
from drivers.meter_modbus import DRIVER, MeterSettings
from tests.drivers import modbus_far_ends as far
from tests.drivers.modbus_far_ends import Asked, Bank, Part, TcpLine, crc
from tests.drivers.test_meter_maps import CONFIG, METERS, Truth, far_end, step_wh

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
READS = 50_000 if FULL else 120
OF_ONE_METER = 40
FAULTY = 0.03
"""Share of the transfers that something happens to."""
TIMEOUT_S = 0.02


class Line:
    """What happens to a frame on its way, by the draw. ``escapes``: corrupted frames whose checksum still fits."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.seen: Counter[str] = Counter()

    def __call__(self, asked: Asked, good: bytes) -> list[Part]:
        if self.draw.random() > FAULTY:
            return [(0, good)]
        name, fault = self.draw.choice(
            [
                ("corrupted", self.corrupted),
                ("corrupted", self.corrupted),
                ("lost", far.silent),
                ("late", far.late(TIMEOUT_S * 1.3)),
                ("truncated", far.truncated),
                ("another function", far.other_function),
                ("another unit", far.other_unit),
                ("fewer registers", far.fewer_registers),
                ("noise", far.noise_before(bytes(self.draw.randrange(256) for _ in range(5)))),
                ("in pieces", far.in_two_pieces),
                ("busy", far.exception(6)),
            ]
        )
        self.seen[name] += 1
        return fault(asked, good)

    def corrupted(self, asked: Asked, good: bytes) -> list[Part]:
        frame = bytearray(good)
        for _ in range(self.draw.randint(1, 6)):
            frame[self.draw.randrange(len(frame))] ^= 1 << self.draw.randrange(8)
        if frame != good and crc(bytes(frame[:-2])) == bytes(frame[-2:]):
            self.seen["escapes of the checksum"] += 1
        return [(0, bytes(frame))]


class Noisy(Bank):
    """A bank on such a line."""

    def __init__(self, quiet: Bank, line: Callable[[Asked, bytes], list[Part]]) -> None:
        super().__init__(units=quiet.units)
        self.line = line

    def parts(self, asked: Asked, frame: Callable[[bytes], bytes]) -> list[Part]:
        if asked.unit not in self.units:
            return []
        return self.line(asked, frame(self.answer(asked)))


def hasty(folder: Path) -> None:
    """The maps without the silence that real meters want between requests: the far end wants none."""
    (folder / "meters").mkdir(exist_ok=True)
    for name in METERS:
        text = (CONFIG / "meters" / f"{name}.toml").read_text("utf-8").replace("gap_s = 0.1", "gap_s = 0")
        (folder / "meters" / f"{name}.toml").write_text(text, "utf-8")


@pytest.mark.campaign
@pytest.mark.timeout(0)
async def test_no_wrong_value_is_published(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """50,000 readings of all meter maps over a line on which 3 % of the frames are corrupted, lost, late or foreign:
    each reading that is published is what the meter had."""
    hasty(tmp_path)
    draw = random.Random(SEED)
    line, done = Line(draw), Counter[str]()
    while done.total() < READS:
        await one_meter(draw.choice(METERS), draw, line, done, tmp_path)
    for name, count in (*done.items(), *line.seen.items()):
        record_property(name, count)
    print(f"seed {SEED}: {dict(done)}; on the line: {dict(line.seen)}")
    assert done["published"] > READS * 0.8, "most faults are mended by another attempt"
    assert line.seen["corrupted"] > 0


async def one_meter(name: str, draw: random.Random, line: Line, done: Counter[str], folder: Path) -> None:
    clock_s, energy_wh = 100.0, draw.randrange(0, 15_000_000)
    where = Where(1, "meter", lambda: (7, clock_s), (folder, CONFIG), {"phases": 3, "max_a": 32})
    bank = Noisy(far_end(name, Truth(energy_wh)), far.fine)
    async with TcpLine(bank, rtu=True) as wire:
        chosen = MeterSettings(
            name, "rtu_tcp", host="127.0.0.1", port=wire.port, baud=115200, timeout_s=TIMEOUT_S, coarsest_wh=1000
        )
        async with DRIVER.open(chosen, where) as meter:
            bank.line = line
            for _ in range(OF_ONE_METER):
                clock_s += 10
                energy_wh += draw.randrange(0, 40)
                bank.units = far_end(name, Truth(energy_wh)).units
                try:
                    reading = await (meter.read_billing() if draw.random() < 0.5 else meter.read())
                except DeviceError:
                    done["not published"] += 1
                    continue
                step = int(step_wh(name))
                assert reading.energy_wh == energy_wh // step * step, f"seed {SEED}, {name}: a wrong value"
                done["published"] += 1
