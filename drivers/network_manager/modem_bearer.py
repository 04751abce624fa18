"""Mobile radio: ModemManager has the modem, NetworkManager the connection. Neither gets the PIN to keep."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace as settings_replace

from agent.model.bearer import ApnAccess, BearerState, BearerStatus, Registration, ResetStep, SimState
from agent.model.fastclass import replace
from agent.ports import Refused
from drivers.mobile_modem import REGISTERED, cycle_power
from drivers.network_interface import interface_status
from drivers.network_manager.connection import Connection
from drivers.network_manager.modem_reading import Interfaces, is_modem_meant, status_of_modem
from drivers.network_manager.modem_sim import ModemSim
from drivers.network_manager.names import (
    ACTIVATED,
    ATTACHED,
    BEARER,
    DETACHED,
    MM,
    MM_ROOT,
    MODEM,
    MODEM_3GPP,
    NETWORK_ERRORS,
    POWER_LOW,
    POWER_ON,
    STATE_DISABLED,
    STATE_ENABLED,
)
from drivers.network_manager.profile import compose_profile, profile_uuid
from drivers.network_manager.settings import NetworkManagerSettings
from drivers.system_bus import CallFailed, NoReply, NotAllowed, ObjectGone, SystemBus

log = logging.getLogger(__name__)

POLL_S, SHORT_POLL_S = 1.0, 0.2
RADIO_S, END_S, RESTART_S, OPERATOR_S = 12.0, 10.0, 25.0, 15.0
"""How long a change of the radio, an orderly end, a start of the modem and an answer about an operator may take."""
REGISTER = f"{MODEM_3GPP}.Register"
ANY_OPERATOR = "", False
NONE_THERE = "ModemManager has no such modem"


class ModemBearer:
    """``agent.ports.bearer.BearerPort`` and ``ApnPort``."""

    def __init__(self, settings: NetworkManagerSettings, station: str, bus: SystemBus, connection: Connection) -> None:
        self._settings, self._station, self._bus, self._connection = settings, station, bus, connection
        self._name = f"network_manager {settings.modem or 'modem'}"
        self._sim = ModemSim(self._name, settings.pin, bus, connection, self._look_for_modem)
        self._given = settings
        self._network: tuple[str, bool] | None = ANY_OPERATOR
        """The operator to prefer, and whether no other is used; None: the modem chooses, and knows it. At first it may
        have kept an operator from before, which ModemManager does not say."""
        self._has_chosen = False
        """Whether an operator of a network profile was wanted since the driver was opened."""

    # --- state -------------------------------------------------------------------------------------------------------

    async def read_status(self) -> BearerStatus:
        path, interfaces, problem = await self._look_for_modem()
        if not path:
            state = BearerState.DOWN if self._settings.power else BearerState.ABSENT
            return BearerStatus(state, problem)
        known = status_of_modem(interfaces, await self._sim.read_numbers(interfaces))
        return await self._with_connection(self._sim.judge_status(known, path), path)

    async def _look_for_modem(self) -> tuple[str, Interfaces, str]:
        """Return path and properties of the modem, or why there is none that can be meant."""
        found = await self._bus.call(MM, MM_ROOT, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
        modems = {p: i for p, i in found.items() if MODEM in i and is_modem_meant(i, self._settings.modem)}
        if len(modems) > 1:
            names = ", ".join(str(i[MODEM].get("EquipmentIdentifier")) for i in modems.values())
            return "", {}, f"there is more than one modem: name one by its IMEI in modem ({names})"
        for path, interfaces in modems.items():
            return path, interfaces, ""
        return "", {}, NONE_THERE if found == modems else f"{NONE_THERE}: {self._settings.modem}"

    async def _with_connection(self, known: BearerStatus, modem: str) -> BearerStatus:
        """Add what NetworkManager carries over it."""
        device, properties = await self._connection.find_modem(modem)
        if not device:
            return replace(known, reason=known.reason or "NetworkManager does not have the modem (yet)")
        active = await self._connection.read_active(properties)
        if not (self._connection.is_ours(active) and active.get("State") == ACTIVATED):
            return replace(known, reason=known.reason or self._connection.describe_device(properties, active))
        carried = interface_status(str(properties.get("IpInterface", "")))
        return replace(
            known,
            state=carried.state,
            reason=carried.reason,
            interface=carried.interface,
            address=carried.address,
            received_bytes=carried.received_bytes,
            sent_bytes=carried.sent_bytes,
        )

    # --- connection --------------------------------------------------------------------------------------------------

    async def bring_up(self) -> None:
        if (await self.read_status()).is_up:
            return
        path = await self._require_modem()
        await self._set_initial_apn(path)
        await self._enable_radio(path)
        if await self._read_modem_state() >= STATE_ENABLED:  # otherwise the reason is another one, and shown below
            await self._choose_network(path)
        await self._wait_for_network()
        device, _ = await self._connection.find_modem(path)
        if not device:
            raise Refused(f"{self._name}: NetworkManager does not have the modem (yet)")
        await self._connection.remove_profiles()
        profile = compose_profile(self._settings, self._station, network=self._only_network)
        try:
            await self._connection.activate_once(profile, device, self._settings.connect_s)
        except Refused:
            if not (why := await self._read_connection_error()):
                raise
            self._connection.why = why
            raise Refused(f"{self._name}: {why}") from None

    async def _read_connection_error(self) -> str:
        """Return why ModemManager could not connect, which NetworkManager does not pass on; "": it says nothing."""
        _, interfaces, _ = await self._look_for_modem()
        for path in list(interfaces[MODEM].get("Bearers", ()) if interfaces else ())[-1:]:
            with contextlib.suppress(ObjectGone):
                name, text = (await self._bus.read_properties(MM, path, BEARER)).get("ConnectionError", ("", ""))
                if name.startswith(NETWORK_ERRORS):
                    return f"the network refuses the connection ({text}): check apn, user and password"
                if name:
                    return f"the modem cannot connect: {text}"
        return ""

    async def take_down(self) -> None:
        path, _, _ = await self._look_for_modem()
        device, _ = await self._connection.find_modem(path) if path else ("", {})
        if device:
            await self._connection.deactivate(device)

    async def use_apn_access(self, access: ApnAccess | None) -> None:
        settings = self._given
        if access is not None:
            settings = settings_replace(
                settings, apn=access.apn, username=access.username, password=access.password, auth=access.auth,
                pin=access.pin or settings.pin,
            )  # fmt: skip
        self._settings = settings
        self._sim.use_other_pin(settings.pin)
        self._connection.use_profile(profile_uuid(settings, self._station))
        if access is not None and access.network:
            self._network, self._has_chosen = (access.network, access.is_network_only), True
        elif self._network is not None:
            self._network = ANY_OPERATOR

    @property
    def _only_network(self) -> str:
        """Return the operator beside whom no other one is used; "": there is none."""
        return self._network[0] if self._network is not None and self._network[1] else ""

    async def _choose_network(self, path: str) -> None:
        """Register with the operator of a network profile, or let the modem choose again. Raises ``Refused``.

        ModemManager has no list of preference: where the operator cannot be used and need not be, the modem chooses.
        """
        if self._network is None:
            return
        network, is_only = self._network
        if not network:
            await self._free_choice(path)
            return
        try:
            await self._bus.call(MM, path, REGISTER, "s", network, timeout_s=OPERATOR_S)
        except NoReply:  # ModemManager still looks for it: the registration is waited for
            return
        except Refused as e:
            if is_only or isinstance(e, NotAllowed):
                raise
            await self._bus.call(MM, path, REGISTER, "s", "", timeout_s=RADIO_S)

    async def _free_choice(self, path: str) -> None:
        """Let the modem choose its operator. An order that fails is given again before the next call if this driver has
        bound the modem. Otherwise it is not: with each order ModemManager forgets that the network refuses the SIM."""
        try:
            await self._bus.call(MM, path, REGISTER, "s", "", timeout_s=OPERATOR_S)
        except NoReply:  # ModemManager has given the order, and waits for the registration
            log.debug("%s: no registration yet", self._name)
        except Refused as e:
            log.warning("%s: the choice of the operator is not taken back: %s", self._name, e)
            if self._has_chosen:
                return
        self._network = None

    async def _require_modem(self) -> str:
        path, _, problem = await self._look_for_modem()
        if not path:
            raise Refused(f"{self._name}: {problem}")
        return path

    async def _set_initial_apn(self, path: str) -> None:
        """Set the APN with which the modem registers in an LTE network, unless it is set: the modem keeps it in a
        memory that wears."""
        from dbus_fast import Variant

        settings = self._settings
        _, interfaces, _ = await self._look_for_modem()
        known = interfaces.get(MODEM_3GPP, {}).get("InitialEpsBearerSettings", {})
        if not settings.initial_apn or known.get("apn") == settings.initial_apn:
            return
        values = {"apn": Variant("s", settings.initial_apn)}
        if settings.username:
            values |= {"user": Variant("s", settings.username), "password": Variant("s", settings.password)}
        try:
            await self._bus.call(MM, path, f"{MODEM_3GPP}.SetInitialEpsBearerSettings", "a{sv}", values)
        except NotAllowed:
            raise
        except CallFailed as e:  # a modem without LTE
            log.warning("%s: initial_apn is not set: %s", self._name, e)

    async def _enable_radio(self, path: str) -> None:
        """Switch the radio on, if it is off, or wait while NetworkManager does so. Raises ``Refused``."""
        if await self._read_modem_state() == STATE_DISABLED:
            await self._bus.call(MM, path, f"{MODEM}.Enable", "b", True, timeout_s=RADIO_S)
        for _ in range(round(RADIO_S / SHORT_POLL_S)):
            if not STATE_DISABLED < await self._read_modem_state() < STATE_ENABLED:
                return
            await asyncio.sleep(SHORT_POLL_S)

    async def _read_modem_state(self) -> int:
        """Return MMModemState; 0: ModemManager has no such modem."""
        _, interfaces, _ = await self._look_for_modem()
        return int(interfaces[MODEM].get("State", 0)) if interfaces else 0

    async def _wait_for_network(self) -> None:
        """Wait for the registration. Raises ``Refused``."""
        status = await self._wait_until(
            lambda s: (
                s.registration in REGISTERED
                or s.sim not in (SimState.READY, SimState.NOT_USED)
                or s.registration is Registration.DENIED
            ),
            self._settings.register_s,
        )
        if status.registration not in REGISTERED:
            raise Refused(f"{self._name}: not dialled: {status.reason}")

    async def _wait_until(self, is_reached: Callable[[BearerStatus], bool], within_s: float) -> BearerStatus:
        """Return the first state that is good enough, or the one after this time."""
        end_s = asyncio.get_running_loop().time() + within_s
        while True:
            status = await self.read_status()
            if is_reached(status) or asyncio.get_running_loop().time() >= end_s:
                return status
            await asyncio.sleep(min(POLL_S, within_s / 4))

    # --- recovery ----------------------------------------------------------------------------------------------------

    async def reset_bearer(self, step: ResetStep) -> None:
        try:
            async with asyncio.timeout(END_S):
                await self.take_down()
        except (Refused, TimeoutError) as e:  # a connection that does not end must not stop the recovery
            log.warning("%s: the connection does not end: %s", self._name, str(e) or f"within {END_S:g} s")
        if step is ResetStep.POWER_CYCLE:
            await cycle_power(self._name, self._settings.power)
            await self._wait_for_restart()
            return
        path = await self._require_modem()
        match step:
            case ResetStep.REATTACH:
                await self._reattach(path)
            case ResetStep.RADIO_CYCLE:
                await self._cycle_radio(path)
            case ResetStep.MODEM_RESET:
                await self._bus.call(MM, path, f"{MODEM}.Reset", timeout_s=RADIO_S)
                await self._wait_for_restart()

    async def _reattach(self, path: str) -> None:
        """Leave the packet network and enter it again; a modem that cannot do so registers again."""
        member = f"{MODEM_3GPP}.SetPacketServiceState"
        try:
            for state in (DETACHED, ATTACHED):
                await self._bus.call(MM, path, member, "u", state, timeout_s=RADIO_S)
        except CallFailed as e:
            if isinstance(e, NotAllowed):
                raise
            await self._bus.call(MM, path, REGISTER, "s", "", timeout_s=RADIO_S)

    async def _cycle_radio(self, path: str) -> None:
        await self._bus.call(MM, path, f"{MODEM}.Enable", "b", False, timeout_s=RADIO_S)
        for state in (POWER_LOW, POWER_ON):
            with contextlib.suppress(ObjectGone):
                await self._bus.call(MM, path, f"{MODEM}.SetPowerState", "u", state, timeout_s=RADIO_S)
        await self._bus.call(MM, path, f"{MODEM}.Enable", "b", True, timeout_s=RADIO_S)

    async def _wait_for_restart(self) -> None:
        """Wait until the modem is there again; one that takes longer is found by ``read_status``."""
        await asyncio.sleep(POLL_S)
        await self._wait_until(lambda s: s.sim is not SimState.NOT_USED, RESTART_S)

    # --- SIM ---------------------------------------------------------------------------------------------------------

    async def unlock_sim(self, pin_mark: str) -> None:
        await self._sim.present_ordered_pin(pin_mark)
        await self._wait_until(lambda s: s.sim is SimState.READY, RESTART_S)
