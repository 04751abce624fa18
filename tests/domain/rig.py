"""A small physical world, a backend and the engine's rules around the domain, with the promises checked at every step.

What the engine guarantees is modelled as it is: withdrawn release first, then one transaction of what is remembered and
billed, then the rest; a store that fails keeps the batches and denies release. The devices answer when a test says so.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from agent.domain.blocks.display import Display
from agent.domain.blocks.evse_status import EvseStatus
from agent.domain.charging.profiles import Purpose
from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    Event,
    FaultCleared,
    LinkChanged,
    MeterFailed,
    RawMeterReading,
    ReleaseWithdrawn,
    RequestReceived,
    Started,
    StopWanted,
    StoreFailed,
    StoreRecovered,
    SupplyChanged,
    TimeCame,
    TokenAuthorized,
    UnlockTried,
)
from agent.domain.evse import EvseRecord, SessionState
from agent.domain.faults import GRACE_S, LASTING_S, blocks_charging
from agent.domain.messages import (
    BILLED,
    ConnectorUnplugged,
    MeterSampled,
    StatusChanged,
    StopReason,
    TransactionAuthorized,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
    TriggerReason,
    is_first_with_token,
)
from agent.domain.orders import (
    AuthorizeToken,
    Order,
    Persist,
    ReadMeter,
    Response,
    Restart,
    Send,
    SetLimit,
    SetRelease,
    Show,
    Shutdown,
    Unlock,
    WakeMe,
)
from agent.domain.requests import BackendRequest, ResetRequest
from agent.domain.station import assemble_blocks
from agent.domain.timers import Timer
from agent.domain.variables import DISPLAY_MESSAGES
from agent.model.board import EvseState, EvseTraits, Pilot
from agent.model.types import AuthorizationStatus, Fault, Moment, Reading, Screen, Stamp, Supply, Token, Verdict
from tests.support.domain_state import configure, evse_record, station_state
from tests.support.reading_purposes import LIVE

GOOD, FRIEND, STRANGER, BAD = (Token(v) for v in ("04AAAAAA", "04BBBBBB", "04CCCCCC", "04DDDDDD"))
VERDICTS = {
    GOOD: Verdict(AuthorizationStatus.ACCEPTED, group="G"),
    FRIEND: Verdict(AuthorizationStatus.ACCEPTED, group="G"),
    STRANGER: Verdict(AuthorizationStatus.ACCEPTED),
    BAD: Verdict(AuthorizationStatus.INVALID),
}
WH_PER_S = 3
OPENS_S = 0.5
"""How long a contactor takes: energy flows on for a moment after release is withdrawn."""
RESUME_WITHIN_S = 60.0
ONCE = {"one_release": True, "tells_pilot": False}
DC = {"dc": True, "min_w": 6 * 690.0, "max_w": 32 * 690.0, **ONCE}
KINDS: dict[str, dict[str, Any]] = {
    "AC": {}, "AC once": ONCE, "DC": {**DC, "pausable": False}, "DC pausable": DC,
}  # fmt: skip
"""DC has as much as an AC outlet, so that the promises read alike."""
EFFICIENCY = 0.9


class Crash(Exception):
    """The process is gone."""


@dataclass
class Outlet:
    """The truth of one EVSE. ``car`` is who is on the cable; energy flows when release is given and the car asks, and
    until the contactor has opened: ``stuck`` opens late. ``dc``: a vehicle takes one session per plug, which the board
    begins with the release; however it ends, it is ``spent``."""

    car: int | None = None
    cable: bool = False
    ready: bool = False
    since_s: float = 0.0
    release: bool = False
    limit_a: float = 32.0
    here: bool = True
    faults: frozenset[Fault] = frozenset()
    register_wh: int = 1000
    seen: EvseState | None = None
    contactor: bool = False
    opens_s: float | None = None
    stuck: bool = False
    bay: bool = False
    dc: bool = False
    begun: bool = False
    spent: bool = False
    well_s: float = -1e9
    """When the board last reported that something which blocks is gone."""

    def settle(self, now_s: float) -> None:
        """The contactor follows: closes at once, opens a little later."""
        if self.dc:
            self._one_session()
        offers = self.release and self.limit_a >= 6.0 and not self.spent
        if offers and self.car is not None and self.ready and not self.faults:
            self.contactor, self.opens_s = True, None
        elif self.contactor and (self.car is None or (self.opens_s is not None and now_s >= self.opens_s)):
            self.contactor, self.opens_s = self.stuck and self.car is not None, None
        elif self.contactor and self.opens_s is None and not self.stuck:
            self.opens_s = now_s + OPENS_S

    def _one_session(self) -> None:
        if self.car is None:
            self.begun = self.spent = False
            return
        over = self.begun and (not self.release or (self.contactor and not self.ready))
        self.spent = self.spent or over
        self.begun = self.release and not self.spent

    def picture(self, now_s: float, counts: bool) -> EvseState:
        asks = self.contactor and self.ready if self.dc else self.ready
        pilot = Pilot.A if self.car is None else Pilot.C if asks else Pilot.B
        return EvseState(
            pilot,
            pwm=self.release and self.car is not None,
            cable=self.cable,
            contactor=self.contactor,
            faults=self.faults,
            plugged_s=float(int(now_s - self.since_s)) if counts and self.car is not None else None,
            bay_occupied=self.bay,
            released=(None if self.release else False) if self.dc else None,
            spent=self.spent and not self.contactor,
        )


@dataclass
class Config:
    evses: int = 1
    counts: bool = True
    tethered: bool = False
    kinds: tuple[str, ...] = ("AC",)
    """Of ``KINDS``, outlet by outlet, then again."""
    feed_a: float | None = None
    bays: bool = False
    free_vending: bool = False
    links: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    terms: Any = None
    offer: Any = None
    has_updater: bool = False

    def traits(self, number: int) -> EvseTraits:
        kind = KINDS[self.kinds[(number - 1) % len(self.kinds)]]
        return EvseTraits(tethered=self.tethered, counts_plugged=self.counts, **kind)

    def efficiency(self, number: int) -> float:
        return EFFICIENCY if self.traits(number).dc else 1.0


class Rig:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.outlets = {n: Outlet(dc=config.traits(n).dc) for n in range(1, config.evses + 1)}
        self.links = ("chargy", "owner")[: config.links]
        self.boot, self.t_s = 1, 1000.0
        self.store: dict[str, dict[str, Any]] = {}
        self.sent_messages: list[tuple[str, Any]] = []
        self.names = (f"s{n}" for n in itertools.count(1))
        self.cars = itertools.count(1)
        self.requests = itertools.count(1)
        self.allowed: set[Token] = set()
        self.refused: set[str] = set()
        self.session_car: dict[str, int] = {}
        self.begun: set[str] = set()
        self.away_since_s: dict[int, float] = {}
        self.meter_failed: set[int] = set()
        self.alive, self.link_up, self.sound = False, False, True
        self.mains = True
        self.start()

    # --- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.site = station_state(
            {n: self._evse(n) for n in self.outlets},
            feed_a=self.config.feed_a,
            settings=self.config.settings,
            links=self.links,
            new_id=lambda: next(self.names),
            free_vending=self.config.free_vending,
            resume_within_s=RESUME_WITHIN_S,
            payment_terms=self.config.terms,
            has_updater=self.config.has_updater,
        )
        for evse in self.site.evses.values():
            configure(evse, offer=self.config.offer)
        self.site.settings.fitted = frozenset({DISPLAY_MESSAGES})
        self.blocks = assemble_blocks(self.site)
        self.display = next(b for b in self.blocks._blocks if isinstance(b, Display))
        self.alive, self.crash_at, self.link_up, self.resetting = True, "", False, False
        self.started_s = self.t_s
        self.suffering: dict[tuple[int, Fault], float] = {}
        self.timers: dict[Timer, float] = {}
        self.devices: list[ReadMeter | AuthorizeToken | Unlock] = []
        self.queue: list[Event] = []
        self.unsaved: list[tuple[list[Persist], list[Send]]] = []
        self.disk_full = False
        self.asked: Counter[str] = Counter()
        self.replied: Counter[str] = Counter()
        self.statuses: dict[tuple[str, int], StatusChanged] = {}
        self.screens: dict[int, Screen] = {}
        self.opened: set[int] = set()
        self.unconfirmed: set[int] = set()
        for outlet in self.outlets.values():
            outlet.seen = None
        self.post(Started(json.loads(json.dumps(self.store))))
        self.post(SupplyChanged(Supply(self.mains)))

    def _evse(self, n: int) -> EvseRecord:
        traits, efficiency = self.config.traits(n), self.config.efficiency(n)
        return evse_record(
            n, tethered=traits.tethered, dc=traits.dc, efficiency=efficiency, bay_sensor=self.config.bays
        )

    def down(self) -> None:
        """The process is gone; the boards' watchdogs withdraw release."""
        self.alive = False
        for n, outlet in self.outlets.items():
            outlet.release, outlet.seen = False, None
            outlet.settle(self.t_s)
            self.away_since_s.setdefault(n, self.t_s)

    def open_board(self, n: int) -> None:
        outlet = self.outlets[n]
        outlet.here, outlet.release = True, False
        outlet.settle(self.t_s)
        outlet.seen = outlet.picture(self.t_s, self.config.counts)
        self.opened.add(n)
        self.post(BoardOpened(n, outlet.seen, self.config.traits(n)))
        self.post(FaultCleared(n, Fault.BOARD_SILENT))
        self.away_since_s.pop(n, None)

    def close_board(self, n: int) -> None:
        """The line to the board is cut: its watchdog withdraws release."""
        outlet = self.outlets[n]
        outlet.here, outlet.release, outlet.seen = False, False, None
        outlet.settle(self.t_s)
        self.away_since_s.setdefault(n, self.t_s)

    # --- the engine --------------------------------------------------------------------------------------------

    @property
    def now(self) -> Moment:
        return Moment(Stamp(self.boot, self.t_s), 1_800_000_000.0 + self.t_s)

    def post(self, event: Event) -> None:
        """Feed one event and all that the engine itself makes of it. The process may be gone afterwards."""
        if not self.alive:
            return
        self.queue.append(event)
        try:
            while self.queue:
                self._handle(self.queue.pop(0))
            if min(self.timers.values(), default=self.t_s + 1) > self.t_s:
                self._look_at_what_is_shown()
        except Crash:
            self.down()
        except Exception:
            self.sound = False
            raise

    def _handle(self, event: Event) -> None:
        crash_at, self.crash_at = self.crash_at, ""
        orders = self.blocks.handle_event(event, self.now)
        self._check_batch(orders)
        for order in orders:
            if isinstance(order, SetRelease) and not order.on:
                self.outlets[order.evse].release = False
                self.outlets[order.evse].settle(self.t_s)
        if crash_at == "unsaved":
            raise Crash
        saved = self._save(orders)
        if crash_at == "saved":
            raise Crash
        for order in orders:
            self._carry_out(order, saved)
        self.unconfirmed |= {o.evse for o in orders if isinstance(o, SetRelease) and not o.on}
        self._confirm()
        self.begun |= {e.session.id for e in self.site.evses.values() if e.session}

    def _confirm(self) -> None:
        """The boards are read after a withdrawal."""
        for n in sorted(self.unconfirmed & self.opened):
            if self.outlets[n].here and not self.outlets[n].contactor:
                self.unconfirmed.discard(n)
                self.queue.append(ReleaseWithdrawn(n))

    def _save(self, orders: Iterable[Order]) -> bool:
        puts = [o for o in orders if isinstance(o, Persist)]
        tells = [o for o in orders if isinstance(o, Send) and isinstance(o.message, BILLED)]
        if puts or tells:
            self.unsaved.append((puts, tells))
        while self.unsaved:
            if self.disk_full:
                if self.site.store_ok and not any(isinstance(e, StoreFailed) for e in self.queue):
                    self.queue.append(StoreFailed())
                return False
            self._commit(*self.unsaved.pop(0))
        if not self.site.store_ok and not any(isinstance(e, StoreRecovered) for e in self.queue):
            self.queue.append(StoreRecovered())
        return True

    def _commit(self, puts: list[Persist], tells: list[Send]) -> None:
        for put in puts:
            table = self.store.setdefault(put.kind, {})
            if put.value is None:
                table.pop(put.key, None)
            else:
                table[put.key] = json.loads(json.dumps(put.value))
        self.sent_messages += [(t.link, t.message) for t in tells]

    def _carry_out(self, order: Order, saved: bool) -> None:
        match order:
            case SetRelease(n, True):
                if saved:
                    self._give_release(n)
                else:
                    why = (StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION)
                    self.queue.append(StopWanted(n, *why, note="fault"))
            case SetLimit(n, limit):
                self.outlets[n].limit_a = limit.current_a or 0.0
            case ReadMeter() | AuthorizeToken() | Unlock():
                if isinstance(order, Unlock):
                    assert not self.outlets[order.evse].release, "unlocked while release was given"
                    assert not self.site.evses[order.evse].board.contactor_closed, "unlocked with the contactor closed"
                if order not in self.devices or not (isinstance(order, ReadMeter) and order.purpose == LIVE):
                    self.devices.append(order)
            case Response(_, request):
                self.replied[request] += 1
            case WakeMe(timer, at_s):
                self.timers.pop(timer, None)  # of two that are due at the same time the earlier order comes first
                if at_s is not None:
                    self.timers[timer] = at_s
            case Show(n, screen):
                self.screens[n] = screen
            case Send(link, StatusChanged(n) as status):
                self.statuses[link, n] = status
            case Restart() | Shutdown():
                raise Crash
            case _:
                pass

    # --- time and devices --------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """In steps: pictures of the boards, then what is due, then energy flows."""
        end_s = self.t_s + seconds
        while True:
            self.look()
            due = sorted(((at, t) for t, at in self.timers.items()), key=lambda d: d[0]) if self.alive else []
            opens_s = min((o.opens_s for o in self.outlets.values() if o.opens_s is not None), default=end_s)
            if opens_s < end_s and (not due or opens_s < due[0][0]):
                self._flow(opens_s)
                continue
            if not due or due[0][0] > end_s:
                break
            at_s, timer = due[0]
            self._flow(at_s)
            del self.timers[timer]
            self.post(TimeCame(timer))
        self._flow(end_s)

    def _flow(self, until_s: float) -> None:
        elapsed_s = max(0.0, until_s - self.t_s)
        for outlet in self.outlets.values():
            if outlet.contactor:
                outlet.register_wh += int(elapsed_s * WH_PER_S)
        self.t_s = max(self.t_s, until_s)
        for outlet in self.outlets.values():
            outlet.settle(self.t_s)

    def look(self) -> None:
        """The boards say what has changed."""
        for n, outlet in self.outlets.items():
            outlet.settle(self.t_s)
            if self.alive and outlet.here and n in self.opened and self._say(n):
                self.post(self.queue.pop())
        self._confirm()
        while self.alive and self.queue:
            self.post(self.queue.pop(0))

    def _say(self, n: int) -> bool:
        """Queue the board's picture if it is a new one. A closing contactor is reported at once (in truth within half
        a second: what flows in between is below the register's step)."""
        outlet = self.outlets[n]
        picture = outlet.picture(self.t_s, self.config.counts)
        if outlet.seen is not None and _same(outlet.seen, picture):
            return False
        came = outlet.seen is not None and not outlet.seen.vehicle_connected and picture.vehicle_connected
        if outlet.seen is not None and any(map(blocks_charging, outlet.seen.faults - picture.faults)):
            outlet.well_s = self.t_s
        outlet.seen = picture
        self._car_followed(n, came)
        self.queue.append(BoardChanged(n, picture))
        return True

    def _car_followed(self, n: int, came: bool) -> None:
        """A session that is to survive the unplug at the car goes on with the next driver who plugs in."""
        evse, car = self.site.evses[n], self.outlets[n].car
        if came and evse.session and evse.state is SessionState.ACTIVE and car is not None:
            self.session_car[evse.session.id] = car

    def answer(self, index: int, well: bool) -> None:
        """One device or the backend answers one open question."""
        if not (self.alive and self.devices):
            return
        order = self.devices.pop(index % len(self.devices))
        match order:
            case ReadMeter(n, purpose) if well:
                power_w = 3600.0 * WH_PER_S if self.outlets[n].contactor else 0.0
                reading = Reading(self.now.stamp, self.outlets[n].register_wh, power_w=power_w)
                self.post(RawMeterReading(n, purpose, reading))
            case ReadMeter(n, purpose):
                self.meter_failed.add(n)
                self.post(MeterFailed(n, purpose))
            case AuthorizeToken(_, request, token):
                verdict = VERDICTS.get(token, VERDICTS[BAD]) if well else None
                if verdict and verdict.is_accepted:
                    self.allowed.add(token)
                self.post(TokenAuthorized(request, token, verdict))
            case Unlock(n, request):
                self.post(UnlockTried(n, request, well))

    def ask(self, what: BackendRequest) -> None:
        request = f"q{next(self.requests)}"
        self.asked[request] += 1
        self.post(RequestReceived(self.links[0], request, what))
        station = isinstance(what, ResetRequest) and not what.evse
        self.resetting = self.alive and (self.resetting or station)

    def link(self, up: bool) -> None:
        for link in self.links:
            self.post(LinkChanged(link, up))
        self.link_up = up and self.alive

    # --- the promises ------------------------------------------------------------------------------------------

    def _check_batch(self, orders: list[Order]) -> None:
        started, ended = (
            {o.message.session for o in orders if isinstance(o, Send) and isinstance(o.message, kind)}
            for kind in (TransactionStarted, TransactionEnded)
        )
        assert not (started - ended and self.resetting), "a session began after a reset was promised"
        given: set[int] = set()
        for order in orders:
            if isinstance(order, SetRelease):
                assert order.on or order.evse not in given, "the engine would undo this withdrawal"
                given |= {order.evse} if order.on else set()

    def _give_release(self, n: int) -> None:
        evse, outlet = self.site.evses[n], self.outlets[n]
        session = evse.session
        assert session is not None, "release without a session"
        assert outlet.limit_a >= 6.0, "release in a pause"
        assert outlet.seen is None or not outlet.seen.spent, "release for a vehicle that has had its session"
        on_disk = self.store["session"][session.id]
        assert on_disk["stop"] is None
        assert not on_disk["held"]
        assert session.id not in self.refused, "release although the backend has refused the token"
        assert on_disk["started"]["boot"] == self.boot, "resumed after a boot of the kernel"
        free = self.config.free_vending and session.token.value == "FREE"
        unknown_allowed = self.config.settings.get("offline_tx_for_unknown_id", False)
        assert free or unknown_allowed or session.token in self.allowed, (
            f"release for {session.token} without authorization"
        )
        self._check_reported(session.id, session.token)
        if outlet.here and outlet.car is not None:
            # what a running session outlives begins none; one that began in a pause is a running one
            heavy = {
                f for f in evse.faults if blocks_charging(f) and (session.id not in self.begun or f not in GRACE_S)
            }
            assert not heavy, f"release with {heavy}"
            forgotten = self.t_s - self.started_s < LASTING_S  # what a board showed before is unknown
            assert forgotten or self.t_s - outlet.well_s >= LASTING_S, "release a moment after a fault"
            known = self.session_car.setdefault(session.id, outlet.car)
            if known != outlet.car:
                away_s = self.t_s - self.away_since_s.get(n, self.t_s)
                assert not self.config.counts, "resumed for another car although the board counts"
                assert away_s <= RESUME_WITHIN_S, f"resumed for another car after {away_s} s"
                self.session_car[session.id] = outlet.car
            outlet.release = True
            outlet.settle(self.t_s)
            self._say(n)

    def _check_reported(self, id_: str, token: Token) -> None:
        """On disk and sent, but for a transaction that begins with the energy; and it is of this very token."""
        own = [m for link, m in self.sent_messages if getattr(m, "session", "") == id_ and link == self.links[0]]
        if not self.store["session"][id_]["told"]:
            assert own == []
            return
        tokens = [m.token for m in own if isinstance(m, TransactionStarted) and m.token is not None]
        tokens += [m.token for m in own if isinstance(m, TransactionAuthorized) and not m.placed]
        assert tokens == [token], f"release for {token}, sent {tokens}"
        assert any(is_first_with_token(m) for m in own), "energy before a message said who charges where"
        assert isinstance(own[0], TransactionStarted), "energy before the start was sent"

    def _look_at_what_is_shown(self) -> None:
        """Neither the backend nor the driver is left with an old picture."""
        self._check_limits()
        fresh = EvseStatus(self.site)
        for n, evse in self.site.evses.items():
            self._check_levels(n, evse)
            name, detail, _ = self.display.select_screen(evse, self.now)
            shown = self.screens[n]
            assert (shown.name, shown.detail) == (name, detail), f"screen says {shown}, truth is {name} {detail}"
            for link in self.links if self.link_up and (evse.board.known or evse.faults) else ():
                reported, true = self.statuses[link, n], fresh.derive_status(n, self.now.stamp)
                for word in ("connector", "charging", "authorized", "ended", "faults"):
                    assert getattr(reported, word) == getattr(true, word), f"{word}: reported {reported}, true {true}"

    def _check_limits(self) -> None:
        """Who may have energy has it unless there is too little, and neither feed nor a station maximum is exceeded."""
        for evse in self.site.evses.values():
            if (
                evse.state is SessionState.ACTIVE
                and evse.release_order.requested
                and not self.site.stopping
                and self.site.store_ok
                and not evse.board_lost  # nothing reaches it, and what it had is kept for it
            ):
                resumes_at_s = evse.release_order.resumes_at_s
                resumes = resumes_at_s is not None and resumes_at_s >= self.now.t_s
                assert evse.release_order.given or evse.paused_by_limit or resumes, "neither paused nor charging"
                assert evse.traits.one_release or not (evse.release_order.given and evse.paused_by_limit), (
                    "charging in a pause"
                )
        if self.disk_full or self.unsaved:
            return
        profiles = [r["profile"] for r in self.store.get("charging_profile", {}).values()]
        most = [p["schedule"]["periods"][0]["limit"] for p in profiles if p["purpose"] == Purpose.STATION_MAX]
        most += [] if self.config.feed_a is None else [self.config.feed_a]
        given = {n: o for n, o in self.outlets.items() if o.release and not o.spent}
        drawn_a = sum(o.limit_a / self.config.efficiency(n) for n, o in given.items())
        kept_a = sum(6.0 / self.config.efficiency(n) for n in given if not self.config.traits(n).pausable)
        assert drawn_a <= max(min(most, default=drawn_a), kept_a) + 1e-6, f"{drawn_a} A of {most} A"

    def _check_levels(self, n: int, evse: EvseRecord) -> None:
        """The domain's idea of release is the board's, and no vehicle charges for long with what ends sessions."""
        if n in self.opened and self.outlets[n].here:
            assert evse.release_order.given == self.outlets[n].release, "release is not what the session believes"
        if evse.state is not SessionState.ACTIVE:
            self.suffering = {k: t for k, t in self.suffering.items() if k[0] != n}
            return
        ending = {f for f in evse.faults if blocks_charging(f)}
        self.suffering = {k: t for k, t in self.suffering.items() if k[0] != n or k[1] in ending}
        for fault in ending:
            since_s = self.suffering.setdefault((n, fault), self.t_s)
            assert self.t_s - since_s <= GRACE_S.get(fault, -1.0), f"charging on with {fault}"

    def check_books(self) -> None:
        """What was sent adds up, for every link by itself."""
        for link in self.links:
            messages = [m for to, m in self.sent_messages if to == link]
            starts: dict[str, TransactionStarted] = {}
            last_wh: dict[str, int] = {}
            ended: set[str] = set()
            named: set[str] = set()
            unplugged: set[str] = set()
            per_evse: dict[int, int] = defaultdict(lambda: 1000)
            for m in messages:
                if isinstance(m, TransactionStarted):
                    assert m.session not in starts, "started twice"
                    assert not m.evse or m.meter_wh >= per_evse[m.evse], "began before the last one ended"
                    others = [s for s, o in starts.items() if s not in ended and m.evse and o.evse == m.evse]
                    assert others == [], "two open transactions on one EVSE"
                    starts[m.session], last_wh[m.session] = m, m.meter_wh
                    named |= {m.session} if is_first_with_token(m) else set()
                    continue
                if isinstance(m, MeterSampled) and not m.session:
                    continue
                if isinstance(m, ConnectorUnplugged):
                    assert m.session in ended, "the place was left before its session ended"
                    assert m.session not in unplugged, "left twice"
                    unplugged.add(m.session)
                    continue
                assert isinstance(m, TransactionAuthorized | TransactionUpdated | TransactionEnded | MeterSampled)
                assert m.session in starts, "unheard-of session"
                assert m.session not in ended, "sent after the end"
                if isinstance(m, MeterSampled):
                    for sample in m.samples:
                        assert sample.reading.energy_wh >= last_wh[m.session], "a meter that runs backwards"
                        assert sample.reading.at >= starts[m.session].at
                        last_wh[m.session] = sample.reading.energy_wh
                if isinstance(m, TransactionAuthorized):
                    assert m.session not in named, "authorized twice"
                    assert m.placed == (starts[m.session].evse == 0)
                    if m.placed:
                        starts[m.session] = replace(starts[m.session], evse=m.evse, meter_wh=m.meter_wh)
                        last_wh[m.session] = m.meter_wh
                    named.add(m.session)
                if isinstance(m, MeterSampled):
                    assert m.authorized == (m.session in named)
                if isinstance(m, TransactionEnded):
                    assert m.authorized == (m.session in named), "1.6 would get an end without a start"
                    assert m.meter_wh >= last_wh[m.session]
                    register_wh = self.outlets[m.evse].register_wh if m.evse else 0
                    assert m.meter_wh <= register_wh, "billed more than was drawn"
                    assert m.at >= starts[m.session].at
                    self.check_last_session(m, starts[m.session])
                    ended.add(m.session)
                    per_evse[m.evse] = m.meter_wh
                    assert m.evse == starts[m.session].evse
            self.open_sessions = set(starts) - ended
            on_disk = {k for k, r in self.store.get("session", {}).items() if r["told"]} | set(self.store.get("tx", {}))
            assert self.open_sessions == on_disk, f"open {self.open_sessions}, on disk {on_disk}"

    def check_last_session(self, end: TransactionEnded, start: TransactionStarted) -> None:
        """What a person is shown of the session is what is billed."""
        for evse in self.site.evses.values():
            if evse.last_session is not None and evse.last_session.id == end.session:
                assert evse.last_session.energy_wh == end.meter_wh - start.meter_wh, "another figure than the bill's"

    def check_everything_billed(self) -> None:
        """No energy without a session: as long as no meter failed, what was drawn is what was billed."""
        sums: Counter[int] = Counter()
        for m in (m for link, m in self.sent_messages if link == self.links[0]):
            placed = isinstance(m, TransactionAuthorized) and m.placed
            if isinstance(m, TransactionEnded):
                sums[m.evse] += m.meter_wh
            elif isinstance(m, TransactionStarted) or placed:
                sums[m.evse] -= m.meter_wh
        for n, outlet in self.outlets.items():
            drawn_wh = outlet.register_wh - 1000
            assert sums[n] <= drawn_wh
            assert n in self.meter_failed or sums[n] == drawn_wh, f"EVSE {n}: drawn {drawn_wh}, billed {sums[n]}"


def _same(a: EvseState, b: EvseState) -> bool:
    """A count that goes on is no change."""
    return _picture(a) == _picture(b)


def _picture(s: EvseState) -> tuple[Any, ...]:
    return s.pilot, s.pwm, s.cable, s.contactor, s.faults, s.bay_occupied, s.released, s.spent
