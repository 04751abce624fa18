"""A network interface that another program manages (systemd-networkd, NetworkManager): its state is read, and nothing
is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.bearer import BearerPort
from agent.ports.driver import Driver, Where
from drivers.lan_static.settings import InterfaceSettings
from drivers.network_interface import interface_problem


def list_complaints(settings: InterfaceSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each. Looks whether this machine has the interface."""
    wrong = settings_problems(settings)
    if not wrong and (problem := interface_problem(settings.interface, settings.network_folder)):
        wrong.append(f"interface: {problem}")
    return wrong


@asynccontextmanager
async def open_interface(settings: InterfaceSettings, where: Where) -> AsyncIterator[BearerPort]:
    """Yield the interface. Raises ``Broken`` (settings)."""
    from drivers.lan_static.interface import ManagedInterface

    if wrong := settings_problems(settings):
        raise Broken(f"lan_static {settings.interface}: " + "; ".join(wrong))
    yield ManagedInterface(settings.interface, settings.network_folder)


DRIVER = Driver(
    "lan_static",
    "bearer",
    InterfaceSettings,
    open_interface,
    list_complaints,
    verify_kit="drivers.lan_static.verify_kit:VERIFY_KIT",
)
