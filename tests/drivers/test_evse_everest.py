"""The EVerest driver against the far end that speaks EVerest's public API, over a broker: ours, and mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, Limit
from agent.ports import Broken, Refused, Unreachable
from agent.ports.driver import StationFacts, Where
from agent.station_file.settings import Evse as Fitted
from drivers.evse_everest import DRIVER, limits
from drivers.evse_everest.decoded_state import EverestSession, apply_session_event, evse_state
from drivers.evse_everest.mqtt_link import MANAGER
from drivers.evse_everest.settings import EverestSettings
from drivers.sim.car import Car
from drivers.sim.everest.api import NO_REPLY
from drivers.sim.everest.station import Everest, Phase
from drivers.sim.evse import Evse
from drivers.sim.mains import Mains
from drivers.sim.mqtt import Broker
from drivers.testkit.evse import SOON_S, EvseWorld, check_evse
from tests.support.busy_machine import Deadline, deadline, stretched
from tests.support.mosquitto import MOSQUITTO, mosquitto_at
from tests.support.simulated_station import held_port

RATE = 40.0
STEP_US = 20_000


class Far:
    """A charger under EVerest, its clock ``rate`` times as fast as ours, and the broker between."""

    def __init__(self, kind: str = "DC", rate: float = RATE, prefix: str = "", **fitted: Any) -> None:
        outlet = {"DC": "tethered", "AC": "socket"}[kind]
        most = {"DC": {"max_a": 500.0, "power_kw": 150.0}, "AC": {"max_a": 32.0}}[kind]
        self.fitted = Fitted(1, kind=kind, outlet=outlet, **{**most, **fitted})
        self.evse = Evse(self.fitted, random.Random(5))
        self.mains, self.broker, self.rate = Mains(5), Broker(), rate
        self.everest = Everest(self.evse, self.broker, random.Random(5), self.mains, rate, prefix)
        self.prefix = prefix
        self.heard: list[tuple[str, Any]] = []
        self.broker.attach_subscriber(f"{prefix}everest_api/#", self._hear)

    def _hear(self, topic: str, data: bytes) -> None:
        with contextlib.suppress(ValueError, RecursionError):
            self.heard.append((topic, json.loads(data)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Far]:
        await self.broker.start()
        task = asyncio.create_task(self._tick())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.broker.close()

    async def _tick(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            while last + STEP_US / 1e6 <= now:
                last += STEP_US / 1e6
                self.evse.step(round(STEP_US * self.rate), STEP_US, self.mains)

    @property
    def where(self) -> Where:
        facts = StationFacts(
            kind=self.fitted.kind,
            max_a=self.fitted.max_a,
            outlet=self.fitted.outlet,
            power_w=self.fitted.power_kw and self.fitted.power_kw * 1000,
        )
        return Where(1, "evse", lambda: (1, time.monotonic()), (), facts)

    def settings(self, **more: Any) -> EverestSettings:
        return EverestSettings("127.0.0.1", self.broker.port, prefix=self.prefix, **more)

    def open(self, **more: Any) -> Any:
        return DRIVER.open(self.settings(**more), self.where)

    async def pilot(self, wanted: Pilot) -> None:
        if wanted is Pilot.A:
            self.evse.disconnect_vehicle(cable_too=True)
        else:
            self.evse.connect_vehicle(Car(profile="dc400", max_a=400, soc=40, ready=wanted is Pilot.C))

    async def ready(self) -> None:
        assert self.evse.car is not None
        self.evse.car.ready = True

    async def silence(self, on: bool) -> None:
        (self.evse.faults.add if on else self.evse.faults.discard)(Fault.BOARD_SILENT)

    def tell(self, name: str, value: Any, kind: str = "evse_manager_consumer/evse_manager_1", **more: Any) -> None:
        """A client that may publish on this broker says it."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.broker.publish_message(f"{self.prefix}everest_api/1/{kind}/e2m/{name}", data, **more)

    def events(self) -> list[str]:
        return [value["event"] for topic, value in self.heard if topic.endswith("/session_event")]

    def said(self, name: str) -> list[Any]:
        return [value for topic, value in self.heard if topic.endswith(f"/m2e/{name}")]


