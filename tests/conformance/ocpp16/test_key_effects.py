"""What a key does once it is set, where no certification case looks."""

from __future__ import annotations

from typing import Any

from tests.conformance.ocpp16.play import Play, measurands

REGISTER = "Energy.Active.Import.Register"


def contexts(stop: dict[str, Any]) -> dict[str, set[str]]:
    """Context -> measurands of the data that came with a StopTransaction."""
    found: dict[str, set[str]] = {}
    for one in stop.get("transactionData", ()):
        for sample in one["sampledValue"]:
            found.setdefault(sample["context"], set()).update(measurands([sample]))
    return found


async def test_data_for_the_stop(s: Play) -> None:
    """StopTxnSampledData, StopTxnAlignedData: kept for StopTransaction; what is sent at once follows its own lists."""
    await s.set(StopTxnSampledData=f"{REGISTER},Voltage", MeterValuesSampledData="")
    await s.set(StopTxnAlignedData="Current.Import", MeterValuesAlignedData="")
    await s.set(MeterValueSampleInterval=5, ClockAlignedDataInterval=10)
    number = await s.session()
    await s.until(lambda e: e["session"]["energy_wh"] > 90)
    assert await s.stop(number) == "Accepted"
    sampled = contexts(await s.call("StopTransaction"))
    assert sampled["Sample.Periodic"] == {REGISTER, "Voltage"}
    assert sampled["Sample.Clock"] == {"Current.Import"}
    assert s.payloads("MeterValues") == []


async def test_no_data_for_the_stop(s: Play) -> None:
    await s.set(MeterValueSampleInterval=5, StopTxnSampledData="", StopTxnAlignedData="", ClockAlignedDataInterval=10)
    number = await s.session()
    await s.heard(lambda: len(s.payloads("MeterValues")) >= 3)
    assert await s.stop(number) == "Accepted"
    assert "transactionData" not in await s.call("StopTransaction")


async def test_a_status_that_lasts_too_short_is_not_reported(s: Play) -> None:
    """MinimumStatusDuration: a cable that is in and out again."""
    await s.set(MinimumStatusDuration=3600)
    await s.plug(ready=False)
    await s.until(lambda e: e["session_state"] == "Occupied")
    await s.unplug(side="ev")
    await s.unplug()
    await s.until(lambda e: e["session_state"] == "Free")  # a poll of the board may miss a cable that comes back soon
    assert await s.put("MinimumStatusDuration", 0) == "Accepted"
    await s.never("StatusNotification", 0.2)
    await s.plug()
    await s.status_reported("Preparing")
    assert [p["status"] for p in s.payloads("StatusNotification")] == ["Preparing"]


async def test_heartbeats_come_as_often_as_set(s: Play) -> None:
    await s.set(HeartbeatInterval=4)
    await s.heard(lambda: len(s.payloads("Heartbeat")) >= 3)
    await s.set(HeartbeatInterval=3600)
