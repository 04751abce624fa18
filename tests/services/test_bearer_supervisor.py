"""The supervisor of a bearer over a bearer of the test: reports, orders, refusals, a line that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.events import BearerReported, BearerSet, Event, FaultRaised, SimUnlockEnded
from agent.domain.orders import ConfigureBearer, ResetBearer, SetBearer, UnlockSim
from agent.model.bearer import ApnAccess, BearerKind, BearerState, BearerStatus, ResetStep, SimState
from agent.model.types import STATION
from agent.ports import Refused, Unreachable
from agent.ports.bearer import PinNotPresented
from agent.services.devices import bearer as module
from agent.services.devices.bearer import BearerSupervisor, describe_status
from agent.station_file.tables import BEARER_KINDS
from tests.support.busy_machine import deadline

UP = BearerStatus(BearerState.UP, "", "eth0", "10.0.0.2", received_bytes=10)


class Port:
    def __init__(self) -> None:
        self.status, self.done = UP, []  # type: ignore[var-annotated]
        self.gone = False

    async def read_status(self) -> BearerStatus:
        if self.gone:
            raise Unreachable("the line is gone")
        return self.status

    async def bring_up(self) -> None:
        self.done.append("up")
        raise Refused("NO CARRIER")

    async def take_down(self) -> None:
        self.done.append("down")

    async def reset_bearer(self, step: ResetStep) -> None:
        self.done.append(step)

    async def unlock_sim(self, pin_mark: str) -> None:
        self.done.append(f"pin {pin_mark}")


@asynccontextmanager
async def supervised(port: Port) -> AsyncIterator[tuple[BearerSupervisor, list[Event]]]:
    @asynccontextmanager
    async def opening() -> AsyncIterator[Any]:
        yield port

    posted: list[Event] = []
    supervisor = BearerSupervisor(STATION, "bearer[0]", opening, posted.append)
    task = asyncio.create_task(supervisor.run())
    try:
        async with deadline(10):
            while not posted:
                await asyncio.sleep(0.01)
        yield supervisor, posted
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def reported(status: BearerStatus, takes_apn: bool = False) -> BearerReported:
    return BearerReported("bearer[0]", status, takes_apn)


async def until(condition: Any) -> None:
    async with deadline(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)


async def test_a_change_is_reported_once_and_counters_are_none() -> None:
    port = Port()
    async with supervised(port) as (supervisor, posted):
        port.status = replace(UP, received_bytes=999)
        await until(lambda: supervisor.status.received_bytes == 999)
        assert posted == [reported(UP)]
        port.status = down = BearerStatus(BearerState.DOWN, "no carrier", "eth0")
        await until(lambda: len(posted) == 2)
        assert posted[1] == reported(down)


async def test_orders_are_carried_out_in_turn_and_a_refusal_closes_nothing() -> None:
    port = Port()
    async with supervised(port) as (supervisor, posted):
        for order in (
            SetBearer("bearer[0]", True),
            ResetBearer("bearer[1]", ResetStep.POWER_CYCLE),  # of another one
            ResetBearer("bearer[0]", ResetStep.REATTACH),
            UnlockSim("bearer[0]", "mark"),
            SetBearer("bearer[0]", False),
        ):
            supervisor.accept_order(order)
        await until(lambda: len(port.done) == 4)
        assert port.done == ["up", ResetStep.REATTACH, "pin mark", "down"]
        await until(lambda: len(posted) == 4)
        assert posted[1:] == [BearerSet("bearer[0]"), SimUnlockEnded("bearer[0]", True), BearerSet("bearer[0]")]


async def test_a_line_that_is_gone_is_absent_and_forgets_its_orders() -> None:
    port = Port()
    async with supervised(port) as (supervisor, posted):
        port.gone = True
        await until(lambda: len(posted) > 1)
        assert posted[1] == reported(BearerStatus(reason="the line is gone"))
        supervisor.accept_order(UnlockSim("bearer[0]", "mark"))
        assert posted[-1] == SimUnlockEnded("bearer[0]", False)
        port.gone = False
        await until(lambda: posted[-1] == reported(UP))
        await asyncio.sleep(0.1)
        assert port.done == []
        assert not [e for e in posted if isinstance(e, FaultRaised)], "one failure is no fault"


async def test_a_pin_that_waits_when_the_line_goes_was_not_presented() -> None:
    port = Port()
    async with supervised(port) as (supervisor, posted):
        port.gone = True
        supervisor.accept_order(SetBearer("bearer[0]", False))
        supervisor.accept_order(UnlockSim("bearer[0]", "mark"))
        await until(lambda: SimUnlockEnded("bearer[0]", False) in posted)
        assert "pin mark" not in port.done


async def test_a_second_order_to_unlock_is_dropped_while_one_waits_or_is_carried_out() -> None:
    """The first one waits behind calls for longer than the domain waits for its end."""
    port, free = Port(), asyncio.Event()

    async def bring_up() -> None:
        await free.wait()

    port.bring_up = bring_up  # type: ignore[method-assign]
    order, dropped = UnlockSim("bearer[0]", "mark"), SimUnlockEnded("bearer[0]", False)
    async with supervised(port) as (supervisor, posted):
        supervisor.accept_order(SetBearer("bearer[0]", True))
        for _ in range(2):
            supervisor.accept_order(order)
        assert posted[1:] == [dropped]
        free.set()
        await until(lambda: SimUnlockEnded("bearer[0]", True) in posted)
        assert port.done == ["pin mark"]
        supervisor.accept_order(order)
        await until(lambda: posted.count(SimUnlockEnded("bearer[0]", True)) == 2)
        assert posted.count(dropped) == 1


@pytest.mark.parametrize(
    ("error", "is_presented"),
    [(PinNotPresented("busy"), False), (Refused("wrong PIN"), True), (Unreachable("gone"), True)],
)
async def test_whether_the_sim_got_its_pin_is_reported_after_its_state(error: Exception, is_presented: bool) -> None:
    port = Port()

    async def unlock_sim(pin_mark: str) -> None:
        port.status = replace(UP, sim=SimState.PIN_REFUSED)
        raise error

    port.unlock_sim = unlock_sim  # type: ignore[method-assign]
    async with supervised(port) as (supervisor, posted):
        supervisor.accept_order(UnlockSim("bearer[0]", "mark"))
        await until(lambda: SimUnlockEnded("bearer[0]", is_presented) in posted)
        if not isinstance(error, Unreachable):
            assert posted[1:] == [reported(port.status), SimUnlockEnded("bearer[0]", is_presented)]


class ApnModem(Port):
    """Its pppd takes no signal of the agent."""

    async def take_down(self) -> None:
        raise Refused("pppd runs as another user")

    async def use_apn_access(self, access: ApnAccess | None) -> None:
        self.done.append(access)


async def test_another_apn_is_set_although_the_connection_does_not_end_at_once() -> None:
    port, access = ApnModem(), ApnAccess("new.m2m")
    async with supervised(port) as (supervisor, posted):
        supervisor.accept_order(ConfigureBearer("bearer[0]", access))
        await until(lambda: len(posted) == 2)
        assert port.done == [access]
        assert posted[1] == reported(UP, takes_apn=True), "what the SIM needs is judged again"


async def test_a_driver_without_an_apn_refuses_one(caplog: pytest.LogCaptureFixture) -> None:
    async with supervised(Port()) as (supervisor, _):
        supervisor.accept_order(ConfigureBearer("bearer[0]", ApnAccess("new.m2m", password="geheim")))
        await until(lambda: "takes its APN from elsewhere" in caplog.text)
        assert "geheim" not in caplog.text


def test_the_station_file_has_the_kinds_that_there_are() -> None:
    assert tuple(BearerKind) == BEARER_KINDS


def test_a_small_change_of_the_signal_is_none() -> None:
    modem = BearerStatus(BearerState.UP, "", "ppp0", "10.1.2.3", SimState.READY, signal_dbm=-89)
    assert not replace(modem, signal_dbm=-92).differs_from(modem)
    assert replace(modem, signal_dbm=-96).differs_from(modem)
    assert replace(modem, signal_dbm=None).differs_from(modem)
    assert replace(modem, address="10.1.2.4").differs_from(modem)


def test_a_technician_reads_no_whole_number_of_a_sim() -> None:
    modem = BearerStatus(BearerState.DOWN, "no signal", "", "", SimState.READY, iccid="8935201000000000017")
    assert describe_status(modem) == "down, SIM ready (ICCID …0017): no signal"
