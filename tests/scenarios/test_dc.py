"""The stations of ``config/stations`` that charge with direct current, played as people find them: from the bank card
to the bank's books, the screen, the journal and what the backend gets."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from pyocmf import OCMF

from agent.domain.repeated_card import BEGUN_S
from tests.scenarios.reading import shows
from tests.scenarios.test_billing_scope import check
from tests.support.busy_machine import deadline
from tests.support.simulated_station import Simulated

ROOT = Path(__file__).resolve().parents[2]
STATIONS = ROOT / "config" / "stations"
DC400 = {"profile": "dc400", "soc": 40, "capacity_kwh": 77}
SPEED = 60


@asynccontextmanager
async def played(folder: Path, name: str, *changes: tuple[str, str]) -> AsyncIterator[Simulated]:
    """The station of that name as it is shipped, but for the ``changes``."""
    text = (STATIONS / f"{name}.toml").read_text("utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    async with Simulated(folder, text, speed=SPEED) as s:
        yield s


def at(place: int, what: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda p: what(p["evses"][place - 1])


def waits(picture: dict[str, Any]) -> bool:
    return bool(picture["terminals"][0]["state"] == "wait_card")


async def tap(s: Simulated, last4: str = "1234", **more: Any) -> None:
    """Once the terminal asks for a card."""
    await s.until(waits)
    await s.post("/terminal/card", {"pan_last4": last4, **more})


async def tap_to_stop(s: Simulated, last4: str = "1234") -> None:
    """Not the moment after the begin: until then the card may have been held too long."""
    await asyncio.sleep(BEGUN_S)
    await tap(s, last4)


async def held(s: Simulated, count: int = 1) -> dict[str, Any]:
    return await s.until(lambda p: len(p["ledger"]["holds"]) == count)


async def plug(s: Simulated, n: int = 1, **car: Any) -> None:
    await s.post(f"/evses/{n}/plug", {"car": {**DC400, **car}})


async def charged(s: Simulated, wh: int, n: int = 1) -> dict[str, Any]:
    """So much has been delivered, and is still."""
    return await s.until(at(n, lambda e: e["power_w"] > 0 and (e["session"] or {}).get("energy_wh", 0) > wh), 60)


async def booked(s: Simulated, count: int = 1) -> dict[str, Any]:
    """So many charges are in the bank's books, and nothing is held any more."""
    return await s.until(lambda p: len(p["ledger"]["captures"]) == count and not p["ledger"]["holds"], 60)


async def shown(s: Simulated, words: str, n: int = 1) -> None:
    """On the panel, by its pixels."""
    async with deadline(60):
        while True:
            async with s.http.get(f"/api/v1/display/{n}.png") as answer:
                png = await answer.read()
            if await asyncio.to_thread(shows, png, words):
                return
            await asyncio.sleep(0.2)


async def journal(s: Simulated, word: str = "") -> list[list[str]]:
    """What ``payments list`` says, row by row; once ``word`` is in it: the bank knows what it was sent before the agent
    has heard its answer."""
    async with deadline(60):
        while True:
            rows = await listed(s)
            if any(word in " ".join(row) for row in rows):
                return rows
            await asyncio.sleep(0.1)


