"""Judges of what the backend orders: an accepted request has its effect."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.audit.context import (
    AuditContext,
    Judge,
    JudgeParameter,
    JudgeResult,
    failed_result,
    inapplicable_result,
    partial_result,
    passed_result,
)
from agent.audit.judges.billing import REMOTE_STOPS, answers_by_request
from agent.audit.judges.metering import RegisterReading, register_readings
from agent.audit.message_paths import (
    answer_status,
    outlet_in_request,
    table_at,
    tables_at,
    token_in_request,
    transaction_in_request,
)
from agent.audit.sampled_values import sampled_values
from agent.audit.setting_history import (
    HEARTBEAT_SETTINGS,
    SettingDeed,
    SettingExchange,
    are_equal_settings,
    setting_exchanges,
)
from agent.audit.transaction_history import TransactionHistory, read_transactions, station_lives
from agent.model.fastclass import frozen
from agent.scenario.frames import CALL, CALL_RESULT, Frame
from agent.scenario.grammar import Form
from agent.scenario.matching import as_number

MAKER = "subcontractor"
EFFECT_S = 60.0
"""Station's seconds until an effect is seen in a message, unless the plan says otherwise."""
LEAST_REAL_S = 5.0
"""Real seconds that an effect has at least: a simulated station at high speed shares the machine with others."""


@frozen
class AcceptedRequest:
    """A request of the backend that the station has accepted, and its answer."""

    request: Frame
    answer: Frame


def accepted_requests(context: AuditContext, *actions: str, status: str = "Accepted") -> list[AcceptedRequest]:
    answers = answers_by_request(context)
    pairs = [(f, answers.get(f.seq)) for f in context.requests(*actions, sender="backend")]
    return [AcceptedRequest(f, a) for f, a in pairs if a is not None and answer_status(a) == status]


Effect = Callable[[AuditContext, AcceptedRequest], Frame | None]
"""Returns the frame that shows the effect of a request, None if there is none yet."""


def _judge_effects(
    context: AuditContext, orders: list[AcceptedRequest], effect: Effect, what: str, advice: str, real: bool = False
) -> JudgeResult:
    """Judge that each order has its effect. ``what``: what did not happen, after "was accepted, but". ``real``: the
    time for it is real, since the station restarts meanwhile."""
    if not orders:
        return inapplicable_result("the station has accepted no such request")
    unknown: AcceptedRequest | None = None
    within_s = float(context.parameters.get("within_s", RESTART_S if real else EFFECT_S))
    patience_s = within_s if real else max(within_s / context.speed, LEAST_REAL_S)
    for order in orders:
        shown = effect(context, order)
        waited_s = (shown or context.frames[-1]).at_s - order.answer.at_s
        if waited_s > patience_s:
            seconds = waited_s if real else context.station_seconds(waited_s)
            late = f"the effect came only after {seconds:.0f} s"
            return failed_result(
                f"{order.request.action} was accepted, but {late if shown else f'{what} within {seconds:.0f} s'}",
                evidence=(order.request, order.answer, *((shown,) if shown else ())), advice=advice, advice_to=MAKER,
            )  # fmt: skip
        unknown = unknown or (None if shown else order)
    if unknown is not None:
        says = f"the audit ended before the effect of {unknown.request.action} was due"
        return partial_result(says, evidence=(unknown.request, unknown.answer))
    return passed_result(f"{len(orders)} accepted requests had their effect")


def _first_after(context: AuditContext, order: AcceptedRequest, judge: Callable[[Frame], bool]) -> Frame | None:
    """Return the first request of the station after a request of the backend that the judge takes."""
    return next((f for f in context.requests() if f.seq > order.request.seq and judge(f)), None)


# --- start, stop, unlock ---------------------------------------------------------------------------------------------


def judge_remote_start(context: AuditContext) -> JudgeResult:
    """Judge that an accepted start begins a transaction, where a vehicle was plugged in already."""
    orders = [
        order
        for order in accepted_requests(context, "RemoteStartTransaction", "RequestStartTransaction")
        if "occupied" in _status_words(context, outlet_in_request(order.request.payload), order.request.seq)
    ]
    return _judge_effects(
        context, orders, _start_with_token, "no transaction with its token began",
        "Have the maker of the controller begin a transaction with the token of an accepted remote start, or reject "
        "it: drivers who pay by telephone start so.",
    )  # fmt: skip


