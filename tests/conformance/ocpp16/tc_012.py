"""The central system stops the running transaction."""

from tests.conformance.ocpp16.play import Play


async def test_remote_stop(s: Play) -> None:
    number = await s.session()
    assert await s.stop(number) == "Accepted"
    await s.status_reported("Finishing")
    assert (await s.call("StopTransaction"))["reason"] == "Remote"
    await s.leave()
    assert s.story()[-3:] == ["StopTransaction", "Finishing", "Available"]
