"""Started off line with a card that turns out invalid: no more energy, but the transaction stays open."""

from tests.conformance.ocpp16.play import CARD, Play, begun_off_line_and_refused


async def test_suspended_until_the_driver_ends_it(s: Play) -> None:
    await s.set(StopTransactionOnInvalidId=False, MaxEnergyOnInvalidId=0)
    await begun_off_line_and_refused(s)
    await s.status_reported("SuspendedEVSE")
    await s.until(lambda e: not e["contactor"])
    await s.never("StopTransaction")
    await s.tap(CARD)
    assert (await s.call("StopTransaction"))["reason"] == "Local"


async def test_some_energy_to_get_home(s: Play) -> None:
    await s.set(StopTransactionOnInvalidId=False, MaxEnergyOnInvalidId=100)
    register = await begun_off_line_and_refused(s)
    await s.status_reported("SuspendedEVSE")
    evse = await s.until(lambda e: not e["contactor"])
    drawn_wh = evse["meter_wh"] - register
    assert 50 <= drawn_wh < 900  # counted from the last reading, a moment before ours; a second on the wall is 40 Wh
    await s.never("StopTransaction")
    await s.unplug(side="ev")
    await s.call("StopTransaction")
