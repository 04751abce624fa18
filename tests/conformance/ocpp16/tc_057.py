"""A profile for the running transaction is followed: less, a pause, and more again; every Wh is billed."""

from tests.conformance.ocpp16.charging_play import TX, billed_exactly, follows, now, offered, profile
from tests.conformance.ocpp16.play import Play


async def test_the_running_transaction_follows(s: Play) -> None:
    number = await s.session()
    start = await now(s)
    wanted = profile(1, TX, (0, 9), (30, 5.9), start=start, transactionId=number)
    assert await s.charge_profile(1, wanted) == "Accepted"
    await follows(s, (start, 9.0), (start + 30, 5.9))
    evse = await s.status_reported("SuspendedEVSE")
    assert evse["session"] is not None
    paused = await s.until(lambda e: not e["contactor"] and not e["pwm"] and e["limit_a"] == 0)
    assert await s.charge_profile(1, profile(1, TX, (0, 12.5), start=start, transactionId=number)) == "Accepted"
    await s.status_reported("Charging")
    assert (await offered(s, 12))["meter_wh"] >= paused["meter_wh"]  # whole amperes, rounded down
    await s.until(lambda e: 9 < max(e["current_a"]) <= 12)
    reported = [w for w in s.story() if w in ("Charging", "SuspendedEVSE")]
    assert reported[:3] == ["Charging", "SuspendedEVSE", "Charging"]
    await billed_exactly(s, number)


async def test_it_goes_with_its_transaction(s: Play) -> None:
    number = await s.session()
    assert await s.charge_profile(1, profile(1, TX, (0, 7), transactionId=number)) == "Accepted"
    await offered(s, 7)
    assert await s.stop(number) == "Accepted"
    await s.status_reported("Finishing")
    await s.heard(lambda: s.payloads("StopTransaction"))
    assert await s.ask("ClearChargingProfile", id=1) == "Unknown"
