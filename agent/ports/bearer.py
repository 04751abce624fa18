"""Port of a bearer: what carries the link to a backend (LAN, Wi-Fi, a modem)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from agent.model.bearer import ApnAccess, BearerStatus, ResetStep
from agent.ports import Refused


class PinNotPresented(Refused):
    """The SIM did not get the PIN: it may be used again."""


@runtime_checkable
class ApnPort(Protocol):
    """What a bearer can besides, whose APN the backend may change."""

    async def use_apn_access(self, access: ApnAccess | None) -> None:
        """Use this access to the packet network in place of that of the settings (None), from the next ``bring_up``
        on. The bearer is down."""
        ...


class BearerPort(Protocol):
    """Must: report ``UP`` only with an interface and an address; report a modem that does not answer as ``DOWN``, so
    that it can still be reset; return from ``bring_up`` within four minutes, from all others within one. Must not: use
    a PIN except in ``unlock_sim``, or use it twice in one call; come up, or reset a device, by itself. Raises:
    ``Unreachable`` (the line is gone), ``Refused`` (the device or the network has refused this; the bearer is still
    open), ``Broken``."""

    async def read_status(self) -> BearerStatus:
        """Return the present state. Changes nothing."""
        ...

    async def bring_up(self) -> None:
        """Connect. Without effect on a bearer that is up, or that is managed by another program."""
        ...

    async def take_down(self) -> None:
        """Disconnect. Without effect on a bearer that is down, or that is managed by another program."""
        ...

    async def reset_bearer(self, step: ResetStep) -> None:
        """Carry out this step. The bearer is down afterwards. ``Refused``: this device cannot do it."""
        ...

    async def unlock_sim(self, pin_mark: str) -> None:
        """Present the PIN to the SIM, once, if it has this check sum (``agent.model.pin_mark``).

        ``PinNotPresented``: the SIM has certainly not got it, because the bearer has another PIN, for example.
        ``Refused``: the SIM does not accept it, or its answer is not known.
        """
        ...
