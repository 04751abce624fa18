"""Checks of a display, by the picture on its panel."""

from __future__ import annotations

import asyncio
import io

from agent.model.types import Screen, ScreenName
from agent.ports.verify import Check, DeviceUnderTest, Skipped
from drivers.testkit.checks.common import check_duration
from drivers.testkit.display import check_display

URL = "https://chargy.lu/verify/0001"
SHOW_S = 0.5
LAG_S = 0.1
"""The contract of the port allows 5 ms. The rest allows for a busy machine."""


async def check_screens(bench: DeviceUnderTest) -> str:
    first = await asyncio.to_thread(bench.panel_image)
    assert first, f"{bench.name}: the panel's memory is empty"
    await check_display(bench.open_port, bench.panel_image, timeout_s=60.0, lag_s=LAG_S)
    return f"{len(ScreenName)} screens in four languages, each another picture; a repeated one changes nothing"


async def check_qr_code(bench: DeviceUnderTest) -> str:
    """Decode the QR code from the panel's memory with a foreign program."""
    try:
        import zxingcpp
    except ImportError as e:
        raise Skipped("a decoder is missing: pip install 'chargy-agent[verify]'") from e
    from PIL import Image

    async with bench.open_port() as display:
        await display.show(Screen(ScreenName.IDLE, "en", "", {"number": "0001", "qr_url": URL}))
        png = await asyncio.to_thread(bench.panel_image)
    found = [code.text for code in zxingcpp.read_barcodes(Image.open(io.BytesIO(png)).convert("L"))]
    assert found == [URL], (
        f"{bench.name}: the QR code of {URL} was read from the panel as {found or 'nothing'}; width, height, format?"
    )
    return f"{URL} was read from the panel"


async def check_timing(bench: DeviceUnderTest) -> str:
    async with bench.open_port() as display:

        async def show(n: int) -> None:
            await display.show(Screen(ScreenName.CHARGING, "fr", "", {"energy_wh": n, "power_w": 11000, "since_s": n}))

        return await check_duration(bench, "show", show, SHOW_S)


CHECKS = (
    Check("display", "screens", check_screens),
    Check("display", "qr", check_qr_code),
    Check("display", "timing", check_timing),
)
