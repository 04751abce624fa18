"""One EVSE that EVerest runs.

Release is an authorisation: a token of ours is provided, and EVerest asks us back whether it is good; it is, as long as
release is wanted. Withdrawing is a stop of EVerest's transaction, which ramps down and opens in order. Our beat is
EVerest's communication check: without it EVerest stops by itself (5 s), and nothing here ever switches that off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import Fault, Limit
from agent.ports import DeviceError, Garbled, Refused, Unreachable
from agent.ports.driver import Where
from drivers.evse_everest.decoded_state import (
    OF_THE_VEHICLE,
    EverestSession,
    apply_session_event,
    apply_session_info,
    evse_state,
    failure_reason,
    fault_of,
    paused_by_station,
    soc_of,
)
from drivers.evse_everest.limits import EnforcedLimits
from drivers.evse_everest.mqtt_link import ERRORS, LIMITS, MANAGER, PROVIDER, VALIDATOR, EverestLink, as_device_error
from drivers.evse_everest.settings import EverestSettings

log = logging.getLogger(__name__)

SOURCE = "chargy-agent"
NOMINAL_V = 230.0
LEAST_A = 6.0
MOST_DC_V = 1000.0
FIRST_S = 5.0
"""How long the first ``session_info`` may take: EVerest publishes it with each reading of its own meter."""
_TICK_S = 0.25
_END_S = 2.0
_KEPT, _ASKED = 8, 50
"""How many departures and questions wait at most."""
_NO_PRIORITY = 5000
"""Of ``enable_disable``: 0 is the most urgent, 10000 the least."""


class EverestBoard:
    """``agent.ports.evse.EvsePort``. ``_released`` is the level that is wanted now, ``_token`` what stands for it;
    ``_parted``: the vehicle that it was given for has gone. ``_between``: what stood between two vehicles."""

    def __init__(self, settings: EverestSettings, where: Where) -> None:
        dc = where.facts.get("kind") == "DC"
        max_a = float(where.facts.get("max_a", 32.0))
        most_w = float(where.facts.get("power_w") or max_a * MOST_DC_V)
        tethered = dc or where.facts.get("outlet") == "tethered"
        self.traits = EvseTraits(
            tethered=tethered, lockable=not tethered, phases=int(where.facts.get("phases", 3)), min_a=LEAST_A,
            max_a=max_a, dc=dc, min_w=min(settings.least_w, most_w) if dc else 0.0, max_w=most_w if dc else 0.0,
            pausable=settings.pausable or not dc, one_release=True, tells_pilot=False,
        )  # fmt: skip
        self._settings = settings
        self._evse = where.evse
        self._name = f"board of EVSE {where.evse}"
        self._link: EverestLink | None = None
        self._released = False
        self._token = ""
        self._offered: float | None = None
        self._paused, self._pausing = False, asyncio.Lock()
        self._seen = EverestSession()
        self._first_state_known = asyncio.Event()
        self._heard_s = self._begun_s = 0.0
        self._errors: dict[str, Fault] = {}
        self._questions: list[tuple[str, str]] = []
        self._parted = False
        self._between: list[EvseState] = []
        self._enforced = EnforcedLimits(dc)

    # --- orders -------------------------------------------------------------------------------------------------

    async def set_release(self, on: bool) -> None:
        self._released, self._parted = on, False
        with self._named_errors():
            if not on:
                self._token = ""
                await self._stop_transaction()
            elif self._seen.spent:
                self._released = False
                raise Refused(f"{self._name}: this vehicle has had its session; it must be plugged in again")
            elif not self._paused:
                await self._provide_token()

    async def set_limit(self, limit: Limit) -> float:
        wanted = self._limit_to_send(limit)
        with self._named_errors():
            if wanted:  # before it resumes
                self._enforced.note_limit_sent(wanted, limit)
                await self._connected_link.publish_variable(
                    LIMITS, "set_external_limits", _external_limits(wanted, self.traits, limit.phases)
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
                await self._wait_until(lambda: self._enforced.confirmed)
        except TimeoutError:
            raise Unreachable(self._enforced.problem_text) from None

    async def set_service(self, on: bool) -> None:
        source = {
            "enable_source": "CSMS",
            "enable_state": "Enable" if on else "Disable",
            "enable_priority": _NO_PRIORITY,
        }
        with self._named_errors():
            enabled = await self._connected_link.request_reply(
                MANAGER, "enable_disable", {"connector_id": 0, "source": source}
            )
            if enabled is not on:
                raise Refused(f"{self._name}: EVerest is {'on' if enabled else 'off'} by another client's order")

    async def set_hold(self, on: bool) -> None:
        """EVerest frees a plug by itself when its session ends."""

    async def unlock(self) -> bool:
        if self.traits.tethered:
            raise Refused(f"{self._name}: the cable is fixed to the station, there is nothing to unlock")
        if self._seen.transaction:
            raise Refused(f"{self._name}: the contactor is not confirmed open; withdraw release first")
        with self._named_errors():
            return await self._connected_link.request_reply(MANAGER, "force_unlock", self._settings.connector) is True

    async def clear_fault(self) -> None:
        """EVerest clears an error with its cause."""

    async def beat(self) -> None:
        with self._named_errors():
            for kind in (VALIDATOR, PROVIDER, LIMITS, ERRORS, MANAGER):
                await self._connected_link.publish_variable(kind, "communication_check", True)

    # --- looking ------------------------------------------------------------------------------------------------

    async def state(self) -> EvseState:
        """Return the state after EVerest has answered a request. Reconnect first, with release withdrawn, if the
        connection was lost or silent: events may have been missed."""
        with self._named_errors():
            if self._link is None or self._link.lost or self._silent_s > self._settings.silent_s:
                await self.start_board()
            if not isinstance(await self._connected_link.request_reply(MANAGER, "get_evse"), dict):
                raise Garbled(f"{self._name}: get_evse is answered by something else")
            return self._current_state()

    async def states(self) -> AsyncIterator[EvseState]:
        last: EvseState | None = None
        self._begun_s = time.monotonic()
        while True:
            self._connected_link.news.clear()
            while self._between:  # before anything that may fail: a vehicle that left is not forgotten
                yield (last := self._between.pop(0))
            with self._named_errors():
                self._connected_link.check_connection()
                self._check_heartbeat()
                self._enforced.check_enforced()
                await self._answer_questions()
                if self._seen.transaction and not self._released and not self._seen.stopping:
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

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._heard_s

    def _check_heartbeat(self) -> None:
        if min(self._silent_s, time.monotonic() - self._begun_s) > self._settings.silent_s:
            raise Unreachable(f"no heartbeat from EVerest for {self._silent_s:.0f} s; does its module "
                              f"{self._settings.manager.replace('{evse}', str(self._evse))} run?")  # fmt: skip

    def _current_state(self) -> EvseState:
        return evse_state(self._seen, self._release_stands(), self._offered_w(), frozenset(self._errors.values()))

    def _release_stands(self) -> bool | None:
        """Return whether release is in effect. None: the vehicle ended its session itself, so it is unknown."""
        if not self._released:
            return None if self._seen.transaction else False
        if self._seen.transaction:
            return True
        return None if not self._seen.stopped_for or self._seen.stopped_for in OF_THE_VEHICLE else False

    def _offered_w(self) -> float | None:
        return self._offered if self.traits.dc else None

    # --- what EVerest sends ---------------------------------------------------------------------------------------

    def _receive_variable(self, kind: str, name: str, value: Any, kept: bool) -> None:
        """Take a variable of EVerest. A retained message is no sign of life, and only a retained state is valid."""
        if kept and name != "session_info":
            return
        if kind == MANAGER and not kept:
            self._heard_s = time.monotonic()
        try:
            self._apply_variable(kind, name, value)
        except Garbled as e:
            log.warning("%s: %s; left out", self._name, e)

    def _apply_variable(self, kind: str, name: str, value: Any) -> None:
        match kind, name:
            case "evse_manager_consumer", "session_event":
                before, self._seen = self._seen, apply_session_event(self._seen, value)
                if before.plugged and not self._seen.plugged:
                    self._note_vehicle_left()
            case "evse_manager_consumer", "session_info":
                if self._seen.plugged is None:
                    self._seen = apply_session_info(self._seen, value)
                self._first_state_known.set()
            case "evse_manager_consumer", "ev_info" if (soc := soc_of(value)) is not None:
                self._seen = replace(self._seen, soc_percent=soc)
            case "evse_manager_consumer", "enforced_limits":
                self._enforced.receive_enforced(value)
            case "evse_manager_consumer", "hlc_session_failed":
                log.warning("%s: vehicle and charger do not come to terms: %s", self._name, failure_reason(value))
            case "error_history_consumer", ("error_raised" | "error_cleared"):
                self._apply_error(value, name == "error_raised")
            case "auth_token_validator", "validate_token":
                self._queue_token_question(value)
        if self._seen.plugged is not None:
            self._first_state_known.set()

    def _note_vehicle_left(self) -> None:
        """End the release that was given for this vehicle: the next one may arrive before the next poll."""
        self._token, self._parted = "", True
        self._between = [*self._between[-_KEPT:], self._current_state()]

    def _apply_error(self, error: Any, raised: bool) -> None:
        fault, id_ = fault_of(error), str(error.get("uuid", "")) if isinstance(error, dict) else ""
        if fault is not None and raised:
            self._errors[id_] = fault
        elif not raised:
            self._errors.pop(id_, None)

    def _queue_token_question(self, request: Any) -> None:
        """Queue EVerest's question whether a token is valid."""
        try:
            topic, value = request["headers"]["replyTo"], str(request["payload"]["id_token"]["value"])
        except (KeyError, TypeError) as e:
            raise Garbled("validate_token without a token or a way to answer") from e
        if not self._connected_link.is_reply(VALIDATOR, topic):
            raise Garbled("validate_token is to be answered elsewhere")
        self._questions = [*self._questions[-_ASKED:], (topic, value)]

    async def _answer_questions(self) -> None:
        """Accept only the token of our release, and only while release is wanted. Any other token (a vehicle's own
        identity, a reader of EVerest's) has not been judged by any backend."""
        while self._questions:
            topic, value = self._questions.pop(0)
            good = self._released and not self._paused and bool(self._token) and value == self._token
            status = "Accepted" if good else "Invalid"
            await self._connected_link.send_answer(topic, {"authorization_status": status, "tariff_messages": []})

    # --- beginning and end ----------------------------------------------------------------------------------------

    async def start_board(self) -> None:
        with self._named_errors():
            if self._link is not None:
                await self._link.close_connection()
            self._seen, self._released, self._token = EverestSession(), False, ""
            self._errors, self._questions, self._paused = {}, [], False
            self._enforced = EnforcedLimits(self.traits.dc)
            self._first_state_known.clear()
            self._link = EverestLink(self._settings, self._module_names(), self._receive_variable)
            try:
                await self._connect_and_stop()
            except DeviceError:
                await self._link.close_connection()
                raise

    async def _connect_and_stop(self) -> None:
        await self._connected_link.open_connection()
        if await self._stop_transaction() and not self._seen.stopped_for:
            self._seen = replace(self._seen, transaction=True, stopping=True)
        await self._wait_for_first_state()
        await self._wait_until_stopped()
        if self._seen.plugged and not self._seen.spent:  # no session has begun: the previous vehicle has left
            self._between = [replace(self._current_state(), pilot=Pilot.A, cable=False)]
        for error in await self._active_errors():
            self._apply_error(error, True)
        await self.set_limit(Limit())

    def _module_names(self) -> dict[str, str]:
        s = self._settings
        names = {MANAGER: s.manager, PROVIDER: s.provider, VALIDATOR: s.validator, LIMITS: s.limits, ERRORS: s.errors}
        return {kind: name.replace("{evse}", str(self._evse)) for kind, name in names.items()}

    async def _wait_for_first_state(self) -> None:
        try:
            async with asyncio.timeout(FIRST_S):
                await self._first_state_known.wait()
        except TimeoutError:
            raise Unreachable(f"EVerest has not sent session_info within {FIRST_S:g} s; does it have a meter, or "
                              "cfg_retain_variables?") from None  # fmt: skip

    async def _wait_until_stopped(self) -> None:
        """Wait until the transaction has stopped, so that no state shows energy without our release."""
        try:
            async with asyncio.timeout(self._settings.stop_s):
                await self._wait_until(lambda: not self._seen.transaction)
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

    async def _provide_token(self) -> None:
        """Provide our token to EVerest. A repeat does no harm: a running transaction is not authorized again. Without
        a vehicle no token is sent: EVerest would keep it for the next one. The token names no driver: who pays is not
        EVerest's affair."""
        if self._seen.transaction or not self._released or self._parted or not self._seen.plugged:
            return
        self._seen = replace(self._seen, stopped_for="")
        token = self._token = self._token or uuid4().hex[:20]
        await self._connected_link.publish_variable(PROVIDER, "provided_token", {
            "id_token": {"value": token, "type": "Central"},
            "authorization_type": "OCPP",
            "connectors": [self._settings.evse or self._evse],
        })  # fmt: skip

    async def _stop_transaction(self) -> bool:
        """Stop the transaction. Return whether one was running; it runs until its contactors are open."""
        stopped = await self._connected_link.request_reply(MANAGER, "stop_transaction", {"reason": "Local"}) is True
        if not stopped and self._seen.transaction:
            raise Refused(f"{self._name}: EVerest did not stop its transaction")
        return stopped

    @property
    def _can_pause_now(self) -> bool:
        return self._seen.flows and not self._seen.stopping

    async def _pause_or_resume(self, on: bool) -> None:
        """EVerest does not pause a vehicle that draws nothing, and lets it start later. It is paused then."""
        self._paused = on
        async with self._pausing:  # said twice it would be refused
            if on and self._can_pause_now:
                if await self._connected_link.request_reply(MANAGER, "pause_charging") is not True:
                    raise Refused(f"{self._name}: EVerest did not pause")
                self._seen = paused_by_station(self._seen)
            elif not on and self._seen.transaction:
                await self._connected_link.request_reply(MANAGER, "resume_charging")
            elif not on and self._released:
                await self._provide_token()

    def _limit_to_send(self, limit: Limit) -> float:
        """Return the limit to send: watts on DC, amperes on AC, 0 to pause."""
        t = self.traits
        if not t.dc:
            bounds = [t.max_a, *([limit.current_a] if limit.current_a is not None else [])]
            if limit.power_w is not None:
                bounds.append(limit.power_w / (NOMINAL_V * (limit.phases or t.phases)))
            return min(bounds) if min(bounds) >= t.min_a else 0.0
        wanted_w = min(t.max_w, t.max_w if limit.power_w is None else limit.power_w)
        if wanted_w >= t.min_w:
            return wanted_w
        return 0.0 if t.pausable else t.min_w

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Name the EVSE in the errors of the block."""
        try:
            yield
        except DeviceError as e:
            raise as_device_error(self._name, e) from e


def _external_limits(wanted: float, traits: EvseTraits, phases: int | None) -> dict[str, Any]:
    """Build EVerest's message of limits; its first entry is valid at once."""
    value = {"value": wanted, "source": SOURCE}
    root: dict[str, Any] = {"total_power_W": value} if traits.dc else {"ac_max_current_A": value}
    if not traits.dc and phases is not None:
        root["ac_max_phase_count"] = {"value": phases, "source": SOURCE}
    entry = {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "limits_to_root": root,
        "limits_to_leaves": {},
    }
    return {"schedule_import": [entry], "schedule_export": [], "schedule_setpoints": []}
