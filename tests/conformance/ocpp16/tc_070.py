"""Periodic samples of a transaction: at the interval, with exactly the measurands that are configured."""

from datetime import datetime
from itertools import pairwise

from tests.conformance.ocpp16.play import Play, measurands

EVERY_S = 30


async def test_three_samples(s: Play) -> None:
    wanted = "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage"
    await s.set(MeterValueSampleInterval=EVERY_S, MeterValuesSampledData=wanted)
    number = await s.session()
    await s.heard(lambda: len(s.payloads("MeterValues")) >= 3)
    values = s.payloads("MeterValues")[:3]
    for one in values:
        assert one["transactionId"] == number
        samples = one["meterValue"][0]["sampledValue"]
        assert {v["context"] for v in samples} == {"Sample.Periodic"}
        assert measurands(samples) == set(wanted.split(","))
    stamps = [datetime.fromisoformat(v["meterValue"][0]["timestamp"]).timestamp() for v in values]
    gaps = [after - before for before, after in pairwise(stamps)]
    assert all(0 < gap < 1.9 * EVERY_S for gap in gaps), gaps  # none is missing; a busy machine reads late
