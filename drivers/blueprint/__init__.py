"""Copy me: a whole driver, small. A meter that answers ``READ`` on a network socket with one line of text such as
``ENERGY_WH 123456 POWER_W 2300.5`` (serial servers and small converters speak like this).

To make a driver of your own: copy this folder, name the role (evse, meter, reader, display), say what the station file
may contain in ``settings.py``, put the device's language into one module and its translation into the port's words
into another, register ``DRIVER`` under the entry points ``chargy_agent.drivers`` in ``pyproject.toml``, and let
``drivers/testkit`` check it. This file is imported at every start: heavy imports belong into ``_open_meter``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.ports.driver import Driver, Where
from agent.ports.meter import MeterPort
from drivers.blueprint.settings import TextMeterSettings


@asynccontextmanager
async def _open_meter(settings: TextMeterSettings, where: Where) -> AsyncIterator[MeterPort]:
    from drivers.blueprint.text_meter import open_text_meter

    async with open_text_meter(settings, where) as meter:
        yield meter


def _check_settings(settings: TextMeterSettings, where: Where) -> list[str]:
    """What the ranges of the keys cannot say."""
    return [] if settings.host else ['host: is missing, for example host = "192.168.1.5"']


DRIVER = Driver("blueprint", "meter", TextMeterSettings, _open_meter, _check_settings)
