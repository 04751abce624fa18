"""A small, complete driver to copy.

The meter answers ``READ`` on a network socket with one line of text such as ``ENERGY_WH 123456 POWER_W 2300.5``.
Serial servers and small converters use such lines.

To write your own driver, copy this folder. Name the role (evse, meter, reader, display). Declare the keys of the
station file in ``settings.py``. Put the device's language into one module, and its translation to the port into
another. Register ``DRIVER`` under the entry points ``chargy_agent.drivers`` in ``pyproject.toml``. Check it with
``drivers/testkit``. This file is imported at every start: heavy imports belong in ``_open_meter``.
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
    """Check what the ranges of the keys cannot express."""
    return [] if settings.host else ['host: is missing, for example host = "192.168.1.5"']


DRIVER = Driver("blueprint", "meter", TextMeterSettings, _open_meter, _check_settings)
