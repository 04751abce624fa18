"""A suite that acts on what its central system hears, at once, and looks at the picture only to check it."""

import json
from pathlib import Path
from typing import Any

from tests.support.station_rig import station_text, street

CARD = "04A1B2C3D4E5F6"


async def test_no_one_has_to_wait_for_the_picture_the_card_or_the_lock(tmp_path: Path) -> None:
    async with street(tmp_path, station_text(), speed=1) as s:
        pictured: list[tuple[str, str]] = []

        async def look(moment: str, action: str, payload: dict[str, Any]) -> None:
            if moment == "before" and payload.get("connectorId") == 1 and "status" in payload:
                pictured.append((payload["status"], (await s.station.evse())["reported"]["status"]))

        s.begin()
        s.csms.hook = look
        await s.plug()
        for deed in ("StartTransaction", "StopTransaction"):  # the same card again, as soon as the start is sent
            await s.station.post("/cards/tap", {"uid": CARD, "hold_s": 0.1})
            await s.heard(lambda message=deed: s.payloads(message))
        await s.station.post("/evses/1/unplug", {"side": "station"})
        await s.heard(lambda: s.csms.statuses["1"] == "Available")
        assert pictured
        assert all(heard == seen for heard, seen in pictured), pictured
        async with s.station.http.get("/api/v1/trace") as answer:
            frames = [json.loads(line) for line in (await answer.text()).splitlines()]
        assert all(isinstance(f["t"], float) for f in frames), frames[0]
        assert s.csms.violations == []
