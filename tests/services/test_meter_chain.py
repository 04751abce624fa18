"""From the wire to the bill: a far end on a socket, the production driver, its keeper and the domain, at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.domain.events import ContactorOpened
from agent.domain.evse import SessionState
from agent.domain.metrology import MeterWatch
from agent.domain.orders import ReadMeter
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose, end_reading
from agent.model.types import Fault, MeterPolicy
from agent.ports.driver import StationFacts, Where
from agent.services.devices.supervisor import MeterSupervisor
from drivers.meter_modbus import DRIVER
from drivers.meter_modbus.settings import MeterSettings
from tests.domain.playbook import Playbook, charging, make_site
from tests.drivers.modbus_far_ends import Bank, TcpLine
from tests.support.busy_machine import Deadline
from tests.support.reading_purposes import LIVE

CONFIG = Path(__file__).parents[2] / "config"


class Chain:
    """``do`` gives an order to the keeper; whatever it posts is an event of the play, in the play's time."""

    def __init__(self, play: Playbook, keeper: MeterSupervisor, bank: Bank) -> None:
        self.play, self.keeper, self.bank = play, keeper, bank
        self.answers = 0

    async def look(self, energy_wh: int | None = None, power_w: float = 7000.0, purpose: ReadingPurpose = LIVE) -> None:
        """Two seconds later the meter has this register, and is asked."""
        self.play.skip().t_s += 2
        if energy_wh is not None:
            self.bank.floats(1, 72, energy_wh / 1000)
        self.bank.floats(1, 52, power_w)
        before = self.answers
        self.keeper.accept_order(ReadMeter(1, purpose, billing=purpose.kind in (ReadingKind.BEGIN, ReadingKind.END)))
        await until(lambda: self.answers > before)

    async def end(self, energy_wh: int | None = None) -> None:
        """Every try of the end's register."""
        self.play.skip().feed(ContactorOpened(1))
        for n in (1, 2, 3):
            if self.play.state() is SessionState.ENDING:
                await self.look(energy_wh, 0.0, end_reading(n))
                self.play.skip().wait(6)


async def until(true: Callable[[], bool]) -> None:
    patience = Deadline(15)
    while not true():
        assert not patience.over
        await asyncio.sleep(0.002)


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    bank = Bank()
    bank.floats(1, 0, 230.0, 231.0, 229.0, 10.0, 10.0, 10.0, 2300.0, 2300.0, 2300.0)
    bank.floats(1, 70, 50.0, 1.0, 0.0)
    bank.put(1, 64512, 0x0001, 0x2345)
    bank.put(1, 64514, 0x70)

    def site():
        site = make_site()
        site.evses[1].metering.meter = MeterWatch(MeterPolicy("B", 2024))
        return site

    play = Playbook(site)
    async with TcpLine(bank) as line:
        where = Where(1, "meter", lambda: (play.boot, play.t_s), (CONFIG,), StationFacts(phases=3, max_a=32))
        chosen = MeterSettings("eastron_sdm630", "tcp", host="127.0.0.1", port=line.port, timeout_s=0.3)
        events = []

        def post(event):
            events.append(event)
            play.feed(event)
            made.answers += hasattr(event, "purpose")

        keeper = MeterSupervisor(1, "meter", lambda: DRIVER.open(chosen, where), post)
        made = Chain(play, keeper, bank)
        task = asyncio.create_task(keeper.run())
        await until(lambda: keeper.open)
        yield made
        keeper.prepare_to_stop()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_the_meter_counts_is_what_is_billed(chain):
    charging(chain.play)
    for n in range(1, 6):
        await chain.look(1000 + 4 * n)
    assert chain.play.session().last_wh == 1020
    assert chain.play.evse().metering.meter.pinned.serial == str(0x12345)
    assert chain.play.store["meter"]["1"]["serial"] == str(0x12345)
    assert chain.play.evse().faults == set()


async def test_a_register_that_jumps_is_not_billed(chain):
    """The driver looks twice and finds it there each time: no fault of the wire."""
    charging(chain.play)
    await chain.look(1004)
    for _ in range(3):
        await chain.look(6_001_004)
    assert chain.play.evse().faults == {Fault.METER_IMPLAUSIBLE}
    chain.play.skip().wait(61)
    await chain.end(6_001_004)
    [ended] = chain.play.ended()
    assert ended.meter_wh == 1004


async def test_an_exchanged_meter_is_not_billed(chain):
    charging(chain.play)
    await chain.look(1004)
    chain.bank.put(1, 64512, 0, 99)
    await chain.look(9000, purpose=end_reading(0))
    await until(lambda: Fault.METER_EXCHANGED in chain.play.evse().faults)
    assert chain.play.state() is SessionState.ENDING
    assert chain.play.session().last_wh == 1004


async def test_a_lost_meter_ends_with_its_last_register_and_a_found_one_goes_on(chain):
    charging(chain.play)
    await chain.look(1004)
    chain.bank.deaf = {1}
    await chain.look(1008)
    assert chain.play.session().last_wh == 1004
    assert chain.play.state() is SessionState.ACTIVE
    chain.bank.deaf = set()
    await until(lambda: chain.keeper.open)
    await chain.look(1012)
    assert chain.play.session().last_wh == 1012, "what flowed meanwhile is in the register"
