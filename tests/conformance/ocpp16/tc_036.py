"""The network fails in a transaction: what was metered meanwhile arrives afterwards, in order and without a gap."""

from datetime import datetime
from itertools import pairwise

from tests.conformance.ocpp16.play import Play

EVERY_S = 30


async def test_samples_of_the_offline_time(s: Play) -> None:
    await s.set(MeterValueSampleInterval=EVERY_S)
    number = await s.session()
    await s.heard(lambda: s.payloads("MeterValues"))
    await s.empty()
    await s.off_line()
    drawn = (await s.station.evse())["session"]["energy_wh"]
    await s.until(lambda e: e["session"]["energy_wh"] > drawn + 300)
    await s.on_line()
    await s.heard(lambda: len(s.payloads("MeterValues")) >= 5)
    values = s.payloads("MeterValues")
    assert {p["transactionId"] for p in values} == {number}
    stamps = [datetime.fromisoformat(p["meterValue"][0]["timestamp"]).timestamp() for p in values]
    gaps = [after - before for before, after in pairwise(stamps)]
    assert all(0 < gap < 1.9 * EVERY_S for gap in gaps), gaps  # none is missing; a busy machine reads late
