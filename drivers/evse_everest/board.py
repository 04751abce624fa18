"""One EVSE that EVerest runs.

Release is an authorization: a token of ours is provided, and EVerest asks us back whether it is good; it is, as long as
release is wanted. Withdrawing is a stop of EVerest's transaction, which ramps down and opens in order. Our beat is
EVerest's communication check: without it EVerest stops by itself (5 s), and nothing here ever switches that off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import Limit
from agent.ports import DeviceError, Garbled, Refused, Unreachable
from agent.ports.driver import Where
from drivers.device_errors import naming_device
from drivers.evse_everest.decoded_state import evse_state, paused_by_station
from drivers.evse_everest.limits import external_limits, limit_to_send
from drivers.evse_everest.mqtt_link import ERRORS, LIMITS, MANAGER, PROVIDER, VALIDATOR, EverestLink
from drivers.evse_everest.release_token import ReleaseToken
from drivers.evse_everest.reports import EverestReports
from drivers.evse_everest.settings import EverestSettings

log = logging.getLogger(__name__)

LEAST_A = 6.0
MOST_DC_V = 1000.0
FIRST_S = 5.0
"""How long the first ``session_info`` may take: EVerest publishes it with each reading of its own meter."""
_TICK_S = 0.25
_END_S = 2.0
_MOST_DEPARTURES = 8
"""How many departures wait at most."""
_NO_PRIORITY = 5000
"""Of ``enable_disable``: 0 is the most urgent, 10000 the least."""


class EverestBoard:
    """``agent.ports.evse.EvsePort``. ``_departures``: the states between two vehicles, which are still to be
    reported."""

    def __init__(self, settings: EverestSettings, where: Where) -> None:
        facts = where.facts
        dc = facts.kind == "DC"
        most_w = facts.power_w or facts.max_a * MOST_DC_V
        tethered = dc or facts.outlet == "tethered"
        self.traits = EvseTraits(
            tethered=tethered, lockable=not tethered, phases=facts.phases, min_a=LEAST_A,
            max_a=facts.max_a, dc=dc, min_w=min(settings.least_w, most_w) if dc else 0.0, max_w=most_w if dc else 0.0,
            pausable=settings.pausable or not dc, one_release=True, tells_pilot=False,
        )  # fmt: skip
        self._settings = settings
        self._evse = where.evse
        self._name = f"board of EVSE {where.evse}"
        self._link: EverestLink | None = None
        self._offered: float | None = None
        self._paused, self._pausing = False, asyncio.Lock()
        self._states_since_s = 0.0
        self._departures: list[EvseState] = []
        self._reports = EverestReports(self._name, dc, self._is_reply_topic, self._note_vehicle_left)
        self._token = ReleaseToken(settings.evse or where.evse, self._reports, lambda: self._connected_link)

    # --- orders -------------------------------------------------------------------------------------------------

    async def set_release(self, on: bool) -> None:
        self._token.set_level(on)
        with naming_device(self._name):
            if not on:
                self._token.discard_token()
                await self._stop_transaction()
            elif self._reports.session.spent:
                self._token.released = False
                raise Refused(f"{self._name}: this vehicle has had its session; it must be plugged in again")
            elif not self._paused:
                await self._token.provide_token()

    async def set_limit(self, limit: Limit) -> float:
        wanted = limit_to_send(self.traits, limit)
        with naming_device(self._name):
            if wanted:  # before it resumes
                self._reports.enforced.note_limit_sent(wanted, limit)
                await self._connected_link.publish_variable(
                    LIMITS, "set_external_limits", external_limits(wanted, self.traits, limit.phases)
                )
                await self._wait_for_confirmation()
            if self.traits.pausable and (wanted == 0) != self._paused:
                await self._pause_or_resume(wanted == 0)
        self._offered = wanted
        self._connected_link.news.set()
        return wanted

    async def _wait_for_confirmation(self) -> None:
        """Wait until EVerest enforces the limit: the broker's acknowledgement does not show that EVerest has it."""
        try:
            async with asyncio.timeout(self._settings.confirm_s):
                await self._wait_until(lambda: self._reports.enforced.confirmed)
        except TimeoutError:
            raise Unreachable(self._reports.enforced.problem_text) from None

    async def set_service(self, on: bool) -> None:
        source = {
            "enable_source": "CSMS",
            "enable_state": "Enable" if on else "Disable",
            "enable_priority": _NO_PRIORITY,
        }
        with naming_device(self._name):
            enabled = await self._connected_link.request_reply(
                MANAGER, "enable_disable", {"connector_id": 0, "source": source}
            )
            if enabled is not on:
                raise Refused(f"{self._name}: EVerest is {'on' if enabled else 'off'} by another client's order")

    async def set_hold(self, on: bool) -> None:
        """Do nothing: EVerest frees a plug by itself when its session ends."""

    async def unlock(self) -> bool:
        if self.traits.tethered:
            raise Refused(f"{self._name}: the cable is fixed to the station, there is nothing to unlock")
        if self._reports.session.transaction:
            raise Refused(f"{self._name}: the contactor is not confirmed open; withdraw release first")
        with naming_device(self._name):
            return await self._connected_link.request_reply(MANAGER, "force_unlock", self._settings.connector) is True

    async def clear_fault(self) -> None:
        """Do nothing: EVerest clears an error with its cause."""

    async def beat(self) -> None:
        with naming_device(self._name):
            for kind in (VALIDATOR, PROVIDER, LIMITS, ERRORS, MANAGER):
                await self._connected_link.publish_variable(kind, "communication_check", True)

    # --- looking ------------------------------------------------------------------------------------------------

    async def state(self) -> EvseState:
        """Return the state after EVerest has answered a request. Reconnect first, with release withdrawn, if the
        connection was lost or silent: events may have been missed."""
        with naming_device(self._name):
            if self._link is None or self._link.lost or self._reports.silent_s > self._settings.silent_s:
                await self.start_board()
            if not isinstance(await self._connected_link.request_reply(MANAGER, "get_evse"), dict):
                raise Garbled(f"{self._name}: get_evse is answered by something else")
            return self._current_state()

    async def states(self) -> AsyncIterator[EvseState]:
        last: EvseState | None = None
        self._states_since_s = time.monotonic()
        while True:
            self._connected_link.news.clear()
            while self._departures:  # before anything that may fail: a vehicle that left is not forgotten
                yield (last := self._departures.pop(0))
            with naming_device(self._name):
                self._connected_link.check_connection()
                self._check_heartbeat()
                self._reports.enforced.check_enforced()
                await self._token.answer_questions(self._paused)
                session = self._reports.session
                if session.transaction and not self._token.released and not session.stopping:
                    log.warning("%s: a transaction without our release; stopping it", self._name)
                    await self._stop_transaction()
                if self._paused and self._can_pause_now:
                    await self._pause_or_resume(True)
                now = self._current_state()
            if now != last:
                last = now
                yield now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._connected_link.news.wait()

    def _check_heartbeat(self) -> None:
        if min(self._reports.silent_s, time.monotonic() - self._states_since_s) > self._settings.silent_s:
            raise Unreachable(f"no heartbeat from EVerest for {self._reports.silent_s:.0f} s; does its module "
                              f"{self._settings.manager.replace('{evse}', str(self._evse))} run?")  # fmt: skip

    def _current_state(self) -> EvseState:
        r = self._reports
        return evse_state(r.session, self._token.is_in_effect, self._offered_w(), r.faults, self.traits.dc)

    def _offered_w(self) -> float | None:
        return self._offered if self.traits.dc else None

    def _note_vehicle_left(self) -> None:
        self._token.end_for_vehicle()
        self._departures = [*self._departures[-_MOST_DEPARTURES:], self._current_state()]

    def _is_reply_topic(self, topic: Any) -> bool:
        return self._connected_link.is_reply(VALIDATOR, topic)

    # --- beginning and end ----------------------------------------------------------------------------------------

    async def start_board(self) -> None:
        with naming_device(self._name):
            if self._link is not None:
                await self._link.close_connection()
            self._reports.begin_connection()
            self._token.released, self._paused = False, False
            self._token.discard_token()
            self._link = EverestLink(self._settings, self._module_names(), self._reports.receive_variable)
            try:
                await self._connect_and_stop()
            except DeviceError:
                await self._link.close_connection()
                raise

    async def _connect_and_stop(self) -> None:
        await self._connected_link.open_connection()
        if await self._stop_transaction() and not self._reports.session.stopped_for:
            self._reports.session = replace(self._reports.session, transaction=True, stopping=True)
        await self._wait_for_first_state()
        await self._wait_until_stopped()
        session = self._reports.session
        if session.plugged and not session.spent:  # no session has begun: the previous vehicle has left
            self._departures = [replace(self._current_state(), pilot=Pilot.A, cable=False)]
        for error in await self._active_errors():
            self._reports.apply_error(error, True)
        await self.set_limit(Limit())

    def _module_names(self) -> dict[str, str]:
        s = self._settings
        names = {MANAGER: s.manager, PROVIDER: s.provider, VALIDATOR: s.validator, LIMITS: s.limits, ERRORS: s.errors}
        return {kind: name.replace("{evse}", str(self._evse)) for kind, name in names.items()}

    async def _wait_for_first_state(self) -> None:
        try:
            async with asyncio.timeout(FIRST_S):
                await self._reports.first_state_known.wait()
        except TimeoutError:
            raise Unreachable(f"EVerest has not sent session_info within {FIRST_S:g} s; does it have a meter, or "
                              "cfg_retain_variables?") from None  # fmt: skip

    async def _wait_until_stopped(self) -> None:
        """Wait until the transaction has stopped, so that no state shows energy without our release."""
        try:
            async with asyncio.timeout(self._settings.stop_s):
                await self._wait_until(lambda: not self._reports.session.transaction)
        except TimeoutError:
            raise Unreachable(f"EVerest has not stopped its transaction within {self._settings.stop_s:g} s") from None

    async def _wait_until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._connected_link.check_connection()
            self._connected_link.news.clear()
            await self._connected_link.news.wait()

    async def _active_errors(self) -> list[Any]:
        found = await self._connected_link.request_reply(ERRORS, "active_errors")
        if not isinstance(found, list):
            raise Garbled(f"{self._name}: active_errors is answered by something else")
        return found

    async def stop_board(self) -> None:
        """Withdraw release, best effort: without our beats EVerest stops by itself."""
        if self._link is None or self._link.lost:
            return
        try:
            async with asyncio.timeout(_END_S):
                await self.set_release(False)
        except (DeviceError, TimeoutError) as e:
            log.warning("%s: release could not be withdrawn at the end (%s); EVerest stops when it misses our beats",
                        self._name, e)  # fmt: skip
        await self._link.close_connection()

    # --- commands -------------------------------------------------------------------------------------------------

    @property
    def _connected_link(self) -> EverestLink:
        if self._link is None:
            raise Unreachable("not connected")
        return self._link

    async def _stop_transaction(self) -> bool:
        """Stop the transaction. Return whether one was running; it runs until its contactors are open."""
        stopped = await self._connected_link.request_reply(MANAGER, "stop_transaction", {"reason": "Local"}) is True
        if not stopped and self._reports.session.transaction:
            raise Refused(f"{self._name}: EVerest did not stop its transaction")
        return stopped

    @property
    def _can_pause_now(self) -> bool:
        return self._reports.session.flows and not self._reports.session.stopping

    async def _pause_or_resume(self, on: bool) -> None:
        """Pause or resume the vehicle. EVerest does not pause a vehicle that draws nothing, and lets it start later: it
        is paused then."""
        self._paused = on
        async with self._pausing:  # EVerest would refuse the same order twice
            if on and self._can_pause_now:
                if await self._connected_link.request_reply(MANAGER, "pause_charging") is not True:
                    raise Refused(f"{self._name}: EVerest did not pause")
                self._reports.session = paused_by_station(self._reports.session)
            elif not on and self._reports.session.transaction:
                await self._connected_link.request_reply(MANAGER, "resume_charging")
            elif not on and self._token.released:
                await self._token.provide_token()
