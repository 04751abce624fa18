"""A network interface whose state is read from the kernel."""

from __future__ import annotations

from agent.model.bearer import BearerStatus, ResetStep
from agent.ports import Refused
from drivers.network_interface import interface_status


class ManagedInterface:
    """``BearerPort`` of an interface that another program brings up and takes down."""

    def __init__(self, interface: str, network_folder: str) -> None:
        self._interface, self._network_folder = interface, network_folder

    async def read_status(self) -> BearerStatus:
        return interface_status(self._interface, self._network_folder)

    async def bring_up(self) -> None:
        """Leave it to the program that manages the interface."""

    async def take_down(self) -> None:
        """Leave it to the program that manages the interface."""

    async def reset_bearer(self, step: ResetStep) -> None:
        raise Refused(f"lan_static {self._interface}: another program manages it, it cannot be reset from here")

    async def unlock_sim(self, pin_mark: str) -> None:
        raise Refused(f"lan_static {self._interface}: it has no SIM")
