"""The local authorization list: versions, what it decides on line and off line, and that it is taken whole or not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.events import (
    CardPresented,
    RequestReceived,
    Started,
    StoreFailed,
    TokenAuthorized,
    TransactionAcknowledged,
)
from agent.domain.evse import SessionState
from agent.domain.functional_block import Blocks
from agent.domain.messages import ListConflicted
from agent.domain.orders import AuthorizeToken, Persist, ReadMeter, Response
from agent.domain.reading_purposes import ReadingKind
from agent.domain.requests import LocalListVersionRequest, RemoteStartRequest, SendLocalListRequest, SetVariablesRequest
from agent.model.types import AuthorizationStatus, Moment, Stamp, Token, Verdict
from tests.domain.playbook import LINK, UTC0_S, A, B, Playbook, charging, kept, sent_message

GOOD = Verdict(AuthorizationStatus.ACCEPTED)
FAMILY = Verdict(AuthorizationStatus.ACCEPTED, "FAMILY")
BAD = [Verdict(AuthorizationStatus(w)) for w in ("Invalid", "Blocked", "Expired")]
OUT_OF_DATE = Verdict(AuthorizationStatus.ACCEPTED, expires_utc_s=UTC0_S - 1)


def sent(version: int, full: bool, **entries: Verdict | None) -> SendLocalListRequest:
    return SendLocalListRequest(version, full, tuple(entries.items()))


def listing(play: Playbook, version: int = 1, full: bool = True, **entries: Verdict | None) -> Playbook:
    """This is the list from now on."""
    assert answer(play, sent(version, full, **entries)).status == "Accepted"
    return play.skip()


def answer(play: Playbook, ask: Any) -> Response:
    orders = play.feed(RequestReceived(LINK, "1", ask))
    play.skip()
    (reply,) = [o for o in orders if isinstance(o, Response)]
    return reply


def version(play: Playbook) -> int:
    return int(answer(play, LocalListVersionRequest()).data["version"])


def of(token: Token, verdict: Verdict | None) -> dict[str, Verdict | None]:
    return {token.value: verdict}


# --- versions and what cannot be stored ----------------------------------------------------------------------------


def test_full_then_differential() -> None:
    play = Playbook()
    assert version(play) == 0
    listing(play, 2, **of(A, GOOD))
    listing(play, 5, False, **of(B, GOOD))
    assert version(play) == 5
    listing(play, 6, False, **of(A, None))
    assert play.site.local_list.entries.keys() == {B.value.casefold()}
    listing(play, 7, False)
    assert version(play) == 7
    listing(play, 3, **of(A, GOOD))  # a full list may be older
    assert version(play) == 3


def test_an_empty_full_list_leaves_version_0() -> None:
    play = listing(Playbook(), 2, **of(A, GOOD))
    listing(play, 9)
    assert version(play) == 0
    assert not play.store["list"]


@pytest.mark.parametrize("number", [5, 4, 0, -1])
def test_a_differential_list_that_is_not_newer(number: int) -> None:
    play = listing(Playbook(), 5, **of(A, GOOD))
    assert answer(play, sent(number, False, **of(B, GOOD))).status == "VersionMismatch"
    assert (version(play), len(play.site.local_list.entries)) == (5, 1)


@pytest.mark.parametrize(
    "ask",
    [
        sent(6, True, X=None),
        sent(0, True, X=GOOD),
        sent(-1, True, X=GOOD),
        SendLocalListRequest(6, True, (("x", GOOD), ("X", GOOD))),
        SendLocalListRequest(6, True, tuple((f"T{n}", GOOD) for n in range(4))),
        SendLocalListRequest(6, False, tuple((f"T{n}", GOOD) for n in range(3))),
    ],
    ids=["no word", "version 0", "version -1", "twice", "too many at once", "too many in all"],
)
def test_what_cannot_be_stored_leaves_the_old_list(ask: SendLocalListRequest) -> None:
    play = listing(Playbook(settings={"list_max_entries": 3, "list_max_items": 3}), 5, **of(A, GOOD))
    before = dict(play.store["list"])
    assert answer(play, ask).status == "Failed"
    assert version(play) == 5
    assert play.store["list"] == before


def test_a_disk_that_takes_nothing() -> None:
    play = listing(Playbook(), 5, **of(A, GOOD))
    play.feed(StoreFailed())
    assert answer(play, sent(6, True, **of(B, GOOD))).status == "Failed"
    assert play.site.local_list.entries.keys() == {A.value.casefold()}


def test_only_what_differs_is_written_and_all_of_it_in_one_event() -> None:
    play = listing(Playbook(), 1, **of(A, GOOD), KEPT=FAMILY)
    assert (
        play
        >> RequestReceived(LINK, "1", sent(2, True, **of(B, GOOD), KEPT=FAMILY))
        << Persist("list", A.value.casefold(), None)
        << kept("list", B.value.casefold(), status="Accepted")
        << kept("list_version", "now", version=2, entries=2)
        << Response(LINK, "1", "Accepted")
    )


def test_switched_off() -> None:
    play = listing(Playbook(settings={"local_pre_authorize": True}), 5, **of(A, GOOD))
    assert answer(play, SetVariablesRequest({"local_list_enabled": "false"})).data == {"local_list_enabled": "Accepted"}
    reply = answer(play, LocalListVersionRequest())
    assert (reply.status, reply.data) == ("NotSupported", {"version": 0})
    assert answer(play, sent(6, True, **of(B, GOOD))).status == "NotSupported"
    assert play >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)
    answer(play, SetVariablesRequest({"local_list_enabled": "true"}))
    assert version(play) == 5  # it was only not used


def test_it_survives_a_restart() -> None:
    play = listing(Playbook(settings={"local_pre_authorize": True}), 5, **of(A, FAMILY), **of(B, OUT_OF_DATE))
    before = dict(play.site.local_list.entries)
    play.restart().skip()
    assert (version(play), play.site.local_list.entries) == (5, before)


@pytest.mark.parametrize("record", [{"status": "Nonsense"}, {}, {"status": "Accepted", "group": 5}, {"status": []}])
def test_a_damaged_list_says_version_0(record: dict[str, Any]) -> None:
    """The backend sends it again; the entries that are whole still count."""
    play = listing(Playbook(), 5, **of(A, GOOD), **of(B, GOOD))
    play.store["list"][B.value.casefold()] = record
    play.restart().skip()
    assert version(play) == 0
    assert play.site.local_list.entries.keys() == {A.value.casefold()} == play.store["list"].keys()


# --- what it decides -----------------------------------------------------------------------------------------------


def test_on_line_a_listed_card_starts_without_asking() -> None:
    play = listing(Playbook(settings={"local_pre_authorize": True}), **of(A, GOOD))
    play >> CardPresented(1, Token(A.value.lower()))
    assert play.state() is SessionState.AUTHORIZED


def test_a_remote_start_with_a_listed_card_that_is_to_be_authorised() -> None:
    play = listing(Playbook(settings={"local_pre_authorize": True, "authorize_remote_start": True}), **of(A, GOOD))
    assert play >> RequestReceived(LINK, "1", RemoteStartRequest(1, A)) << Response(LINK, "1", "Accepted")
    assert play.state() is SessionState.AUTHORIZED


def test_without_pre_authorisation_every_card_is_asked_about() -> None:
    play = listing(Playbook(), **of(A, GOOD))
    assert play >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)


@pytest.mark.parametrize("verdict", [*BAD, OUT_OF_DATE])
def test_on_line_a_card_that_is_listed_as_bad_is_asked_about(verdict: Verdict) -> None:
    play = listing(Playbook(settings={"local_pre_authorize": True}), **of(A, verdict))
    assert play >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play.feed(TokenAuthorized("token:1", A, GOOD))
    assert play.state() is SessionState.AUTHORIZED


def test_unless_the_list_settles_it() -> None:
    play = listing(Playbook(settings={"list_settles": True}), **of(A, BAD[1]))
    assert play >> CardPresented(1, A)
    assert (play.screens[1].name, play.screens[1].detail) == ("refused", "blocked")
    assert play >> CardPresented(1, B) << AuthorizeToken(LINK, "token:1", B, 1)


def test_off_line_a_listed_card_starts() -> None:
    play = listing(Playbook(online=False), **of(A, GOOD))
    play >> CardPresented(1, A)
    assert play.state() is SessionState.AUTHORIZED


@pytest.mark.parametrize("verdict", [*BAD, OUT_OF_DATE])
def test_off_line_a_card_that_is_listed_as_bad_starts_nothing(verdict: Verdict) -> None:
    options = {"offline_tx_for_unknown_id": True}
    play = listing(Playbook(online=False, settings=options), **of(A, verdict))
    assert play >> CardPresented(1, A)
    assert (play.state(), play.screens[1].name) == (SessionState.FREE, "refused")


def test_off_line_without_known_time_an_expiry_counts() -> None:
    later = Verdict(AuthorizationStatus.ACCEPTED, expires_utc_s=UTC0_S + 1e6)
    play = listing(Playbook(online=False), **of(A, later))
    play.trusted = False
    play >> CardPresented(1, A)
    assert play.state() is SessionState.FREE


def test_off_line_no_one_if_it_may_not_authorise() -> None:
    play = listing(Playbook(online=False, settings={"local_authorize_offline": False}), **of(A, GOOD))
    assert play >> CardPresented(1, A)
    assert (play.state(), play.screens[1].detail) == (SessionState.FREE, "offline")


def test_the_list_counts_more_than_the_cache() -> None:
    play = charging(Playbook(settings={"local_pre_authorize": True}, evses=2), A, 1)  # the cache knows A as good
    assert play.store["cache"]
    listing(play, **of(A, BAD[0]))
    assert play >> CardPresented(2, A) << AuthorizeToken(LINK, "token:2", A, 2)


def test_what_is_listed_is_not_cached_and_a_contradiction_is_reported() -> None:
    play = listing(Playbook(), **of(A, BAD[0]))
    play >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play.feed(TokenAuthorized("token:1", A, GOOD))
    assert play << sent_message(ListConflicted)
    assert "cache" not in play.store
    play = listing(Playbook(), **of(A, GOOD))
    play >> CardPresented(1, A) << AuthorizeToken(LINK, "token:1", A, 1)
    play.feed(TokenAuthorized("token:1", A, GOOD))
    assert play  # they agree: nothing to report


def test_an_answer_to_the_start_may_contradict_too() -> None:
    play = charging(listing(Playbook(settings={"local_pre_authorize": True}), **of(A, GOOD)), A)
    play.feed(TransactionAcknowledged(LINK, "s1", "1", Verdict(AuthorizationStatus.BLOCKED)))
    assert ListConflicted(play.now.stamp) in [getattr(o, "message", None) for o in play.log]


def test_the_group_is_known_from_the_list() -> None:
    entries = {**of(A, FAMILY), **of(B, FAMILY)}
    play = charging(listing(Playbook(settings={"local_pre_authorize": True}), **entries), A)
    play >> CardPresented(1, B)
    assert play.skip().state() is SessionState.ENDING
    assert not [o for o in play.log if isinstance(o, AuthorizeToken)]


def test_another_card_of_the_group_that_is_listed_as_bad_stops_nothing() -> None:
    entries = {**of(A, FAMILY), **of(B, Verdict(AuthorizationStatus.INVALID, "FAMILY"))}
    play = charging(listing(Playbook(settings={"local_pre_authorize": True}), **entries), A)
    play >> CardPresented(1, B) << AuthorizeToken(LINK, "token:1", B, 1)
    play.feed(TokenAuthorized("token:1", B, Verdict(AuthorizationStatus.INVALID, "FAMILY")))
    assert play.skip().state() is SessionState.ACTIVE
    assert not [o for o in play.log if isinstance(o, ReadMeter) and o.purpose.kind is ReadingKind.END]


# --- against a model ------------------------------------------------------------------------------------------------

NAMES = ("a", "A", "b", "c", "d", "e")
ENTRIES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([GOOD, FAMILY, BAD[0], None])), max_size=5)
UPDATES = st.lists(st.tuples(st.integers(-1, 6), st.booleans(), ENTRIES), max_size=12)
MOST, AT_ONCE = 4, 3


class Model:
    """The rules of the standard, as slowly as they are written."""

    def __init__(self) -> None:
        self.number, self.words = 0, dict[str, Verdict]()

    def update(self, number: int, full: bool, entries: list[tuple[str, Verdict | None]]) -> str:
        if not full and number <= self.number:
            return "VersionMismatch"
        folded = [name.lower() for name, _ in entries]
        if len(set(folded)) != len(folded) or len(entries) > AT_ONCE:
            return "Failed"
        if number < 1 and not (full and not entries):
            return "Failed"
        if full and any(v is None for _, v in entries):
            return "Failed"
        words = {} if full else dict(self.words)
        for name, verdict in entries:
            words.pop(name.lower(), None)
            if verdict is not None:
                words[name.lower()] = verdict
        if len(words) > MOST:
            return "Failed"
        self.words, self.number = words, 0 if full and not entries else number
        return "Accepted"


@settings(max_examples=150, deadline=None)
@given(UPDATES, st.sets(st.integers(0, 11)))
def test_any_row_of_updates_and_restarts(updates: list[Any], restarts: set[int]) -> None:
    play = Playbook(settings={"list_max_entries": MOST, "list_max_items": AT_ONCE})
    model = Model()
    for turn, (number, full, entries) in enumerate(updates):
        status = answer(play, SendLocalListRequest(number, full, tuple(entries))).status
        assert status == model.update(number, full, entries)
        if turn in restarts:
            play.restart().skip()
        assert version(play) == model.number
        assert play.site.local_list.entries == model.words


# --- thousands ------------------------------------------------------------------------------------------------------


def test_a_list_of_ten_thousand_is_quick() -> None:
    """Instructions would be better; the bounds are far above what any board needs, to find a quadratic mistake."""
    import time

    store = {
        "list": {f"04{n:012d}": {"status": "Accepted", "group": f"G{n % 500}"} for n in range(10_000)},
        "list_version": {"now": {"version": 3, "entries": 10_000}},
    }
    play = Playbook(store=store, settings={"local_pre_authorize": True})
    assert len(play.site.local_list.entries) == 10_000
    began = time.process_time()
    for n in range(200):
        play.feed(CardPresented(1, Token(f"04{n:012d}")))
    play.skip()
    assert time.process_time() - began < 1.0
    began = time.process_time()
    assert isinstance(play.blocks, Blocks)
    play.blocks.handle_event(Started(store), Moment(Stamp(1, 2000.0)))
    assert time.process_time() - began < 1.0
