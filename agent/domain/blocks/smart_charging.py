"""Set, clear, report and store charging profiles, and recompute the current that each EVSE may
offer whenever something changes it (OCPP 1.6 3.13, 5.7, 5.16; 2.x block K)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from agent.domain.charging.composite_schedule import (
    composite_schedule,
)
from agent.domain.charging.profile_periods import begins_with_session
from agent.domain.charging.profile_phases import phases_problem
from agent.domain.charging.profiles import (
    EXTERNAL_PROFILE_ID,
    UNIT_WORDS,
    InstalledProfile,
    Kind,
    Profile,
    ProfileRefusal,
    Purpose,
    Unit,
    have_same_priority,
    placement_problem,
    profile_problem,
    profiles_conflict,
)
from agent.domain.charging.station_limits import KEPT_SHARE, StationLimits
from agent.domain.events import (
    BoardChanged,
    BoardGivenUp,
    BoardOpened,
    ClockTrusted,
    ContactorOpened,
    FaultCleared,
    FaultRaised,
    SessionClosed,
    SessionOpened,
    Started,
    TimeCame,
    TransactionClosed,
    VehicleConnected,
    VehicleLeft,
    VehiclePaused,
    VehicleReady,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import LIVE
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.orders import Persist, WakeMe
from agent.domain.requests import (
    ChargingProfilesRequest,
    ClearChargingProfilesRequest,
    CompositeScheduleRequest,
    SetChargingProfileRequest,
)
from agent.domain.serialization import UnreadableRecord, dump_record, load_record
from agent.domain.timers import Timer, TimerKind
from agent.domain.transaction import Transaction
from agent.model.fastclass import replace
from agent.model.types import STATION, EvseId, Fault, Moment


class SmartCharging:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._limits = StationLimits(site)

    # --- installed profiles ------------------------------------------------------------------------------------

    @handles_events(Started)
    def restore_profiles(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the profiles, except those of a session or transaction that is over."""
        open_ids = {i.id for e in self._site.evses.values() for i in (e.session, e.tx) if i is not None}
        for key, record in event.remembered.get("charging_profile", {}).items():
            try:
                found = InstalledProfile(int(record["evse"]), load_record(record["profile"], Profile))
            except (UnreadableRecord, KeyError, TypeError, ValueError) as e:
                yield Persist("poisoned", f"charging_profile/{key}", {"record": record, "why": str(e)})
                yield Persist("charging_profile", key, None)
                continue
            profile = found.profile
            if profile.purpose is Purpose.TX and profile.session not in open_ids:
                yield Persist("charging_profile", key, None)
            else:
                self._site.charging_profiles[profile.id] = found

    @handles_events(Started)
    def restore_kept_shares(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the shares of boards that could not be asked when their sessions ended. A hard reset of the station
        gives them up."""
        ordered = event.remembered.get("restart", {}).get("ordered") or {}
        is_reset = "Reset" in str(ordered.get("reason", "")) and bool(ordered.get("hard"))
        for key, record in event.remembered.get(KEPT_SHARE, {}).items():
            evse = self._site.evses.get(int(key)) if key.isdecimal() else None
            if is_reset or evse is None or evse.session is not None:
                yield Persist(KEPT_SHARE, key, None)
                continue
            try:
                self._limits.restore_kept_share(evse, record)
            except (KeyError, TypeError, ValueError) as e:
                yield Persist("poisoned", f"{KEPT_SHARE}/{key}", {"record": record, "why": str(e)})
                yield Persist(KEPT_SHARE, key, None)

    def _install_profile(self, evse: EvseId, profile: Profile) -> Iterator[Yielded]:
        self._site.charging_profiles[profile.id] = InstalledProfile(evse, profile)
        yield Persist("charging_profile", str(profile.id), {"evse": evse, "profile": dump_record(profile)})

    def _forget_profiles(self, *ids: int) -> Iterator[Yielded]:
        for number in ids:
            del self._site.charging_profiles[number]
            yield Persist("charging_profile", str(number), None)

    @answers_requests(SetChargingProfileRequest)
    def answer_set_charging_profile(
        self, request: SetChargingProfileRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Store the profile before it is accepted."""
        new = InstalledProfile(request.evse, self._bound_to_session(request, now))
        gone = self._displaced_profiles(new, request.replaces) | self._expired_profiles(now)
        refusal = self._profile_refusal(new, request, gone)
        if refusal is None and len(self._site.charging_profiles) - len(gone) >= self._profile_limit:
            refusal = ProfileRefusal(
                "TooManyElements", f"{self._profile_limit} profiles are installed, which is the most"
            )
        if refusal is not None:
            yield reply("Rejected", {"reason": refusal})
            return
        yield from self._forget_profiles(*(gone - {new.profile.id}))
        yield from self._install_profile(new.evse, new.profile)
        yield reply("Accepted")
        yield from self._limits.recompute_limits(now)

    @property
    def _profile_limit(self) -> int:
        return self._site.settings.int_value("profiles_max")

    def _displaced_profiles(self, new: InstalledProfile, replaces: bool) -> set[int]:
        """Return the profiles that the new one replaces; always the one of the same id (1.6 5.16.2,
        K01)."""
        return {
            n
            for n, old in self._site.charging_profiles.items()
            if n == new.profile.id
            or (replaces and old.evse == new.evse and have_same_priority(new.profile, old.profile))
        }

    def _expired_profiles(self, now: Moment) -> set[int]:
        """Return the profiles that are over for good (2.x K01.FR.37). Without UTC none is known to be."""
        until = {n: i.profile.valid_to_utc_s for n, i in self._site.charging_profiles.items()}
        return {n for n, u in until.items() if u is not None and now.utc_s is not None and u <= now.utc_s}

    def _bound_to_session(self, request: SetChargingProfileRequest, now: Moment) -> Profile:
        """Bind the profile to a session. A TxProfile without a session is for the running one. A
        station maximum that would begin with a session (1.x allows it) begins now: the station has
        no session."""
        profile, evse = request.profile, self._site.evses.get(request.evse)
        if profile.purpose is Purpose.TX and not profile.session and evse is not None and evse.session is not None:
            return replace(profile, session=evse.session.id)
        if profile.purpose is Purpose.STATION_MAX and begins_with_session(profile) and now.utc_s is not None:
            schedule = replace(profile.schedule, start_utc_s=math.floor(now.utc_s))
            return replace(profile, kind=Kind.ABSOLUTE, schedule=schedule)
        return profile

    def _profile_refusal(
        self, new: InstalledProfile, request: SetChargingProfileRequest, gone: set[int]
    ) -> ProfileRefusal | None:
        """Return why the profile is not taken. ``gone``: the profiles that it does not meet any more."""
        profile, evse = new.profile, self._site.evses.get(new.evse)
        if new.evse != STATION and evse is None:
            return ProfileRefusal("UnknownEvse", "there is no such EVSE")
        if profile.id == EXTERNAL_PROFILE_ID and self._site.config.external_limit is not None:
            return ProfileRefusal("DuplicateProfile", "this id is that of the external limit, which is not replaced")
        if profile.purpose is Purpose.TX and evse is not None:
            running = evse.session or _placed_transaction(evse)
            if running is None or running.stop is not None or running.id != profile.session:
                return ProfileRefusal("TxNotFound", "this transaction does not run here")
        others = [i for n, i in self._site.charging_profiles.items() if n not in gone]
        if not request.replaces and any(profiles_conflict(new, old) for old in others):
            return ProfileRefusal(
                "DuplicateProfile", "another profile of this purpose and stack level is valid at the same time"
            )
        problem = placement_problem(new.evse, profile) or profile_problem(profile, self._site.settings)
        if problem is not None or not request.binding_phases:
            return problem
        meant = self._site.evses.values() if evse is None else (evse,)
        return phases_problem(profile, meant, self._site.settings.bool_value("phase_switching"))

    @answers_requests(ClearChargingProfilesRequest)
    def answer_clear_charging_profile(
        self, request: ClearChargingProfilesRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        if request.id is not None:
            found = [i for i in (request.id,) if i in self._site.charging_profiles]
        else:
            installed = self._site.charging_profiles.values()
            found = [i.profile.id for i in self._matching_profiles(request, installed)]
        yield from self._forget_profiles(*found)
        yield reply("Accepted" if found else "Unknown")
        yield from self._limits.recompute_limits(now)

    def _external_limit_profiles(self, now: Moment) -> list[InstalledProfile]:
        """Return the limit of an external system as a profile, if there is one."""
        return [] if self._site.external_limit is None else [self._site.external_limit.installed_profile(now)]

    def _matching_profiles(
        self, request: ClearChargingProfilesRequest | ChargingProfilesRequest, profiles: Iterable[InstalledProfile]
    ) -> list[InstalledProfile]:
        return [
            i
            for i in profiles
            if request.evse in (None, i.evse)
            and request.purpose in (None, i.profile.purpose)
            and request.stack_level in (None, i.profile.stack_level)
        ]

    @answers_requests(ChargingProfilesRequest)
    def answer_get_charging_profiles(
        self, request: ChargingProfilesRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Report profiles. ``profiles``: those installed that meet the criteria, by EVSE."""
        profiles = (*self._site.charging_profiles.values(), *self._external_limit_profiles(now))
        found = [
            i
            for i in self._matching_profiles(request, profiles)
            if (not request.ids or i.profile.id in request.ids) and (not request.sources or i.source in request.sources)
        ]
        found.sort(key=lambda i: (i.evse, i.source, i.profile.id))
        yield reply("Accepted" if found else "NoProfiles", {"profiles": found})

    @answers_requests(CompositeScheduleRequest)
    def answer_get_composite_schedule(
        self, request: CompositeScheduleRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Report the composite schedule. It begins at the request, rounded up to the millisecond:
        never with an earlier limit (1.6 errata 3.28, 2.0.1 K08.FR.02)."""
        units = self._site.settings.list_value("profile_rate_units")
        unit = request.unit or next((u for u in Unit if UNIT_WORDS[u] in units), Unit.A)
        known = request.evse == STATION or request.evse in self._site.evses
        if not known or UNIT_WORDS[unit] not in units or request.duration_s <= 0 or now.utc_s is None:
            yield reply("Rejected")
            return
        start_s = math.ceil(now.utc_s * 1000) / 1000
        outlets = [self._limits.outlet_of_evse(e, now) for e in self._site.evses.values()]
        covered_s, spans = composite_schedule(
            self._limits.profile_table(now), outlets, request.evse, start_s, request.duration_s, unit
        )
        meant = [e for e in self._site.evses.values() if request.evse in (STATION, e.number)]
        data = {"start_utc_s": start_s, "duration_s": covered_s, "unit": unit, "spans": spans}
        data["dc"] = all(e.config.dc for e in meant)
        yield reply("Accepted", data)

    # --- sessions ----------------------------------------------------------------------------------------------

    @handles_events(SessionOpened)
    def install_profile_of_session(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        session = self._site.evses[event.evse].session
        if session is not None and session.profile is not None:
            profile, session.profile = replace(session.profile, session=session.id), None
            new = InstalledProfile(event.evse, profile)  # its transaction may have one of this stack level already
            yield from self._forget_profiles(*self._displaced_profiles(new, replaces=True))
            yield from self._install_profile(event.evse, profile)
        yield from self._limits.store_kept_share(self._site.evses[event.evse])
        yield from self._limits.recompute_limits(now)

    @handles_events(SessionClosed, TransactionClosed)
    def remove_profiles_of_transaction(
        self, event: SessionClosed | TransactionClosed, now: Moment
    ) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        self._limits.forget_unused_share(evse)
        yield from self._forget_profiles(
            *[n for n, i in self._site.charging_profiles.items() if i.profile.session == event.session]
        )
        yield from self._limits.recompute_limits(now)
        yield from self._limits.store_kept_share(evse)

    @handles_events(ClockTrusted, VehicleConnected, VehicleReady, VehiclePaused)
    def recompute_after_change(self, event: Any, now: Moment) -> Iterator[Yielded]:
        yield from self._limits.recompute_limits(now)

    @handles_events(BoardGivenUp, BoardOpened, ContactorOpened, VehicleLeft)
    def release_share_without_session(
        self, event: BoardGivenUp | BoardOpened | ContactorOpened | VehicleLeft, now: Moment
    ) -> Iterator[Yielded]:
        """Give the share away where nothing flows any more, and recompute. A session has rules of its own for that."""
        evse = self._site.evses[event.evse]
        if evse.session is None:
            self._limits.forget_unused_share(evse)
            yield from self._limits.store_kept_share(evse)
        if evse.session is None or isinstance(event, VehicleLeft):  # it asks for nothing now
            yield from self._limits.recompute_limits(now)

    @handles_events(BoardChanged)
    def lower_to_cable_rating(self, event: BoardChanged, now: Moment) -> Iterator[Yielded]:
        """Lower the limit to a cable rating that is read late: the cable carries less than is
        offered."""
        evse = self._site.evses[event.evse]
        if evse.allowed_a is not None and evse.allowed_a > evse.maximum_a:
            yield from self._limits.recompute_limits(now)

    @handles_events(FaultRaised, FaultCleared)
    def recompute_after_live_fault(self, event: FaultRaised | FaultCleared, now: Moment) -> Iterator[Yielded]:
        """Recompute after other blocks have added the fault, or removed it."""
        if isinstance(event, FaultRaised) and event.fault is Fault.BOARD_SILENT and event.evse in self._site.evses:
            self._limits.keep_unheard_share(self._site.evses[event.evse], now)
        if event.fault in LIVE or event.fault is Fault.BOARD_SILENT:
            yield WakeMe(Timer(TimerKind.CHARGING_LIMITS), now.t_s)

    @handles_timer(TimerKind.CHARGING_LIMITS, TimerKind.STATE_SETTLED)
    def recompute_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        """Recompute, also when a vehicle has had its time to ask for energy."""
        yield from self._limits.recompute_limits(now)


def _placed_transaction(evse: EvseRecord) -> Transaction | None:
    """Return the open transaction of the EVSE. One whose EVSE is not chosen yet runs at none (2.x K01.FR.09)."""
    return evse.tx if evse.tx is not None and evse.tx.placed else None
