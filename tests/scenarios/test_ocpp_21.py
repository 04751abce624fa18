"""OCPP 2.1 through the real agent, before a central system that judges every frame by the schemas of 2.1."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_bank_card import CAR, STATION, charged, waits
from tests.support.simulated_station import Simulated
from tests.support.station_rig import Backend, station_text
from tests.support.station_rig_v201 import CARD, Street201

ALL = 'versions = ["2.1", "2.0.1", "1.6"]'


@asynccontextmanager
async def street21(folder: Path, *speaks: str, **brings: dict[str, Any]) -> AsyncIterator[Street201]:
    text = station_text(1, backend=ALL, settings="sample_interval_s = 5\ncost_display = true")
    async with Backend(speaks=speaks, brings=brings) as csms, Simulated(folder, text, csms.url, 20.0) as station:
        s = Street201(station, csms)
        await s.booted()
        yield s


async def test_a_session_with_a_limit_of_the_backend(tmp_path: Path) -> None:
    """C24.FR.03, C24.FR.04: the limit is confirmed, and energy ends when it is reached."""
    async with street21(tmp_path, "2.1", Started={"transactionLimit": {"maxEnergy": 30}}) as s:
        assert (await s.station.picture())["backend"]["ocpp"] == "2.1"
        await s.session()
        confirmed = await s.event(lambda e: e["triggerReason"] == "LimitSet")
        assert confirmed["transactionInfo"]["transactionLimit"] == {"maxEnergy": 30}
        reached = await s.event(lambda e: e["triggerReason"] == "EnergyLimitReached")
        assert reached["transactionInfo"]["chargingState"] == "SuspendedEVSE"
        await s.tap(CARD)
        ended = await s.ended()
        assert ended["idToken"]["idToken"] == CARD
        await s.unplug(side="ev")
        await s.leave()
        await s.empty()
        events = s.events()
        assert [e["seqNo"] for e in events] == list(range(len(events)))
        assert await s.get("TxCtrlr.SupportedLimits") == ("Accepted", "maxCost,maxEnergy,maxTime")
        assert s.csms.violations == []
        assert s.csms.energy_wh == (await s.station.evse())["meter_wh"] >= 30


@pytest.mark.parametrize(("first", "then"), [("2.0.1", "2.1"), ("2.1", "2.0.1")])
async def test_a_session_that_changes_between_2_0_1_and_2_1_is_one_transaction(
    tmp_path: Path, first: str, then: str
) -> None:
    """One id, one start, and numbers without a gap: the backend keeps one book for both."""
    async with street21(tmp_path, first) as s:
        await s.session()
        await s.empty()
        s.csms.speaks = (then,)
        await s.csms.drop()
        await s.station.until(lambda p: p["backend"]["ocpp"] == then and p["backend"]["link"] == "up")
        await s.empty()
        (known,) = s.csms.transactions.values()
        assert await s.csms.ask("RequestStopTransaction", {"transactionId": known.id}) == {"status": "Accepted"}
        await s.ended()
        await s.unplug(side="ev")
        await s.leave()
        await s.empty()
        (bill,) = s.csms.transactions.values()
        assert [e["eventType"] for e in bill.events].count("Started") == 1
        assert [e["seqNo"] for e in bill.events] == list(range(len(bill.events)))
        assert s.csms.violations == []
        assert s.csms.energy_wh == (await s.station.evse())["meter_wh"]


async def test_a_bank_card(tmp_path: Path) -> None:
    """C18.FR.06, C21.FR.01, C21.FR.02: the token of the payment, what is held, the cost at the end, and the settlement
    are one amount to the cent, at the bank and at the backend."""
    text = STATION.replace("[backend]\n", f"[backend]\n{ALL}\n")
    async with Backend(speaks=("2.1",)) as csms, Simulated(tmp_path, text, csms.url, 60) as station:
        await station.until(waits)
        s = Street201(station, csms)
        await station.post("/terminal/card", {"pan_last4": "1234", "behaviour": "approve"})
        await station.until(lambda p: p["ledger"]["holds"] == [{"terminal_session": 1, "cents": 5000}])
        await station.post("/evses/1/plug", CAR)
        await charged(station, 500)
        await station.post("/evses/1/unplug", {"side": "ev"})
        over = await station.until(lambda p: p["ledger"]["captures"] and not p["ledger"]["holds"], 60)
        (capture,) = over["ledger"]["captures"]
        await s.heard(lambda: s.payloads("NotifySettlement"))
        (settled,) = s.payloads("NotifySettlement")
        started, ended = s.events("Started")[0], await s.ended()
        token = started["idToken"]
        assert token["type"] == "DirectPayment"
        assert {"additionalIdToken": "1234", "type": "CardLast4Digits"} in token["additionalInfo"]
        assert started["transactionInfo"]["transactionLimit"] == {"maxCost": 50.0}
        assert ended["costDetails"]["totalCost"]["total"] == {"inclTax": capture["cents"] / 100}
        assert (settled["status"], settled["pspRef"]) == ("Settled", token["idToken"])
        assert settled["settlementAmount"] == capture["cents"] / 100
        assert settled["transactionId"] == ended["transactionInfo"]["transactionId"]
        assert csms.violations == []


RAISED = (
    STATION.replace("[backend]\n", f"[backend]\n{ALL}\n")
    .replace("[settings]\n", '[settings]\npayment_increment_threshold = "48.00"\n')
    .replace("kwh = 0.50", "kwh = 5.00")
    .replace(
        "amount_cents = 5000",
        """amount_cents = 5000