class Watched:
    """A port with its pictures and its beat, as the keeper does it."""

    def __init__(self, port: Any) -> None:
        self.port, self.pictures = port, list[EvseState]()

    @asynccontextmanager
    async def running(self, beats: bool = True) -> AsyncIterator[Watched]:
        tasks = [asyncio.create_task(self._look()), *([asyncio.create_task(self._beat())] if beats else [])]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _look(self) -> None:
        async for state in self.port.states():
            self.pictures.append(state)

    async def _beat(self) -> None:
        while True:
            await self.port.beat()
            await asyncio.sleep(0.5)

    @property
    def last(self) -> EvseState:
        return self.pictures[-1]


async def until(true: Callable[[], bool], within_s: float = 60.0) -> None:
    patience = Deadline(within_s)
    while not true():
        assert not patience.over, "did not come about in time"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def charging(far: Far, **more: Any) -> AsyncIterator[Watched]:
    async with far.running(), far.open(**more) as port, Watched(port).running() as seen:
        await until(lambda: bool(seen.pictures))
        await far.pilot(Pilot.C)
        await until(lambda: seen.last.vehicle_connected)
        await port.set_release(True)
        await until(lambda: seen.last.contactor is True and far.evse.power_mw > 0)
        yield seen


ORDERS = ("set_external_limits", "resume_charging")


@pytest.mark.parametrize("kind", ["DC", "AC"])
async def test_the_driver_keeps_the_contract(kind: str) -> None:
    far = Far(kind)
    async with far.running(), far.open() as port:
        await check_evse(port, EvseWorld(far.pilot, far.silence), soon_s=stretched(SOON_S))


async def test_a_dc_session_by_the_topics(tmp_path: Path) -> None:
    far = Far()
    async with charging(far) as seen:
        await until(lambda: seen.last.soc_percent is not None)
        assert seen.last.offered_w == 150_000
        assert seen.last.offered_a is None
        # its curve falls as the battery fills, while the test looks on
        await until(lambda: 60_000 < far.evse.power_mw / 1000 <= 150_000)
        assert await seen.port.set_limit(Limit(power_w=50_000)) == 50_000
        await until(lambda: 48_000 < far.evse.power_mw / 1000 <= 50_000)
        assert await seen.port.set_limit(Limit(power_w=0)) == 1500, "0 W would end the session"
        await until(lambda: 0 < far.evse.power_mw / 1000 <= 1500)
        await seen.port.set_release(False)
        await until(lambda: seen.last.released is False)
        assert not far.evse.contactor.closed
        assert not seen.last.contactor
    wanted = ["SessionStarted", "AuthRequired", "TransactionStarted", "PrepareCharging", "ChargingStarted",
              "StoppingCharging", "ChargingFinished", "TransactionFinished"]  # fmt: skip
    assert [e for e in far.events() if e in wanted] == wanted
    assert far.said("communication_check")
    assert all(v is True for v in far.said("communication_check"))


@pytest.mark.parametrize("kind", ["DC", "AC"])
async def test_an_everest_without_energy_pauses_on_its_own_side(kind: str) -> None:
    """A vehicle that waits for it is not idle: its driver does not pay for that time."""
    far = Far(kind)
    async with charging(far) as seen:
        far.everest.has_energy = False
        await until(lambda: "WaitingForEnergy" in far.events() and seen.last.contactor is not True)
        await until(lambda: not far.evse.contactor.closed)
        assert (seen.last.pwm, seen.last.requests_energy, seen.last.vehicle_connected) == (False, False, True)
        far.everest.has_energy = True
        await until(lambda: seen.last.contactor is True)
        assert (seen.last.pwm, seen.last.requests_energy) == (True, True)
    after = far.events()[far.events().index("WaitingForEnergy") :]
    assert after[:3] == ["WaitingForEnergy", "PrepareCharging", "ChargingResumed"]


