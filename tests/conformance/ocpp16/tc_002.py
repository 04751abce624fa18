"""The boot is pending: settings are read and changed, nothing else is said; a trigger brings the next boot."""

from tests.conformance.ocpp16.play import Play


async def test_settings_while_pending(s: Play) -> None:
    s.csms.boot, s.csms.interval_s = "Pending", 600
    await s.kill()
    await s.heard(lambda: s.payloads("BootNotification"))
    assert await s.put("MeterValueSampleInterval", 123) == "Accepted"
    assert await s.get("MeterValueSampleInterval") == "123"
    await s.plug()
    await s.until(lambda e: e["cp"] == "B")
    await s.never("StatusNotification")
    assert [action for action, _ in s.calls()] == ["BootNotification"]
    s.csms.boot = "Accepted"
    assert await s.ask("TriggerMessage", requestedMessage="BootNotification") == "Accepted"
    await s.status_reported("Preparing")
    assert len(s.payloads("BootNotification")) == 2
    await s.heard(lambda: {p["connectorId"] for p in s.payloads("StatusNotification")} == {0, 1, 2})


async def test_the_next_boot_comes_by_itself(s: Play) -> None:
    s.csms.boot, s.csms.interval_s = "Pending", 10
    await s.kill()
    await s.heard(lambda: len(s.payloads("BootNotification")) >= 2)
    assert {action for action, _ in s.calls()} == {"BootNotification"}
    s.csms.boot = "Accepted"
    await s.rebooted()
