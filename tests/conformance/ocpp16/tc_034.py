"""The whole station is out of order when the power fails; it still is when the power returns."""

from tests.conformance.ocpp16.play import Play


async def test_out_of_order_outlives_the_power(s: Play) -> None:
    assert await s.ask("ChangeAvailability", connectorId=0, type="Inoperative") == "Accepted"
    for n in (1, 2):
        await s.status_reported("Unavailable", n)
    s.begin()
    await s.dark()
    s.csms.statuses.clear()
    await s.light()
    for n in (0, 1, 2):
        await s.heard(lambda n=n: s.csms.statuses.get(str(n)) == "Unavailable")
    assert {p["status"] for p in s.payloads("StatusNotification")} == {"Unavailable"}