def _start_with_token(context: AuditContext, order: AcceptedRequest) -> Frame | None:
    token = token_in_request(order.request.payload).lower()

    def is_start(frame: Frame) -> bool:
        parts = ("StartTransaction", "TransactionEvent")
        return frame.action in parts and token_in_request(frame.payload).lower() == token

    return _first_after(context, order, is_start)


def _status_words(context: AuditContext, evse: int, seq: int) -> frozenset[str]:
    """Return the words of the latest status of an outlet before a frame. 0: of any outlet."""
    found = [o for o in context.view.observations if o.kind == "status" and o.frame.seq < seq and o.evse in (evse, 0)]
    return found[-1].words if found else frozenset()


def judge_remote_stop(context: AuditContext) -> JudgeResult:
    """Judge that an accepted stop ends its transaction."""
    return _judge_effects(
        context, accepted_requests(context, *REMOTE_STOPS), _end_of_transaction, "its transaction did not end",
        "Have the maker of the controller end the transaction of an accepted remote stop: the driver has no other way "
        "to end it from the telephone.",
    )  # fmt: skip


def _end_of_transaction(context: AuditContext, order: AcceptedRequest) -> Frame | None:
    number = transaction_in_request(order.request.payload)
    history = [t for t in read_transactions(context.frames) if t.id == number]
    return history[0].ends[0] if history and history[0].ends else None


def judge_unlock(context: AuditContext) -> JudgeResult:
    """Judge that a connector that was unlocked during a transaction ends it (OCPP 1.6 5.18)."""
    history = read_transactions(context.frames)
    orders = [
        order
        for order in accepted_requests(context, "UnlockConnector", status="Unlocked")
        if any(t.evse == _unlocked_outlet(order) and t.contains_seq(order.request.seq) for t in history)
    ]

    def end_of_outlet(context: AuditContext, order: AcceptedRequest) -> Frame | None:
        running = [t for t in history if t.evse == _unlocked_outlet(order) and t.contains_seq(order.request.seq)]
        return running[-1].ends[0] if running[-1].ends else None

    return _judge_effects(
        context, orders, end_of_outlet, "the transaction did not end",
        "Have the maker of the controller open the lock before it answers Unlocked, and end the transaction first; one "
        "that cannot answers UnlockFailed.",
    )  # fmt: skip


def _unlocked_outlet(order: AcceptedRequest) -> int:
    payload = table_at(order.request.payload)
    number = payload.get("evseId", payload.get("connectorId"))
    return number if isinstance(number, int) else 0


# --- reset, trigger, availability ------------------------------------------------------------------------------------

RESTART_S = 180.0


def judge_reset(context: AuditContext) -> JudgeResult:
    """Judge that an accepted reset of the station is followed by a BootNotification."""
    orders = [o for o in accepted_requests(context, "Reset") if "evseId" not in o.request.payload]
    return _judge_effects(
        context, orders, lambda c, order: _first_after(c, order, lambda f: f.action == "BootNotification"),
        "no BootNotification followed",
        "Have the maker of the controller restart the station on an accepted Reset and send BootNotification; check "
        "that it connects again by itself.", real=True,
    )  # fmt: skip


TRIGGERED: Mapping[str, tuple[str, ...]] = {
    "MeterValues": ("MeterValues", "TransactionEvent"),
    "SignChargePointCertificate": ("SignCertificate",),
    "SignChargingStationCertificate": ("SignCertificate",),
    "SignV2GCertificate": ("SignCertificate",),
    "SignCombinedCertificate": ("SignCertificate",),
    "FirmwareStatusNotification": ("FirmwareStatusNotification", "SignedFirmwareStatusNotification"),
}
"""By the message that is asked for: the actions that answer, where they are not that message alone."""


