"""A bill that the backend refuses is kept, shown to a technician beside the running agent, and delivered when asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.station_rig import Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = "sample_interval_s = 0\nmessage_attempts = 1\nmessage_retry_interval_s = 0"


@pytest_asyncio.fixture(loop_scope="module")
async def s(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(tmp_path_factory.mktemp("dead"), station_text(settings=SETTINGS)) as s:
        yield s
        await s.end()


async def test_a_refused_stop_is_kept_shown_and_resent_beside_the_running_agent(s: Street) -> None:
    id_ = await s.charge("CARD-4711")
    s.csms.instead["StopTransaction"] = lambda i: json.dumps([4, i, "InternalError", "CARD-4711 is not known", {}])
    await s.tap("CARD-4711")
    await s.status_reported("Finishing")
    await s.empty()
    before = (await s.station.picture())["agent"]["pid"]

    code, said = await s.command("dead", "list")
    assert (code, said.count("TransactionEnded")) == (0, 1), said
    number = said.splitlines()[-1].split()[0]
    code, said = await s.command("dead", "show", number)
    assert json.loads(said)["message"]["reason"] == "Local"
    assert json.loads(said)["message"]["token"]["value"] == "…4711"
    refused = s.payloads("StopTransaction")

    s.csms.instead.clear()
    assert await s.command("dead", "resend", number) == (0, f"{number}: in the queue again\n")
    await s.heard(lambda: s.csms.transactions[id_].stop)
    assert s.payloads("StopTransaction")[-1] == refused[0], "the very same bill"
    await s.empty()
    assert await s.command("dead", "list") == (0, "no dead letters\n")
    assert await s.command("dead", "drop", number) == (1, f"{number}: no such dead letter\n")
    assert (await s.station.picture())["agent"]["pid"] == before
    await s.leave()
