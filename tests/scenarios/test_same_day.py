"""The same day of a station with two outlets on each version of OCPP, and on a backend that changes its version every
hour: cards, payments at the page behind the QR code, bank cards, faults, pulled cables, hours off line, ``kill -9`` of
the agent. Then the books agree: those of the meters, the station, the bank and the backend have each session once, with
the same Wh and the same cents.

The day is a table. An hour is over when all that is in its row has happened: the test waits for states, never for the
clock. ``make campaign`` plays the 24 rows on all versions, ``make test`` the first ones on some.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_bank_card import said
from tests.support.busy_machine import deadline
from tests.support.simulated_station import CAMPAIGN, SMALL_PANEL, Simulated
from tests.support.versions_backend import (
    CHANGING,
    JSON,
    PAGE,
    PAGE_EURO_KWH,
    REFUSED,
    SOAP,
    Booked,
    VersionsBackend,
    energy_cents,
)

SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "1"))
SPEED = 60.0
MOST_WH = 1000 if CAMPAIGN else 60
CASES = [*SOAP, *JSON, CHANGING] if CAMPAIGN else ["1.5", "2.1", CHANGING]
HOURS = 24 if CAMPAIGN else 3
"""How much of the day is played; one more on the backend that changes: each transport gives way to the other."""
WAIT_S = 120.0

DAY = """
hour  backend  outlet 1                 outlet 2            trouble
00    2.1      page>remote              bank>cable          kill
01    2.0.1    card>stays               card>cable          off
02    1.5      stays>remote             card>GroundFailure  replay
03    1.6J     card>card                card>remote         calm
04    1.2      card>card                bank>cable          dark
05    2.1      page>cable               card>stays          replay
06    1.6S     refused                  stays>card          kill
07    2.0.1    page>remote              bank>cable          cut
08    1.5      card>stays               card>EmergencyStop  off
09    1.6J     stays>card               page>cable          replay
10    2.1      card>cable               card>remote         restart
11    1.2      card>stays               bank>cable          off+kill
12    2.0.1    stays>cable              card>card           calm
13    1.6S     card>OverCurrentFailure  page>remote         kill
14    2.1      card>card                bank>cable          dark
15    2.0.1    card>remote              card>stays          replay
16    1.6J     page>cable               stays>card          cut
17    1.5      card>stays               bank>cable          dark
18    2.1      stays>remote             card>GroundFailure  kill
19    1.6S     card>card                card>stays          off
20    1.2      card>remote              stays>remote        replay
21    2.0.1    card>stays               bank>cable          dark
22    1.5      stays>card               card>cable          calm
23    2.1      page>remote              refused             restart
"""
"""``backend``: the version of the one that changes. Outlets: how a session begins, and how it ends: by a card, from the
page behind the QR code (remote start), by a bank card at the terminal; a remote stop, the cable pulled off the car, a
fault. What stays goes on in the next hour. A card that is refused begins none.

