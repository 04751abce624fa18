"""A default profile that was set before the transaction is followed by it."""

from tests.conformance.ocpp16.charging_play import DEFAULT, FREE_A, follows, now, passes, profile
from tests.conformance.ocpp16.play import Play


async def test_the_default_holds_for_the_next_transaction(s: Play) -> None:
    rows, unknown = await s.keys(
        "ChargeProfileMaxStackLevel", "ChargingScheduleAllowedChargingRateUnit", "ChargingScheduleMaxPeriods",
        "MaxChargingProfilesInstalled", "ConnectorSwitch3to1PhaseSupported",
    )  # fmt: skip
    assert not unknown
    assert all(row["readonly"] for row in rows.values())
    assert int(rows["ChargingScheduleMaxPeriods"]["value"]) >= 3
    start = await now(s)
    steps = ((0, 6), (90, 10), (110, 8))
    assert await s.charge_profile(1, profile(1, DEFAULT, *steps, start=start, duration=130)) == "Accepted"
    await s.session()
    await follows(s, (start, 6.0), (start + 90, 10.0), (start + 110, 8.0), (start + 130, FREE_A))
    await passes(s, 6, 10, 8, FREE_A)
