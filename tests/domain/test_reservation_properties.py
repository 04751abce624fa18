"""Reservations against two references: one that tries every assignment of outlets to wishes, and one that keeps the
books of a small station while cards, cancellations, time and restarts come in any order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.events import CardPresented, RequestReceived, TokenAuthorized
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import CancelReservationRequest, ReserveNowRequest
from agent.domain.reservation_claims import Reservation, claim_reservation, count_served_wishes
from agent.domain.variables import Settings
from agent.model.types import AuthorizationStatus, Stamp, Token, Verdict
from tests.domain.playbook import EMPTY, LINK, UTC0_S, Playbook
from tests.support.domain_state import evse_record

KINDS = ("sType2", "cType2")
TOKENS = tuple(Token(name) for name in "ABCD")
GROUPS = {"A": "F", "B": "F", "C": None, "D": None}


def best(have: list[str], want: list[str]) -> int:
    """As many as possible, by trying all orders in which the wishes may choose."""
    most = 0
    for order in permutations(want):
        left = list(have)
        count = 0
        for wish in order:
            fit = next((h for h in left if wish in ("", h)), None)
            if fit is not None:
                left.remove(fit)
                count += 1
        most = max(most, count)
    return most


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(KINDS), max_size=4), st.lists(st.sampled_from(("", *KINDS)), max_size=4))
def test_as_many_wishes_are_served_as_can_be(have: list[str], want: list[str]) -> None:
    assert count_served_wishes(have, want) == best(have, want)


@st.composite
def situations(draw: st.DrawFn) -> tuple[StationState, EvseRecord, Token, str | None]:
    evses = {n: evse_record(n, tethered=draw(st.booleans())) for n in range(1, draw(st.integers(1, 4)) + 1)}
    for evse in evses.values():
        evse.board.known = True
        evse.state = draw(
            st.sampled_from([SessionState.FREE, SessionState.FREE, SessionState.OCCUPIED, SessionState.ACTIVE])
        )
    site = StationState(evses, Settings())
    for n in range(draw(st.integers(0, 4))):
        token, group = draw(st.sampled_from(TOKENS)), draw(st.sampled_from([None, "F"]))
        where, kind = draw(st.integers(0, len(evses))), draw(st.sampled_from(("", *KINDS)))
        kind = kind if where == 0 else ""
        taken = {r.evse for r in site.reservations.values() if r.evse}
        if where not in taken:
            site.reservations[f"l/{n}"] = Reservation(f"l/{n}", where, token, 9e9, Stamp(1, 0.0), 9e9, group, kind)
    evse = evses[draw(st.integers(1, len(evses)))]
    token = draw(st.sampled_from(TOKENS))
    return site, evse, token, GROUPS[token.value]


@settings(max_examples=200, deadline=None)
@given(situations())
def test_no_one_takes_what_others_cannot_do_without(
    situation: tuple[StationState, EvseRecord, Token, str | None],
) -> None:
    site, evse, token, group = situation
    every = list(site.reservations.values())
    own = [r for r in every if r.token == token or (r.group is not None and r.group == group)]
    specific = {r.evse: r for r in every if r.evse}
    used = claim_reservation(site, evse, token, group)
    if evse.number in specific:
        assert used == (specific[evse.number].id if specific[evse.number] in own else None)
        return
    open_ = [e for e in site.evses.values() if (e.state is SessionState.FREE and e.number not in specific) or e is evse]
    pool = [r for r in every if not r.evse]
    before = best([e.connector_type for e in open_], [r.connector for r in pool])
    others = [e.connector_type for e in open_ if e is not evse]
    mine = [r for r in own if not r.evse and r.connector in ("", evse.connector_type)]
    ways = [best(others, [p.connector for p in pool if p is not r]) >= before - 1 for r in mine]
    free_way = best(others, [r.connector for r in pool]) >= before
    assert (used is not None) == (any(ways) or (not mine and free_way))
    if mine and used is not None:
        assert used in {r.id for r in mine}


# --- a station's books -----------------------------------------------------------------------------------------------

RESERVE = st.tuples(
    st.just("reserve"), st.integers(1, 3), st.integers(0, 2), st.sampled_from("ABCD"), st.integers(-1, 5)
)
DEEDS = st.lists(
    RESERVE
    | st.tuples(st.just("cancel"), st.integers(1, 3))
    | st.tuples(st.just("tap"), st.integers(1, 2), st.sampled_from("ABCD"))
    | st.tuples(st.just("wait"), st.sampled_from([30, 61, 200]))
    | st.tuples(st.just("restart")),
    max_size=14,
)


class Books:
    """Two sockets, no vehicles: an outlet is free or waits for the driver (60 s). Number -> (outlet, token, end)."""

    def __init__(self) -> None:
        self.now = 0
        self.rows: dict[int, tuple[int, str, int]] = {}
        self.waits: dict[int, tuple[int, int | None]] = {}
        """Outlet -> (until, the number that is used)."""

    def settle(self) -> None:
        self.rows = {n: row for n, row in self.rows.items() if row[2] > self.now}
        self.waits = {e: (u, n if n in self.rows else None) for e, (u, n) in self.waits.items() if u > self.now}

    def free(self, rows: dict[int, tuple[int, str, int]]) -> set[int]:
        return {1, 2} - self.waits.keys() - {e for e, _, _ in rows.values()}

    def open_wishes(self, rows: dict[int, tuple[int, str, int]]) -> dict[int, str]:
        bound = {n for _, n in self.waits.values()}
        return {n: token for n, (e, token, _) in rows.items() if e == 0 and n not in bound}

    def reserve(self, number: int, evse: int, token: str, minutes: int) -> str:
        rows = {n: row for n, row in self.rows.items() if n != number}
        free, wishes = self.free(rows), len(self.open_wishes(rows))
        if minutes <= 0:
            return "Rejected"
        if (evse and evse not in free) or len(free) <= wishes:
            return "Occupied"
        self.rows[number] = (evse, token, self.now + 60 * minutes)
        self.waits = {e: (u, None if n == number else n) for e, (u, n) in self.waits.items()}
        return "Accepted"

    def tap(self, evse: int, token: str) -> bool:
        if evse in self.waits:
            return False
        bound = {n for _, n in self.waits.values()}
        here = {n: t for n, (e, t, _) in self.rows.items() if e == evse and n not in bound}
        used: int | None = None
        if here:
            used = next((n for n, t in here.items() if t == token), None)
            if used is None:
                return False
        else:
            wishes = self.open_wishes(self.rows)
            used = next((n for n, t in wishes.items() if t == token), None)
            free = self.free(self.rows) | {evse}
            if used is None and min(len(free) - 1, len(wishes)) < min(len(free), len(wishes)):
                return False
        self.waits[evse] = (self.now + 60, used)
        return True


def _tap(play: Playbook, evse: int, token: Token) -> None:
    play.feed(CardPresented(evse, token))
    for order in [o for o in play.unclaimed if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(order.request, token, Verdict(AuthorizationStatus.ACCEPTED)))


def _do(play: Playbook, books: Books, deed: tuple[Any, ...]) -> None:
    match deed:
        case ("reserve", number, evse, name, minutes):
            ask = ReserveNowRequest(number, evse, Token(name), UTC0_S + books.now + 60 * minutes)
            (reply,) = [o for o in play.feed(RequestReceived(LINK, "1", ask)) if isinstance(o, Response)]
            assert reply.status == books.reserve(number, evse, name, minutes)
        case ("cancel", number):
            (reply,) = [
                o
                for o in play.feed(RequestReceived(LINK, "1", CancelReservationRequest(number)))
                if isinstance(o, Response)
            ]
            assert reply.status == ("Accepted" if books.rows.pop(number, None) else "Rejected")
        case ("tap", evse, name):
            before = play.evse(evse).authorization
            _tap(play, evse, Token(name))
            after = play.evse(evse).authorization
            assert (after is not None and after is not before) == books.tap(evse, name)
        case ("wait", seconds):
            for _ in range(seconds):  # in steps: what ends first frees what comes next
                play.skip().wait(1)
                books.now += 1
                books.settle()
        case _:
            play.skip().restart(0.0, state=EMPTY)
            books.waits.clear()


@settings(max_examples=80, deadline=None)
@given(DEEDS)
def test_the_books_of_a_station(deeds: list[tuple[Any, ...]]) -> None:
    play, books = Playbook(evses=2), Books()
    for deed in deeds:
        _do(play, books, deed)
        play.skip()
        books.settle()
        have = {int(r.id.rpartition("/")[2]): (r.evse, r.token.value) for r in play.site.reservations.values()}
        assert have == {n: (e, token) for n, (e, token, _) in books.rows.items()}
        assert play.store.get("reservation", {}).keys() == {f"{LINK}/{n}" for n in books.rows}
        used = {n: e.authorization.reservation for n, e in play.site.evses.items() if e.authorization}
        assert used == {e: f"{LINK}/{n}" if n else "" for e, (_, n) in books.waits.items()}