def judge_trigger(context: AuditContext) -> JudgeResult:
    """Judge that an accepted TriggerMessage is followed by the message."""
    orders = accepted_requests(context, "TriggerMessage", "ExtendedTriggerMessage")

    def triggered_message(context: AuditContext, order: AcceptedRequest) -> Frame | None:
        wanted = str(order.request.payload.get("requestedMessage"))
        actions = TRIGGERED.get(wanted, (wanted,))
        return _first_after(context, order, lambda frame: frame.action in actions)

    return _judge_effects(
        context, orders, triggered_message, "the message did not come",
        "Have the maker of the controller send the message that an accepted TriggerMessage asks for, or answer "
        "NotImplemented.",
    )  # fmt: skip


def judge_availability(context: AuditContext) -> JudgeResult:
    """Judge that an accepted change of availability is reported as a status."""
    answers = accepted_requests(context, "ChangeAvailability")

    def shown_status(context: AuditContext, order: AcceptedRequest) -> Frame | None:
        payload, evse = order.request.payload, outlet_in_request(order.request.payload)
        out = "Inoperative" in (payload.get("type"), payload.get("operationalStatus"))
        if ("unavailable" in _status_words(context, evse, order.request.seq)) == out:
            return order.answer  # it was so already
        for one in context.view.observations:
            fits = one.kind == "status" and one.frame.seq > order.request.seq and evse in (0, one.evse)
            if fits and ("unavailable" in one.words) == out:
                return one.frame
        return None

    return _judge_effects(
        context, answers, shown_status, "no status showed it",
        "Have the maker of the controller report Unavailable when it takes an outlet out of service, and the new "
        "status when it is back: the map of the network shows it to drivers.",
    )  # fmt: skip


# --- settings --------------------------------------------------------------------------------------------------------


def judge_settings_written(context: AuditContext) -> JudgeResult:
    """Judge that a setting that was accepted is read back with its value."""
    return _judge_settings(context, after_restart=False)


def judge_settings_survive(context: AuditContext) -> JudgeResult:
    """Judge that a setting keeps its value when the station restarts."""
    return _judge_settings(context, after_restart=True)


def _judge_settings(context: AuditContext, after_restart: bool) -> JudgeResult:
    judged = 0
    for wrote, read, restarted in _written_and_read(context):
        if restarted != after_restart:
            continue
        judged += 1
        if are_equal_settings(wrote.value, read.value) or (after_restart and _is_given_at_boot(context, read)):
            continue
        what = f"{wrote.name} was set to {wrote.value!r} and accepted"
        if after_restart:
            return failed_result(
                f"{what}; after a restart it is {read.value!r}: the value was lost",
                evidence=(wrote.frame, read.frame), advice_to=MAKER,
                advice="Have the maker of the controller keep settings on disk before it accepts them: after each loss "
                "of power the station would run with other values.",
            )  # fmt: skip
        return failed_result(
            f"{what}; it reads {read.value!r}: the value was not written", evidence=(wrote.frame, read.frame),
            advice="Have the maker of the controller accept only what it writes, and answer Rejected or NotSupported "
            "for the rest; until then set the value at the station itself.", advice_to=MAKER,
        )  # fmt: skip
    if not judged:
        when = "after a restart" if after_restart else "again"
        return inapplicable_result(f"no setting was written and then read {when}")
    return passed_result(f"{judged} settings kept the value that was accepted")


def _written_and_read(context: AuditContext) -> Iterator[tuple[SettingExchange, SettingExchange, bool]]:
    """Yield each accepted write with each later read of it, and whether the station restarted between. A value that
    is taken at the next start is not expected before."""
    exchanges: dict[int, list[SettingExchange]] = {}
    for one in setting_exchanges(context.frames):
        exchanges.setdefault(one.frame.seq, []).append(one)
    written: dict[str, tuple[SettingExchange, bool]] = {}
    lives, life = station_lives(context), 0
    for frame in context.frames:
        if lives[frame.seq] != life:
            written, life = {}, lives[frame.seq]
        if frame.kind == CALL and frame.from_station and frame.action == "BootNotification":
            written = {name: (one, True) for name, (one, _) in written.items()}
        for one in exchanges.get(frame.seq, ()):
            if one.deed in (SettingDeed.WRITTEN, SettingDeed.WRITTEN_LATER):
                written[one.name] = (one, False)
            elif one.deed is SettingDeed.READ and one.name in written:
                wrote, restarted = written[one.name]
                if restarted or wrote.deed is SettingDeed.WRITTEN:
                    yield wrote, one, restarted


