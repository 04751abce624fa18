"""Central systems that refuse, are mad, or are not there: the station lives, says so, and comes back by itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from tests.support.simulated_station import Simulated, held_port
from tests.support.station_rig import Backend, Street, station_text

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct-horse-battery"
BASIC = "Basic Q1AtMTpjb3JyZWN0LWhvcnNlLWJhdHRlcnk="


@dataclass
class Moody(Backend):
    """``mood`` is what happens to a connection: "well", "401", "no subprotocol", "closes", "pending", "rejected"."""

    mood: str = "well"
    port: int = 0
    basic: str = BASIC
    dialled: list[str | None] = field(default_factory=list)

    async def open(self, port: int) -> None:
        self.port, self.url = port, f"ws://127.0.0.1:{port}"
        self._server = await serve(
            self._station,
            "127.0.0.1",
            port,
            select_subprotocol=self._select,
            process_request=self._request,
            ping_interval=None,
        )

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.dialled.append(request.headers.get("Authorization"))
        if self.mood == "401" or self.dialled[-1] != self.basic:
            return connection.respond(HTTPStatus.UNAUTHORIZED, "who are you?\n")
        return None

    def _select(self, connection: ServerConnection, offered: Any) -> Any:
        return None if self.mood == "no subprotocol" else "ocpp1.6"

    async def _station(self, connection: ServerConnection) -> None:
        if self.mood in ("no subprotocol", "closes"):
            await connection.close()
            return
        await super()._station(connection)

    async def say(self, text: str | bytes) -> None:
        (connection,) = self._connections
        await connection.send(text)

    async def goes(self) -> None:
        self._server.close()
        await self.drop()
        await self._server.wait_closed()

    @property
    def there(self) -> bool:
        return bool(self.url) and self._server.is_serving()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    csms = Moody()
    text = station_text(
        1,
        backend=f'security_profile = 1\npassword = "{PASSWORD}"',
        settings="sample_interval_s = 0\nlocal_authorize_offline = false",
    )
    folder = tmp_path_factory.mktemp("backends")
    with held_port() as port:
        async with Simulated(folder, text, f"ws://127.0.0.1:{port}", 20) as station:
            s = Street(station, csms)
            await csms.open(port)
            yield s
            await csms.goes()
    said = "\n".join(p.read_text() for p in (folder / "world").glob("agent.log*"))
    assert PASSWORD not in said
    assert BASIC.split()[1] not in said


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    """Before and after each test the backend is well and the station has booted there."""
    csms = moody(opened)
    await well(opened)
    opened.begin()
    csms.dialled.clear()
    yield opened
    await well(opened)
    await opened.end()


async def well(s: Street) -> None:
    csms = moody(s)
    csms.mood, csms.boot, csms.interval_s = "well", "Accepted", 300
    if not csms.there:
        await csms.open(csms.port)
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    await s.booted()


def moody(s: Street) -> Moody:
    assert isinstance(s.csms, Moody)
    return s.csms


async def mood(s: Street, name: str) -> None:
    """The backend changes its mind about every connection from now on."""
    moody(s).mood = name
    await moody(s).drop()


def log(s: Street) -> str:
    return (Path(s.station.folder) / "world" / "agent.log").read_text()


async def test_without_any_backend_the_station_is_there_and_says_that_it_is_offline(s: Street) -> None:
    logged = len(log(s))
    await moody(s).goes()
    await s.kill()
    evse = await s.screen("offline")
    assert evse["reported"] is None
    await s.tap("CARD-A")
    await s.screen("refused")
    await s.heard(lambda: "hung up before it answered" in log(s)[logged:])
    await moody(s).open(moody(s).port)
    await s.station.until(lambda p: p["backend"]["boot"] == "Accepted")
    await s.status_reported("Available")
    assert s.calls()[0][0] == "BootNotification"
    assert s.payloads("StartTransaction") == []


@pytest.mark.parametrize(
    ("how", "said"), [("401", "401"), ("no subprotocol", "no OCPP version"), ("closes", "connection ended")]
)
async def test_a_backend_that_does_not_want_to_talk(s: Street, how: str, said: str) -> None:
    before, logged = (await s.station.picture())["agent"]["pid"], len(log(s))
    await mood(s, how)
    await s.heard(lambda: len(moody(s).dialled) >= 3)
    assert said in log(s)[logged:]
    assert (await s.station.picture())["agent"]["pid"] == before
    assert s.calls() == []
    await s.until(lambda e: e["screen"] in ("offline", "refused"))
    moody(s).mood = "well"
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    assert s.payloads("BootNotification") == []  # booted once is booted


async def test_an_outage_is_narrated_once_in_words(s: Street) -> None:
    narrated = Path(s.station.folder) / "simulate.log"
    before = len(narrated.read_text())
    await moody(s).goes()
    await s.station.until(lambda p: all(place.get("error") for place in (p["links"]["backend"], p["backend"])))
    await s.heard(lambda: "keeps trying" in narrated.read_text()[before:])
    await well(s)
    assert not {"error", "trouble"} & (await s.station.picture())["backend"].keys()
    said = narrated.read_text()[before:].splitlines()
    where = f"ws://127.0.0.1:{moody(s).port}/CP-1"
    assert [line for line in said if "no connection" in line] == [
        f"backend: no connection, {where}: no server listens at 127.0.0.1:{moody(s).port}"
    ]


async def test_a_rejected_station_asks_again_at_the_interval_and_answers_nothing(s: Street) -> None:
    csms = moody(s)
    csms.boot, csms.interval_s = "Rejected", 20
    await s.kill()
    await s.heard(lambda: len(s.payloads("BootNotification")) >= 2)
    assert {a for a, _ in s.calls()} == {"BootNotification"}
    with pytest.raises(TimeoutError):
        await csms.ask("GetConfiguration", {}, timeout_s=0.7)
    await s.until(lambda e: e["screen"] in ("offline", "refused"))
    csms.boot, csms.interval_s = "Accepted", 300
    await s.heard(lambda: s.payloads("StatusNotification"))
    await s.screen("idle")


async def test_a_pending_station_answers_but_tells_nothing_of_itself(s: Street) -> None:
    csms = moody(s)
    csms.boot, csms.interval_s = "Pending", 20
    await s.kill()
    await s.heard(lambda: s.payloads("BootNotification"))
    answer = await csms.ask("GetConfiguration", {"key": ["HeartbeatInterval"]})
    assert answer["configurationKey"]
    assert (await csms.ask("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "61"}))["status"] == "Accepted"
    await csms.ask("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1})
    await s.heard(lambda: s.payloads("StatusNotification"))
    assert {a for a, _ in s.calls()} == {"BootNotification", "StatusNotification"}
    csms.boot, csms.interval_s = "Accepted", 300
    await s.screen("idle")
    await s.station.until(lambda p: p["backend"]["link"] == "up")


GARBAGE = [
    "",
    "garbage",
    "[",
    "{}",
    "[]",
    "[2]",
    '[2,"x"]',
    '[9,"x","Reset",{}]',
    '[3,"never asked",{}]',
    '[4,"never asked","GenericError","",{}]',
    "[" * 5000,
    b"\x00\xff",
    json.dumps("x" * 100_000),
    '[2,"big","DataTransfer",{"vendorId":"v","data":"' + "x" * 900_000 + '"}]',
]


async def test_garbage_in_the_middle_of_a_session(s: Street) -> None:
    before = await s.station.picture()
    await s.charge("CARD-A")
    for text in GARBAGE:
        await moody(s).say(text)
    with pytest.raises(AssertionError, match=r"\[4, .*NotImplemented"):
        await moody(s).ask("MakeCoffee", {"sugar": True})
    with pytest.raises(AssertionError, match=r"\[4, .*(FormationViolation|OccurenceConstraintViolation)"):
        await moody(s).ask("Reset", {})
    with pytest.raises(AssertionError, match=r"\[4, .*TypeConstraintViolation"):
        await moody(s).ask("RemoteStopTransaction", {"transactionId": "one"})
    evse = await s.station.evse()
    assert evse["contactor"]
    assert evse["session"]
    picture = await s.station.picture()
    assert (picture["agent"]["pid"], picture["backend"]["link"]) == (before["agent"]["pid"], "up")
    await s.tap("CARD-A")
    await s.status_reported("Finishing")


async def test_a_flood_of_requests_is_answered_in_order(s: Street) -> None:
    csms = moody(s)
    await s.charge("CARD-A")
    answers = await asyncio.gather(*(csms.ask("GetConfiguration", {"key": [f"Key{n}"]}) for n in range(300)))
    assert [a["unknownKey"] for a in answers] == [[f"Key{n}"] for n in range(300)]
    await s.tap("CARD-A")
    await s.status_reported("Finishing")


async def test_a_new_password_is_used_at_once_and_survives(s: Street) -> None:
    csms = moody(s)
    number = await s.charge("CARD-A")
    csms.basic = "Basic Q1AtMTowMTIzNDU2Nzg5YWJjZGVmMDE="
    change = {"key": "AuthorizationKey", "value": "0123456789abcdef01"}
    assert (await csms.ask("ChangeConfiguration", change))["status"] == "Accepted"
    await s.heard(lambda: csms.dialled and csms.dialled[-1] == csms.basic)
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    async with s.station.http.get("/api/v1/trace") as answer:
        trace = await answer.text()
    assert "0123456789abcdef01" not in trace
    assert "0123456789abcdef01" not in log(s)
    await s.kill()
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    await s.tap("CARD-A")
    await s.heard(lambda: csms.transactions[number].stop)
    assert csms.dialled[-1] == csms.basic
