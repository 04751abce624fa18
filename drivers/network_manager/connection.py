"""The connection of one device by NetworkManager: find the device, activate the station's profile on it, end it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from agent.ports import Refused
from drivers.network_manager.names import (
    ACTIVATED,
    ACTIVE,
    DEVICE,
    DEVICE_FAILED,
    DEVICE_UNAVAILABLE,
    DEVICE_UNMANAGED,
    IN_MEMORY,
    NM,
    NM_ROOT,
    NM_SETTINGS_PATH,
    NOTHING,
    PROFILE,
    REASON_WORDS,
    SETTINGS,
    UNKNOWN_DEVICE,
)
from drivers.network_manager.profile import Profile
from drivers.system_bus import CallFailed, NotAllowed, ObjectGone, Properties, SystemBus

POLL_S, END_S = 0.2, 20.0


class Connection:
    """``name``: for messages. ``id``, ``uuid``: of the profile. ``why``: why the last attempt failed, or the last
    connection ended."""

    def __init__(self, bus: SystemBus, name: str, profile_id: str, profile_uuid: str) -> None:
        self._bus, self._name = bus, name
        self._id, self._uuid = profile_id, profile_uuid
        self.why = "not connected"
        self._modem_device = ""
        """The path at which the modem was found last."""

    def use_profile(self, profile_uuid: str) -> None:
        """Count the profile with this number as ours from now on; one with another number is replaced."""
        self._uuid = profile_uuid

    async def find_interface(self, interface: str) -> str:
        """Return the path of the device that has this interface; "": NetworkManager has none."""
        try:
            return str(await self._bus.call(NM, NM_ROOT, f"{NM}.GetDeviceByIpIface", "s", interface))
        except CallFailed as e:
            if e.name != UNKNOWN_DEVICE:
                raise
            return ""

    async def find_modem(self, modem: str) -> tuple[str, Properties]:
        """Return path and properties of the device that is this modem of ModemManager; "": NetworkManager has none."""
        known = [self._modem_device] if self._modem_device else []
        for path in known or await self._bus.call(NM, NM_ROOT, f"{NM}.GetDevices"):
            found = await self.read_device(path)
            if found.get("Udi") == modem:
                self._modem_device = path
                return path, found
        if known:
            self._modem_device = ""
            return await self.find_modem(modem)
        return "", {}

    async def read_device(self, path: str) -> Properties:
        """Return the properties of the device, nothing if it has just gone."""
        try:
            return await self._bus.read_properties(NM, path, DEVICE)
        except ObjectGone:
            return {}

    async def read_active(self, device: Properties) -> Properties:
        """Return what is active on the device, nothing otherwise."""
        path = device.get("ActiveConnection", NOTHING)
        if path == NOTHING:
            return {}
        try:
            return await self._bus.read_properties(NM, path, ACTIVE)
        except ObjectGone:
            return {}

    def is_ours(self, active: Properties) -> bool:
        return active.get("Uuid") == self._uuid

    def describe_device(self, device: Properties, active: Properties) -> str:
        """Return why the device carries nothing of ours; "": it does."""
        state = device.get("State", DEVICE_UNAVAILABLE)
        if state == DEVICE_UNMANAGED:
            return "NetworkManager does not manage it"
        if active and not self.is_ours(active):
            return f"another profile of NetworkManager is active on it: {active.get('Id')}"
        if state == DEVICE_UNAVAILABLE:
            return REASON_WORDS.get(device.get("StateReason", (0, 0))[1], "it is not ready")
        return "" if active.get("State") == ACTIVATED else self.why

    # --- changes -----------------------------------------------------------------------------------------------------

    async def put_profile(self, profile: Profile) -> str:
        """Give NetworkManager the profile. Return its path. Older ones of this bearer are removed."""
        kept = ""
        async for path, found in self._own_profiles():
            if found == self._uuid:
                kept = path
            else:
                await self._delete_profile(path)
        if kept:
            await self._bus.call(NM, kept, f"{PROFILE}.Update2", "a{sa{sv}}ua{sv}", profile, IN_MEMORY, {})
            return kept
        member = f"{SETTINGS}.AddConnection2"
        return str(await self._bus.call(NM, NM_SETTINGS_PATH, member, "a{sa{sv}}ua{sv}", profile, IN_MEMORY, {}))

    async def remove_profiles(self) -> None:
        async for path, _ in self._own_profiles():
            await self._delete_profile(path)

    async def _own_profiles(self) -> AsyncIterator[tuple[str, str]]:
        """Yield path and number of each profile with the name of ours."""
        async for path, connection in self._profiles(NotAllowed):
            if connection.get("id") == self._id:
                yield path, str(connection.get("uuid"))

    async def _profiles(self, *passed_over: type[CallFailed]) -> AsyncIterator[tuple[str, Properties]]:
        """Yield path and settings of each profile. ``passed_over``: errors that leave one out. ``NotAllowed``: it
        belongs to another user of the machine, and is none of ours."""
        for path in await self._bus.call(NM, NM_SETTINGS_PATH, f"{SETTINGS}.ListConnections"):
            with contextlib.suppress(ObjectGone, *passed_over):
                found = await self._bus.call(NM, path, f"{PROFILE}.GetSettings")
                yield str(path), found["connection"]

    async def find_foreign_dialler(self) -> str:
        """Return the name of another profile with which NetworkManager dials by itself; "": there is none.

        Raises ``NotAllowed`` if there is one that cannot be read: it may be such a profile.
        """
        async for _, connection in self._profiles():
            if connection.get("type") == "gsm" and connection.get("autoconnect", True):
                return str(connection.get("id"))
        return ""

    async def _delete_profile(self, path: str) -> None:
        with contextlib.suppress(ObjectGone):
            await self._bus.call(NM, path, f"{PROFILE}.Delete")

    async def activate(self, profile: str, device: str, within_s: float) -> None:
        """Activate the profile, and wait until it carries. Raises ``Refused``."""
        await self._activate_by(device, within_s, f"{NM}.ActivateConnection", "ooo", profile, device, NOTHING)

    async def activate_once(self, profile: Profile, device: str, within_s: float) -> None:
        """Activate a profile that NetworkManager forgets when its connection ends. Raises ``Refused``."""
        from dbus_fast import Variant

        options = {"persist": Variant("s", "volatile")}
        signature = "a{sa{sv}}ooa{sv}"
        member = f"{NM}.AddAndActivateConnection2"
        await self._activate_by(device, within_s, member, signature, profile, device, NOTHING, options)

    async def _activate_by(self, device: str, within_s: float, member: str, signature: str, *body: Any) -> None:
        with self._bus.watch_signal(device, f"{DEVICE}.StateChanged") as changes:
            await self._bus.call(NM, NM_ROOT, member, signature, *body)
            try:
                async with asyncio.timeout(within_s):
                    self.why = await self._wait_for_end(device, changes)
            except TimeoutError:
                await self.deactivate(device)
                self.why = f"no connection within {within_s:g} s"
        if self.why:
            raise Refused(f"{self._name}: {self.why}")
        self.why = "not connected"

    async def _wait_for_end(self, device: str, changes: list[list[Any]]) -> str:
        """Wait until the attempt has ended. Return why it has failed; "": the connection carries."""
        has_begun = False
        while True:
            active = await self.read_active(await self.read_device(device))
            is_ours = self.is_ours(active)
            if is_ours and active["State"] == ACTIVATED:
                return ""
            if reasons := [reason for new, _, reason in changes if new == DEVICE_FAILED]:
                return REASON_WORDS.get(reasons[-1], f"it failed (reason {reasons[-1]})")
            if has_begun and not is_ours:
                return "it was disconnected"
            has_begun = has_begun or is_ours
            await asyncio.sleep(POLL_S)

    async def deactivate(self, device: str) -> None:
        """End our connection on the device, if it has one, and wait until it has ended, at most 20 s."""
        found = await self.read_device(device)
        if not self.is_ours(await self.read_active(found)):
            return
        with contextlib.suppress(ObjectGone, TimeoutError):
            await self._bus.call(NM, NM_ROOT, f"{NM}.DeactivateConnection", "o", found["ActiveConnection"])
            async with asyncio.timeout(END_S):
                await self._wait_for_quiet(device)

    async def _wait_for_quiet(self, device: str) -> None:
        """Wait until nothing of ours is active on the device."""
        while True:
            if not self.is_ours(await self.read_active(await self.read_device(device))):
                return
            await asyncio.sleep(POLL_S)
