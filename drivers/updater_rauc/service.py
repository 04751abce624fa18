"""The D-Bus service of RAUC (``de.pengutronix.rauc.Installer``): its calls, its signals, its slots.

RAUC does one thing at a time. While it installs, it refuses every call but those for properties.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.unpack import unpack_variants

from agent.model.fastclass import frozen
from agent.ports import Broken, Garbled, Unreachable

log = logging.getLogger(__name__)

NAME, PATH, INSTALLER = "de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer"
BUS, BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
PROPERTIES = "org.freedesktop.DBus.Properties"
WATCHED = (
    f"type='signal',sender='{NAME}',path='{PATH}'",
    f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{NAME}'",
)
AWAY = ("ServiceUnknown", "NameHasNoOwner", "NoReply", "Timeout", "TimedOut", "Disconnected")
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
    boot_name: str = ""
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

    def __init__(self, bus: MessageBus, answer_s: float) -> None:
        self._bus, self._answer_s = bus, answer_s
        self._ended: asyncio.Future[int] | None = None
        self._owner = ""
        """The connection to the bus from which RAUC has answered last."""
        self.progress_percent: int | None = None

    async def watch_signals(self) -> None:
        """Have the end of installations, their progress and the end of RAUC itself reported."""
        self._bus.add_message_handler(self._take_message)
        for rule in WATCHED:
            await self._call(BUS, BUS_PATH, BUS, "AddMatch", "s", [rule], self._answer_s)

    # --- calls -------------------------------------------------------------------------------------------------

    async def list_slots(self) -> list[Slot]:
        (rows,) = await self._call_installer("GetSlotStatus")
        return [_slot_of(name, fields) for name, fields in rows]

    async def primary_slot(self) -> str:
        """Return the name of the slot that is booted next."""
        (name,) = await self._call_installer("GetPrimary")
        return str(name)

    async def read_property(self, name: str) -> Any:
        (value,) = await self._call(NAME, PATH, PROPERTIES, "Get", "ss", [INSTALLER, name], self._answer_s)
        return value

    async def boot_id(self) -> str:
        """Return the identity of the message bus: another one after each boot."""
        (found,) = await self._call(BUS, BUS_PATH, BUS, "GetId", "", [], self._answer_s)
        return str(found)

    async def mark_booted_good(self) -> str:
        (_, words) = await self._call_installer("Mark", "ss", ["good", "booted"])
        return str(words)

    async def bundle_compatible(self, path: str, limit_s: float) -> str:
        """Check the bundle and its signature. Return the board that it is for."""
        (found,) = await self._call_installer("InspectBundle", "sa{sv}", [path, {}], limit_s)
        return str(found.get("update", {}).get("compatible", ""))

    async def install_bundle(self, path: str, transaction: str, limit_s: float) -> int:
        """Install the bundle. Return RAUC's result; 0 is success."""
        self._ended = asyncio.get_running_loop().create_future()
        options = {"transaction-id": Variant("s", transaction)}
        try:
            await self._call_installer("InstallBundle", "sa{sv}", [path, options])
            async with asyncio.timeout(limit_s):
                return await self._ended
        except TimeoutError:
            raise Unreachable(f"RAUC did not end the installation within {limit_s:g} s") from None
        finally:
            self._ended, self.progress_percent = None, None

    async def wait_until_idle(self, limit_s: float) -> None:
        """Wait for the end of an installation that runs already: of this agent before it was started again, or of a
        person."""
        try:
            async with asyncio.timeout(limit_s):
                first = True
                while await self.read_property("Operation") != "idle":
                    if first:
                        log.info("updater: an installation is running already; waiting for its end")
                    first = False
                    self._ended = asyncio.get_running_loop().create_future()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._ended, LOOK_S)
        except TimeoutError:
            raise Unreachable(f"RAUC is still busy after {limit_s:g} s") from None
        finally:
            self._ended, self.progress_percent = None, None

    async def _call_installer(
        self, member: str, signature: str = "", body: list[Any] | None = None, limit_s: float = 0.0
    ) -> list[Any]:
        return await self._call(NAME, PATH, INSTALLER, member, signature, body or [], limit_s or self._answer_s)

    async def _call(
        self, name: str, path: str, interface: str, member: str, signature: str, body: list[Any], limit_s: float
    ) -> list[Any]:
        message = Message(
            destination=name, path=path, interface=interface, member=member, signature=signature, body=body
        )
        if not self._bus.connected:
            raise Unreachable(f"the message bus has ended: RAUC cannot be asked for {member}")
        try:
            async with asyncio.timeout(limit_s):
                reply = await self._bus.call(message)
        except TimeoutError:
            raise Unreachable(f"RAUC did not answer {member} within {limit_s:g} s") from None
        except Exception as e:  # the library raises what the socket raised
            raise Unreachable(f"the message bus has ended ({e})") from e
        if reply is None:
            raise Unreachable(f"RAUC did not answer {member}")
        if name == NAME:
            self._owner = str(reply.sender)
        if reply.message_type is MessageType.ERROR:
            raise _error_of(member, str(reply.error_name), reply.body)
        return list(unpack_variants(reply.body))

    # --- signals -----------------------------------------------------------------------------------------------

    def _take_message(self, message: Message) -> None:
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
        before, self.progress_percent = self.progress_percent, int(percent)
        if before is None or percent // 10 != before // 10:
            log.info("updater: %d %%: %s", percent, words)


@asynccontextmanager
async def open_service(address: str, answer_s: float) -> AsyncIterator[RaucService]:
    """Yield the service on the bus of this address, "" for the system bus. Raises ``Unreachable``."""
    bus = MessageBus(bus_address=address or None, bus_type=BusType.SYSTEM)
    try:
        async with asyncio.timeout(answer_s):
            await bus.connect()
    except TimeoutError:
        raise Unreachable(f"the message bus did not answer within {answer_s:g} s") from None
    except Exception as e:  # each version of the library has its own
        raise Unreachable(f"no message bus at {address or 'the system address'} ({e}); is dbus running?") from e
    service = RaucService(bus, answer_s)
    try:
        await service.watch_signals()
        yield service
    finally:
        bus.disconnect()


def _slot_of(name: str, fields: dict[str, Any]) -> Slot:
    return Slot(
        str(name),
        str(fields.get("class", "")),
        str(fields.get("state", "")),
        str(fields.get("bootname", "")),
        str(fields.get("bundle.version", "")),
        str(fields.get("installed.transaction", "")),
        str(fields.get("installed.timestamp", "")),
    )


def _error_of(member: str, name: str, body: list[Any]) -> Exception:
    words = str(body[0]) if body else name
    kind = name.rpartition(".")[2]
    if kind == "AccessDenied":
        return Broken(f"the message bus does not let the agent call RAUC's {member}: install its policy ({words})")
    if kind in AWAY or kind.startswith("Spawn"):
        return Unreachable(f"RAUC does not answer {member} ({words}); is rauc.service running?")
    if kind in ("UnknownMethod", "UnknownProperty", "InvalidArgs"):
        return Garbled(f"this RAUC does not know {member} ({words})")
    if BUSY in words.lower():
        return Unreachable(f"RAUC is busy with something else ({member})")
    return RaucRefusal(words)
