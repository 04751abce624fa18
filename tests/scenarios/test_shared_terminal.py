"""Two stations with one bank card terminal: two agents, one simulated Apollo with its bank, a network with TLS between
them (decision 73)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_bank_card import CAR, waits
from tests.support.certificate_authorities import Authority
from tests.support.simulated_station import ONE_EVSE, Simulated, held_port

TARIFF = "\n[tariff]\nkwh = 0.50\n"
PLUG = 'sample_interval_s = 5\npayment_start = "plug"'
"""The terminal waits for a card only when a vehicle does: at the satellite, in these tests."""
MASTER = (
    ONE_EVSE.replace("sample_interval_s = 5", PLUG)
    + TARIFF
    + """
[terminal]
driver = "terminal_payter"
sync_every_s = 0.1

[payment]
amount_cents = 5000
prefix = "PY"

[payment.master]
host = "127.0.0.1"
port = {port}
certificate = "{certificate}"
ca = "{ca}"
satellites.east = {{ outlets = [2] }}
"""
)
SATELLITE = (
    ONE_EVSE.replace("CP-1", "CP-2")
    + TARIFF
    + """
[payment.satellite]
master = "127.0.0.1:{port}"
certificate = "{certificate}"
ca = "{ca}"
"""
)


def session_wh(picture: dict[str, Any]) -> int:
    return int((picture["evses"][0]["session"] or {}).get("energy_wh", 0))


async def test_a_card_at_one_station_pays_once_at_the_other_whatever_is_killed(tmp_path: Path) -> None:
    """Both agents are killed while energy flows; the session goes on, and is charged as the meter says."""
    pool = Authority(tmp_path, "Pool")
    for name in ("master", "satellite"):
        (tmp_path / name).mkdir()
    with held_port() as port:
        first = MASTER.format(port=port, certificate=pool.server(("payment-master",)), ca=pool.root)
        second = SATELLITE.format(port=port, certificate=pool.client("east"), ca=pool.root)
        async with (
            Simulated(tmp_path / "master", first, speed=30) as master,
            Simulated(tmp_path / "satellite", second, speed=30) as satellite,
        ):
            before = (await satellite.picture())["evses"][0]["meter_wh"]
            await satellite.post("/evses/1/plug", CAR)
            await master.until(waits)
            await master.post("/terminal/card", {"pan_last4": "1234"})
            begun = await satellite.until(lambda p: session_wh(p) > 100)
            assert begun["evses"][0]["session"]["token"].startswith("PY")
            assert (await master.picture())["evses"][0]["session"] is None
            await master.post("/agent", {"action": "kill"})
            await master.until(lambda p: p["agent"]["restarts"] == 1 and p["agent"]["up"])
            await satellite.post("/agent", {"action": "kill"})
            await satellite.until(lambda p: p["agent"]["restarts"] == 1 and p["agent"]["up"])
            await satellite.until(lambda p: session_wh(p) > 300)
            await satellite.post("/evses/1/unplug", {"side": "ev"})
            over = await master.until(lambda p: p["ledger"]["captures"] and not p["ledger"]["holds"])
            used_wh = (await satellite.picture())["evses"][0]["meter_wh"] - before
            assert [c["cents"] for c in over["ledger"]["captures"]] == [pytest.approx(used_wh * 0.05, abs=0.51)]
            assert over["ledger"]["voids"] == []
