"""The network fails in a transaction: what was metered meanwhile arrives afterwards, in order and without a gap."""

from datetime import datetime
from itertools import pairwise
from typing import Any

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
    await s.heard(lambda: len(values_of(s)) >= 5)
    assert {p["transactionId"] for p in s.payloads("MeterValues")} == {number}
    stamps = [datetime.fromisoformat(value["timestamp"]).timestamp() for value in values_of(s)]
    gaps = [after - before for before, after in pairwise(stamps)]
    assert all(0 < gap < 1.9 * EVERY_S for gap in gaps), gaps  # none is missing; a busy machine reads late


def values_of(s: Play) -> list[Any]:
    """Return the values in the order in which they arrived: those that waited share a message."""
    return [value for payload in s.payloads("MeterValues") for value in payload["meterValue"]]