async def listed(s: Simulated) -> list[list[str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "payments", "list", str(s.folder / "world" / "derived.toml"),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return [line.split() for line in out.decode().splitlines()]


def euro(cents: int, point: str = ",") -> str:
    return f"{cents // 100}{point}{cents % 100:02}"


def owed(wh: int, micro_per_kwh: int = 590_000) -> int:
    """Rounded half up, once, to whole cents."""
    return (wh * micro_per_kwh // 1000 + 5_000) // 10_000


async def codes(s: Simulated, n: int) -> list[str]:
    """QR codes on a display."""
    async with s.http.get(f"/api/v1/display/{n}.png") as answer:
        panel = Image.open(io.BytesIO(await answer.read())).convert("L")
    return [c.text for c in zxingcpp.read_barcodes(panel, formats=zxingcpp.BarcodeFormat.QRCode)]


async def sent(s: Simulated, action: str) -> list[Any]:
    async with s.http.get("/api/v1/trace") as answer:
        frames = [json.loads(json.loads(line)["frame"]) for line in (await answer.text()).splitlines()]
    return [f[3] for f in frames if f[0] == 2 and f[2] == action]


def signed(stop: Any) -> list[Any]:
    """Of a StopTransaction: ``registers``."""
    [value] = [
        v["value"] for d in stop["transactionData"] for v in d["sampledValue"] if v.get("format") == "SignedData"
    ]
    said = json.loads(value)
    return registers(said["signedMeterData"], said["publicKey"])


def registers(text: str, key: str) -> list[Any]:
    """At begin and end, by a verifier that is not ours."""
    record = OCMF.from_string(text)
    assert record.verify_signature(key)
    begin, end = record.payload.RD
    assert begin.TM.timestamp < end.TM.timestamp
    return [begin.RV * 1000, end.RV * 1000]


async def test_a_card_a_car_and_the_same_card(tmp_path: Path) -> None:
    """What is owed by the register is what the screen shows, the bank books, the journal says, and the meter signs."""
    async with played(tmp_path, "dc-ccs") as s:
        first = (await s.until(waits))["evses"][0]["meter_wh"]
        await shown(s, "0,59 €/kWh")
        await tap(s, "0009", behaviour="insufficient_funds")
        await s.until(lambda p: p["terminals"][0]["screen"] == ["Declined"])
        await tap(s)
        assert (await held(s))["ledger"]["holds"] == [{"terminal_session": 1, "cents": 6000}]
        await s.until_evse(lambda e: e["screen"] == "plug_in")
        await plug(s)
        await charged(s, 1500)
        await tap_to_stop(s)
        over = await booked(s)
        cents = over["ledger"]["captures"][0]["cents"]
        wh = over["evses"][0]["meter_wh"] - first
        assert cents == owed(wh)
        await shown(s, f"{euro(cents)} €")
        _, row = await journal(s, "Committed")
        assert euro(cents, ".") in row
        assert row[-1] == "Committed"
        assert over["ledger"]["voids"] == []
        await s.until(lambda p: p["agent"]["queue"] == 0)
        [start], [stop] = await sent(s, "StartTransaction"), await sent(s, "StopTransaction")
        assert stop["meterStop"] - start["meterStart"] == wh
        assert start["idTag"].startswith("PY")
        assert signed(stop) == [first, first + wh]
        await s.until(lambda p: p["terminals"][0]["state"] == "enabled")  # a vehicle has one session on its plug
        await s.post("/cards/tap", {"uid": "04A1B2C3D4E5F6", "hold_s": 1})
        await s.until_evse(lambda e: e["screen"] == "refused")
        await s.post("/evses/1/unplug", {"side": "ev"})
        await s.until_evse(lambda e: e["reported"]["status"] == "Available")
        await s.until(waits)


async def test_the_same_on_2_0_1(tmp_path: Path) -> None:
    async with played(tmp_path, "dc-ccs", ('versions = ["1.6"]', 'versions = ["2.0.1"]')) as s:
        first = (await s.until(waits))["evses"][0]["meter_wh"]
        await plug(s)
        await tap(s)
        await charged(s, 200)
        await tap_to_stop(s)
        over = await booked(s)
        last = over["evses"][0]["meter_wh"]
        assert over["ledger"]["captures"][0]["cents"] == owed(last - first)
        await s.until(lambda p: p["agent"]["queue"] == 0)
        ended = (await sent(s, "TransactionEvent"))[-1]
        assert (ended["eventType"], ended["idToken"]["type"]) == ("Ended", "Local")
        [value] = [v for m in ended["meterValue"] for v in m["sampledValue"] if "signedMeterValue" in v]
        record = {k: base64.b64decode(value["signedMeterValue"][k]) for k in ("signedMeterData", "publicKey")}
        assert value["value"] == last
        assert registers(record["signedMeterData"].decode(), record["publicKey"].hex()) == [first, last]


@pytest.mark.parametrize("occupancy", [True, False])
async def test_a_car_that_was_there_first_and_is_full(tmp_path: Path, occupancy: bool) -> None:
    """Cable, then card; the vehicle ends by itself, and with it the session, unless there is a fee for staying: then it
    is the cable's leaving."""
    text = (STATIONS / "dc-ccs.toml").read_text("utf-8")
    fee = text[text.index("occupancy = ") : text.index("vat_percent")]
    async with played(tmp_path, "dc-ccs", *([] if occupancy else [(fee, "")])) as s:
        first = (await s.until(waits))["evses"][0]["meter_wh"]
        await plug(s, soc=98, capacity_kwh=20)
        await s.until_evse(lambda e: e["cp"] == "B")
        await tap(s)
        await charged(s, 10)
        status = "SuspendedEV" if occupancy else "Finishing"
        await s.until_evse(
            lambda e: e["soc"] == 100 and not e["contactor"] and e["reported"]["status"] == status, timeout_s=60
        )
        if occupancy:
            assert (await s.picture())["ledger"]["captures"] == []
            await s.post("/evses/1/unplug", {"side": "ev"})
        over = await booked(s)
        assert over["ledger"]["captures"][0]["cents"] == owed(over["evses"][0]["meter_wh"] - first)


async def test_no_one_comes_with_a_car(tmp_path: Path) -> None:
    async with played(tmp_path, "dc-ccs", ("[settings]\n", "[settings]\npayment_connect_timeout_s = 60\n")) as s:
        await tap(s)
        await held(s)
        over = await s.until(lambda p: p["ledger"]["voids"] and not p["ledger"]["holds"])
        assert over["ledger"]["captures"] == []
        assert "Voided:" in (await journal(s, "Voided:"))[1]


async def test_a_bank_that_holds_less(tmp_path: Path) -> None:
    """What it holds is the ceiling: the session ends before it is passed."""
    async with played(tmp_path, "dc-ccs", ("amount_cents = 6000", "amount_cents = 4000\nreserve_s = 6")) as s:
        first = (await s.until(waits))["evses"][0]["meter_wh"]
        await tap(s, "5678", behaviour="partial")
        assert (await held(s))["ledger"]["holds"] == [{"terminal_session": 1, "cents": 2000}]
        await plug(s)
        over = await booked(s)
        assert 200 < over["ledger"]["captures"][0]["cents"] <= 2000
        assert over["ledger"]["captures"][0]["cents"] == owed(over["evses"][0]["meter_wh"] - first)
        await s.until_evse(lambda e: not e["contactor"] and e["reported"]["status"] == "Finishing")


async def test_the_terminal_loses_power_meanwhile(tmp_path: Path) -> None:
    async with played(tmp_path, "dc-ccs") as s:
        first = (await s.until(waits))["evses"][0]["meter_wh"]
        await tap(s)
        await held(s)
        await plug(s)
        await charged(s, 200)
        await s.post("/terminal", {"action": "power_cycle"})
        await s.until(lambda p: p["terminals"][0]["state"] == "off")
        before = await s.evse()
        await tap_to_stop(s)
        over = await booked(s)
        assert over["evses"][0]["meter_wh"] > before["meter_wh"], "it went on without the terminal"
        assert [c["cents"] for c in over["ledger"]["captures"]] == [owed(over["evses"][0]["meter_wh"] - first)]


@pytest.mark.parametrize("comes_back", ["at once", "later"])
async def test_the_agent_is_killed_meanwhile(tmp_path: Path, comes_back: str) -> None:
    """EVerest ends its transaction when no client speaks to it any more, or when the agent is back and says so; a DC
    vehicle takes no second one on the same plug. What flowed until then is billed once."""
    rest = "[simulation]\nrestart_s = 3600"  # so that it is stopped, and has not begun again, however late that comes
    async with played(tmp_path, "dc-ccs", *([("[simulation]", rest)] if comes_back == "later" else [])) as s:
        first = (await s.until(waits))["evses"][0]["meter_wh"]
        await tap(s)
        await held(s)
        await plug(s)
        await charged(s, 200)
        await s.post("/agent", {"action": "kill"})
        if comes_back == "later":
            await s.post("/agent", {"action": "stop"})
            alone = await s.until_evse(lambda e: not e["contactor"])
            assert not alone["agent"]["up"]
            await s.post("/agent", {"action": "start"})
        await s.until(lambda p: p["agent"]["restarts"] == 1 and p["agent"]["up"])
        over = await booked(s)
        assert [c["cents"] for c in over["ledger"]["captures"]] == [owed(over["evses"][0]["meter_wh"] - first)]
        assert not over["evses"][0]["contactor"]
        await s.until(lambda p: p["agent"]["queue"] == 0)
        [stop] = await sent(s, "StopTransaction")
        assert signed(stop) == [first, over["evses"][0]["meter_wh"]]
        await s.post("/evses/1/unplug", {"side": "ev"})
        await s.until_evse(lambda e: e["reported"]["status"] == "Available")
        await plug(s)
        await tap(s)
        await charged(s, 100)


async def test_a_person_hits_the_emergency_stop(tmp_path: Path) -> None:
    async with played(tmp_path, "dc-ccs") as s:
        first = (await s.until(waits))["evses"][0]["meter_wh"]
        await tap(s)
        await held(s)
        await plug(s)
        await charged(s, 200)
        await s.post("/evses/1/fault", {"fault": "EmergencyStop", "active": True})
        stopped = await s.until_evse(lambda e: not e["contactor"] and e["reported"]["status"] == "Faulted")
        assert stopped["evses"][0]["reported"]["error"] == "OtherError"
        over = await booked(s)
        assert [c["cents"] for c in over["ledger"]["captures"]] == [owed(over["evses"][0]["meter_wh"] - first)]
        await s.post("/evses/1/fault", {"fault": "EmergencyStop", "active": False})
        await s.until_evse(lambda e: e["reported"]["status"] == "Finishing")
        await only_what_is_billed(s, "MREC8EmergencyStop")


async def only_what_is_billed(s: Simulated, fault: str) -> None:
    """Of all that has crossed the link while this was wrong; the sink has the rest."""
    await s.until(lambda p: p["agent"]["queue"] == 0)
    async with s.http.get("/api/v1/trace") as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    said = [(f[2], f[3]) for f in (json.loads(n["frame"]) for n in lines if n["dir"] == "out") if f[0] == 2]
    assert {"BootNotification", "StartTransaction", "StopTransaction", "StatusNotification"} <= {a for a, _ in said}
    for action, payload in said:
        check(action, payload, "1.6")
    alerts = (s.folder / "state" / "alerts.jsonl").read_text("utf-8").splitlines()
    assert fault in {json.loads(line).get("fault") for line in alerts}


async def test_one_terminal_sells_both_kinds_of_current(tmp_path: Path) -> None:
    """Each by its own tariff, side by side; the card that comes again ends its own."""
    async with played(tmp_path, "mixed") as s:
        first = [e["meter_wh"] for e in (await s.until(waits))["evses"]]
        await shown(s, "0,59 €/kWh", 1)
        await shown(s, "0,45 €/kWh", 2)
        assert (await codes(s, 1), len(await codes(s, 2))) == ([], 1)
        await plug(s, 2, profile="normal", max_a=32)
        await s.until(at(2, lambda e: e["cp"] == "B"))
        await tap(s, "1111")
        await charged(s, 50, 2)
        await tap(s, "2222")  # another driver's, or the same driver's second one?
        await s.until(at(1, lambda e: e["screen"] == "choose_outlet"))
        assert len((await s.picture())["ledger"]["holds"]) == 1
        await plug(s, 1)
        await held(s, 2)
        await charged(s, 500, 1)
        await tap_to_stop(s, "1111")
        over = await s.until(lambda p: p["ledger"]["captures"])
        ac = over["ledger"]["captures"][0]
        await shown(s, f"{euro(ac['cents'])} €", 2)
        assert over["evses"][0]["contactor"], "the other one goes on"
        await tap(s, "2222")
        over = await booked(s, 2)
        wh = [e["meter_wh"] - f for e, f in zip(over["evses"], first, strict=True)]
        by_hold = {c["terminal_session"]: c["cents"] for c in over["ledger"]["captures"]}
        assert by_hold == {1: owed(wh[1], 450_000) + 50, 2: owed(wh[0])}
        await shown(s, f"{euro(by_hold[2])} €", 1)
        await s.until(lambda p: p["agent"]["queue"] == 0)
        now = [e["meter_wh"] for e in over["evses"]]
        [stop] = [stop for stop in await sent(s, "StopTransaction") if stop["meterStop"] == now[0]]
        assert signed(stop) == [first[0], now[0]]
