"""A session that begins in one version of OCPP and ends in the other, both ways, through the real agent and kill -9:
the backend that is there gets all of the bill, once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.support.simulated_station import CAMPAIGN, Simulated
from tests.support.station_rig import Backend, station_text
from tests.support.station_rig_v201 import CARD, Street201
from tests.support.strict_csms import Transaction

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = "sample_interval_s = 0\noffline_tx_for_unknown_id = true\nmessage_attempts = 1"
WAYS = [("2.0.1", "1.6"), ("1.6", "2.0.1")]
KILLS = {
    version: [(moment, step) for step in steps for moment in ("before", "after")]
    for version, steps in (("1.6", ("StartTransaction", "StopTransaction")), ("2.0.1", ("Started", "Ended")))
}
SAMPLE = {"1.6": KILLS["1.6"][1:2], "2.0.1": KILLS["2.0.1"][:1]}
"""The rest of it is played in tests/ocpp/test_crossing_rows.py on the store, and here by the campaign."""
ways = pytest.mark.parametrize(("first", "then"), WAYS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def s(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street201]:
    text = station_text(backend='versions = ["2.0.1", "1.6"]', settings=SETTINGS)
    folder = tmp_path_factory.mktemp("crossing")
    async with Backend(speaks=("2.0.1",)) as csms, Simulated(folder, text, csms.url, 20.0) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        s = Street201(station, csms)
        yield s
        assert csms.violations == [], "\n".join(csms.violations)
        assert csms.energy_wh == (await station.evse())["meter_wh"]


async def spoken(s: Street201, version: str) -> None:
    """The backend speaks this version from now on, and no other."""
    if s.csms.speaks != (version,):
        s.csms.speaks = (version,)
        await s.csms.drop()
    await s.station.until(
        lambda p: p["backend"]["ocpp"] == version and p["backend"]["link"] == "up" and p["agent"]["queue"] == 0
    )


async def begun(s: Street201, version: str) -> Transaction:
    """A session that this version knows; its transaction there."""
    await spoken(s, version)
    s.begin()
    known = set(s.csms.transactions)
    await s.plug()
    await s.seen_occupied()
    await s.tap(CARD)
    await s.until(lambda e: e["session"] and e["session"]["energy_wh"] >= 5)
    await s.empty()
    (new,) = set(s.csms.transactions) - known
    return s.csms.transactions[new]


async def reported_in_version(s: Street201, version: str, begun: Transaction) -> Transaction:
    """The same session in this version: its real start (with each boot the clock is set again, a little). The station
    has heard by which name it goes there."""
    await s.heard(lambda: of(s, version, begun))
    await s.empty()
    (t,) = of(s, version, begun)
    assert (t.token, t.connector) == (begun.token, begun.connector)
    times = [datetime.fromisoformat(at) for at in (t.started, begun.started)]
    assert abs(times[0] - times[1]) < timedelta(seconds=10)
    return t


def of(s: Street201, version: str, begun: Transaction) -> list[Transaction]:
    known = s.csms.transactions.values()
    return [t for t in known if t.version == version and t.start_wh == begun.start_wh and t.message != begun.message]


async def gone(s: Street201) -> None:
    await s.until(lambda e: not e["session"])
    await s.unplug(side="ev")
    await s.unplug()
    await s.seen_free()
    await s.until(lambda e: e["reported"]["status"] == "Available")
    await s.empty()


async def dead(s: Street201, *words: str) -> str:
    file = str(s.station.folder / "world" / "derived.toml")
    argv = [sys.executable, "-m", "agent", "dead", words[0], file, *words[1:]]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode()


@ways
async def test_a_session_that_runs_goes_on_in_the_other_version(s: Street201, first: str, then: str) -> None:
    """It is reported there at once, so that it can be ended from there by the name that it has there."""
    before = await begun(s, first)
    await spoken(s, then)
    after = await reported_in_version(s, then, before)
    name = "RequestStopTransaction" if then == "2.0.1" else "RemoteStopTransaction"
    assert await s.csms.ask(name, {"transactionId": after.id}) == {"status": "Accepted"}
    await gone(s)
    assert after.stop is not None
    assert before.stop is None, "sent in one version only"
    if then == "2.0.1":
        assert after.events[0]["offline"] is True
        assert "reason" not in after.stop
        assert after.stop["transactionInfo"]["stoppedReason"] == "Remote"
    else:
        assert after.stop["reason"] == "Remote"


@ways
async def test_a_version_that_comes_back_goes_on_with_what_it_knows(s: Street201, first: str, then: str) -> None:
    before = await begun(s, first)
    await spoken(s, then)
    there = await reported_in_version(s, then, before)
    await spoken(s, first)
    name = "RequestStopTransaction" if first == "2.0.1" else "RemoteStopTransaction"
    assert await s.csms.ask(name, {"transactionId": before.id}) == {"status": "Accepted"}
    await gone(s)
    assert before.stop is not None
    assert there.stop is None
    assert len(of(s, first, there)) == 1, "its start was not sent again"


@ways
async def test_what_a_version_has_set_holds_in_the_other(s: Street201, first: str, then: str) -> None:
    """A limit of the transaction; and 2.0.1 may go on using the number that 1.6 has given."""
    before = await begun(s, first)
    periods = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 9.0}]}
    ids = {"transactionId": before.id, "stackLevel": 0, "chargingProfilePurpose": "TxProfile"}
    start = (datetime.now(UTC) - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    if first == "1.6":
        schedule: Any = {**periods, "startSchedule": start}
        wanted = {"csChargingProfiles": {"chargingProfileId": 5, "chargingProfileKind": "Absolute", **ids}}
        wanted["csChargingProfiles"]["chargingSchedule"] = schedule
        set_ = {"connectorId": 1, **wanted}
    else:
        profile = {"id": 5, "chargingProfileKind": "Absolute", **ids}
        profile["chargingSchedule"] = [{"id": 1, "startSchedule": start, **periods}]
        set_ = {"evseId": 1, "chargingProfile": profile}
    assert await s.csms.ask("SetChargingProfile", set_) == {"status": "Accepted"}
    await spoken(s, then)
    where = {"connectorId": 1} if then == "1.6" else {"evseId": 1}
    answer = await s.csms.ask("GetCompositeSchedule", {**where, "duration": 60, "chargingRateUnit": "A"})
    schedule = answer["chargingSchedule" if then == "1.6" else "schedule"]
    assert schedule["chargingSchedulePeriod"][0]["limit"] == 9.0
    if then == "2.0.1":
        assert await s.csms.ask("RequestStopTransaction", {"transactionId": str(before.id)}) == {"status": "Accepted"}
    else:
        await s.tap(CARD)
    await gone(s)
    assert (await reported_in_version(s, then, before)).stop is not None


@pytest.mark.campaign
@ways
async def test_killed_at_each_step_of_the_crossing(s: Street201, first: str, then: str, record_property: Any) -> None:
    """The session ends off line; on the way home in the other version the agent is killed: before and after
    the answer to each message of the bill."""
    steps = KILLS[then] if CAMPAIGN else SAMPLE[then]
    for moment, step in steps:
        await killed(s, first, then, moment, step)
    record_property("kills", len(steps))


async def killed(s: Street201, first: str, then: str, moment: str, step: str) -> None:
    before = await begun(s, first)
    await s.off_line()
    await s.tap(CARD)
    await s.until(lambda e: not e["session"])
    s.csms.speaks = (then,)
    sprung: list[str] = []
    gone_: list[str] = []

    async def trap(when: str, action: str, said: dict[str, Any]) -> None:
        if when == moment and step in (action, said.get("eventType")) and not sprung:
            sprung.append(action)
            await kill(s, gone_)

    s.csms.hook = trap
    await s.station.post("/links/backend", {"up": True})
    await s.heard(lambda: gone_)
    await s.station.until(lambda p: p["agent"]["up"] and p["backend"]["link"] == "up")
    await s.empty()
    s.csms.hook = None
    after = await reported_in_version(s, then, before)
    assert after.stop is not None, (moment, step)
    assert before.stop is None
    await gone(s)


async def kill(s: Street201, done: list[str]) -> None:
    """From a hook, which ends with the connection."""
    try:
        await s.station.post("/agent", {"action": "kill"})
    finally:
        done.append("killed")


async def test_an_end_that_may_have_arrived_is_left_to_a_person(s: Street201) -> None:
    """The agent is killed before the answer to an end, and the backend comes back in another version: to send it there
    could bill it twice, not to send it could lose it."""
    before = await begun(s, "2.0.1")
    ended: list[str] = []
    killed: list[str] = []

    async def trap(when: str, action: str, said: dict[str, Any]) -> None:
        if when == "before" and said.get("eventType") == "Ended" and not ended:
            ended.append(action)
            s.csms.speaks = ("1.6",)
            await kill(s, killed)

    s.csms.hook = trap
    await s.tap(CARD)
    await s.heard(lambda: killed)
    await s.station.until(lambda p: p["agent"]["up"] and p["backend"]["ocpp"] == "1.6" and p["agent"]["queue"] == 0)
    s.csms.hook = None
    assert before.stop is not None, "it had arrived"
    assert of(s, "1.6", before) == []
    listed = (await dead(s, "list")).splitlines()
    assert "sent in OCPP 2.0.1 and not answered" in listed[-1], listed
    number = listed[-1].split()[0]
    assert await dead(s, "drop", number) == f"{number}: given up\n"
    await gone(s)


@ways
async def test_a_letter_is_resent_in_the_other_version(s: Street201, first: str, then: str) -> None:
    """The backend has refused the end for good; after it was changed a person resends it, and its start goes along."""
    before = await begun(s, first)
    action = "TransactionEvent" if first == "2.0.1" else "StopTransaction"
    s.csms.instead[action] = lambda id_: json.dumps([4, id_, "InternalError", "out of order", {}])
    await s.tap(CARD)
    await s.until(lambda e: not e["session"])
    await s.empty()
    s.csms.instead.clear()
    await spoken(s, then)
    assert of(s, then, before) == [], "it was not asked for"
    letters = [line.split()[0] for line in (await dead(s, "list")).splitlines() if "TransactionEnded" in line]
    assert len(letters) == 1
    await dead(s, "resend", "--all")
    after = await reported_in_version(s, then, before)
    await s.heard(lambda: after.stop)  # a picture of the station may be of the time before the letter was in the queue
    await s.empty()
    assert await dead(s, "list") == "no dead letters\n"
    await gone(s)
