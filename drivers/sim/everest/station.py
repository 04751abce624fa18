"""One EVSE as EVerest runs it.

It has sessions, authorization, the phases of DC charging (DIN 70121, ISO 15118-2), pauses, errors, and an orderly end
of charging when its client falls silent. The phases use the time of the physics; heartbeat and communication check use
real time.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from agent.model.types import Fault
from drivers.sim.everest.api import NO_REPLY, Api, timestamp_now
from drivers.sim.evse import Evse
from drivers.sim.faults import SAFETY
from drivers.sim.mains import Mains
from drivers.sim.mqtt import Broker

MANAGER, PROVIDER, VALIDATOR, LIMITS, ERRORS = (
    "evse_manager_consumer", "auth_token_provider", "auth_token_validator", "external_energy_limits_consumer",
    "error_history_consumer",
)  # fmt: skip
SLAC_S = (3.0, 8.0)
CABLE_CHECK_S = (5.0, 15.0)
PRECHARGE_S = (2.0, 5.0)
STOP_S = (1.0, 3.0)
"""Duration of a DC stop: the current ramps down and the vehicle agrees before the contactors open."""
TELL_S, ENFORCE_S = 0.5, 1.0
AUTH_S = 60.0
"""How long an authorization waits for a vehicle."""
COMMUNICATION = "CommunicationFault"

_ERRORS = {
    Fault.EMERGENCY_STOP: "evse_board_support/MREC8EmergencyStop",
    Fault.GROUND_FAILURE: "isolation_monitor/DeviceFault",
    Fault.CONTACTOR_WELDED: "evse_board_support/MREC17EVSEContactorFault",
    Fault.HIGH_TEMPERATURE: "evse_board_support/MREC3HighTemperature",
    Fault.OVER_VOLTAGE: "over_voltage_monitor/MREC5OverVoltage",
    Fault.PILOT_FAULT: "evse_board_support/MREC14PilotFault",
    Fault.POWER_LOSS: "evse_board_support/MREC15PowerLoss",
    Fault.LOCK_FAILURE: "connector_lock/ConnectorLockFailedLock",
    Fault.UNLOCK_FAILURE: "connector_lock/ConnectorLockFailedUnlock",
}


class Phase(StrEnum):
    EMPTY = "Unplugged"
    WAITS = "AuthRequired"
    PREPARES = "Preparing"
    LACKS_ENERGY = "WaitingForEnergy"
    CHARGES = "Charging"
    STOPS = "FinishedEV"
    FINISHED = "Finished"


_RUNS = (Phase.PREPARES, Phase.LACKS_ENERGY, Phase.CHARGES)


class Everest:
    """``rate``: seconds of the physics in a real second. ``has_energy``: its energy manager gives this EVSE some."""

    def __init__(self, evse: Evse, broker: Broker, rng: random.Random, mains: Mains, rate: float = 1.0,
                 prefix: str = "") -> None:  # fmt: skip
        self.broker = broker
        self._mains = mains
        self.phase = Phase.EMPTY
        self.has_energy = True
        self.api = Api(broker, evse.number, {
            (MANAGER, "get_evse"): self._get_evse_info,
            (MANAGER, "enable_disable"): self._enable_or_disable,
            (MANAGER, "pause_charging"): lambda _: self._set_paused(True),
            (MANAGER, "resume_charging"): lambda _: self._set_paused(False),
            (MANAGER, "stop_transaction"): self._stop_as_asked,
            (MANAGER, "force_unlock"): self._force_unlock,
            (PROVIDER, "provided_token"): self.provide_token,
            (LIMITS, "set_external_limits"): self._set_external_limits,
            (ERRORS, "active_errors"): lambda _: list(self._raised.values()),
        }, prefix)  # fmt: skip
        self._evse, self._rng, self._rate = evse, rng, rate
        self._dc = evse.fitted.kind == "DC"
        self._left_s = self._auth_s = self._told_s = self._enforced_s = 0.0
        self._token: dict[str, Any] | None = None
        self._session = ""
        self._reason = ""
        self._paused = self._flowed = self._car_pauses = False
        self._car: object = None
        self._raised: dict[str, dict[str, Any]] = {}
        evse.registers.release = False
        if self._dc:
            evse.registers.limit_w = evse.rated_power_w
        evse.program = self.step

    # --- requests of the client -------------------------------------------------------------------------------------

    def _get_evse_info(self, _: Any) -> Any:
        kind = "cCCS2" if self._dc else ("cType2" if self._evse.has_fixed_cable else "sType2")
        return {"id": self._evse.number, "connectors": [{"id": 1, "type": kind}]}

    def _enable_or_disable(self, body: Any) -> bool:
        on: bool = body["source"]["enable_state"] != "Disable"
        if on != self._evse.registers.available:
            if not on:
                self._stop_transaction("Other")
            self._evse.registers.available = on
            self._publish_session_event("Enabled" if on else "Disabled")
        return on

    def _force_unlock(self, _: Any) -> bool:
        self._evse.force_unlock()
        return not self._evse.has_fixed_cable and not self._evse.contactor.closed

    def _set_paused(self, on: bool) -> bool:
        """Pause or resume. Only a vehicle that draws current can be paused."""
        if self.phase is not Phase.CHARGES or (on and not self._flowed):
            return False
        self._paused = on
        return True

    def _stop_as_asked(self, body: Any) -> bool:
        return self._stop_transaction(str((body or {}).get("reason", "Local")))

    def _stop_transaction(self, reason: str) -> bool:
        self._token = None
        if self.phase is Phase.STOPS:
            return True  # the transaction runs until the contactors are open
        if self.phase not in _RUNS:
            return False
        self._reason, self.phase = reason, Phase.STOPS
        self._left_s = self._rng.uniform(*STOP_S) if self._dc and self._flowed else 0.0
        self._publish_session_event("StoppingCharging")
        return True

    def _set_external_limits(self, body: Any) -> Any:
        root = body["schedule_import"][0]["limits_to_root"]
        if self._dc and "total_power_W" in root:
            self._evse.registers.limit_w = float(root["total_power_W"]["value"])
        if not self._dc and "ac_max_current_A" in root:
            self._evse.registers.limit_a = float(root["ac_max_current_A"]["value"])
        self._publish_enforced_limits()
        return NO_REPLY

    def _publish_enforced_limits(self) -> None:
        """Let the energy manager compute the limits again and publish them."""
        r = self._evse.registers
        key, most = ("total_power_W", r.limit_w) if self._dc else ("ac_max_current_A", r.limit_a)
        root = {key: {"value": most, "source": "energy_manager"}}
        self._enforced_s = 0.0
        self.api.publish_value(MANAGER, "enforced_limits", {
            "uuid": f"evse_{self._evse.number}", "valid_for": 10, "limits_root_side": root, "schedule": [],
        })  # fmt: skip

    def provide_token(self, token: Any) -> Any:
        """Take a token from a provider and ask the validators."""
        self.api.send_request(VALIDATOR, "validate_token", token, lambda result: self._handle_validation(token, result))
        return NO_REPLY

    def _handle_validation(self, token: Any, result: Any) -> None:
        """Take the validators' answer. After a transaction the vehicle must be plugged in again for another one."""
        good = result.get("authorization_status") == "Accepted" and "tariff_messages" in result
        if good and self.phase in (Phase.EMPTY, Phase.WAITS):
            self._token, self._auth_s = token, AUTH_S

    # --- time -----------------------------------------------------------------------------------------------------

    def step(self, real_s: float) -> None:
        """Advance the time. Called before the physics of the outlet."""
        dt_s = real_s * self._rate
        self.api.silent = Fault.BOARD_SILENT in self._evse.faults
        self.api.step(real_s)
        self._publish_errors()
        if self._is_inoperative and self.phase in _RUNS:
            self._stop_transaction("Other")
        self._auth_s = max(0.0, self._auth_s - dt_s)
        if not self._auth_s:
            self._token = None
        self._watch_cable()
        self._left_s = max(0.0, self._left_s - dt_s)
        if not self.has_energy and self.phase in (Phase.PREPARES, Phase.CHARGES):
            self._suspend_supply()
        _PHASES[self.phase](self)
        self._enforced_s += real_s
        if self._enforced_s >= ENFORCE_S:
            self._publish_enforced_limits()
        self._told_s += real_s
        if self._told_s >= TELL_S:
            self._told_s = 0.0
            self._publish_measurements()

    @property
    def _is_inoperative(self) -> bool:
        return bool(self._raised)

    def _watch_cable(self) -> None:
        """Watch the cable. Another car begins another session, however fast it was connected."""
        car = self._evse.car
        if self._car is not None and car is not self._car:
            if self.phase in (*_RUNS, Phase.STOPS):
                self._finish_transaction("EVDisconnected")
            self.phase, self._token = Phase.EMPTY, None
            self._publish_session_event("SessionFinished", session_finished={"meter_value": self._powermeter_value()})
        if car is not None and car is not self._car:
            self._session, self.phase = str(uuid.uuid4()), Phase.WAITS
            self._left_s = self._rng.uniform(*SLAC_S) if self._dc else 0.0
            self._publish_session_event(
                "SessionStarted", session_started={"reason": "EVConnected", "meter_value": self._powermeter_value()}
            )
            self._publish_session_event("AuthRequired")
        self._car = car

    def _await_authorization(self) -> None:
        if self._token is None or self._left_s or self._is_inoperative or not self._evse.registers.available:
            return
        token, self._token = self._token, None
        self.phase, self._paused, self._flowed, self._car_pauses = Phase.PREPARES, False, False, False
        self._publish_session_event(
            "TransactionStarted", transaction_started={"id_tag": token, "meter_value": self._powermeter_value()}
        )
        self._begin_preparation()

    def _begin_preparation(self) -> None:
        self.phase = Phase.PREPARES
        self._left_s = self._rng.uniform(*CABLE_CHECK_S) + self._rng.uniform(*PRECHARGE_S) if self._dc else 0.0
        self._publish_session_event("PrepareCharging")

    def _suspend_supply(self) -> None:
        """Open the contactors until there is energy again."""
        self._car_pauses, self._flowed, self.phase = self._car_pauses or self._flowed, False, Phase.LACKS_ENERGY
        self._publish_session_event("WaitingForEnergy")

    def _await_energy(self) -> None:
        self._evse.set_release(False)
        if self.has_energy:
            self._begin_preparation()

    def _prepare_charging(self) -> None:
        if not self._left_s:
            self.phase = Phase.CHARGES

    def _supply_energy(self) -> None:
        """Follow the contactor of the outlet and publish what it does."""
        evse, car = self._evse, self._evse.car
        evse.set_release(not self._paused)
        flows = evse.contactor.closed and not self._paused
        if flows and not self._flowed:
            self._publish_session_event("ChargingResumed" if self._car_pauses else "ChargingStarted")
            self._flowed = True
        elif not flows and self._flowed:
            self._flowed, self._car_pauses = False, True
            if self._dc and not self._paused:
                self._stop_transaction("StoppedByEV")  # with DC a vehicle ends its session; it does not pause it
            else:
                self._publish_session_event("ChargingPausedEVSE" if self._paused else "ChargingPausedEV")
        elif self._dc and car is not None and car.is_full:
            self._stop_transaction("StoppedByEV")

    def _open_contactors(self) -> None:
        if self._left_s and not self._is_inoperative:
            return
        self._evse.set_release(False)
        if not self._evse.contactor.closed:
            self._publish_session_event("ChargingFinished")
            self._finish_transaction(self._reason)

    def _finish_transaction(self, reason: str) -> None:
        self._evse.set_release(False)
        self.phase = Phase.FINISHED
        self._publish_session_event(
            "TransactionFinished", transaction_finished={"reason": reason, "meter_value": self._powermeter_value()}
        )

    # --- what is published ------------------------------------------------------------------------------------------

    def _publish_errors(self) -> None:
        reported = self._evse.reported_faults(self._mains.on) & SAFETY
        wanted = {_ERRORS.get(f, f"evse_board_support/{f.value}") for f in reported}
        if not self.api.all_clients_heard:
            wanted.add(f"evse_manager_consumer_API/{COMMUNICATION}")
        for type_ in wanted - self._raised.keys():
            error = self._raised[type_] = {
                "type": type_, "sub_type": "", "description": type_, "message": "", "severity": "High",
                "origin": {"module_id": "evse", "implementation_id": "main"}, "uuid": str(uuid.uuid4()),
                "timestamp": timestamp_now(), "state": "Active",
            }  # fmt: skip
            self.api.publish_value(ERRORS, "error_raised", error)
        for type_ in self._raised.keys() - wanted:
            self.api.publish_value(ERRORS, "error_cleared", self._raised.pop(type_) | {"state": "ClearedByModule"})

    def _publish_session_event(self, name: str, **details: Any) -> None:
        self.api.publish_value(MANAGER, "session_event", {
            "uuid": self._session, "timestamp": timestamp_now(), "event": name, "connector_id": 1, **details,
        })  # fmt: skip
        self._publish_session_info()

    def _publish_session_info(self) -> None:
        state = str(self.phase) if self._evse.registers.available or self.phase is not Phase.EMPTY else "Disabled"
        if self.phase is Phase.CHARGES and not self._flowed:
            state = "ChargingPausedEVSE" if self._paused else "WaitingForEnergy"
        energy_wh = (self._evse.energy_nws - self._evse.session_from_nws) / 3.6e12
        self.api.publish_value(MANAGER, "session_info", {
            "state": state, "charged_energy_wh": energy_wh, "latest_total_w": self._evse.power_mw / 1000,
        })  # fmt: skip

    def _publish_measurements(self) -> None:
        car, measured = self._evse.car, self._evse.measured
        self.api.publish_value(MANAGER, "powermeter", self._powermeter_value())
        self._publish_session_info()
        if self._dc and car is not None and self.phase in (Phase.PREPARES, Phase.CHARGES, Phase.STOPS):
            self.api.publish_value(MANAGER, "ev_info", {
                "soc": int(car.soc), "present_voltage": measured.voltage_v[0], "present_current": measured.current_a[0],
            })  # fmt: skip

    def _powermeter_value(self) -> dict[str, Any]:
        return {
            "timestamp": timestamp_now(),
            "energy_Wh_import": {"total": self._evse.energy_nws / 3.6e12},
            "power_W": {"total": self._evse.power_mw / 1000},
        }


_PHASES: dict[Phase, Callable[[Everest], None]] = {
    Phase.EMPTY: lambda e: None,
    Phase.WAITS: Everest._await_authorization,
    Phase.PREPARES: Everest._prepare_charging,
    Phase.LACKS_ENERGY: Everest._await_energy,
    Phase.CHARGES: Everest._supply_energy,
    Phase.STOPS: Everest._open_contactors,
    Phase.FINISHED: lambda e: None,
}
