"""A key is changed, read back, and kept over a restart."""

from tests.conformance.ocpp16.play import Play


async def test_a_value_is_read_back_and_kept(s: Play) -> None:
    assert await s.put("MeterValueSampleInterval", 77) == "Accepted"
    assert await s.get("MeterValueSampleInterval") == "77"
    await s.kill()
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    assert await s.get("MeterValueSampleInterval") == "77"