raise_cents = 2000
most_cents = 6500
vat_numbers = true
vat_prefix = "LU"
""",
    )
    + """
[display]
driver = "display_framebuffer"
[buttons]
driver = "buttons_evdev"
"""
)


async def test_a_bank_card_whose_hold_is_raised_and_a_vat_number(tmp_path: Path) -> None:
    """C18.FR.08, C23.FR.01, C23.FR.02: Update Session at the terminal, up to what the driver has seen; the number is
    validated by the backend and settled with the cost."""
    verdict = {"vatNumber": "LU12345678", "evseId": 1, "status": "Accepted"}
    says = {"VatNumberValidation": lambda id_: json.dumps([3, id_, verdict])}
    async with (
        Backend(speaks=("2.1",), instead=says) as csms,
        Simulated(tmp_path, RAISED, csms.url, 20) as station,
    ):
        await station.until(waits)
        s = Street201(station, csms)
        await station.post("/terminal/card", {"pan_last4": "1234", "behaviour": "approve"})
        await station.until(lambda p: p["ledger"]["holds"] == [{"terminal_session": 1, "cents": 5000}])
        await station.post("/evses/1/plug", CAR)
        await station.until(lambda p: p["ledger"]["holds"] == [{"terminal_session": 1, "cents": 6500}], 60)
        raised = await s.event(lambda e: e["triggerReason"] == "LimitSet")
        assert raised["transactionInfo"]["transactionLimit"] == {"maxCost": 65.0}
        for key in ("vat", *(f"key-{digit}" for digit in "12345678"), "key-ok"):
            await station.post(f"/buttons/{key}", {})
        await s.heard(lambda: s.payloads("VatNumberValidation"))
        assert s.payloads("VatNumberValidation") == [{"vatNumber": "LU12345678", "evseId": 1}]
        await charged(station, 20)
        await station.post("/evses/1/unplug", {"side": "ev"})
        over = await station.until(lambda p: p["ledger"]["captures"] and not p["ledger"]["holds"], 60)
        (capture,) = over["ledger"]["captures"]
        await s.heard(lambda: s.payloads("NotifySettlement"))
        (settled,) = s.payloads("NotifySettlement")
        assert settled["settlementAmount"] == capture["cents"] / 100 > 0
        assert settled["vatNumber"] == "LU12345678"
        assert csms.violations == []


async def test_a_session_by_a_tariff_of_the_backend(tmp_path: Path) -> None:
    """I07.FR.10, I07.FR.32, I12.FR.01: the cost is checked against the registers that the backend has received."""
    tax = [{"type": "VAT", "tax": 17}]
    tariff = {
        "tariffId": "day-1", "currency": "EUR",
        "energy": {"prices": [{"priceKwh": 10}], "taxRates": tax},
        "fixedFee": {"prices": [{"priceFixed": 1}], "taxRates": tax},
    }  # fmt: skip
    async with street21(tmp_path, "2.1") as s:
        assert await s.csms.ask("SetDefaultTariff", {"evseId": 0, "tariff": tariff}) == {"status": "Accepted"}
        assert await s.csms.ask("SetDefaultTariff", {"evseId": 1, "tariff": tariff}) == {"status": "DuplicateTariffId"}
        assigned = [{"tariffId": "day-1", "tariffKind": "DefaultTariff", "evseIds": [1]}]
        assert await s.csms.ask("GetTariffs", {"evseId": 0}) == {"status": "Accepted", "tariffAssignments": assigned}
        await s.session()
        await s.station.until(lambda p: p["evses"][0]["meter_wh"] >= 20)
        await s.unplug(side="ev")
        ended = await s.ended()
        await s.leave()
        await s.empty()
        assert [e["transactionInfo"]["tariffId"] for e in s.events() if "tariffId" in e["transactionInfo"]] == ["day-1"]
        total = ended["costDetails"]["totalCost"]
        cents = 117 + s.csms.energy_wh * 1170 / 1000
        assert total["total"]["inclTax"] == pytest.approx(cents / 100, abs=0.005)
        assert total["fixed"]["inclTax"] + total["energy"]["inclTax"] == pytest.approx(total["total"]["inclTax"])
        (period,) = ended["costDetails"]["chargingPeriods"]
        assert (period["tariffId"], period["dimensions"][0]["volume"]) == ("day-1", s.csms.energy_wh / 1000)
        cleared = {"clearTariffsResult": [{"tariffId": "day-1", "status": "Accepted"}]}
        assert await s.csms.ask("ClearTariffs", {}) == cleared
        assert s.csms.violations == []
