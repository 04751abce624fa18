"""The D-Bus service of RAUC (``de.pengutronix.rauc.Installer``): its calls, its signals, its slots.

RAUC does one thing at a time. While it installs, it refuses every call but those for properties.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.unpack import unpack_variants

from agent.model.fastclass import frozen
from agent.ports import Broken, Unreachable
from drivers.system_bus import CallFailed, NoReply, NotAllowed, ObjectGone, SystemBus

log = logging.getLogger(__name__)

NAME, PATH, INSTALLER = "de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer"
BUS, BUS_PATH, PROPERTIES = "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Properties"
BUSY = "already processing"
LOOK_S = 1.0
"""How often RAUC is asked whether it is idle: its signal may have come before it was watched for."""
LOST = -1
"""RAUC ended before its installation did."""


class RaucRefusal(Broken):
    """RAUC answered with an error. ``str()``: its words."""


@frozen
class Slot:
    """A place for a system."""

    name: str
    slot_class: str = ""
    state: str = ""
    version: str = ""
    transaction: str = ""
    """The installation that filled it, as it was named by who ordered it."""
    installed: str = ""
    """When that was; "": RAUC has not filled it, or keeps no record of it."""

    @property
    def system(self) -> str:
        """The name of the system in this slot: another one after each installation."""
        return f"{self.name}/{self.transaction or self.installed}"


class RaucService:
    """The calls that the driver needs. Each raises ``Unreachable``, ``Broken``, ``RaucRefusal``."""

    def __init__(self, bus: SystemBus, answer_s: float) -> None:
        self._bus, self._answer_s = bus, answer_s
        self._ended: asyncio.Future[int] | None = None
        self._owner = ""
        """RAUC's connection to the bus, when it was asked last."""
        self.progress_percent: int | None = None
        self._progress_reports = 0

    # --- calls -------------------------------------------------------------------------------------------------

    async def list_slots(self) -> list[Slot]:
        rows = await self._call_installer("GetSlotStatus")
        return [_slot_of(name, fields) for name, fields in rows]

    async def primary_slot(self) -> str:
        """Return the name of the slot that is booted next."""
        return str(await self._call_installer("GetPrimary"))

    async def read_property(self, name: str) -> Any:
        return await self._call(NAME, PATH, f"{PROPERTIES}.Get", "ss", INSTALLER, name)

    async def boot_id(self) -> str:
        """Return the identity of the message bus: another one after each boot."""
        return str(await self._call(BUS, BUS_PATH, f"{BUS}.GetId"))

    async def mark_booted_good(self) -> str:
        """Return the name of the slot."""
        return str(await self._call_installer("Mark", "ss", "good", "booted"))

    async def bundle_compatible(self, path: str, limit_s: float) -> str:
        """Check the bundle and its signature. Return the board that it is for."""
        found = await self._call_installer("InspectBundle", "sa{sv}", path, {}, limit_s=limit_s)
        return str(found.get("update", {}).get("compatible", ""))

    async def install_bundle(self, path: str, transaction: str, limit_s: float) -> int:
        """Install the bundle. Return RAUC's result; 0 is success. ``limit_s``: without any progress."""
        await self._find_owner()
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ended = ended
        options = {"transaction-id": Variant("s", transaction)}
        try:
            await self._call_installer("InstallBundle", "sa{sv}", path, options)
            await self._await_end(ended, limit_s)
            return ended.result()
        finally:
            self._ended, self.progress_percent = None, None

    async def _await_end(self, ended: asyncio.Future[int], limit_s: float) -> None:
        """Wait as long as it goes on: RAUC would switch the systems in the end, after a report that it failed."""
        while True:
            before = self._progress_reports
            done, _ = await asyncio.wait((ended,), timeout=limit_s)
            if done:
                return
            if await self.read_property("Operation") == "idle" and not ended.done():
                raise Unreachable("RAUC did not report the end of the installation")
            if self._progress_reports == before:
                raise Unreachable(f"RAUC has made no progress for {limit_s:g} s")

    async def wait_until_idle(self, limit_s: float) -> None:
        """Wait for the end of an installation that runs already: of this agent before it was started again, or of a
        person."""
        try:
            async with asyncio.timeout(limit_s):
                first = True
                while await self.read_property("Operation") != "idle":
                    if first:
                        log.info("updater: an installation is running already; waiting for its end")
                        await self._find_owner()
                    first = False
                    self._ended = asyncio.get_running_loop().create_future()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._ended, LOOK_S)
        except TimeoutError:
            raise Unreachable(f"RAUC is still busy after {limit_s:g} s") from None
        finally:
            self._ended, self.progress_percent = None, None

    async def _find_owner(self) -> None:
        self._owner = str(await self._call(BUS, BUS_PATH, f"{BUS}.GetNameOwner", "s", NAME))

    async def _call_installer(self, member: str, signature: str = "", *body: Any, limit_s: float = 0.0) -> Any:
        return await self._call(NAME, PATH, f"{INSTALLER}.{member}", signature, *body, limit_s=limit_s)

    async def _call(
        self, name: str, path: str, member: str, signature: str = "", *body: Any, limit_s: float = 0.0
    ) -> Any:
        try:
            return await self._bus.call(name, path, member, signature, *body, timeout_s=limit_s or self._answer_s)
        except NoReply as e:
            raise Unreachable(str(e)) from e
        except NotAllowed as e:
            raise Broken(f"the message bus does not let the agent's user call RAUC: install its policy ({e})") from e
        except ObjectGone as e:
            raise Broken(f"this RAUC is too old: {e}") from e
        except CallFailed as e:
            raise _refusal_of(str(e)) from e

    # --- signals -----------------------------------------------------------------------------------------------

    async def subscribe(self) -> None:
        """Have the end of installations, their progress and the end of RAUC itself reported."""
        await self._bus.subscribe(f"{INSTALLER}.Completed", sender=NAME)
        await self._bus.subscribe(f"{PROPERTIES}.PropertiesChanged", sender=NAME)
        await self._bus.subscribe(f"{BUS}.NameOwnerChanged", sender=BUS, arg0=NAME)

    def take_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.sender == BUS and message.member == "NameOwnerChanged":
            if message.body[0] == NAME and not message.body[2]:
                self._end_installation(LOST)
        elif message.sender != self._owner:
            return  # every process on the bus may send a signal to this one
        elif message.interface == INSTALLER and message.member == "Completed":
            self._end_installation(int(message.body[0]))
        elif message.interface == PROPERTIES and message.body[0] == INSTALLER:
            self._note_progress(unpack_variants(message.body[1]).get("Progress"))

    def _end_installation(self, result: int) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(result)

    def _note_progress(self, progress: Any) -> None:
        if progress is None or self._ended is None:
            return
        percent, words, _ = progress
        self._progress_reports += 1
        before, self.progress_percent = self.progress_percent, int(percent)
        if before is None or percent // 10 != before // 10:
            log.info("updater: %d %%: %s", percent, words)


@asynccontextmanager
async def open_service(address: str, answer_s: float) -> AsyncIterator[RaucService]:
    """Yield the service on the bus of this address, "" for the system bus. Raises ``Unreachable``."""
    async with SystemBus.open_connection(address) as bus:
        service = RaucService(bus, answer_s)
        with bus.watch_messages(service.take_message):
            await service.subscribe()
            yield service


def _slot_of(name: str, fields: dict[str, Any]) -> Slot:
    kept = ("class", "state", "bundle.version", "installed.transaction", "installed.timestamp")
    return Slot(str(name), *(str(fields.get(key, "")) for key in kept))


def _refusal_of(words: str) -> Unreachable | RaucRefusal:
    if BUSY in words.lower():
        return Unreachable(f"RAUC is busy with something else ({words})")
    return RaucRefusal(words.removeprefix(f"{NAME}: "))