@pytest.mark.parametrize(("kind", "offers"), [("DC", False), ("AC", True)])
def test_cable_check_and_precharge_are_work_of_the_station(kind: str, offers: bool) -> None:
    seen = EverestSession()
    for name in ("SessionStarted", "TransactionStarted", "WaitingForEnergy", "PrepareCharging"):
        seen = apply_session_event(seen, {"event": name})
    assert evse_state(seen, True, None, frozenset(), kind == "DC").pwm is offers
    seen = apply_session_event(seen, {"event": "ChargingStarted"})
    assert evse_state(seen, True, None, frozenset(), kind == "DC").pwm is True


async def test_a_limit_that_everest_does_not_enforce_is_no_limit() -> None:
    """The broker has it; no client behind the broker does. Nothing may be released under it."""
    far = Far()
    async with far.running(), far.open(confirm_s=1.5) as port:
        far.everest.api._commands = {
            **far.everest.api._commands, ("external_energy_limits_consumer", "set_external_limits"): lambda _: NO_REPLY
        }  # fmt: skip
        with pytest.raises(Unreachable, match="enforces 150000 W"):
            await port.set_limit(Limit(power_w=50_000))
        assert await port.set_limit(Limit(power_w=150_000)) == 150_000


async def test_an_everest_that_says_nothing_of_limits_is_not_opened() -> None:
    far = Far()
    far.everest._publish_enforced_limits = lambda: None  # type: ignore[method-assign]
    async with far.running():
        with pytest.raises(Unreachable, match="sends no enforced_limits"):
            async with far.open(confirm_s=0.5):
                pass


async def test_a_limit_that_is_not_lower_needs_no_word_of_its_own() -> None:
    """What was confirmed is no more than this either: no session ends for a slow EVerest that shall give more."""
    far = Far()
    async with far.running(), far.open(confirm_s=1.0) as port:
        await port.set_limit(Limit(power_w=50_000))
        far.everest._publish_enforced_limits = lambda: None  # type: ignore[method-assign]
        for power_w in (50_000, 150_000):
            assert await port.set_limit(Limit(power_w=power_w)) == power_w
        with pytest.raises(Unreachable):
            await port.set_limit(Limit(power_w=149_000))


