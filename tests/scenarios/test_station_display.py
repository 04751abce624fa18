"""One display for two outlets, the usual AC station: the price and the code of each free outlet come round, also while
the other outlet charges (Regulation (EU) 2023/1804, article 5). Codes are read off the frame buffer by a decoder that
is not ours."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.busy_machine import Deadline, deadline
from tests.support.simulated_station import Simulated

URLS = {n: f"https://c.lu/{n}" for n in (1, 2)}
"""Short, so that the smallest panel has a code too."""
ROUND_S = 60.0
"""Within this every free outlet has had its turn."""
PANELS = {
    "small": "width = 320\nheight = 240\nturn_s = 0.5",
    "wide": "width = 800\nheight = 480",
    "upright": "width = 480\nheight = 800",
    "tiny": 'width = 128\nheight = 64\nformat = "MONO"\nturn_s = 0.5',
}


def station(panel: str) -> str:
    outlets = "".join(f'[[evse]]\nnumber = {n}\nqr_url = "{url}"\n' for n, url in URLS.items())
    return f"""
[station]
id = "CP-1"
state_dir = "state"
languages = ["en"]
[backend]
reconnect_s = 0.2
[web_payment]
allowed_hosts = ["c.lu"]
[tariff]
kwh = 0.45
[display]
driver = "display_framebuffer"
{panel}
{outlets}
[simulation]
port = 0
state_dir = "world"
"""


@pytest.fixture(params=PANELS)
def panel(request: pytest.FixtureRequest) -> str:
    return PANELS[str(request.param)]


async def png(s: Simulated, n: int) -> bytes:
    async with s.http.get(f"/api/v1/display/{n}.png") as answer:
        assert answer.status == 200
        return bytes(await answer.read())


async def codes_seen(s: Simulated, wanted: set[str]) -> set[str]:
    """What the one panel has shown until all ``wanted`` were there, or a round is over."""
    zxingcpp: Any = pytest.importorskip("zxingcpp")
    seen: set[str] = set()
    a_round = Deadline(ROUND_S)
    while not wanted <= seen and not a_round.over:
        picture = Image.open(io.BytesIO(await png(s, 1))).convert("L")
        larger = picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST)
        seen |= {code.text for code in zxingcpp.read_barcodes(larger, formats=zxingcpp.BarcodeFormat.QRCode)}
        await asyncio.sleep(0.1)
    return seen


async def test_the_code_of_every_free_outlet_is_seen(tmp_path: Path, panel: str) -> None:
    async with Simulated(tmp_path, station(panel)) as s:
        await s.until(lambda p: {e["screen"] for e in p["evses"]} == {"idle"})
        assert await codes_seen(s, set(URLS.values())) == set(URLS.values())
        await s.post("/evses/1/plug", {"ready": True, "car": None})
        await s.post("/cards/tap", {"token": "04AAAAAA", "evse": 1})
        await s.until_evse(lambda e: e["screen"] == "charging", 1)
        assert URLS[2] in await codes_seen(s, {URLS[2]})


async def test_the_simulation_has_one_panel_for_all(tmp_path: Path) -> None:
    async with Simulated(tmp_path, station(PANELS["wide"])) as s:
        await s.until(lambda p: {e["screen"] for e in p["evses"]} == {"idle"})
        assert (await s.picture())["displays"] == [{"evses": [1, 2]}]
        async with deadline(60):  # its pictures take turns: two looks at one of them are wanted
            while await png(s, 1) != await png(s, 2):
                await asyncio.sleep(0.05)
