"""A backend that sets the ad-hoc price over a real socket, on both versions: taken where the law allows it, refused
where it does not, and kept over a kill."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from tests.scenarios.test_cost import put
from tests.support.station_rig import station_text, street
from tests.support.station_rig_v201 import street201

TARIFF = """
cost_display = true
[tariff]
source = "backend"
kwh = 0.40
occupancy = 0.10
grace_min = 15
vat_percent = 17
"""


async def test_a_default_price_of_1_6_is_the_ad_hoc_price(tmp_path: Path) -> None:
    async with street(tmp_path, station_text(1, settings=TARIFF)) as s:
        price = {"priceText": "x", "chargingPrice": {"kWhPrice": 0.5, "hourPrice": 1.2, "flatFee": 1}}
        assert await put(s, "DefaultPrice", price) == "Accepted"
        by_the_hour = {"priceText": "y", "chargingPrice": {"kWhPrice": 0.3, "hourPrice": 1}}  # 1.666 cents a minute
        assert await put(s, "DefaultPrice", by_the_hour) == "Rejected"
        await s.kill()
        keys = (await s.csms.ask("GetConfiguration", {"key": ["DefaultPrice"]}))["configurationKey"]
        assert keys[0]["value"] == '{"priceText":"x","chargingPrice":{"kWhPrice":0.5,"hourPrice":1.2,"flatFee":1}}'


async def test_a_strong_outlet_is_sold_by_the_law_on_2_0_1(tmp_path: Path) -> None:
    async with street201(tmp_path, evses=1, settings=TARIFF, outlet="power_kw = 150") as s:
        for name, value, wanted in (
            ("FlatFee", "1", "Rejected"), ("HourPrice", "1.2", "Rejected"), ("KWhPrice", "-1", "Rejected"),
            ("HourPrice", "0", "Accepted"), ("KWhPrice", "0.79", "Accepted"),
        ):  # fmt: skip
            assert await s.put(f"TariffCostCtrlr.{name}", value) == wanted, name
        assert await s.get("TariffCostCtrlr.KWhPrice") == ("Accepted", "0.79")
        assert await s.get("TariffCostCtrlr.FlatFee") == ("Accepted", "")


async def test_a_bank_card_pays_what_the_tariff_says(tmp_path: Path) -> None:
    """Through the real wires: register, minutes and the once of it; the amount on the screen is what the bank books."""
    sold = """sample_interval_s = 0
[terminal]
driver = "terminal_payter"
sync_every_s = 0.1
[payment]
amount_cents = 5000
[tariff]
kwh = 5.00
minute = 3.00
session = 1.00
vat_percent = 17
"""
    async with street(tmp_path, station_text(1, settings=sold)) as s:
        await s.station.until(lambda p: p["terminals"][0]["state"] == "wait_card")
        await s.plug()
        await s.station.post("/terminal/card", {"pan_last4": "1234", "behaviour": "approve", "evse": 1})
        await s.status_reported("Charging")
        await s.until(lambda e: (e["session"]["cost_cents"] or 0) > 200)
        await s.unplug(side="ev")
        picture = await s.station.until(lambda p: p["ledger"]["captures"])
        await s.empty()
        (start,), (stop,) = (s.payloads(f"{what}Transaction") for what in ("Start", "Stop"))
        energy_wh = stop["meterStop"] - start["meterStart"]
        began, ended = (datetime.fromisoformat(m["timestamp"]) for m in (start, stop))
        minutes = (picture["ledger"]["captures"][0]["cents"] - 100 - energy_wh / 2) / 300
        assert energy_wh > 0
        assert 0 < minutes <= (ended - began).total_seconds() / 60 + 0.05
        assert len(picture["ledger"]["captures"]) == 1
