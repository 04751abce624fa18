"""LAN or Wi-Fi by NetworkManager."""

from __future__ import annotations

from agent.model import secret_file
from agent.model.bearer import BearerState, BearerStatus, ResetStep
from agent.model.fastclass import replace
from agent.ports import Broken, Refused
from drivers.network_interface import NO_CARRIER, interface_problem, interface_status
from drivers.network_manager.connection import Connection
from drivers.network_manager.names import ACTIVATED, DEVICE_UNAVAILABLE
from drivers.network_manager.profile import compose_profile
from drivers.network_manager.settings import NetworkManagerSettings
from drivers.system_bus import ServiceAbsent


class InterfaceBearer:
    """``agent.ports.bearer.BearerPort``. NetworkManager keeps the profile while it runs, also without the agent."""

    def __init__(self, settings: NetworkManagerSettings, station: str, connection: Connection) -> None:
        self._settings, self._station, self._connection = settings, station, connection
        self._name = f"network_manager {settings.interface}"
        self._was_ours = False
        """Whether our profile was active when NetworkManager was asked last."""

    async def read_status(self) -> BearerStatus:
        carried = interface_status(self._settings.interface)
        try:
            return await self._judge_interface(carried)
        except ServiceAbsent:  # it starts again, and the kernel still carries what it has set up
            if self._was_ours and carried.is_up:
                return carried
            raise

    async def _judge_interface(self, carried: BearerStatus) -> BearerStatus:
        """Return the state of the interface. It is up if our profile is active on it."""
        device = await self._connection.find_interface(self._settings.interface)
        if not device:
            reason = carried.reason or "NetworkManager does not know it"
            return BearerStatus(BearerState.ABSENT, reason, self._settings.interface)
        properties = await self._connection.read_device(device)
        active = await self._connection.read_active(properties)
        self._was_ours = self._connection.is_ours(active) and active.get("State") == ACTIVATED
        if self._was_ours:
            return carried
        is_cut = carried.reason == NO_CARRIER
        reason = carried.reason if is_cut else self._connection.describe_device(properties, active)
        return replace(carried, state=BearerState.DOWN, reason=reason, address="")

    async def bring_up(self) -> None:
        """Activate the profile. Without a carrier NetworkManager does it when there is one."""
        device = await self._connection.find_interface(self._settings.interface)
        if not device:
            problem = interface_problem(self._settings.interface) or "NetworkManager does not know it"
            raise Refused(f"{self._name}: {problem}")
        properties = await self._connection.read_device(device)
        active = await self._connection.read_active(properties)
        if self._connection.is_ours(active) and active.get("State") == ACTIVATED:
            return
        profile = await self._connection.put_profile(
            compose_profile(self._settings, self._station, self._read_passphrase())
        )
        if properties.get("State") != DEVICE_UNAVAILABLE:
            await self._connection.activate(profile, device, self._settings.connect_s)

    def _read_passphrase(self) -> str:
        if self._settings.psk_file is None:
            return ""
        try:
            return secret_file.read_secret_text(self._settings.psk_file)
        except secret_file.Unfit as e:
            raise Broken(f"{self._name}: psk_file {self._settings.psk_file}: {e}") from e

    async def take_down(self) -> None:
        """End the connection, and forget the profile: otherwise NetworkManager would take it up again."""
        if device := await self._connection.find_interface(self._settings.interface):
            await self._connection.deactivate(device)
        await self._connection.remove_profiles()

    async def reset_bearer(self, step: ResetStep) -> None:
        raise Refused(f"{self._name}: an interface cannot be reset from here")

    async def unlock_sim(self, pin_mark: str) -> None:
        raise Refused(f"{self._name}: it has no SIM")
