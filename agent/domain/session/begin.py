"""From an empty socket to a session on disk: rights, the wait for a vehicle, the register of the begin."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    BoardOpened,
    Event,
    EvseEvent,
    GrantDropped,
    MeterFailed,
    MeterRead,
    SessionOpened,
    StopWanted,
    TimeCame,
    TokenAccepted,
)
from agent.domain.evse import Evse, Service, Site, State
from agent.domain.functional_block import Yielded
from agent.domain.messages import ChargingState, StopReason, TransactionStarted, TriggerReason
from agent.domain.orders import ReadMeter, Remember, WakeMe
from agent.domain.reservation_claims import claim
from agent.domain.session.common import bounded, changed, release, rest, timer, to, unsettle
from agent.domain.session.signed_readings import begin_signing, price_words, stamped, taken
from agent.domain.session.tx_points import asked_by, begun, is_late
from agent.domain.session_records import Grant, Session
from agent.model.types import Moment


@to(State.OCCUPIED)
def occupy(s: Site, evse: Evse, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
    """Something is in the socket, or a new vehicle on what was left there."""
    evse.state = rest(evse)
    yield changed(evse)


@to(State.FREE)
def vacate(s: Site, evse: Evse, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
    """Free is where neither cable nor vehicle is; until then everything stays (Finishing as well)."""
    if not (evse.cable or evse.vehicle):
        evse.state = State.FREE
    yield changed(evse)


def _await_vehicle(s: Site, evse: Evse, now: Moment) -> Iterator[Yielded]:
    assert evse.grant is not None
    evse.state = State.AUTHORISED
    wait_s = evse.grant.wait_s
    evse.grant.until_s = now.t_s + (s.settings.number("connection_timeout_s") if wait_s is None else wait_s)
    yield WakeMe(timer("connect", evse), evse.grant.until_s)
    yield changed(evse)


@to(State.AUTHORISED, State.BEGINNING)
def grant(s: Site, evse: Evse, event: TokenAccepted, now: Moment) -> Iterator[Yielded]:
    group = event.verdict.group if event.verdict else None
    used = claim(s, evse, event.token, group) or ""
    web = bool(event.remote_id) and evse.payer_until_s is not None
    evse.grant = Grant(
        event.token, event.verdict, event.remote_id, event.offline, event.movable,
        profile=event.profile, reservation=used, wait_s=event.wait_s, web=web,
        tariff=evse.offer.price(s.settings) if web and evse.offer else event.tariff, judged_by=event.judged_by,
    )  # fmt: skip
    if evse.vehicle:
        yield from begin(s, evse, event, now)
        return
    yield from _await_vehicle(s, evse, now)


@to(State.BEGINNING)
def begin(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    """Vehicle and right are there: take the register before anything else."""
    evse.state = State.BEGINNING
    evse.begin_try += 1
    yield WakeMe(timer("connect", evse), None)
    yield ReadMeter(evse.number, f"begin:{evse.begin_try}", billing=True, signing=begin_signing(s, evse, now))
    yield changed(evse)


@to(State.BEGINNING, State.AUTHORISED)
def begin_again(s: Site, evse: Evse, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
    """The board was away for a moment; nothing is on disk yet, the right is seconds old."""
    if evse.vehicle and not evse.spent:
        yield from begin(s, evse, event, now)
    elif evse.state is State.BEGINNING:
        yield from vehicle_gone_again(s, evse, event, now)


@to(State.FREE, State.OCCUPIED)
def drop_grant(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    evse.grant = None
    evse.state = rest(evse)
    yield WakeMe(timer("connect", evse), None)
    yield _dropped(evse, event)
    yield changed(evse)


def _dropped(evse: Evse, event: Event) -> GrantDropped:
    if isinstance(event, TimeCame):
        return GrantDropped(evse.number, "timeout", StopReason.TIMEOUT, TriggerReason.EV_CONNECT_TIMEOUT)
    if isinstance(event, StopWanted):
        return GrantDropped(evse.number, "stopped", event.reason, event.trigger)
    return GrantDropped(evse.number, "unavailable" if isinstance(event, MeterFailed) else "stopped")


@to(State.FREE, State.OCCUPIED)
def connect_timeout(s: Site, evse: Evse, event: TimeCame, now: Moment) -> Iterator[Yielded]:
    if event.key == timer("connect", evse) and evse.grant and now.t_s >= evse.grant.until_s:
        yield from drop_grant(s, evse, event, now)


@to(State.AUTHORISED)
def vehicle_gone_again(s: Site, evse: Evse, event: Event, now: Moment) -> Iterator[Yielded]:
    """Pulled before the session was on disk: the right stays for another connection time-out."""
    yield from _await_vehicle(s, evse, now)


@to(State.ACTIVE, State.AUTHORISED, State.FREE, State.OCCUPIED)
def start(s: Site, evse: Evse, event: MeterRead, now: Moment) -> Iterator[Yielded]:
    """The register is known: session on disk, then told, then release."""
    if event.purpose != f"begin:{evse.begin_try}":
        return
    if s.stopping or s.service(evse) is Service.FAULTED:
        yield from drop_grant(s, evse, event, now)
        return
    if evse.spent:  # told since: the right waits until the vehicle is plugged anew
        yield from _await_vehicle(s, evse, now)
        return
    right, reading = evse.grant, event.reading
    assert right is not None  # the only ways into BEGINNING set it
    late = bool(evse.owed) and reading.signed is not None
    reading = yield from taken(s, evse, reading)
    if late:  # it goes to disk first, then the meter begins and forgets it
        yield from begin(s, evse, event, now)
        return
    session = Session(
        id=evse.tx.id if evse.tx else evse.signing or s.new_id(),
        evse=evse.number,
        token=right.token,
        started=reading.at,
        start_wh=reading.energy_wh,
        last_wh=max(reading.energy_wh, evse.tx.last_wh) if evse.tx else reading.energy_wh,
        plugged_at=evse.plugged_at or now.stamp,
        alive_at=now.stamp,
        group=right.verdict.group if right.verdict else None,
        remote_id=right.remote_id,
        offline=right.offline or not s.online,
        profile=right.profile,
        reservation=right.reservation,
        told=not is_late(s, evse),
        signing=evse.signing,
        web=right.web,
        judged_by=right.judged_by,
        price=price_words(right),
    )
    evse.session, evse.grant, evse.reading = session, None, reading
    told_with = yield from stamped(s, evse, reading, "sign_samples", "B", now)
    evse.state, evse.charging = State.ACTIVE, ChargingState.EV_CONNECTED
    evse.flowed = evse.resumed = False
    trigger = asked_by(right)
    yield Remember("session", session.id, session.record())
    told = TransactionStarted(
        session.id, evse.number, session.token, reading.at, reading.energy_wh, trigger, offline=session.offline,
        remote_id=right.remote_id, reading=told_with, reservation=right.reservation,
    )  # fmt: skip
    yield from begun(s, evse, session, told, now)
    yield from bounded(s, evse, now)
    yield from release(s, evse, True)
    yield from unsettle(s, evse, now)
    yield SessionOpened(evse.number, session.id, trigger)
    yield changed(evse)


@to(State.FREE, State.OCCUPIED)
def no_register(s: Site, evse: Evse, event: MeterFailed, now: Moment) -> Iterator[Yielded]:
    """Without a register there is no transaction (and no energy)."""
    if event.purpose == f"begin:{evse.begin_try}":
        yield from drop_grant(s, evse, event, now)
