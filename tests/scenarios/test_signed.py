"""A meter that signs, a whole station and a central system: what the meter has signed arrives byte for byte and is
verified there by a foreign verifier, although the agent is killed in the middle of the session."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pyocmf import OCMF

from drivers.sim.rest_meters import LemFarEnd, MeterSigner
from tests.drivers.modbus_far_ends import TcpLine
from tests.drivers.test_meter_em580 import NAME, Em580Far
from tests.support.station_rig import station_text, street
from tests.support.station_rig_v201 import street201

CARD = "04A1B2C3"
SETTINGS = """
sample_interval_s = 0
public_key_told = true
sampled_measurands = ["Energy.Active.Import.Register", "Voltage", "Current.Import", "Power.Active.Import"]
"""


def verified(record: str, key: bytes) -> bool:
    return bool(OCMF.from_string(record).verify_signature(key.hex()))


@pytest.mark.parametrize("killed", [False, True])
async def test_an_em580_on_1_6(tmp_path: Path, killed: bool) -> None:
    far = Em580Far(MeterSigner(ec.BrainpoolP256R1(), "ECDSA-brainpoolP256r1-SHA256"))
    async with TcpLine(far) as line:
        meter = f'driver = "meter_modbus", map = "{NAME}", line = "tcp", host = "127.0.0.1", port = {line.port}'
        text = station_text(1, settings=SETTINGS, outlet=f"meter = {{ {meter} }}")
        async with street(tmp_path, text) as s:
            number = await s.charge(CARD)
            assert len(far.begun) == 1
            far.energy(1234)
            if killed:
                await s.kill()
                await s.until(lambda e: e["session"] is not None)
            far.still()
            await s.tap(CARD)
            await s.heard(lambda: s.csms.transactions[number].stop is not None)
            await s.leave()
            await s.empty()
            [stop] = s.payloads("StopTransaction")
            assert stop["meterStop"] == 124_690
            [entry] = [v for d in stop["transactionData"] for v in d["sampledValue"] if v.get("format") == "SignedData"]
            value = json.loads(entry["value"])
            assert far.begun == list(far.records)
            assert value["signedMeterData"] == far.records[far.begun[0]], "byte for byte"
            assert bytes.fromhex(value["publicKey"]) == far.notary.public_key_der
            assert verified(value["signedMeterData"], far.notary.public_key_der)
            assert f'"ID": "{CARD}"' in value["signedMeterData"]
            await s.end()


async def test_a_lem_on_2_0_1(tmp_path: Path) -> None:
    """Direct current: one voltage, one current, no phase."""
    async with LemFarEnd() as far:
        meter = f'driver = "meter_rest", model = "lem_dcbm", host = "127.0.0.1", port = {far.port}'
        async with street201(tmp_path, 1, settings=SETTINGS, outlet=f"meter = {{ {meter} }}") as s:
            far.voltage_v, far.current_a = (
                231.2,
                16.5,
            )  # of an outlet of 230 V and 32 A: more is a fault in a few seconds
            await s.session(CARD)
            assert far.open is not None
            name = far.open["name"]
            far.energy_wh += 5678
            await s.kill()
            await s.until(lambda e: e["session"] is not None)
            asked = {"requestedMessage": "TransactionEvent", "evse": {"id": 1}}
            await s.csms.ask("TriggerMessage", asked)
            sampled = await s.event(lambda e: "meterValue" in e and e["triggerReason"] == "Trigger")
            values = [(v["measurand"], v.get("phase"), v["value"]) for v in sampled["meterValue"][0]["sampledValue"]]
            assert values[1:] == [
                ("Voltage", None, 231.2), ("Current.Import", None, 16.5), ("Power.Active.Import", None, 3814.8),
            ]  # fmt: skip
            far.current_a = 0.0
            await s.tap(CARD)
            ended = await s.ended()
            await s.empty()
            last = ended["meterValue"][-1]["sampledValue"][0]
            assert last["value"] == 1_240_245
            signed = last["signedMeterValue"]
            record = base64.b64decode(signed["signedMeterData"])
            assert record.decode() == far.records[name], "byte for byte"
            assert base64.b64decode(signed["publicKey"]) == far.notary.public_key_der
            assert verified(record.decode(), far.notary.public_key_der)
            assert "1240.245" in record.decode()
            await s.leave()
            await s.end()
