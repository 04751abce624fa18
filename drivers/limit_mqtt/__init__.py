"""Energy manager on MQTT: the limit of the station as messages of a topic."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model import secret_file
from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.energy_manager import EnergyManagerPort
from drivers.limit_mqtt.settings import MqttLimitSettings


def list_complaints(settings: MqttLimitSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching the network."""
    wrong = settings_problems(settings)
    if not settings.host:
        wrong.append('host: is missing: the MQTT broker, for example host = "192.168.5.40"')
    if problem := secret_file.secret_text_problem(settings.password_file):
        wrong.append(f"password_file: {problem}")
    if settings.ca is not None and not settings.ca.is_file():
        wrong.append(f"ca: {settings.ca}: no such file")
    return wrong


@asynccontextmanager
async def open_energy_manager(settings: MqttLimitSettings, where: Where) -> AsyncIterator[EnergyManagerPort]:
    """Yield the energy manager. Raises ``Unreachable``, ``Broken`` (settings, a package that is missing)."""
    from drivers.limit_mqtt.manager import open_subscription

    if wrong := list_complaints(settings):
        raise Broken("limit_mqtt: " + "; ".join(wrong))
    async with open_subscription(settings) as manager:
        yield manager


DRIVER = Driver(
    "limit_mqtt", "energy_manager", MqttLimitSettings, open_energy_manager, list_complaints,
    verify_kit="drivers.limit_mqtt.verify_kit:VERIFY_KIT", needs=("aiomqtt",), extra="chargy-agent[mqtt]",
)  # fmt: skip
