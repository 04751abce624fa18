"""A plug that cannot be locked: reported as ConnectorLockFailure, and no transaction."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_a_plug_that_cannot_be_locked(s: Play) -> None:
    await s.set(MinimumStatusDuration=0)
    await s.plug()
    await s.fault("ConnectorLockFailure")
    await s.status_reported("Faulted")
    assert s.payloads("StatusNotification")[-1]["errorCode"] == "ConnectorLockFailure"
    await s.tap(CARD)
    evse = await s.screen("refused")
    assert not evse["contactor"]
    await s.never("StartTransaction")
    await s.fault("ConnectorLockFailure", False)
    await s.status_reported("Preparing")
