"""ChangeConfiguration with an impossible value: rejected, the old one is kept."""

import pytest

from tests.conformance.ocpp16.play import Play


@pytest.mark.parametrize("value", ["-1", "soon", "1e3", "99999999999999", "", "3.5"])
async def test_an_impossible_value(s: Play, value: str) -> None:
    before = await s.get("MeterValueSampleInterval")
    assert await s.ask("ChangeConfiguration", key="MeterValueSampleInterval", value=value) == "Rejected"
    assert await s.get("MeterValueSampleInterval") == before
