"""A whole transaction while the network is gone: sent afterwards, the end with the id that the start was just given."""

from tests.conformance.ocpp16.play import CARD, Play


async def test_a_whole_transaction_off_line(s: Play) -> None:
    await s.known(CARD)
    await s.set(LocalAuthorizeOffline=True)
    await s.off_line()
    await s.plug()
    await s.tap(CARD)
    await s.screen("charging")
    await s.until(lambda e: e["session"]["energy_wh"] > 20)
    await s.tap(CARD)
    await s.screen("finished")
    await s.on_line()
    start, stop = await s.call("StartTransaction"), await s.call("StopTransaction")
    assert stop["transactionId"] == next(reversed(s.csms.transactions))
    assert start["timestamp"] < stop["timestamp"]
    assert start["meterStart"] + 20 <= stop["meterStop"]
    assert stop.get("reason", "Local") == "Local"
    assert s.story().index("StartTransaction") < s.story().index("StopTransaction")


async def test_an_unknown_card_off_line_only_where_it_is_allowed(s: Play) -> None:
    await s.set(AllowOfflineTxForUnknownId=False)
    await s.off_line()
    await s.plug()
    await s.tap("NEVER-SEEN")
    await s.screen("refused")
    await s.on_line()
    assert s.payloads("StartTransaction") == []
    await s.set(AllowOfflineTxForUnknownId=True)
    await s.off_line()
    await s.screen("idle")
    await s.tap("NEVER-SEEN")
    await s.screen("charging")
    await s.tap("NEVER-SEEN")
    await s.screen("finished")
    await s.on_line()
    assert (await s.call("StartTransaction"))["idTag"] == "NEVER-SEEN"


async def test_a_known_card_off_line_only_where_it_is_allowed(s: Play) -> None:
    await s.known(CARD)
    await s.set(LocalAuthorizeOffline=False)
    await s.off_line()
    await s.plug()
    await s.tap(CARD)
    await s.screen("refused")
    await s.on_line()
    await s.never("StartTransaction")
