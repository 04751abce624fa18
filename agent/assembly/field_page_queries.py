"""Answers for the field page: log, readings of the meters, cards that were tapped, and the orders that it may give."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import time
import zipfile
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent.domain import service_screen
from agent.domain.events import ButtonPressed, CardPresented, Event, RawMeterReading, RestartExpected
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.orders import ReadMeter, SendLog, SetLamp, Show
from agent.domain.payment import PayState
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.model.types import STATION, EvseId, Lamp, Reading
from agent.ports.clock import ClockPort
from agent.ports.store import StoreError
from agent.services.devices.dispatch import OrderDispatch
from agent.services.devices.indicators import LampSupervisor
from agent.services.event_queue import EventQueue
from agent.services.logs.buffer import LogRing
from agent.services.store.store import Store

log = logging.getLogger(__name__)

ASK = "field_page"
LOG_LINES = 300
TAPS = 20
COLOURS = (Lamp.GREEN, Lamp.BLUE, Lamp.YELLOW, Lamp.RED)
COLOUR_S = 1.0
"""Real seconds of each colour in the test of the lamps."""
RESTART_AFTER_S = 2.0
"""By then a browser has the page that waits, with its style and its script."""
LOOK_AGAIN_S = 5.0
DRAIN_MOST_S = 180.0
"""A page that says nothing for so long may have ended after it changed the station file: the agent is restarted."""
BEGINS_SOON = (SessionState.AUTHORIZED, SessionState.BEGINNING)
BEFORE_SESSION = (PayState.AUTH_PENDING, PayState.AUTHORIZED)
"""A bank is asked to hold an amount, or holds it; the session has not begun."""
CollectParts = Callable[[SendLog], Callable[[], Mapping[str, bytes]]]
Row = dict[str, Any]


class FieldPageQueries:
    """Answers the question ``field_page`` of the status socket."""

    def __init__(
        self,
        site: StationState,
        store: Store,
        clock: ClockPort,
        ring: LogRing,
        collect: CollectParts,
        dispatch: OrderDispatch,
        events: EventQueue,
        restart: Callable[[], None],
    ) -> None:
        self._site, self._store, self._clock, self._ring = site, store, clock, ring
        self._collect, self._dispatch, self._restart = collect, dispatch, restart
        self._events = events
        self._lamp_test: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._drain_end: asyncio.TimerHandle | None = None
        self._public_keys: dict[EvseId, str] = {}
        self._taps: deque[Row] = deque(maxlen=TAPS)
        self._tap_count = 0
        self._answers: dict[str, Callable[[], Awaitable[Row]]] = {
            "logs": self._newest_log_lines,
            "meters": self._newest_meter_readings,
            "taps": self._newest_card_taps,
            "diagnostics": self._diagnostics_archive,
            "lamps": self._begin_lamp_test,
            "screen": self._press_service_button,
            "drain": self._drain_before_change,
            "admit": self._admit_drivers_again,
            "restart": self._restart_agent_in_order,
        }

    def before_event(self, event: Event) -> None:
        """Remember a card that was held to a reader, with its token masked, and the key of a signed record."""
        if isinstance(event, RawMeterReading) and event.reading.signed is not None:
            self._public_keys[event.evse] = event.reading.signed.public_key
        if not isinstance(event, CardPresented):
            return
        self._tap_count += 1
        token = event.token.masked_value() if event.token is not None else None
        row = {"count": self._tap_count, "evse": event.evse, "token": token, "reason": event.reason}
        self._taps.append({**row, "t_s": time.monotonic()})

    async def answer_question(self, question: Mapping[str, Any]) -> Row:
        """Answer one question. ``question``: ``do``, ``store`` (the path of the store meant)."""
        if question.get("store") != str(self._store.path.resolve()):
            return {"error": "another store", "other": True}
        answer = self._answers.get(str(question.get("do")))
        if answer is None:
            return {"error": f"do must be one of {', '.join(self._answers)}"}
        return {"running": True, **await answer()}

    async def _newest_log_lines(self) -> Row:
        return {"lines": self._ring.text_between(None, None).splitlines()[-LOG_LINES:]}

    async def _newest_meter_readings(self) -> Row:
        """Return the newest readings, and order new ones. An order is dropped while one waits for the meter."""
        now_s, evses = self._clock.now().t_s, self._site.evses.values()
        for evse in evses:
            self._dispatch.dispatch_order(ReadMeter(evse.number, ReadingPurpose(ReadingKind.LIVE)))
        return {"meters": [meter_reading_row(evse, now_s, self._public_keys.get(evse.number, "")) for evse in evses]}

    async def _newest_card_taps(self) -> Row:
        now_s = time.monotonic()  # real seconds, also where the clock of the station is hurried
        return {"taps": [{**row, "ago_s": round(now_s - row["t_s"], 3)} for row in reversed(self._taps)]}

    async def _diagnostics_archive(self) -> Row:
        build_parts = self._collect(SendLog(ASK, location="", name=ASK))
        return {"zip": await asyncio.to_thread(_packed_zip_as_base64, build_parts)}

    async def _begin_lamp_test(self) -> Row:
        """Show each colour at the outlets without a session. What the domain has ordered is shown again afterwards."""
        lamps = [s for s in self._dispatch.supervisors_of(LampSupervisor) if self._is_free_outlet(s.evse)]
        if self._lamp_test is None or self._lamp_test.done():
            self._lamp_test = asyncio.get_running_loop().create_task(self._show_all_colours(lamps))
        return {"evses": sorted({lamp.evse for lamp in lamps})}

    async def _press_service_button(self) -> Row:
        """Show the service screen, or hide it again. It hides no screen of a driver who is being served."""
        self._events.post_event(ButtonPressed(service_screen.BUTTON))
        has_display = any(Show in supervisor.orders for supervisor in self._dispatch.supervisors)
        return {"display": has_display}

    def _is_free_outlet(self, number: EvseId) -> bool:
        """Return whether a lamp there belongs to no session. A lamp of the station belongs to every outlet."""
        return all(evse.session is None for evse in self._site.evses.values() if number in (STATION, evse.number))

    async def _show_all_colours(self, lamps: Sequence[LampSupervisor]) -> None:
        for colour in COLOURS:
            for lamp in lamps:
                if self._is_free_outlet(lamp.evse):
                    lamp.accept_order(SetLamp(lamp.evse, colour))
            await asyncio.sleep(COLOUR_S)
        for lamp in lamps:
            lamp.accept_order(self._dispatch.newest_level(SetLamp, lamp.evse) or SetLamp(lamp.evse, Lamp.OFF))

    async def _drain_before_change(self) -> Row:
        """Let no driver begin between a change of the station file and the restart: the bill could go to a backend that
        does not know its transaction. ``evses``: those in use; then nothing was done."""
        if not (in_use := await self._outlets_in_use()):
            self._events.post_event(RestartExpected(True))
            await self._events.wait_until_handled()
            if in_use := await self._outlets_in_use():  # a driver was faster
                await self._admit_drivers_again()
            elif not self._is_restart_ordered():
                self._forget_drain_end()
                self._drain_end = asyncio.get_running_loop().call_later(DRAIN_MOST_S, self._order_restart)
        return {"evses": in_use}

    async def _admit_drivers_again(self) -> Row:
        """The station file was not changed. A restart that was ordered since is one all the same."""
        self._forget_drain_end()
        if not self._is_restart_ordered():
            self._events.post_event(RestartExpected(False))
        return {}

    def _forget_drain_end(self) -> None:
        if self._drain_end is not None:
            self._drain_end.cancel()
            self._drain_end = None

    async def _restart_agent_in_order(self) -> Row:
        """End the agent in order, as after a Reset; its supervisor starts it again. Never while an outlet is in use:
        then it is ended when all are free. ``evses``: those in use now."""
        self._order_restart()
        return {"evses": await self._outlets_in_use()}

    def _is_restart_ordered(self) -> bool:
        return self._restarting is not None and not self._restarting.done()

    def _order_restart(self) -> None:
        self._forget_drain_end()
        if not self._is_restart_ordered():
            log.warning("the field page restarts the agent, so that it reads its station file")
            self._events.post_event(RestartExpected(True))
            self._restarting = asyncio.get_running_loop().create_task(self._restart_agent_when_idle())

    async def _restart_agent_when_idle(self) -> None:
        """Where the page could not drain the station before, a driver may be there: the restart comes after them."""
        await asyncio.sleep(RESTART_AFTER_S)
        while in_use := await self._outlets_in_use():
            log.info("the restart for the field page waits for outlets in use: %s", in_use)
            await asyncio.sleep(LOOK_AGAIN_S)
        self._restart()

    async def _outlets_in_use(self) -> list[EvseId]:
        """Return the outlets where a driver is served: by the session table, or by a bank that holds an amount."""
        records: Mapping[str, Any] = {}
        if not self._outlets_serving_driver():
            try:
                records = (await self._store.read_facts()).get("payment", {})
            except StoreError as e:  # what cannot be read may be a payment
                log.warning("the field page cannot look for payments: %s", e)
                return [STATION]
        paying = {record.get("evse") or STATION for record in records.values() if record.get("state") in BEFORE_SESSION}
        return sorted(paying | self._outlets_serving_driver())

    def _outlets_serving_driver(self) -> set[EvseId]:
        return {evse.number for evse in self._site.evses.values() if is_serving_driver(evse)}


def is_serving_driver(evse: EvseRecord) -> bool:
    """Return whether a session, a transaction or a right to charge would be disturbed by a restart."""
    has_record = evse.session is not None or evse.tx is not None or evse.authorization is not None
    return has_record or evse.state in BEGINS_SOON or evse.payer_until_s is not None


def meter_reading_row(evse: EvseRecord, now_s: float, public_key: str) -> Row:
    """Return the newest reading of an outlet's meter. ``reading`` None: there was none."""
    reading = evse.metering.reading
    row = None if reading is None else _reading_row(reading, now_s)
    return {"evse": evse.number, "reading": row, "public_key": public_key}


def _reading_row(reading: Reading, now_s: float) -> Row:
    return {
        "ago_s": round(now_s - reading.at.t_s, 1),
        "energy_wh": reading.energy_wh,
        "power_w": reading.power_w,
        "voltage_v": list(reading.voltage_v),
        "current_a": list(reading.current_a),
    }


def _packed_zip_as_base64(build_parts: Callable[[], Mapping[str, bytes]]) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in build_parts().items():
            archive.writestr(name, content)
    return base64.b64encode(packed.getvalue()).decode()
