"""The order dispatch: every order has one executor, and what needs an answer gets one without a device too."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.doctor.service_examiner import ServiceExaminer
from agent.assembly.files import FILE_ORDERS
from agent.assembly.station import SinkReports
from agent.domain import orders as domain_orders
from agent.domain.events import Event, FirmwareInstalled, InstallOutcome, MeterFailed, ReleaseWithdrawn, UnlockTried
from agent.domain.orders import (
    AuthorizeToken,
    CommitFirmware,
    Feedback,
    InstallFirmware,
    LogNote,
    Order,
    Persist,
    ReadMeter,
    Reconnect,
    Response,
    Restart,
    Send,
    SetLamp,
    SetRelease,
    Show,
    Shutdown,
    Unlock,
    WakeMe,
)
from agent.model.types import STATION, Lamp, Screen, ScreenName, Sign
from agent.ocpp.bearer_probe import BearerProbe
from agent.services.devices.dispatch import ANSWERS_WITHOUT_DEVICE, LateExecutor, LogNotes, OrderDispatch
from agent.services.devices.indicators import BuzzerSupervisor, LampSupervisor
from agent.services.devices.supervisor import DeviceSupervisor, DisplaySupervisor
from agent.services.files.orders import FileOrders
from agent.services.files.tariff_files import TariffTopics
from agent.services.keys.orders import KeyOrders
from agent.services.satellites.master_dialer import MasterDialer
from agent.services.satellites.satellite_listener import SatelliteListener
from tests.support.reading_purposes import LIVE

ROOT = Path(domain_orders.__file__).parents[2]
ENGINE = {Persist, AuthorizeToken, Response, Send, Reconnect, WakeMe, Restart, Shutdown}
"""What the engine carries out itself."""


def concrete_orders(kind: type[Order] = Order) -> Iterator[type[Order]]:
    for child in kind.__subclasses__():
        # `frozen` makes a class of each class: the first one stays, and has no place in its module
        if getattr(sys.modules[child.__module__], child.__qualname__, None) is child:
            children = list(concrete_orders(child))
            yield from children or [child]


def supervisor_classes(kind: type[DeviceSupervisor] = DeviceSupervisor) -> Iterator[type[DeviceSupervisor]]:
    for child in kind.__subclasses__():
        if child.__module__.startswith("agent."):
            yield child
            yield from supervisor_classes(child)


def import_whole_rooms() -> None:
    for room in ("domain", "services/devices"):
        for path in (ROOT / "agent" / room).rglob("*.py"):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))


def test_every_order_of_the_domain_has_one_executor(tmp_path: Path) -> None:
    import_whole_rooms()
    files = FileOrders(tmp_path, [].append, lambda order: dict, list)
    assert set(files.orders) == set(FILE_ORDERS)
    executors = (
        LogNotes,
        KeyOrders,
        files,
        BearerProbe,
        ServiceExaminer,
        TariffTopics,
        SinkReports,
        SatelliteListener,
        MasterDialer,
    )
    without_device = [ENGINE, *(set(executor.orders) for executor in executors), set(ANSWERS_WITHOUT_DEVICE)]
    executed = [kind for kinds in without_device for kind in kinds]
    assert len(executed) == len(set(executed)), "an order has two executors"
    assert set(concrete_orders()) == set(executed)


def test_every_order_for_a_device_is_taken_by_a_supervisor() -> None:
    import_whole_rooms()
    taken = {kind for supervisor in supervisor_classes() for kind in supervisor.orders}
    assert taken == set(ANSWERS_WITHOUT_DEVICE)


def test_an_order_that_expects_an_answer_gets_one_without_a_device() -> None:
    events: list[Event] = []
    dispatch = OrderDispatch(events.append)
    without_answer = (SetRelease(7, True), SetLamp(7, Lamp.OFF))
    for order in (Unlock(7, "r"), ReadMeter(7, LIVE), SetRelease(7, False), *without_answer):
        dispatch.dispatch_order(order)
    assert events == [UnlockTried(7, "r", False), MeterFailed(7, LIVE), ReleaseWithdrawn(7)]


class FirmwareOrders(DeviceSupervisor):
    orders = (InstallFirmware, CommitFirmware)

    def __init__(self) -> None:
        super().__init__(STATION, "updater", closed, [].append)
        self.taken: list[Order] = []

    def accept_order(self, order: Order) -> None:
        self.taken.append(order)


@pytest.mark.parametrize("has_updater", [True, False])
def test_an_installation_is_not_refused_before_the_devices_are_known(has_updater: bool) -> None:
    """A job that a restart has interrupted goes on at once; the devices are composed when the backend has answered."""
    events: list[Event] = []
    dispatch, updater = OrderDispatch(events.append), FirmwareOrders()
    dispatch.dispatch_order(InstallFirmware("j"))
    assert events == []
    if has_updater:
        dispatch.add_supervisor(updater)
    dispatch.note_devices_known()
    dispatch.dispatch_order(CommitFirmware())
    assert updater.taken == ([InstallFirmware("j"), CommitFirmware()] if has_updater else [])
    assert events == ([] if has_updater else [FirmwareInstalled("j", InstallOutcome.NO_UPDATER)])


def test_an_executor_is_made_for_its_first_order_and_takes_none_after_its_end() -> None:
    made: list[LogNotes] = []

    def make_executor() -> LogNotes:
        made.append(LogNotes())
        return made[-1]

    late = LateExecutor((LogNote,), make_executor)
    assert made == []
    for _ in range(2):
        late.accept_order(LogNote(1, "a line"))
    assert len(made) == 1
    assert late.close_intake() is made[0]
    unused = LateExecutor((LogNote,), make_executor)
    assert unused.close_intake() is None
    unused.accept_order(LogNote(1, "a line"))
    assert len(made) == 1


def test_an_order_without_an_executor_is_an_error_in_the_log(caplog: Any) -> None:
    class Dance(Order):
        pass

    OrderDispatch([].append).dispatch_order(Dance())
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("ERROR", "Dance: a defect: it has no executor, nothing was done")
    ]


def test_a_note_of_the_domain_is_a_warning(caplog: Any) -> None:
    OrderDispatch([].append).dispatch_order(LogNote(2, "is of class B", "meter"))
    assert caplog.messages == ["EVSE 2: meter: is of class B"]


def closed() -> AbstractAsyncContextManager[Any]:
    raise AssertionError("no device is opened here")


class Accepted:
    """Notes which supervisor has accepted what."""

    def __init__(self, monkeypatch: Any) -> None:
        self.orders: list[tuple[str, Order]] = []
        for kind in (LampSupervisor, BuzzerSupervisor, DisplaySupervisor):
            monkeypatch.setattr(kind, "accept_order", lambda s, order: self.orders.append((s.name, order)))


async def test_the_devices_of_the_station_serve_the_outlets_without_their_own(monkeypatch: Any) -> None:
    accepted = Accepted(monkeypatch)
    dispatch = OrderDispatch([].append)
    show = {n: Show(n, Screen(ScreenName.IDLE, "fr")) for n in (1, 2)}
    dispatch.dispatch_order(show[2])
    dispatch.add_supervisor(DisplaySupervisor(1, "own", closed, [].append))
    dispatch.add_supervisor(DisplaySupervisor(0, "shared", closed, [].append), [2])
    assert accepted.orders == [("shared", show[2])], "a display that comes late shows what is wanted now"
    dispatch.dispatch_order(show[1])
    assert accepted.orders[1:] == [("own", show[1])]
    assert dispatch.newest_level(Show, 2) is show[2]


async def test_a_signal_reaches_the_lamp_of_the_outlet_and_the_buzzer(monkeypatch: Any) -> None:
    accepted = Accepted(monkeypatch)
    dispatch = OrderDispatch([].append)
    for number in (1, 2):
        dispatch.add_supervisor(LampSupervisor(number, f"lamp {number}", closed, [].append))
    dispatch.add_supervisor(BuzzerSupervisor(0, "buzzer", closed, [].append), [1, 2])
    dispatch.dispatch_order(Feedback(2, Sign.REFUSED))
    assert [name for name, _ in accepted.orders] == ["lamp 2", "buzzer"]
    dispatch.dispatch_order(Feedback(0, Sign.ACCEPTED))
    assert [name for name, _ in accepted.orders[2:]] == ["lamp 1", "lamp 2", "buzzer"]


async def test_a_supervisor_cannot_take_an_order_that_needs_no_device() -> None:
    class Rebooter(DeviceSupervisor):
        orders = (Restart,)

    with pytest.raises(TypeError, match="Restart is no order for a device"):
        OrderDispatch([].append).add_supervisor(Rebooter(0, "reboot", closed, [].append))
