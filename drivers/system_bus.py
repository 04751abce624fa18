"""Calls of services on the system bus (D-Bus). Package: ``dbus-fast`` (extra ``dbus``)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Self

from agent.ports import Refused, Unreachable

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

CALL_S = 20.0
_PREFIX = "org.freedesktop.DBus."
_NOT_RUNNING = frozenset(_PREFIX + name for name in ("Error.ServiceUnknown", "Error.NameHasNoOwner"))
_GONE = frozenset(_PREFIX + f"Error.Unknown{what}" for what in ("Object", "Method", "Interface", "Property"))
_NOT_ALLOWED = ("AccessDenied", "Unauthorized", "PermissionDenied", "NotAuthorized")
BUS_ERRORS = frozenset(_PREFIX + f"Error.{what}" for what in ("NoReply", "Timeout", "TimedOut", "Disconnected"))
"""Errors of the bus itself after which it is not known what the service has done."""
Properties = Mapping[str, Any]


class CallFailed(Refused):
    """The service has refused a call. ``name``: of the error on the bus."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


class ObjectGone(CallFailed):
    """The service has no such object (any more), or it does not know the call."""


class NotAllowed(CallFailed):
    """The service has refused the call because of the rights of the agent's user."""


class ServiceAbsent(Unreachable):
    """No service has this name: it has certainly not got the call."""


class NoReply(Refused):
    """The service did not answer in time: what it has done is not known."""


class SystemBus:
    """One connection to the system bus."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    @classmethod
    @asynccontextmanager
    async def open_connection(cls, address: str = "") -> AsyncIterator[Self]:
        """Hold a connection open, to the bus of another ``address`` if there is one. Raises ``Unreachable``."""
        from dbus_fast import AuthError, BusType, DBusError
        from dbus_fast.aio import MessageBus

        try:
            async with asyncio.timeout(CALL_S):
                bus = await MessageBus(address or None, BusType.SYSTEM).connect()
        except (OSError, EOFError, AuthError, DBusError, TimeoutError, ValueError) as e:
            why = str(e) or "it does not answer, or has closed the connection"
            raise Unreachable(f"the system bus (D-Bus) cannot be reached: {why}") from e
        try:
            yield cls(bus)
        finally:
            bus.disconnect()

    async def call(
        self, service: str, path: str, member: str, signature: str = "", *body: Any, timeout_s: float = CALL_S
    ) -> Any:
        """Call ``interface.method``. Return the first value of the answer, None if it has none.

        Raises ``ServiceAbsent``, ``Unreachable`` (the bus), ``NoReply``, ``CallFailed`` and its kinds.
        """
        from dbus_fast import Message, MessageType, unpack_variants

        interface, _, method = member.rpartition(".")
        message = Message(service, path, interface, method, signature=signature, body=list(body))
        if not self._bus.connected:
            raise Unreachable("the connection to the system bus (D-Bus) is lost")
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._bus.call(message)
        except TimeoutError as e:
            if not self._bus.connected:
                raise Unreachable("the connection to the system bus (D-Bus) is lost") from e
            raise NoReply(f"{service}: no answer to {method} within {timeout_s:g} s") from e
        except (OSError, EOFError) as e:
            raise Unreachable(f"the connection to the system bus (D-Bus) is lost: {e}") from e
        if answer.message_type is MessageType.ERROR:
            raise _error_of_answer(service, method, answer)
        return unpack_variants(answer.body)[0] if answer.body else None

    async def read_properties(self, service: str, path: str, interface: str) -> Properties:
        found: Properties = await self.call(service, path, _PREFIX + "Properties.GetAll", "s", interface)
        return found

    @contextmanager
    def watch_signal(self, path: str, member: str) -> Iterator[list[list[Any]]]:
        """Collect what the signals ``interface.name`` of this object carry. ``subscribe`` must have been called."""
        interface, _, name = member.rpartition(".")
        seen: list[list[Any]] = []

        def take_message(message: Message) -> None:
            if (message.path, message.interface, message.member) == (path, interface, name):
                seen.append(message.body)

        with self.watch_messages(take_message):
            yield seen

    @contextmanager
    def watch_messages(self, take_message: Callable[[Message], None]) -> Iterator[None]:
        """Hand over every message that comes."""
        self._bus.add_message_handler(take_message)
        try:
            yield
        finally:
            self._bus.remove_message_handler(take_message)

    async def subscribe(self, member: str, **more: str) -> None:
        """Ask the bus for the signals ``interface.name`` of all objects. ``more``: other keys of its match rule."""
        interface, _, name = member.rpartition(".")
        rule = f"type='signal',interface='{interface}',member='{name}'"
        rule += "".join(f",{key}='{value}'" for key, value in more.items())
        await self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", _PREFIX.rstrip(".") + ".AddMatch", "s", rule)


def _error_of_answer(service: str, method: str, answer: Message) -> Refused | Unreachable:
    name = str(answer.error_name)
    why = str(answer.body[0]) if answer.body else name
    if name in _NOT_RUNNING or name.startswith(_PREFIX + "Error.Spawn"):
        return ServiceAbsent(f"{service} is not running")
    if name in BUS_ERRORS:
        return NoReply(f"{service}: no answer to {method}: {why}")
    if name in _GONE:
        return ObjectGone(f"{service}: {method}: {why}", name)
    if name.endswith(_NOT_ALLOWED):
        return NotAllowed(
            f"{service}: the agent's user may not call {method}: install the polkit rule (docs/operations.md)", name
        )
    return CallFailed(f"{service}: {method}: {why}", name)