def _is_given_at_boot(context: AuditContext, read: SettingExchange) -> bool:
    """Return whether a value is the interval that the answer to BootNotification gave, which a station takes over."""
    if read.name not in HEARTBEAT_SETTINGS:
        return False
    given = [
        str(table_at(f.payload).get("interval"))
        for f in context.frames
        if f.kind == CALL_RESULT and f.action == "BootNotification" and f.seq < read.frame.seq
    ]
    return read.value in given


# --- charging profiles -----------------------------------------------------------------------------------------------

SETTLE_S = 60.0
WINDOW_S = 15.0
"""Seconds over which a power is worked out from two registers."""


@frozen
class PowerLimit:
    """The most that a station may draw on one outlet after a frame, in W."""

    frame: Frame
    most_w: float


def judge_profile(context: AuditContext) -> JudgeResult:
    """Judge that power stays below the limit of an accepted charging profile."""
    judged, tolerance = 0, float(context.parameters.get("tolerance_percent", 10)) / 100
    for one in read_transactions(context.frames):
        limits = list(_limits_of_transaction(context, one))
        for seq, at_s, power_w in _powers_of_outlet(context, one.evse) if limits else ():
            valid = [limit for limit in limits if limit.frame.seq < seq]
            if not one.contains_seq(seq) or not valid or not math.isfinite(valid[-1].most_w):
                continue
            limit = valid[-1]
            if context.station_seconds(at_s - limit.frame.at_s) < SETTLE_S + WINDOW_S + 2 * context.speed:
                continue
            judged += 1
            if power_w > limit.most_w * (1 + tolerance) + 400:
                shown = next((f for f in context.frames if f.seq >= seq), context.frames[-1])
                return failed_result(
                    f"outlet {one.evse} draws {power_w:.0f} W, the accepted charging profile allows "
                    f"{limit.most_w:.0f} W", evidence=(limit.frame, shown),
                    advice="Have the maker of the controller apply an accepted charging profile to the signal of the "
                    "control pilot (DC: to the current that is offered), or reject it: the network protects its "
                    "connection to the grid by profiles.", advice_to=MAKER,
                )  # fmt: skip
    if not judged:
        return inapplicable_result("no charging profile held long enough while an outlet was measured")
    return passed_result(f"power was below the limit of the profile in {judged} samples")


def _limits_of_transaction(context: AuditContext, one: TransactionHistory) -> Iterator[PowerLimit]:
    """Yield the limit after each change of the profiles. Of several for transactions the highest counts, of those for
    the station the lowest: so the limit is right whatever their levels are."""
    profiles: dict[Any, tuple[str, float]] = {}
    for order in accepted_requests(context, "SetChargingProfile", "ClearChargingProfile"):
        payload = table_at(order.request.payload)
        if order.request.action == "ClearChargingProfile":
            _clear_profiles(profiles, payload)
        elif outlet_in_request(payload) in (0, one.evse):
            _keep_profile(profiles, payload, _watts_per_ampere(context, one.evse))
        valid = [p for p in profiles.values() if p[0] != "TxProfile" or one.contains_seq(order.request.seq)]
        whole = [watts for purpose, watts in valid if purpose.endswith("MaxProfile")]
        others = [watts for purpose, watts in valid if not purpose.endswith("MaxProfile")]
        yield PowerLimit(order.answer, min((*whole, max(others, default=math.inf)), default=math.inf))


def _watts_per_ampere(context: AuditContext, evse: int) -> float:
    """Return the most power of one ampere. What it is of direct current depends on the battery."""
    charged = any(v.measurand == "SoC" and v.evse == evse for v in sampled_values(context.frames))
    strong = any(r.evse == evse and (r.power_w or 0.0) > MOST_AC_W for r in context.readings)
    return math.inf if charged or strong else AC_W


AC_W, MOST_AC_W = 230.0 * 3, 45_000.0