``trouble``, while the vehicles charge: ``kill`` of the agent, its orderly ``restart``, a ``cut`` of the road. ``off``:
the road is gone until the next hour; ``dark``: from before the first driver. ``replay``: the agent is killed before it
has the answer to the first message that waited for the road."""
OFF_LINE = ("off", "dark", "off+kill")

STATION = """
[station]
id = "CP-1"
state_dir = "state"
[backend]
reconnect_s = 0.2
{backend}
[settings]
sample_interval_s = 60
connection_timeout_s = 1200
payment_connect_timeout_s = 3000
message_retry_interval_s = 60
offline_tx_for_unknown_id = true
offline_payments = true
payment_authorize_first = false
cost_display = true
[payment]
amount_cents = 5000
prefix = "PY"
[tariff]
kwh = 0.4567
session = 0.35
[[evse]]
number = 1
qr_url = "https://pay.example/1"
{panel}
[[evse]]
number = 2
qr_url = "https://pay.example/2"
{panel}
[evse.terminal]
driver = "terminal_payter"
sync_every_s = 0.1
[simulation]
port = 0
state_dir = "world"
[[simulation.evse]]
number = 1
meter_wh = 1234567
[[simulation.evse]]
number = 2
meter_wh = 7654321
"""
EURO_KWH, FEE_CENTS = Decimal("0.4567"), 35
"""The tariff of the station file, which bank cards pay."""


@dataclass(frozen=True)
class Visit:
    begin: str
    end: str


@dataclass(frozen=True)
class Hour:
    number: int
    version: str
    visits: dict[int, Visit]
    trouble: str


def read_table(text: str) -> list[Hour]:
    """The rows of a day. What stays must go on."""
    hours: list[Hour] = []
    staying: set[int] = set()
    for line in text.strip().splitlines()[1:]:
        number, version, *cells, trouble = line.split()
        visits = {n: Visit(*(cell.split(">") * 2)[:2]) for n, cell in enumerate(cells, 1) if cell != "-"}
        assert {n for n, v in visits.items() if v.begin == "stays"} == staying, line
        needs_road = {v.end for v in visits.values()} & {"remote"} or {v.begin for v in visits.values()} & {"page"}
        assert trouble not in OFF_LINE or not needs_road, line
        staying = {n for n, v in visits.items() if v.end == "stays"}
        hours.append(Hour(int(number), version, visits, trouble))
    assert not staying
    return hours


@dataclass
class Session:
    """What the drivers know of one: the meter before and after it, and the station's record."""

    outlet: int
    begin: str
    id: str
    token: str
    before_wh: int
    after_wh: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    page_cents: int | None = None
    """What the backend has said to the station of the cost."""

    @property
    def wh(self) -> int:
        return self.after_wh - self.before_wh

    @property
    def bank_cents(self) -> int:
        """What it costs by the tariff of the station."""
        return energy_cents(self.wh, EURO_KWH, FEE_CENTS)

    @property
    def place(self) -> tuple[int, int]:
        return self.outlet, self.before_wh


