"""Checks of a display, by what its panel shows."""

from __future__ import annotations

import asyncio
import io

from agent.model.types import Screen, ScreenName
from agent.ports.verify import Bench, Check, Left
from drivers.testkit.checks.common import timed
from drivers.testkit.display import check_display

URL = "https://chargy.lu/verify/0001"
SHOW_S = 0.5
LAG_S = 0.1
"""The port's contract says 5 ms; the rest is for a busy machine."""


async def screens(bench: Bench) -> str:
    first = await asyncio.to_thread(bench.panel)
    assert first, f"{bench.name}: the panel's memory is empty"
    await check_display(bench.direct, bench.panel, timeout_s=60.0, lag_s=LAG_S)
    return f"{len(ScreenName)} screens in four languages, each another picture; a repeated one changes nothing"


async def qr(bench: Bench) -> str:
    """Decoded from the panel's memory by a program that is not ours."""
    try:
        import zxingcpp
    except ImportError as e:
        raise Left("a decoder is missing: pip install 'chargy-agent[verify]'") from e
    from PIL import Image

    async with bench.direct() as display:
        await display.show(Screen(ScreenName.IDLE, "en", "", {"number": "0001", "qr_url": URL}))
        png = await asyncio.to_thread(bench.panel)
    found = [code.text for code in zxingcpp.read_barcodes(Image.open(io.BytesIO(png)).convert("L"))]
    assert found == [URL], (
        f"{bench.name}: the QR code of {URL} was read from the panel as {found or 'nothing'}; width, height, format?"
    )
    return f"{URL} was read from the panel"


async def timing(bench: Bench) -> str:
    async with bench.direct() as display:

        async def show(n: int) -> None:
            await display.show(Screen(ScreenName.CHARGING, "fr", "", {"energy_wh": n, "power_w": 11000, "since_s": n}))

        return await timed(bench, "show", show, SHOW_S)


CHECKS = (
    Check("display", "screens", screens),
    Check("display", "qr", qr),
    Check("display", "timing", timing),
)