async def test_a_limit_that_everest_forgets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of its modules was restarted: it enforces what its fuse allows."""
    monkeypatch.setattr(limits, "OVER_S", 0.5)
    far = Far()
    async with far.running(), far.open() as port:
        assert await port.set_limit(Limit(power_w=50_000)) == 50_000
        far.evse.registers.limit_w = 150_000
        with pytest.raises(Unreachable, match="enforces 150000 W"):
            async with deadline(20):
                async for _ in port.states():
                    await port.beat()


@pytest.mark.parametrize("said", [7, {}, {"limits_root_side": []}, {"limits_root_side": {"total_power_W": "much"}}])
async def test_what_is_no_limit_confirms_none(said: Any) -> None:
    far = Far()
    async with far.running(), far.open(confirm_s=1.0) as port:
        far.everest._publish_enforced_limits = lambda: far.tell("enforced_limits", said)  # type: ignore[method-assign]
        with pytest.raises(Unreachable):
            await port.set_limit(Limit(power_w=50_000))


async def test_nothing_is_authorised_without_release() -> None:
    """A token from any provider: EVerest asks us, and we say no."""
    far = Far()
    async with far.running(), far.open() as port, Watched(port).running() as seen:
        await far.pilot(Pilot.C)
        await until(lambda: bool(seen.pictures) and seen.last.vehicle_connected)
        far.everest.provide_token(
            {"id_token": {"value": "VID:0011", "type": "MacAddress"}, "authorization_type": "Autocharge"}
        )
        await until(lambda: any("/m2e/reply/" in topic for topic, _ in far.heard))
        [answer] = [value for topic, value in far.heard if "/m2e/reply/" in topic]
        assert answer == {"authorization_status": "Invalid", "tariff_messages": []}
        await port.set_release(True)
        await port.set_release(False)
        await asyncio.sleep(0)
        token = far.said("provided_token")[0]
        far.everest.provide_token(token)  # ours, and stale
        await until(lambda: sum("/m2e/reply/" in topic for topic, _ in far.heard) >= 2)
        await until(lambda: not far.everest._left_s)
        assert far.everest.phase is Phase.WAITS
        assert "TransactionStarted" not in far.events()


async def test_a_transaction_that_no_one_released_is_stopped() -> None:
    far = Far()
    async with far.running(), far.open() as port, Watched(port).running():
        await far.pilot(Pilot.C)
        await until(lambda: far.everest.phase is Phase.WAITS)
        far.everest._handle_validation(
            {"id_token": {"value": "X"}}, {"authorization_status": "Accepted", "tariff_messages": []}
        )
        await until(lambda: "TransactionFinished" in far.events())
        assert not far.evse.contactor.closed


async def test_without_our_beats_everest_stops_in_order() -> None:
    """The agent hangs: 5 s later nothing flows, and it hears that its release was taken away."""
    far = Far()
    async with far.running(), far.open() as port:
        async with Watched(port).running() as seen:
            await far.pilot(Pilot.C)
            await until(lambda: bool(seen.pictures) and seen.last.vehicle_connected)
            await port.set_release(True)
            await until(lambda: far.evse.power_mw > 0)
        async with Watched(port).running(beats=False) as seen:
            began_s = time.monotonic()
            await until(lambda: seen.pictures and seen.last.released is False)
            assert time.monotonic() - began_s < stretched(15)
    events = far.events()
    assert events.index("StoppingCharging") < events.index("ChargingFinished") < events.index("TransactionFinished")


async def test_it_comes_up_withdrawn_whatever_everest_remembered() -> None:
    """The agent was killed and is back before EVerest has missed it."""
    far = Far()
    async with charging(far) as seen:
        second = DRIVER.open(far.settings(), far.where)
        async with second as port:
            state = await port.state()
            assert (state.released, state.contactor, state.vehicle_connected) == (False, False, True)
            assert not far.evse.contactor.closed
        assert seen.last.released is False, "and the one that hung sees that its release is gone"


async def test_at_the_opening_it_says_who_has_had_his_session() -> None:
    far = Far()
    async with charging(far), far.open() as port:
        assert (await port.state()).spent is True, "the opening itself has stopped it"
    async with far.running(), far.open() as port:
        assert (await port.state()).spent is True, "nothing was stopped here any more"
        await far.pilot(Pilot.A)
        await far.pilot(Pilot.C)
        await until(lambda: far.everest.phase is Phase.WAITS)
    async with far.running(), far.open() as port:
        assert (await port.state()).spent is False


async def test_the_events_of_a_stop_are_a_first_picture_too() -> None:
    """EVerest sends session_info with each reading of its meter: a stop may be quicker."""
    far = Far()
    async with charging(far):
        far.everest._publish_session_info = lambda: None  # type: ignore[method-assign]
        async with far.open() as port:
            assert (await port.state()).spent is True


@pytest.mark.parametrize("state", ["FinishedEV", "Finished", "FinishedEVSE"])
async def test_what_seems_to_stop_and_does_not_run_is_over(state: str) -> None:
    far = Far()
    async with far.running():
        await far.pilot(Pilot.C)
        await until(lambda: far.everest.phase is Phase.WAITS)
        far.everest._publish_session_info = lambda: far.tell("session_info", {"state": state})  # type: ignore[method-assign]
        far.everest.step(0.0)
        async with deadline(30), far.open() as port:
            seen = await port.state()
            assert (seen.spent, seen.vehicle_connected, seen.contactor) == (True, True, False)


@pytest.mark.parametrize("kind", ["DC", "AC"])
async def test_a_vehicle_has_one_session_on_its_plug(kind: str) -> None:
    far = Far(kind)
    async with charging(far) as seen:
        assert seen.last.spent is False
        await seen.port.set_release(False)
        await until(lambda: seen.last.spent)
        sent_count = len(far.said("provided_token"))
        with pytest.raises(Refused, match="plugged in again"):
            await seen.port.set_release(True)
        assert len(far.said("provided_token")) == sent_count, "it would wait there, for the next vehicle"
        await far.pilot(Pilot.A)
        await until(lambda: not seen.last.vehicle_connected)
        assert seen.last.spent is False
        await far.pilot(Pilot.C)
        await until(lambda: seen.last.vehicle_connected)
        await seen.port.set_release(True)
        await until(lambda: seen.last.contactor is True and far.evse.power_mw > 0)
        assert seen.last.spent is False


async def test_a_cable_that_was_pulled_is_no_session_that_its_vehicle_has_ended() -> None:
    """EVerest sends the end of the transaction a moment before that of its session: the reason says what is true."""
    far = Far()
    async with charging(far) as seen:
        far.everest._finish_transaction("EVDisconnected")
        await until(lambda: seen.last.contactor is False)
        assert (seen.last.vehicle_connected, seen.last.spent) == (False, False)


async def test_a_vehicle_that_ends_by_itself_is_no_fault_of_the_board() -> None:
    far = Far()
    async with charging(far) as seen:
        far.evse.car.soc = 100.0  # type: ignore[union-attr]
        await until(lambda: seen.last.contactor is False and seen.last.spent)
        assert (seen.last.released, seen.last.pilot) == (None, Pilot.B)
        await far.pilot(Pilot.A)
        await until(lambda: seen.last.pilot is Pilot.A)


@pytest.mark.parametrize(
    ("fault", "shown"),
    [
        (Fault.EMERGENCY_STOP, Fault.MREC8),
        (Fault.GROUND_FAILURE, Fault.GROUND_FAILURE),
        (Fault.TILT, Fault.TILT),
        (Fault.OVER_VOLTAGE, Fault.OVER_VOLTAGE),
    ],
)
async def test_errors_of_everest_are_faults_and_stop_it(fault: Fault, shown: Fault) -> None:
    far = Far()
    async with charging(far) as seen:
        far.evse.faults.add(fault)
        await until(lambda: shown in seen.last.faults and not far.evse.contactor.closed)
        far.evse.faults.discard(fault)
        await until(lambda: not seen.last.faults)


async def test_an_ac_point_pauses_below_six_amperes_and_unlocks_when_it_is_open() -> None:
    far = Far("AC")
    async with charging(far) as seen:
        with pytest.raises(Refused, match="not confirmed open"):
            await seen.port.unlock()
        assert await seen.port.set_limit(Limit(current_a=5.9)) == 0
        await until(lambda: not far.evse.contactor.closed and seen.last.pwm is False)
        assert await seen.port.set_limit(Limit(current_a=10)) == 10
        await until(lambda: far.evse.power_mw > 0 and seen.last.contactor is True)
        sent = [name for topic, _ in far.heard if (name := topic.rpartition("/")[2]) in ORDERS]
        assert sent[-2:] == ["set_external_limits", "resume_charging"], "nothing flows by the limit of before"
        await seen.port.set_release(False)
        await until(lambda: seen.last.released is False)
        assert await seen.port.unlock()


async def test_who_does_not_draw_yet_is_paused_when_he_does() -> None:
    """EVerest refuses the pause then, and lets the vehicle begin later: another vehicle gets its share of the feed."""
    far = Far("AC")
    async with far.running(), far.open() as port, Watched(port).running() as seen:
        await until(lambda: bool(seen.pictures))
        await far.pilot(Pilot.B)
        await until(lambda: seen.last.vehicle_connected)
        await port.set_release(True)
        await until(lambda: "PrepareCharging" in far.events())
        assert await port.set_limit(Limit(current_a=0)) == 0
        await far.ready()
        await until(lambda: "ChargingPausedEVSE" in far.events())
        await until(lambda: not far.evse.contactor.closed and seen.last.pwm is False)
        assert await port.set_limit(Limit(current_a=10)) == 10
        await until(lambda: far.evse.power_mw > 0 and seen.last.contactor is True)
        assert "TransactionFinished" not in far.events()


async def test_a_pause_that_everest_does_not_make_is_reported() -> None:
    far = Far("AC")
    async with charging(far) as seen:
        far.everest.api._commands = {**far.everest.api._commands, (MANAGER, "pause_charging"): lambda _: False}
        with pytest.raises(Refused, match="did not pause"):
            await seen.port.set_limit(Limit(current_a=0))


@pytest.mark.parametrize("host", ["a..b", "é"])
async def test_a_host_that_cannot_be_is_reported(host: str) -> None:
    with pytest.raises(Broken, match="host: must be a host"):
        async with DRIVER.open(EverestSettings(host), Far().where):
            pass


async def test_the_broker_goes_and_comes_back() -> None:
    far = Far()
    async with far.running(), far.open() as port:
        await port.state()
        await far.broker.close()
        with pytest.raises(Unreachable):
            async with deadline(30):
                async for _ in port.states():
                    pass
        await far.broker.start()
        assert (await port.state()).released is False


async def test_a_prefix_is_put_before_every_topic_and_named_in_none() -> None:
    far = Far(prefix="site-7/")
    async with charging(far) as seen:
        await seen.port.set_release(False)
        await until(lambda: seen.last.released is False)


NESTED = b"[" * 100_000
DEEP = b"[" * 9000 + b"]" * 9000
NO_SENSE: list[tuple[str, Any]] = [
    *((name, value) for name in ("session_event", "session_info", "ev_info") for value in (
        b"", b"\xff", NESTED, b'{"a":' + NESTED, b'"' + b"x" * 300_000 + b'"', 7, None, "x", [], {}, {"event": 3},
        {"state": []}, {"event": "TransactionFinished", "transaction_finished": 7}, {"soc": "x"}, {"soc": float("nan")},
        {"soc": True}, {"event": "SessionStarted", "session_started": []},
    )),
    *(("validate_token", {"headers": {"replyTo": to}, "payload": {"id_token": {"value": "x"}}}) for to in (
        "", "#", "a/+", "\0", 7, None, [], "x" * 70_000, "everest_api/1/evse_manager_consumer/evse_manager_1/m2e/x",
        "everest_api/1/auth_token_validator/token_validator_1/m2e/communication_check",
    )),
    *(("validate_token", value) for value in ({"headers": 7}, {"headers": {}}, {"payload": []}, 3, "x")),
    *((name, value) for name in ("error_raised", "error_cleared") for value in (7, {}, {"type": 3}, {"uuid": []},
        b'{"uuid":' + DEEP + b"}")),
    ("validate_token", b'{"headers":{"replyTo":"x"},"payload":{"id_token":{"value":' + DEEP + b"}}}"),
]  # fmt: skip
KINDS = {"validate_token": "auth_token_validator/token_validator_1", "error_raised": "error_history_consumer/errors_1",
         "error_cleared": "error_history_consumer/errors_1"}  # fmt: skip


async def test_nothing_that_is_said_on_the_broker_ends_the_driver() -> None:
    """A client that can publish there could have ended the agent, or had us publish wherever it likes."""
    far = Far()
    async with far.running(), far.open() as port, Watched(port).running() as seen:
        await until(lambda: bool(seen.pictures))
        far.heard.clear()
        for name, value in NO_SENSE:
            far.tell(name, value, KINDS.get(name, "evse_manager_consumer/evse_manager_1"))
        assert (await port.state()).released is False
        await far.pilot(Pilot.C)
        await until(lambda: seen.last.vehicle_connected)
        answers = {"authorization_status": "Invalid", "tariff_messages": []}
        assert [topic for topic, value in far.heard if value == answers] == []


async def test_why_a_vehicle_does_not_charge_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """From there it goes to the sinks, for who looks after the station."""
    far = Far()
    async with far.running(), far.open():
        for report in ({"uuid": "u", "reason": "FailedTLSHandshake"}, 7, {"reason": "a\nb"}):
            far.tell("hlc_session_failed", report)
        await until(lambda: caplog.text.count("do not come to terms") == 3)
    assert "do not come to terms: FailedTLSHandshake" in caplog.text
    assert caplog.text.count("no reason is given") == 2


async def test_what_a_broker_has_kept_is_no_news() -> None:
    """A session event of last week says nothing of the vehicle that is there now."""
    far = Far()
    async with far.running():
        for event in ("SessionFinished", "SessionStarted", "TransactionStarted"):
            far.tell("session_event", {"event": event}, retain=True)
        async with far.open() as port:
            assert (await port.state()).pilot is Pilot.A


async def test_a_car_that_comes_while_it_is_opened() -> None:
    """Its event is there before the first ``session_info``."""
    far = Far()
    started = {"event": "SessionStarted", "session_started": {"reason": "EVConnected"}}
    stop = "everest_api/1/evse_manager_consumer/evse_manager_1/m2e/stop_transaction"
    far.broker.attach_subscriber(stop, lambda topic, data: far.tell("session_event", started))
    async with far.running(), far.open() as port:
        assert (await port.state()).pilot is Pilot.B


async def test_one_car_never_passes_for_another() -> None:
    """Two events in one breath; what was released was released for the one that has gone."""
    far = Far("AC")
    async with charging(far) as seen:
        given = len(far.said("provided_token"))
        far.evse.disconnect_vehicle(cable_too=True)
        await far.pilot(Pilot.C)
        await until(lambda: far.events()[-2:] == ["SessionStarted", "AuthRequired"])
        await until(lambda: seen.last.vehicle_connected and not seen.last.contactor)
        pilots = [p.pilot for p in seen.pictures]
        assert Pilot.A in pilots[pilots.index(Pilot.C) :]
        assert await seen.port.set_limit(Limit(current_a=0)) == 0
        assert await seen.port.set_limit(Limit(current_a=10)) == 10
        assert len(far.said("provided_token")) == given, "this car was not released"
        assert far.everest.phase is Phase.WAITS
        await seen.port.set_release(True)
        await until(lambda: seen.last.contactor is True)


@pytest.mark.parametrize("exchanged", [False, True])
async def test_a_car_that_was_exchanged_while_no_one_looked(exchanged: bool) -> None:
    """EVerest has asked no validator for the one that has charged; one that waits to be authorized is another one."""
    far = Far("AC")
    async with charging(far):
        pass
    async with far.running():
        await until(lambda: far.everest.phase is Phase.FINISHED)
        if exchanged:
            far.evse.disconnect_vehicle(cable_too=True)
            await far.pilot(Pilot.C)
            await until(lambda: far.everest.phase is Phase.WAITS)
        async with far.open() as port, Watched(port).running() as seen:
            await until(lambda: bool(seen.pictures) and seen.last.vehicle_connected)
            assert [p.pilot for p in seen.pictures] == ([Pilot.A, Pilot.B] if exchanged else [Pilot.B])


async def test_what_everest_clears_up_after_a_power_cut_is_no_car() -> None:
    """It reports the session that it remembers, and that its transaction is over; the car may have left long ago."""
    far = Far()
    async with far.running(), far.open() as port, Watched(port).running() as seen:
        await until(lambda: bool(seen.pictures))
        asked = len(far.said("stop_transaction"))
        far.tell("session_event", {"event": "SessionResumed", "session_resumed": {}})
        await asyncio.sleep(0.3)
        far.tell("session_event", {"event": "TransactionFinished", "transaction_finished": {"reason": "PowerLoss"}})
        state = await port.state()
        assert (state.pilot, state.spent, state.contactor) == (Pilot.A, False, False)
        assert len(far.said("stop_transaction")) == asked
        await far.pilot(Pilot.C)
        await until(lambda: seen.last.vehicle_connected)
        await port.set_release(True)
        await until(lambda: seen.last.contactor is True)


async def test_an_authorisation_is_no_car_and_waits_for_none() -> None:
    far = Far()
    async with far.running(), far.open() as port, Watched(port).running() as seen:
        await until(lambda: bool(seen.pictures))
        await port.set_release(True)
        assert (await port.state()).pilot is Pilot.A
        assert far.said("provided_token") == [], "EVerest would keep it for the next driver"
        far.tell("session_event", {"event": "SessionStarted", "session_started": {"reason": "Authorized"}})
        far.tell("session_event", {"event": "Authorized"})
        assert (await port.state()).pilot is Pilot.A


async def test_what_is_still_stopping_is_not_shown_as_open() -> None:
    far = Far()

    async def opened() -> None:
        async with DRIVER.open(far.settings(), far.where) as port:
            assert not far.evse.contactor.closed
            assert (await port.state()).contactor is False

    async with charging(far):
        far.rate = 0.0  # its current takes a while to go down
        opening = asyncio.create_task(opened())
        await until(lambda: far.everest.phase is Phase.STOPS)
        before = len(far.heard)
        await until(lambda: len(far.heard) > before + 20)
        assert far.evse.contactor.closed
        assert not opening.done()
        far.rate = RATE
        await opening


async def test_it_opens_with_a_car_whose_transaction_was_stopped() -> None:
    """A real EVerest goes on calling that ChargingPausedEVSE until the car leaves."""
    far = Far("AC")

    def paused(value: Any) -> Any:
        over = isinstance(value, dict) and value.get("state") == "Finished"
        return value | {"state": "ChargingPausedEVSE"} if over else value

    far.everest.api.spoil = paused
    async with charging(far) as seen:
        await seen.port.set_release(False)
        await until(lambda: "TransactionFinished" in far.events())
    async with far.running(), far.open(stop_s=1.0) as port:
        state = await port.state()
        assert (state.pilot, state.contactor, state.spent) == (Pilot.B, False, True)


def test_settings_that_cannot_work() -> None:
    far = Far()
    assert DRIVER.check(EverestSettings("127.0.0.1"), far.where) == []
    wrong = DRIVER.check(
        EverestSettings("", 0, manager="a/b", least_w=0, password_file=Path("/nowhere"), prefix="#/"), far.where
    )
    assert sorted(w.split(":")[0] for w in wrong) == ["host", "least_w", "manager", "password_file", "port", "prefix"]


@pytest.mark.parametrize(
    ("mode", "content", "wanted"),
    [(0o600, b"word", ""), (0o640, b"word", "chmod 600"), (0o644, b"word", "chmod 600"), (0o600, b"\xff", "text")],
)
async def test_a_password_file_that_others_may_read_is_refused(
    tmp_path: Path, mode: int, content: bytes, wanted: str
) -> None:
    far, file = Far(), tmp_path / "broker-password"
    file.write_bytes(content)
    file.chmod(mode)
    wrong = DRIVER.check(EverestSettings("127.0.0.1", password_file=file), far.where)
    assert len(wrong) == (1 if wanted else 0)
    if wanted:
        assert wrong[0].startswith("password_file: ")
        assert wanted in wrong[0]
        with pytest.raises(Broken, match=wanted):
            async with far.running(), far.open(password_file=file):
                pass


# --- a broker that is not ours ------------------------------------------------------------------------------------


@asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[int]:
    with held_port() as port:
        async with mosquitto_at(folder, port):
            yield port


@asynccontextmanager
async def bridged(far: Far, port: int) -> AsyncIterator[None]:
    """What the far end says goes to the other broker, what that hears for it comes back."""
    import aiomqtt

    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("everest_api/1/+/+/m2e/#", qos=1)
        out: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        far.broker.attach_subscriber("everest_api/#", lambda t, d: out.put_nowait((t, d)) if "/e2m/" in t else None)

        async def send() -> None:
            while True:
                topic, data = await out.get()
                await client.publish(topic, data)

        async def receive() -> None:
            async for message in client.messages:
                far.broker.publish_message(str(message.topic), bytes(message.payload))

        tasks = [asyncio.create_task(send()), asyncio.create_task(receive())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
async def test_the_contract_holds_over_mosquitto(tmp_path: Path) -> None:
    far = Far()
    async with mosquitto(tmp_path) as port, far.running(), bridged(far, port):
        settings = EverestSettings("127.0.0.1", port)
        async with DRIVER.open(settings, far.where) as driven:
            await check_evse(driven, EvseWorld(far.pilot, far.silence), soon_s=stretched(SOON_S))