@dataclass
class Day:
    station: Simulated
    backend: VersionsBackend
    case: str
    dice: random.Random
    sessions: list[Session] = field(default_factory=list)
    guests: dict[int, Guest] = field(default_factory=dict)
    """Whose vehicle charges, by outlet."""
    done: Counter[str] = field(default_factory=Counter)

    async def play_hour(self, hour: Hour) -> None:
        await self.begin_hour(hour)
        if hour.trouble == "dark":
            await self.close_road()
        for n, visit in hour.visits.items():
            if visit.begin != "stays":
                self.guests[n] = Guest(self, n, visit)
        await self._each(lambda guest: guest.arrive(hour.trouble != "dark"))
        self.guests = {n: g for n, g in self.guests.items() if g.session}
        await self._make_trouble(hour.trouble)
        for n, visit in hour.visits.items():
            if n in self.guests:
                self.guests[n].visit = visit
        await self._each(lambda guest: guest.leave())
        self.guests = {n: g for n, g in self.guests.items() if g.visit.end == "stays"}
        if hour.trouble not in OFF_LINE:
            await self.quiet()
        self.done["hours"] += 1

    async def _each(self, deed: Callable[[Guest], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for guest in self.guests.values():
                group.create_task(deed(guest))

    # --- road and agent ----------------------------------------------------------------------------------------------

    async def begin_hour(self, hour: Hour) -> None:
        """The road is there, and behind it the version of the hour."""
        version = hour.version if self.case == CHANGING else self.case
        if self.case == CHANGING:
            await self.close_road()
        killed, restarts = asyncio.Event(), (await self.station.picture())["agent"]["restarts"]
        if hour.trouble == "replay":
            self.backend.on_billed = lambda: self._kill_in_answer(killed)
        if not self.backend.version:
            await self.backend.accept_version(version)
        await self.station.post("/links/backend", {"up": True})
        if hour.trouble == "replay":
            async with deadline(WAIT_S):
                await killed.wait()
            await self.agent_is_back(restarts + 1)
        await self.quiet()

    async def close_road(self) -> None:
        await self.station.post("/links/backend", {"up": False})
        await self.backend.close_all()

    async def quiet(self) -> None:
        """The station speaks the version of the hour, and nothing waits."""
        name = self.backend.wire_version
        await self.station.until(
            lambda p: (
                p["backend"]["link"] == "up"
                and p["backend"]["ocpp"] == name
                and p["backend"]["boot"] == "Accepted"
                and p["agent"]["queue"] == 0
            ),
            WAIT_S,
        )

    async def kill(self) -> None:
        """SIGKILL, and the next agent is there."""
        before = (await self.station.picture())["agent"]["restarts"]
        await self.station.post("/agent", {"action": "kill"})
        self.done["kills"] += 1
        await self.agent_is_back(before + 1)

    async def _kill_in_answer(self, killed: asyncio.Event) -> None:
        """The backend has a message, and the agent never gets the answer. This ends with the connection."""
        try:
            await self.station.post("/agent", {"action": "kill"})
        finally:
            self.done["kills"] += 1
            killed.set()

    async def agent_is_back(self, restarts: int) -> None:
        await self.station.until(lambda p: p["agent"]["up"] and p["agent"]["restarts"] >= restarts, WAIT_S)
        await self.station.healthy(WAIT_S)

    async def _make_trouble(self, trouble: str) -> None:
        if trouble in ("off", "off+kill"):
            await self.quiet()
            await self.close_road()
        if trouble in ("kill", "off+kill"):
            await self.kill()
        elif trouble == "restart":
            before = (await self.station.picture())["agent"]["restarts"]
            await self.station.post("/agent", {"action": "stop"})
            await self.station.until(lambda p: not p["agent"]["up"], WAIT_S)
            await self.station.post("/agent", {"action": "start"})
            self.done["restarts"] += 1
            await self.agent_is_back(before + 1)
        elif trouble == "cut":
            await self.station.post("/links/backend", {"up": False})
            await self.station.post("/links/backend", {"up": True})
            await self.quiet()
        self.done[f"hours {trouble}"] += 1


@dataclass
class Guest:
    """A driver at one outlet. Looks, and does what comes next."""

    day: Day
    n: int
    visit: Visit
    session: Session | None = None

    def __post_init__(self) -> None:
        dice = self.day.dice
        self.car = {"capacity_kwh": 60.0, "soc": 20, "phases": dice.choice((1, 3))}
        self.want_wh = dice.randint(MOST_WH // 4, MOST_WH)
        self.trouble_wh, self.later_wh = dice.randint(1, self.want_wh), dice.randint(MOST_WH // 4, MOST_WH)
        self.last4 = f"{dice.randrange(10**4):04}"
        self.token = f"{PAGE if self.visit.begin == 'page' else '04'}{dice.randrange(16**8):08X}"

    async def sees(self, what: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        picture = await self.day.station.until_evse(what, self.n, WAIT_S)
        return dict(picture["evses"][self.n - 1])

    async def post(self, deed: str, **body: Any) -> None:
        await self.day.station.post(f"/evses/{self.n}/{deed}", body)

    # --- begin -------------------------------------------------------------------------------------------------------

    async def arrive(self, is_on_line: bool) -> None:
        """Until the vehicle charges, and so much has flowed that something may happen. Returns at once if it does."""
        if self.session is not None:
            return
        free = await self.sees(lambda e: e["session_state"] == "Free" and not e["contactor"] and not e["faults"])
        if is_on_line:
            await self.sees(lambda e: e["reported"]["status"] == "Available")
        before_wh = free["meter_wh"]
        await getattr(self, f"_begin_by_{self.visit.begin}")()
        self.day.done[f"begun by {self.visit.begin}"] += 1
        if self.visit.begin == "refused":
            return
        session = (await self.sees(lambda e: e["session"] and e["session"]["token"]))["session"]
        token = session["token"]
        assert token == self.token or self.visit.begin == "bank", (token, self.token)
        self.session = Session(self.n, self.visit.begin, session["id"], token, before_wh)
        await self.sees(lambda e: e["session"]["energy_wh"] >= self.trouble_wh)

    async def _plug(self) -> None:
        await self.post("plug", ready=True, car=self.car)
        await self.sees(lambda e: e["session_state"] != "Free")

    async def _begin_by_card(self) -> None:
        await self._plug()
        await self.day.station.post("/cards/tap", {"token": self.token, "evse": self.n})

    async def _begin_by_refused(self) -> None:
        """The backend is asked, and no session comes of it."""
        refusals = self.day.backend.refusals
        await self._plug()
        await self.day.station.post("/cards/tap", {"token": REFUSED, "evse": self.n})
        async with deadline(WAIT_S):
            while self.day.backend.refusals == refusals:
                await asyncio.sleep(0.02)
        evse = await self.sees(lambda e: e["session_state"] == "Occupied")
        assert evse["session"] is None
        await self._go_away()

    async def _begin_by_page(self) -> None:
        """The driver scans the code on the screen, and pays; the backend starts."""
        await self.sees(lambda e: e["code"] == f"https://pay.example/{self.n}")
        await self.day.backend.announce_payment(self.n)
        await self._plug()
        await self.day.backend.start_remotely(self.n, self.token)

    async def _begin_by_bank(self) -> None:
        s, held = self.day.station, len((await self.day.station.picture())["ledger"]["holds"])
        await s.until(lambda p: p["terminals"][0]["state"] == "wait_card", WAIT_S)
        await s.post("/terminal/card", {"pan_last4": self.last4, "evse": self.n})
        await s.until(lambda p: len(p["ledger"]["holds"]) > held, WAIT_S)
        await self._plug()

    # --- end ---------------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        assert self.session is not None
        session, end = self.session, self.visit.end
        await self.sees(lambda e: e["session"]["id"] == session.id and e["session"]["energy_wh"] >= self.want_wh)
        if end == "stays":
            self.want_wh += self.later_wh
            return
        await self._end_session(end)
        evse = await self.sees(
            lambda e: not e["session"] and not e["contactor"] and (e["last_session"] or {}).get("id") == session.id
        )
        session.after_wh, session.record = evse["meter_wh"], evse["last_session"]
        self.day.sessions.append(session)
        self.day.done[f"ended by {end}"] += 1
        await self._settle(session)
        if end not in ("card", "remote", "cable"):
            await self.post("fault", fault=end, active=False)
        await self._go_away()

    async def _end_session(self, end: str) -> None:
        assert self.session is not None
        if end == "card":
            await self.day.station.post("/cards/tap", {"token": self.token, "evse": self.n})
        elif end == "remote":
            await self.day.quiet()
            await self.day.backend.stop_remotely(self.session.place)
        elif end == "cable":
            await self.post("unplug", side="ev")
        else:
            await self.post("fault", fault=end, active=True)

    async def _settle(self, session: Session) -> None:
        """Until the money is where it belongs."""
        if session.begin == "bank":
            paid = sum(s.begin == "bank" for s in self.day.sessions)
            await self.day.station.until(
                lambda p: len(p["ledger"]["captures"]) == paid and not p["ledger"]["holds"], WAIT_S
            )
        elif session.begin == "page":
            async with deadline(WAIT_S):
                while not self.day.backend.is_ended(session.place):
                    await asyncio.sleep(0.02)
            session.page_cents = await self.day.backend.bill_session(session.place)
        if session.begin == "bank" or session.page_cents is not None:
            record = await self.sees(
                lambda e: e["last_session"]["id"] == session.id and e["last_session"]["cost_final"]
            )
            session.record = record["last_session"]

    async def _go_away(self) -> None:
        if (await self.day.station.evse(self.n))["car"]:
            await self.post("unplug", side="ev")
        await self.sees(lambda e: not e["locked"])
        await self.post("unplug", side="station")
        await self.sees(lambda e: e["session_state"] == "Free" and not e["cable"])


# --- the books -------------------------------------------------------------------------------------------------------


@dataclass
class Books:
    """``first_wh``: the registers of the meters before the day, by outlet. ``picture``: the station after it, with the
    registers and the bank's ledger. ``settled_cents``: what the station has sent of the money of bank cards, in 2.1, by
    token."""

    sessions: list[Session]
    booked: list[Booked]
    first_wh: dict[int, int]
    picture: dict[str, Any]
    settled_cents: dict[str, int]

    def compare_all(self) -> None:
        ended = [b for b in self.booked if b.stop_wh is not None]
        assert len(ended) == len(self.sessions), (ended, self.sessions)
        for session in self.sessions:
            self._compare_energy(session, ended)
            self._compare_cost(session, ended)
        for outlet, before_wh in self.first_wh.items():
            advance = self.picture["evses"][outlet - 1]["meter_wh"] - before_wh
            assert sum(s.wh for s in self.sessions if s.outlet == outlet) == advance, f"outlet {outlet}"
        ledger = self.picture["ledger"]
        captures = sorted(ledger["captures"], key=lambda c: c["terminal_session"])
        assert [c["cents"] for c in captures] == [s.bank_cents for s in self.sessions if s.begin == "bank"], captures
        assert ledger["holds"] == ledger["voids"] == []

    def _compare_energy(self, s: Session, ended: list[Booked]) -> None:
        assert s.wh > 0, s
        assert (s.record["token"], s.record["energy_wh"]) == (s.token, s.wh), s
        (bill,) = [b for b in ended if b.place == s.place]
        assert (bill.token, bill.stop_wh) == (s.token, s.after_wh), (bill, s)
        begun = Counter(b.book for b in self.booked if b.place == s.place)
        assert set(begun.values()) == {1}, (begun, s)

    def _compare_cost(self, s: Session, ended: list[Booked]) -> None:
        if s.page_cents is not None:
            assert s.page_cents == s.record["cost_cents"] == energy_cents(s.wh, PAGE_EURO_KWH), s
        if s.begin == "bank":
            (bill,) = [b for b in ended if b.place == s.place]
            assert s.record["cost_cents"] == s.bank_cents, s
            assert bill.said_cents in (None, s.bank_cents), (bill, s)
            assert self.settled_cents.get(s.token, s.bank_cents) == s.bank_cents, (self.settled_cents, s)


async def compare_journal(day: Day, folder: Path) -> None:
    """The station's own list of payments: each is committed, once, with its amount."""
    owed = sorted(f"{s.bank_cents / 100:.2f}" for s in day.sessions if s.begin == "bank")
    rows = list[list[str]]()
    async with deadline(WAIT_S):  # the bank knows before the agent has its answer
        while len([row for row in rows if row[-1:] == ["Committed"]]) < len(owed):
            text = await said("payments", "list", str(folder / "world" / "derived.toml"))
            rows = [line.split() for line in text.splitlines()]
    committed = [row for row in rows if row[-1:] == ["Committed"]]
    assert sorted(word for row in committed for word in row if word in owed) == owed, rows


async def compare_reports(backend: VersionsBackend, paid: list[Session]) -> None:
    """In 2.1 the station sends what each bank card has paid, twice: as the cost, and as the settlement."""
    costs = {b.token: b.said_cents for b in backend.all_booked() if b.said_cents is not None}
    assert costs == {s.token: s.bank_cents for s in paid}
    async with deadline(WAIT_S):
        while len(backend.json.settled_cents) < len(paid):
            await asyncio.sleep(0.05)
    assert backend.json.settled_cents == costs


async def play_day(folder: Path, case: str, say: Callable[[str], None]) -> dict[str, Any]:
    hours = read_table(DAY)
    if not CAMPAIGN:
        hours = hours[: HOURS + (case == CHANGING)]
    async with VersionsBackend() as backend:
        text = STATION.format(backend=backend.file_lines(case), panel=SMALL_PANEL)
        first = hours[0].version if case == CHANGING else case
        await backend.accept_version(first)
        url = backend.station_url(case)
        async with Simulated(folder, text, url, SPEED) as station:
            day = Day(station, backend, case, random.Random(SEED))
            await day.quiet()
            first_wh = {e["number"]: e["meter_wh"] for e in (await station.picture())["evses"]}
            for hour in hours:
                await day.play_hour(hour)
                assert backend.complaints == [], (hour, backend.complaints, station.said())
                say(f"{case}, hour {hour.number}: {len(day.sessions)} sessions, {dict(day.done)}")
            if not backend.version:
                await day.begin_hour(Hour(24, "2.1", {}, "calm"))
            await day.quiet()
            picture = await station.picture()
            assert picture["agent"]["restarts"] == day.done["kills"] + day.done["restarts"], station.said()
            Books(day.sessions, backend.all_booked(), first_wh, picture, backend.json.settled_cents).compare_all()
            await compare_journal(day, folder)
            if case == "2.1":
                await compare_reports(backend, [s for s in day.sessions if s.begin == "bank"])
            assert backend.complaints == [], station.said()
    with sqlite3.connect(folder / "state" / "agent.db") as db:
        assert db.execute("SELECT * FROM dead").fetchall() == []
        assert db.execute("SELECT * FROM outbox").fetchall() == []
    db.close()
    cents = sum(c["cents"] for c in picture["ledger"]["captures"]) + sum(s.page_cents or 0 for s in day.sessions)
    return {**day.done, "sessions": len(day.sessions), "wh": sum(s.wh for s in day.sessions), "cents": cents}


def test_the_table_of_the_day_is_a_day() -> None:
    """Each hour has another version than the one before, and all kinds of trouble happen."""
    hours = read_table(DAY)
    assert [h.number for h in hours] == list(range(24))
    assert all(
        a.version != b.version and {a.version, b.version} != {"1.6J", "1.6S"} for a, b in itertools.pairwise(hours)
    )
    assert {h.version for h in hours} == {*SOAP, *JSON}
    assert {h.trouble for h in hours} == {"calm", "kill", "off", "off+kill", "dark", "replay", "cut", "restart"}
    assert {v.begin for h in hours for v in h.visits.values()} == {"card", "page", "bank", "refused", "stays"}


def agreeing_books() -> Books:
    """Three sessions; the second one has crossed from one version to another."""
    sessions = [
        Session(1, "page", "a", "PAGE1", 1000, 1500, {"token": "PAGE1", "energy_wh": 500, "cost_cents": 31}, 31),
        Session(1, "card", "b", "04AA", 1500, 1700, {"token": "04AA", "energy_wh": 200, "cost_cents": None}),
        Session(2, "bank", "c", "PY1", 2000, 2400, {"token": "PY1", "energy_wh": 400, "cost_cents": 53}),
    ]
    booked = [
        Booked("1.5", 1, 1, "PAGE1", 1000, 1500),
        Booked("1.6", 2, 1, "04AA", 1500),
        Booked("1.5", 3, 1, "04AA", 1500, 1700),
        Booked("2.0.1", "c", 2, "PY1", 2000, 2400, 53),
    ]
    ledger = {"captures": [{"terminal_session": 1, "cents": 53}], "holds": [], "voids": []}
    picture = {"evses": [{"meter_wh": 1700}, {"meter_wh": 2400}], "ledger": ledger}
    return Books(sessions, booked, {1: 1000, 2: 2000}, picture, {"PY1": 53})


PLANTED: dict[str, Callable[[Books], Any]] = {
    "a Wh less at the backend": lambda b: setattr(b.booked[0], "stop_wh", 1499),
    "a Wh more in the station's record": lambda b: b.sessions[1].record.update(energy_wh=201),
    "a Wh that no session has": lambda b: b.first_wh.update({2: 1999}),
    "an end in two versions": lambda b: setattr(b.booked[1], "stop_wh", 1700),
    "no end": lambda b: setattr(b.booked[2], "stop_wh", None),
    "two starts in one version": lambda b: b.booked.append(Booked("1.6", 9, 1, "04AA", 1500)),
    "a session of no driver": lambda b: b.booked.append(Booked("1.6", 9, 1, "04BB", 1700, 1800)),
    "another card at the backend": lambda b: setattr(b.booked[2], "token", "04BB"),
    "a cent more on the screen": lambda b: b.sessions[0].record.update(cost_cents=32),
    "a cent less in the backend's bill": lambda b: setattr(b.sessions[0], "page_cents", 30),
    "a cent more at the bank": lambda b: b.picture["ledger"]["captures"][0].update(cents=54),
    "a card that is charged twice": lambda b: b.picture["ledger"]["captures"].append(
        {"terminal_session": 2, "cents": 53}
    ),
    "money that stays held": lambda b: b.picture["ledger"]["holds"].append({"terminal_session": 1}),
    "a cent less in the cost that was sent": lambda b: setattr(b.booked[3], "said_cents", 52),
    "a cent less in the settlement": lambda b: b.settled_cents.update(PY1=52),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_in_a_book_is_found(mistake: str) -> None:
    books = agreeing_books()
    books.compare_all()
    PLANTED[mistake](books)
    with pytest.raises((AssertionError, ValueError)):
        books.compare_all()


@pytest.mark.campaign
@pytest.mark.timeout(0 if CAMPAIGN else 900)
@pytest.mark.parametrize("case", CASES)
async def test_the_books_of_the_same_day_agree(
    tmp_path: Path, case: str, record_property: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    def say(line: str) -> None:
        if CAMPAIGN:
            with capfd.disabled():
                print(line, flush=True)

    for name, value in sorted((await play_day(tmp_path, case, say)).items()):
        record_property(name, value)
