"""A connector that becomes faulty: reported with its error, no start, available again when it is repaired."""

from tests.conformance.ocpp16.play import APP, CARD, Play


async def test_a_faulty_connector(s: Play) -> None:
    await s.fault("GroundFailure")
    await s.status_reported("Faulted")
    assert s.payloads("StatusNotification")[-1]["errorCode"] == "GroundFailure"
    await s.plug()
    await s.tap(CARD)
    await s.screen("refused")
    assert await s.start(APP) == "Rejected"
    await s.never("StartTransaction")
    await s.fault("GroundFailure", False)
    await s.status_reported("Preparing")
    await s.unplug(side="ev")
    await s.leave()
    assert s.payloads("StatusNotification")[-1]["errorCode"] == "NoError"
