"""A remote start with a token that the central system then refuses."""

from tests.conformance.ocpp16.play import APP, REFUSED, Play


async def test_a_refused_token_from_afar(s: Play) -> None:
    await s.set(AuthorizeRemoteTxRequests=True)
    s.csms.infos[APP] = REFUSED
    await s.plug()
    await s.status_reported("Preparing")
    assert await s.start(APP) == "Accepted"
    await s.call("Authorize")
    await s.screen("refused")
    await s.never("StartTransaction")
