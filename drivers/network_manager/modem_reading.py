"""What ModemManager reports of a modem, as the state of a bearer. What cannot be read is unknown, never a guess."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.bearer import BearerState, BearerStatus, Registration, SimState
from drivers.mobile_modem import REGISTERED, REGISTRATIONS, describe_registration
from drivers.network_manager.names import (
    FAILED_SIMS,
    LOCK_PIN,
    MODEM,
    MODEM_3GPP,
    SIM_LOCKS,
    STATE_DISABLED,
    STATE_ENABLED,
    STATE_FAILED,
    STATE_LOCKED,
    STRONGEST_DBM,
    TECHNOLOGIES,
    WEAKEST_DBM,
)
from drivers.system_bus import Properties

Interfaces = Mapping[str, Properties]
"""The properties of an object by interface."""


def is_modem_meant(interfaces: Interfaces, wanted: str) -> bool:
    """Return whether this is the modem of the station file, named by IMEI, device or port; "": any."""
    modem = interfaces[MODEM]
    names = {modem.get("EquipmentIdentifier"), modem.get("Device"), modem.get("PrimaryPort")}
    names |= {port[0] for port in modem.get("Ports", ())}
    return not wanted or wanted in names or wanted.removeprefix("/dev/") in names


def sim_state_of(modem: Properties) -> SimState:
    """Return the state of the SIM. One of a modem that still starts is not known."""
    state = int(modem.get("State", 0))
    if state == STATE_FAILED:
        return FAILED_SIMS.get(int(modem.get("StateFailedReason", 0)), SimState.NOT_USED)
    if state == STATE_LOCKED:
        return SIM_LOCKS.get(int(modem.get("UnlockRequired", 0)), SimState.FAILED)
    return SimState.READY if state > STATE_LOCKED else SimState.NOT_USED


def pin_tries_of(modem: Properties) -> int | None:
    """Return how often the SIM still accepts a PIN."""
    found = modem.get("UnlockRetries", {}).get(LOCK_PIN)
    return int(found) if found is not None and found < 100 else None


def signal_dbm_of(modem: Properties) -> int | None:
    """Return the signal; None: not known. Before it was measured, ModemManager reports 0 per cent."""
    per_cent: int = modem.get("SignalQuality", (0, False))[0]
    if int(modem.get("State", 0)) < STATE_ENABLED or not 0 < per_cent <= 100:
        return None
    return round(WEAKEST_DBM + (STRONGEST_DBM - WEAKEST_DBM) * per_cent / 100)


def technology_of(modem: Properties) -> str:
    """Return the newest access technology of those in use."""
    bits = int(modem.get("AccessTechnologies", 0))
    return next((TECHNOLOGIES[bit] for bit in sorted(TECHNOLOGIES, reverse=True) if bits >> bit & 1), "")


def status_of_modem(interfaces: Interfaces, sim: Properties) -> BearerStatus:
    """Return what is known of SIM and network. The state is that of a modem without connection."""
    modem, network = interfaces[MODEM], interfaces.get(MODEM_3GPP, {})
    state = sim_state_of(modem)
    if state is not SimState.READY:
        return BearerStatus(BearerState.DOWN, _sim_words(modem, state), sim=state, pin_tries=pin_tries_of(modem))
    registration = REGISTRATIONS.get(int(network.get("RegistrationState", 4)), Registration.UNKNOWN)
    signal_dbm = signal_dbm_of(modem)
    return BearerStatus(
        BearerState.DOWN,
        _network_words(modem, registration, signal_dbm),
        sim=state,
        iccid=str(sim.get("SimIdentifier", "")).rstrip("Ff"),
        imsi=str(sim.get("Imsi", "")),
        registration=registration,
        operator=str(network.get("OperatorName") or network.get("OperatorCode") or ""),
        technology=technology_of(modem),
        signal_dbm=signal_dbm,
    )


def _sim_words(modem: Properties, state: SimState) -> str:
    if state is not SimState.NOT_USED:
        return f"SIM: {state}"
    return "the modem has failed" if int(modem.get("State", 0)) == STATE_FAILED else "the modem is starting"


def _network_words(modem: Properties, registration: Registration, signal_dbm: int | None) -> str:
    if registration in REGISTERED:
        return ""
    if int(modem.get("State", 0)) <= STATE_DISABLED:
        return "its radio is off"
    if signal_dbm is None and registration is not Registration.DENIED:  # it is measured after the registration
        return f"not registered in the network ({registration}), and no signal is known: check the antenna"
    return describe_registration(registration, signal_dbm)