def _clear_profiles(profiles: dict[Any, tuple[str, float]], payload: Mapping[str, Any]) -> None:
    number = payload.get("id", payload.get("chargingProfileId"))
    if number is None:
        profiles.clear()
    else:
        profiles.pop(number, None)


def _keep_profile(profiles: dict[Any, tuple[str, float]], payload: Mapping[str, Any], watts_per_a: float) -> None:
    profile = table_at(payload, "csChargingProfiles") or table_at(payload, "chargingProfile")
    number = profile.get("chargingProfileId", profile.get("id"))
    schedules = tables_at(profile, "chargingSchedule") or [table_at(profile, "chargingSchedule")]
    periods = tables_at(schedules[0], "chargingSchedulePeriod")
    plain = len(periods) == 1 and not {"validFrom", "validTo", "recurrencyKind"} & set(profile)
    limited = plain and not {"startSchedule", "duration"} & set(schedules[0])
    limit = as_number(periods[0].get("limit")) if limited else None
    factor = 1.0 if schedules[0].get("chargingRateUnit") == "W" else watts_per_a
    most_w = math.inf if limit is None else limit * factor
    profiles[number] = (str(profile.get("chargingProfilePurpose", "")), most_w)


def _powers_of_outlet(context: AuditContext, evse: int) -> Iterator[tuple[int, float, float]]:
    """Yield number of a frame, real instant and power of an outlet: as it is sent, as the register rises, and as the
    meter itself shows it."""
    for value in sampled_values(context.frames):
        whole = value.measurand == "Power.Active.Import" and not value.phase and value.number is not None
        if whole and value.evse == evse:
            yield value.frame.seq, value.frame.at_s, value.number or 0.0
    yield from _powers_by_register([r for r in register_readings(context) if r.evse == evse])
    came_s = [frame.at_s for frame in context.frames]
    for reading in context.readings if came_s else ():
        if reading.evse == evse and reading.power_w is not None:
            following = context.frames[bisect.bisect(came_s, reading.at_s) :][:1]
            yield (following or context.frames[-1:])[0].seq, reading.at_s, reading.power_w


def _powers_by_register(readings: list[RegisterReading]) -> Iterator[tuple[int, float, float]]:
    """Yield the power between readings that are at least so far apart that whole Wh do not matter."""
    before: RegisterReading | None = None
    for reading in readings:
        if reading.at_s is None:
            continue
        if before is None or before.at_s is None or reading.wh < before.wh or reading.at_s - before.at_s > 4 * WINDOW_S:
            before = reading
        elif reading.at_s - before.at_s >= WINDOW_S:
            seconds = reading.at_s - before.at_s
            yield reading.frame.seq, reading.frame.at_s, max(reading.wh - before.wh - 1, 0.0) * 3600 / seconds
            before = reading


WITHIN = {"within_s": JudgeParameter(Form.NUMBER, EFFECT_S, "longest time until the effect, in the station's seconds")}
JUDGES = (
    Judge("remote_start_begins", "an accepted remote start begins a transaction", judge_remote_start, WITHIN),
    Judge("remote_stop_ends", "an accepted remote stop ends its transaction", judge_remote_stop, WITHIN),
    Judge("unlock_ends_transaction", "an unlocked connector ends its transaction", judge_unlock, WITHIN),
    Judge(
        "reset_restarts",
        "an accepted reset is followed by BootNotification",
        judge_reset,
        {"within_s": JudgeParameter(Form.NUMBER, RESTART_S, "longest time until the station is back, in real seconds")},
    ),
    Judge("trigger_sends_message", "an accepted TriggerMessage brings its message", judge_trigger, WITHIN),
    Judge("availability_shown", "an accepted change of availability is reported", judge_availability, WITHIN),
    Judge("settings_written", "an accepted setting is read back with its value", judge_settings_written),
    Judge("settings_survive_reset", "settings keep their values when the station restarts", judge_settings_survive),
    Judge(
        "profile_lowers_power",
        "power stays below the limit of an accepted charging profile",
        judge_profile,
        {"tolerance_percent": JudgeParameter(Form.NUMBER, 10, "permitted excess of the limit, in percent")},
    ),
)
