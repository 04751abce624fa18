"""A tariff that is set from afar, over real sockets: each road, a kill, and what a bank books of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.domain.tariff_file import PURPOSE
from drivers.sim.mqtt import Broker
from tests.audit.signers import new_key, public_pem
from tests.scenarios.test_cost import put
from tests.support.file_servers import web_server
from tests.support.station_rig import Street, station_text, street
from tests.support.station_rig_v201 import street201
from tests.support.tariff_files import as_file, signed_elsewhere

TARIFF = """
[tariff]
kwh = 0.40
vat_percent = 17
"""
SOLD = f"""sample_interval_s = 0
cost_display = true
[terminal]
driver = "terminal_payter"
sync_every_s = 0.1
[payment]
amount_cents = 5000
{TARIFF}source = "backend"
"""


async def in_force(s: Street) -> list[dict[str, Any]]:
    [key] = (await s.csms.ask("GetConfiguration", {"key": ["AdhocTariffInForce"]}))["configurationKey"]
    assert key["readonly"] is True
    return list(json.loads(key["value"]))


async def test_by_the_key_of_1_6_while_a_terminal_waits_and_over_a_kill(tmp_path: Path) -> None:
    async with street(tmp_path, station_text(1, settings=SOLD)) as s:
        await s.station.until(lambda p: p["terminals"][0]["state"] == "wait_card")
        await s.plug()
        assert await put(s, "AdhocTariff", {"id": "T1", "kwh": 9, "session": 1}) == "Accepted"
        await s.kill()
        assert await put(s, "AdhocTariff", {"id": "T2", "kwh": -1}) == "Rejected"
        [price] = await in_force(s)
        assert (price["id"], price["kwh"], price["session"], price["evses"]) == ("T1", 9, 1, [1])
        await s.station.until(lambda p: p["terminals"][0]["state"] == "wait_card")
        await s.station.post("/terminal/card", {"pan_last4": "1234", "behaviour": "approve", "evse": 1})
        await s.status_reported("Charging")
        await s.until(lambda e: (e["session"]["cost_cents"] or 0) > 110)
        assert await put(s, "AdhocTariff", {"id": "T3", "kwh": 0.01}) == "Accepted"
        await s.until(lambda e: (e["session"]["cost_cents"] or 0) > 120)
        await s.unplug(side="ev")
        picture = await s.station.until(lambda p: p["ledger"]["captures"])
        await s.empty()
        (start,), (stop,) = (s.payloads(f"{what}Transaction") for what in ("Start", "Stop"))
        energy_wh = stop["meterStop"] - start["meterStart"]
        exact = 100 + energy_wh * 9 / 10
        assert [c["cents"] for c in picture["ledger"]["captures"]] == [int(exact + 0.5)]
        assert (await in_force(s))[0]["id"] == "T3"


async def test_by_the_variable_of_2_0_1(tmp_path: Path) -> None:
    settings = f'\ncost_display = true\n{TARIFF}source = "backend"\n'
    async with street201(tmp_path, evses=1, settings=settings, outlet="power_kw = 150") as s:
        for document, wanted in (
            ({"id": "T1", "kwh": 0.79, "minute": 0.1}, "Rejected"),
            ({"id": "T1", "kwh": 0.79, "occupancy": 0.1, "grace_min": 30}, "Accepted"),
        ):
            assert await s.put("TariffCostCtrlr.AdhocTariff", json.dumps(document)) == wanted
        status, text = await s.get("TariffCostCtrlr.AdhocTariffInForce")
        [price] = json.loads(text)
        assert (status, price["id"], price["kwh"], price["grace_min"]) == ("Accepted", "T1", 0.79, 30)


async def test_by_a_signed_file_over_mqtt_and_over_the_firmware_channel(tmp_path: Path) -> None:
    key, far, answers = new_key("p256"), Broker(), list[dict[str, Any]]()
    (tmp_path / "operator.pem").write_text(public_pem(key))
    far.attach_subscriber("prices/tariff_answer", lambda topic, data: answers.append(json.loads(data)))
    await far.start()
    sink = f"""[[sinks]]
name = "prices"
kind = "mqtt"
host = "127.0.0.1"
port = {far.port}
topic = "prices"
tariffs = true
"""
    signed_by = f'signed_by = "{tmp_path / "operator.pem"}"\n'

    def made(sequence: int, kwh: float) -> bytes:
        tariffs = [{"id": f"F{sequence}", "kwh": kwh}]
        whole = {"format": 1, "purpose": PURPOSE, "sequence": sequence, "stations": ["*"], "tariffs": tariffs}
        return as_file(signed_elsewhere(key, "p256", json.dumps(whole)))

    try:
        async with street(tmp_path, station_text(1, settings=TARIFF + signed_by + sink)) as s:
            far.publish_message("prices/tariff", made(1, 0.5), retain=True)
            await s.heard(lambda: answers)
            assert answers == [{"status": "Accepted", "why": ""}]
            assert (await in_force(s))[0]["id"] == "F1"
            with web_server() as web:
                web.files = {"/new.tariff": made(2, 0.6)}
                location = f"http://127.0.0.1:{web.port}/new.tariff"
                await s.csms.ask("UpdateFirmware", {"location": location, "retrieveDate": "2026-01-01T00:00:00Z"})
                await s.heard(lambda: {"status": "Installed"} in s.payloads("FirmwareStatusNotification"))
            assert (await in_force(s))[0]["kwh"] == 0.6
            far.publish_message("prices/tariff", made(1, 0.5))
            await s.heard(lambda: len(answers) > 1)
            assert answers[-1]["status"] == "Rejected"
            assert (await in_force(s))[0]["id"] == "F2"
    finally:
        await far.close()
