"""The status lamp of a running station, over real sockets and files: colours in the street, keys at the backend."""

from __future__ import annotations

from pathlib import Path

from tests.support.station_rig import station_text, street


async def test_lamp_and_its_keys(tmp_path: Path) -> None:
    async with street(tmp_path, station_text()) as s:
        s.begin()

        async def lamp(colour: str) -> None:
            await s.station.until(lambda p: p["lamps"]["1"] == colour)

        led = tmp_path / "world" / "wires" / "leds" / "outlet1:blue:status"
        await lamp("green")
        await s.charge("CARD-A")
        await lamp("blue")
        assert (led / "brightness").read_text().split()[0] == "255"
        assert (await s.csms.ask("ChangeConfiguration", {"key": "LightIntensity", "value": "40"})) == {
            "status": "Accepted"
        }
        await s.heard(lambda: (led / "brightness").read_text().split()[0] == "102")
        keys = await s.csms.ask("GetConfiguration", {"key": ["BlinkRepeat", "LightIntensity"]})
        assert {k["key"]: k["value"] for k in keys["configurationKey"]} == {"BlinkRepeat": "3", "LightIntensity": "40"}
        await s.fault("GroundFailure")
        await lamp("red")
        await s.kill()
        await lamp("red")
        await s.fault("GroundFailure", False)
        await s.station.post("/agent", {"action": "stop"})
        await lamp("off")
        await s.station.post("/agent", {"action": "start"})
        await s.station.healthy()
        assert s.csms.violations == []
        await s.end()
