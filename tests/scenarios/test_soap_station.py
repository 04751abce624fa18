"""A whole station over SOAP: the built-in central system speaks each version (``make run ARGS="--ocpp 1.6S"``)."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.simulated_station import Simulated
from tests.support.station_rig import station_text

CARD = "04A1B2C3D4E5F6"
BODY = "{http://www.w3.org/2003/05/soap-envelope}Body"


def sent_elements(lines: str) -> list[str]:
    """The names of the elements that the station has sent as requests."""
    frames = [json.loads(line) for line in lines.splitlines()]
    bodies = [ElementTree.fromstring(f["frame"]).find(BODY) for f in frames if f["dir"] == "out"]
    names = [body[0].tag.partition("}")[2] for body in bodies if body is not None]
    return [name for name in names if name.endswith("Request")]


@pytest.mark.parametrize(("version", "occupied"), [("1.6S", "Charging"), ("1.5", "Occupied"), ("1.2", "Occupied")])
async def test_a_session_over_soap_with_the_built_in_central_system(
    tmp_path: Path, version: str, occupied: str
) -> None:
    async with Simulated(tmp_path, station_text(1, backend=""), speed=20, ocpp=version) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted" and p["backend"]["link"] == "up")
        await station.until(lambda p: p["backend"]["ocpp"] == version.removesuffix("S"))
        await station.post("/evses/1/plug", {})
        await station.post("/cards/tap", {"uid": CARD, "evse": 1, "hold_s": 1})
        picture = await station.until_evse(
            lambda e: e["session"] and e["session"]["transaction_id"] and e["reported"]["status"] == occupied
        )
        await station.until_evse(lambda e: e["session"]["energy_wh"] >= 10)
        stop = {
            "operation": "remote_stop",
            "with": {"transaction": int(picture["evses"][0]["session"]["transaction_id"])},
        }
        await station.post("/backend", stop)
        await station.until_evse(lambda e: not e["session"] and not e["contactor"])
        await station.until(lambda p: p["agent"]["queue"] == 0)
        async with station.http.get("/api/v1/trace") as answer:
            sent = sent_elements(await answer.text())
        assert [n for n in sent if "ransaction" in n] == ["startTransactionRequest", "stopTransactionRequest"]
    ledger = [json.loads(line) for line in (tmp_path / "world" / "central.jsonl").read_text("utf-8").splitlines()]
    assert not [entry for entry in ledger if entry.get("kind") == "violation"]
    logs = [(tmp_path / "world" / f"{name}.log").read_text("utf-8") for name in ("agent", "central")]
    assert not [line for log in logs for line in log.splitlines() if "Unclosed" in line]
