"""Block I: what charging costs, sent by the central system and shown to the driver."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.station_rig_v201 import CARD, Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street201]:
    settings = "sample_interval_s = 0\ncost_display = true"
    async with street201(tmp_path_factory.mktemp("cost"), evses=1, settings=settings) as s:
        yield s


async def cents(s: Street201, wanted: int) -> None:
    await s.until(lambda e: e["session"]["cost_cents"] == wanted)


async def test_TC_I_01_CS(s: Street201) -> None:
    """Running cost is accepted for the running transaction, and for no other."""
    number = await s.session()
    assert await s.csms.ask("CostUpdated", {"totalCost": 1.25, "transactionId": number}) == {}
    await cents(s, 125)
    assert (await s.csms.call("CostUpdated", {"totalCost": 9, "transactionId": "x"}))[0] == 4
    await cents(s, 125)


async def test_TC_I_07_CS(s: Street201) -> None:
    """Running cost in the answer to a transaction event, beside the price of this driver."""
    message = {"format": "UTF8", "content": "0.30 € per kWh, for you"}
    s.csms.infos[CARD] = {"status": "Accepted", "personalMessage": message}
    s.csms.brings["Started"] = {"totalCost": 0.5, "updatedPersonalMessage": {**message, "language": "fr"}}
    s.csms.brings["Updated"] = {"totalCost": 0.75}
    await s.session()
    await cents(s, 75)


async def test_TC_I_02_CS(s: Street201) -> None:
    """The final cost in the answer to the end is taken, and it is final."""
    s.csms.brings["Ended"] = {"totalCost": 3.31}
    number = await s.session()
    await s.tap(CARD)
    await s.ended()
    await s.screen("finished")
    await s.empty()
    assert (await s.csms.call("CostUpdated", {"totalCost": 9, "transactionId": number}))[0] == 4
