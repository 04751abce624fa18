"""The faults that are planted on the wire between a station and its audit, as a table.

A row has a name, what the station seems to do, on which plan, what is exercised, which obligation must FAIL, and words
that its advice must have. ``facts``, ``answers`` and ``bank`` plant what is no message: what a file or a person says,
what a payment terminal has done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.support.faulty_wire import PassingFrame

Change = Callable[[PassingFrame], None]


def nothing(frame: PassingFrame) -> None:
    """The wire is as it should be."""


@dataclass(frozen=True)
class WireFault:
    name: str
    does: str
    fails: str
    advice: str
    change: Change = nothing
    exercise: tuple[str, ...] = ("exercise.plain",)
    """Obligations that are carried out: of the plan, or of ``EXERCISES``."""
    plan: str = "chargy-ac"
    facts: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    bank: Callable[[dict[str, Any]], None] | None = None
    """Changes the books of the payment terminal, as the audit sees them."""


SESSION = """
  {{ plug = {evse} }},
  {{ wait_message = "StatusNotification" }},
  {{ tap = "04A1B2C3", evse = {evse} }},
  {{ pause_s = {pause} }},
  {{ tap = "04A1B2C3", evse = {evse} }},
  {{ pause_s = 20 }},
  {{ unplug = {evse} }},
  {{ pause_s = 20 }},
"""
EXERCISES: Mapping[str, str] = {
    "plain": SESSION.format(evse=1, pause=60),
    "long": SESSION.format(evse=1, pause=200),
    "three": SESSION.format(evse=1, pause=60) * 3,
    "remote": """
  { plug = 1 },
  { wait_message = "StatusNotification" },
  { backend = "remote_start", with = { token = "APP-1", evse = 1 }, status = "Accepted" },
  { wait_message = "StartTransaction", sender = "station", within_s = 60, versions = ["1.6"] },
  { pause_s = 60 },
  { backend = "remote_stop", with = { transaction = "${transaction}" }, status = "Accepted" },
  { pause_s = 40 },
  { unplug = 1 },
""",
    "ignored_start": """
  { plug = 1 },
  { wait_message = "StatusNotification" },
  { backend = "remote_start", with = { token = "APP-1", evse = 1 }, status = "Accepted" },
  { pause_s = 180 },
  { unplug = 1 },
  { wait_status = "available" },
""",
    "unlocked": """
  { plug = 1 },
  { wait_message = "StatusNotification" },
  { tap = "04A1B2C3" },
  { wait_message = "StartTransaction", sender = "station", within_s = 60, versions = ["1.6"] },
  { pause_s = 60 },
  { backend = "unlock", status = "Unlocked" },
  { pause_s = 160 },
  { tap = "04A1B2C3" },
  { pause_s = 40 },
  { unplug = 1 },
""",
    "limited": """
  { plug = 1 },
  { wait_message = "StatusNotification" },
  { tap = "04A1B2C3" },
  { pause_s = 40 },
  { backend = "charging_profile", with = { limit_a = 8, purpose = "default" }, status = "Accepted" },
  { pause_s = 240 },
  { tap = "04A1B2C3" },
  { pause_s = 40 },
  { unplug = 1 },
""",
    "triggered": """
  { backend = "trigger", with = { message = "MeterValues", evse = 1 }, status = "Accepted" },
  { pause_s = 160 },
  { backend = "trigger", with = { message = "Heartbeat" } },
  { pause_s = 20 },
""",
    "bank_card": """
  { pay = 1 },
  { plug = 1 },
  { pause_s = 160 },
  { unplug = 1, side = "vehicle" },
  { pause_s = 60 },
""",
}
"""Scenarios that only do something and look at nothing: so the judges have to find the fault."""


# --- what a fault does to a frame ------------------------------------------------------------------------------------


def each(*changes: Change) -> Change:
    def change(frame: PassingFrame) -> None:
        for one in changes:
            one(frame)

    return change


def set_in(*actions: str, **values: Any) -> Change:
    """The station's request has other values."""

    def change(frame: PassingFrame) -> None:
        if frame.is_request(*actions):
            frame.payload.update(values)

    return change


def swallowed(*actions: str, **answer: Any) -> Change:
    """The station's request never arrives; the station believes that it did."""

    def change(frame: PassingFrame) -> None:
        if frame.is_request(*actions):
            frame.answer_itself(answer)

    return change


def pretended(action: str, **answer: Any) -> Change:
    """The backend's request is answered, and never carried out."""

    def change(frame: PassingFrame) -> None:
        if frame.is_order(action):
            frame.answer_itself(answer)

    return change


def other_answer(action: str, answer: Any) -> Change:
    def change(frame: PassingFrame) -> None:
        if frame.is_answer(action):
            frame.payload = answer

    return change


def shifted_clock(seconds: float, zone: str = "Z") -> Change:
    """Each timestamp of the station is off by so much."""

    def change(frame: PassingFrame) -> None:
        if frame.from_station and frame.is_call:
            shift_times(frame.payload, seconds, zone)

    return change


def shift_times(value: Any, seconds: float, zone: str) -> None:
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in places:
        if key == "timestamp":
            at = datetime.fromisoformat(inner) + timedelta(seconds=seconds)
            value[key] = at.isoformat(timespec="milliseconds").replace("+00:00", zone)
        else:
            shift_times(inner, seconds, zone)


def changed_register(change_wh: Callable[[float, PassingFrame], float], *actions: str) -> Change:
    """The register in messages is another one. ``actions``: only of these, else of all."""

    def change(frame: PassingFrame) -> None:
        if not frame.from_station or not frame.is_call or (actions and frame.action not in actions):
            return
        for key in ("meterStart", "meterStop"):
            if key in frame.payload:
                frame.payload[key] = round(change_wh(frame.payload[key], frame))
        for value in sampled_values(frame):
            if value.get("measurand", "Energy.Active.Import.Register") == "Energy.Active.Import.Register":
                new = change_wh(float(value["value"]), frame)
                value["value"] = new if isinstance(value["value"], int | float) else f"{new:.3f}"

    return change


def sampled_values(frame: PassingFrame) -> list[dict[str, Any]]:
    samples = [*(frame.payload.get("meterValue") or ()), *(frame.payload.get("transactionData") or ())]
    return [value for sample in samples for value in sample["sampledValue"] if value.get("format") != "SignedData"]


def swap_phases(frame: PassingFrame) -> None:
    for value in sampled_values(frame) if frame.is_request("MeterValues") else ():
        if value.get("measurand") == "Current.Import":
            value["phase"] = {"L1": "L2", "L2": "L1"}.get(value["phase"], value["phase"])


def drop_voltage(frame: PassingFrame) -> None:
    for sample in frame.payload["meterValue"] if frame.is_request("MeterValues") else ():
        sample["sampledValue"] = [v for v in sample["sampledValue"] if v.get("measurand") != "Voltage"]


def lower_voltage(frame: PassingFrame) -> None:
    for value in sampled_values(frame) if frame.is_request("MeterValues") else ():
        if value.get("phase") == "L2-N":
            value["value"] = "183.5"


def another_serial_later(frame: PassingFrame) -> None:
    if frame.is_request("BootNotification"):
        count = frame.wire.memory["boots"] = frame.wire.memory.get("boots", 0) + 1
        if count > 1:
            for key in ("chargePointSerialNumber", "chargeBoxSerialNumber"):
                frame.payload[key] = "SN-9999"


def sleeping_status(frame: PassingFrame) -> None:
    if frame.is_request("StatusNotification") and frame.payload.get("status") in ("Charging", "SuspendedEVSE"):
        frame.answer_itself({})


def sleeping_charging_state(frame: PassingFrame) -> None:
    if frame.is_request("TransactionEvent"):
        frame.payload["transactionInfo"].pop("chargingState", None)
        if frame.payload["triggerReason"] == "ChargingStateChanged":
            frame.payload["triggerReason"] = "Trigger"


def wrong_status_word(frame: PassingFrame) -> None:
    if frame.is_request("StatusNotification") and frame.payload.get("status") == "Charging":
        frame.payload["status"] = "Loading"


def late_status(frame: PassingFrame) -> None:
    if frame.is_request("StatusNotification") and frame.payload.get("status") == "Charging":
        frame.send_again(after_s=150)
        frame.answer_itself({})


def doubled_stop(frame: PassingFrame) -> None:
    if frame.is_request("StopTransaction"):
        frame.send_again(after_s=5)


def start_after_stop(frame: PassingFrame) -> None:
    if frame.is_request("StartTransaction"):
        frame.wire.memory["start"] = frame.payload
        frame.answer_itself({"transactionId": 900_001, "idTagInfo": {"status": "Accepted"}})
    elif frame.is_request("StopTransaction"):
        frame.wire.invent(True, "StartTransaction", frame.wire.memory["start"], 4)


def lower_token(*actions: str) -> Change:
    def change(frame: PassingFrame) -> None:
        if frame.is_request(*actions) and "idTag" in frame.payload:
            frame.payload["idTag"] = frame.payload["idTag"].lower()

    return change


def missing_key(name: str) -> Change:
    def change(frame: PassingFrame) -> None:
        if frame.is_answer("GetConfiguration"):
            keys = frame.payload.get("configurationKey", [])
            frame.payload["configurationKey"] = [k for k in keys if k["key"] != name]

    return change


def reads_as(name: str, value: str, after_boots: int = 0) -> Change:
    """A setting reads as another value, from a certain start on."""

    def change(frame: PassingFrame) -> None:
        if frame.is_request("BootNotification"):
            frame.wire.memory["boots"] = frame.wire.memory.get("boots", 0) + 1
        if frame.is_answer("GetConfiguration") and frame.wire.memory.get("boots", 0) > after_boots:
            for key in frame.payload.get("configurationKey", []):
                if key["key"] == name:
                    key["value"] = value

    return change


def not_written(name: str) -> Change:
    def change(frame: PassingFrame) -> None:
        if frame.is_order("ChangeConfiguration") and frame.payload["key"] == name:
            frame.answer_itself({"status": "Accepted"})

    return change


def fallen_register(wh: float, frame: PassingFrame) -> float:
    count = frame.wire.memory["samples"] = frame.wire.memory.get("samples", 0) + 1
    return wh - 5000 if count == 3 else wh


def same_id(frame: PassingFrame) -> None:
    """All readings have one id. Their answers go back under the right ones."""
    if frame.is_request("MeterValues"):
        frame.wire.memory["id"], frame.id = frame.id, "1"
        frame.wire.requests[True, "1"] = ("MeterValues", None)
    elif not frame.from_station and not frame.is_call and frame.id == "1":
        frame.id = frame.wire.memory["id"]


def never_answered(frame: PassingFrame) -> None:
    if frame.is_order("TriggerMessage") and frame.payload["requestedMessage"] == "MeterValues":
        frame.dropped = True


def lost_session(number: int) -> Change:
    """One transaction never arrives, from its start to its end."""

    def change(frame: PassingFrame) -> None:
        memory = frame.wire.memory
        if frame.is_request("StartTransaction"):
            memory["count"] = memory.get("count", 0) + 1
            if memory["count"] == number:
                frame.answer_itself({"transactionId": 900_001, "idTagInfo": {"status": "Accepted"}})
        elif frame.is_request("MeterValues", "StopTransaction") and frame.payload.get("transactionId") == 900_001:
            frame.answer_itself({})

    return change


def leaked_event(frame: PassingFrame) -> None:
    if frame.is_request("StartTransaction"):
        event = {"type": "MemoryExhaustion", "timestamp": frame.payload["timestamp"]}
        frame.wire.invent(True, "SecurityEventNotification", event, 4)


def leaked_measurand(frame: PassingFrame) -> None:
    for sample in frame.payload["meterValue"] if frame.is_request("MeterValues") else ():
        sample["sampledValue"].append({"value": "61", "measurand": "Temperature", "unit": "Celsius"})


def altered_record(frame: PassingFrame) -> None:
    if frame.is_request("StopTransaction"):
        for sample in frame.payload.get("transactionData", ()):
            for value in sample["sampledValue"]:
                if value.get("format") == "SignedData":
                    value["value"] = re.sub(
                        r'(RV\\": )(\d)', lambda m: m[1] + str((int(m[2]) + 1) % 10), value["value"]
                    )


def lost_end_of_201(frame: PassingFrame) -> None:
    if frame.is_request("TransactionEvent") and frame.payload["eventType"] == "Ended":
        frame.answer_itself({})


def lost_update_of_201(frame: PassingFrame) -> None:
    if frame.is_request("TransactionEvent") and frame.payload["triggerReason"] == "MeterValuePeriodic":
        count = frame.wire.memory["updates"] = frame.wire.memory.get("updates", 0) + 1
        if count == 2:
            frame.answer_itself({})


def doubled_end_of_201(frame: PassingFrame) -> None:
    if frame.is_request("TransactionEvent") and frame.payload["eventType"] == "Ended":
        frame.send_again(after_s=5)


def wrong_reason_of_201(frame: PassingFrame) -> None:
    if frame.is_request("TransactionEvent") and frame.payload["eventType"] == "Ended":
        frame.payload["transactionInfo"]["stoppedReason"] = "Other"


def charge_more(books: dict[str, Any]) -> None:
    """The terminal captures a euro more than it was ordered to."""
    for capture in books["captures"]:
        capture["cents"] += 100


def charge_twice(books: dict[str, Any]) -> None:
    books["captures"] += [{**capture, "again": True} for capture in books["captures"]]


# --- the table -------------------------------------------------------------------------------------------------------

READ = "identity.read_configuration"
FAULTS: tuple[WireFault, ...] = (
    # identity and parameters
    WireFault("wrong_class", "its file has an accuracy class that the directive does not know", "identity.meter",
              "class and year of the meter", exercise=(), facts={"meter_class": "D"}),
    WireFault("wrong_year", "its MID marking has an impossible year", "identity.meter", "class and year of the meter",
              exercise=(), facts={"meter_year": "2062, 1999"}),
    WireFault("broken_seal", "the seal of its meter is broken", "identity.seal", "sealed again",
              exercise=("identity.seal",), answers={"identity.seal": "no"}),
    WireFault("wrong_meter_serial", "it has another meter than its file says", "identity.facts_agree",
              "Read the plate", set_in("BootNotification", meterSerialNumber="M-2"), facts={"meter_serial": "M-1"}),
    WireFault("wrong_firmware", "it runs another firmware than its file says", "identity.facts_agree",
              "Read the plate", set_in("BootNotification", firmwareVersion="0.9.9")),
    WireFault("another_model", "it is of another type than its kit", "identity.kit_identity", "apply the kit",
              set_in("BootNotification", chargePointModel="AC11-1")),
    WireFault("another_serial_after_reset", "its second boot has another serial number", "identity.identity_constant",
              "numbers of its plate", another_serial_later, ("commands.reset_soft",)),
    WireFault("missing_key", "it has no key HeartbeatInterval", "identity.required_settings", "Bring the firmware",
              missing_key("HeartbeatInterval"), (READ,)),
    WireFault("key_against_the_kit", "a key differs from the kit", "identity.kit_settings", "as in the kit",
              reads_as("MeterValueSampleInterval", "3600"), (READ,)),
    # clock, heartbeats
    WireFault("clock_5_minutes_fast", "its clock is 5 minutes fast", "bearer.clock_offset", "set its clock",
              shifted_clock(300)),
    WireFault("clock_2_hours_slow", "its clock is 2 hours slow", "bearer.clock_offset", "set its clock",
              shifted_clock(-7200)),
    WireFault("clock_1970", "its clock was never set", "bearer.clock_offset", "set its clock",
              shifted_clock(-1.79e9)),
    WireFault("local_time", "its timestamps are local time without a zone", "bearer.times_in_utc", "in UTC",
              shifted_clock(3600, "")),
    WireFault("heartbeats_missing", "it sends no heartbeat", "bearer.heartbeat_interval", "Set HeartbeatInterval",
              swallowed("Heartbeat", currentTime="2026-11-28T10:00:00Z"), ("bearer.heartbeats",)),
    WireFault("heartbeat_interval_ignored", "it keeps another heartbeat interval", "bearer.heartbeat_interval",
              "Set HeartbeatInterval", not_written("HeartbeatInterval"), ("bearer.heartbeats",)),
    # statuses
    WireFault("sleeping_status", "it never says that it charges", "vehicle.status_awake", "at each change",
              sleeping_status),
    WireFault("status_word_wrong", "it says Loading for Charging", "ladder.status_words", "Correct the word",
              wrong_status_word),
    WireFault("status_late", "a status comes two minutes late", "bearer.status_in_time", "when it changes",
              late_status, ("exercise.long",)),
    # transactions
    WireFault("lost_stop", "StopTransaction never arrives", "energy.every_start_has_stop", "lost end",
              swallowed("StopTransaction")),
    WireFault("doubled_stop", "StopTransaction comes again after its answer", "energy.stop_sent_once", "queue",
              doubled_stop),
    WireFault("stop_before_start", "StopTransaction comes before StartTransaction", "energy.start_before_stop",
              "in order", start_after_stop),
    WireFault("off_line_transaction_lost", "a whole transaction never arrives", "energy.energy_without_transaction",
              "never sent", lost_session(2), ("exercise.three",)),
    WireFault("token_in_small_letters", "it writes UIDs in small letters", "vehicle.token_letters", "capital letters",
              lower_token("Authorize", "StartTransaction")),
    WireFault("token_written_twice", "it starts with another spelling than it asked for", "vehicle.same_token",
              "capital letters", lower_token("StartTransaction")),
    WireFault("wrong_stop_reason", "each transaction ends for the reason Other", "vehicle.stop_reasons",
              "words of OCPP", set_in("StopTransaction", reason="Other"), ("exercise.remote",)),
    # measured values
    WireFault("phases_swapped", "the currents of L1 and L2 are swapped", "energy.phase_order", "phases of the meter",
              swap_phases, ("energy.phase_loads",)),
    WireFault("voltage_missing", "its readings have no voltage", "energy.measurands_sent", "Voltage",
              drop_voltage, ("energy.phase_loads",)),
    WireFault("voltage_low", "L2 has 183.5 V", "energy.phase_voltages", "measure this phase", lower_voltage,
              ("energy.phase_loads",)),
    WireFault("readings_missing", "it sends no readings", "energy.meter_values_sent", "interval of the samples",
              swallowed("MeterValues"), (READ, "exercise.long")),
    WireFault("register_falls", "a register is less than the one before", "energy.register_rises", "lifetime register",
              changed_register(fallen_register, "MeterValues"), ("exercise.long",)),
    WireFault("energy_off_by_2_percent", "it bills 2 % more than its meter counts", "energy.meter",
              "Compare the registers", changed_register(lambda wh, frame: 1_234_567 + (wh - 1_234_567) * 1.02),
              ("exercise.long",)),
    WireFault("unit_wrong", "its readings are kWh and say Wh", "energy.register_unit", "unit of the register",
              changed_register(lambda wh, frame: wh / 1000, "MeterValues"), ("exercise.long",)),
    # orders
    WireFault("key_not_written", "it accepts a setting and does not write it", "commands.settings_written",
              "accept only what it writes", not_written("HeartbeatInterval"), ("commands.configuration_round_trip",)),
    WireFault("value_lost_after_reset", "a setting is lost by a reset", "commands.settings_survive_reset", "on disk",
              reads_as("ConnectionTimeOut", "120", after_boots=1), ("commands.settings_after_reset",)),
    WireFault("reset_without_boot", "it accepts a reset and does not restart", "commands.settings_after_reset",
              "restart the station", pretended("Reset", status="Accepted"), ("commands.settings_after_reset",)),
    WireFault("remote_start_ignored", "it accepts a remote start and does nothing", "vehicle.remote_start_effect",
              "accepted remote start", pretended("RemoteStartTransaction", status="Accepted"),
              ("exercise.ignored_start",)),
    WireFault("unlock_not_done", "it says Unlocked and unlocks nothing", "vehicle.unlock_effect", "UnlockFailed",
              pretended("UnlockConnector", status="Unlocked"), ("exercise.unlocked",)),
    WireFault("profile_not_applied", "it accepts a profile and keeps its power", "vehicle.profile_effect",
              "control pilot", pretended("SetChargingProfile", status="Accepted"), ("exercise.limited",)),
    WireFault("trigger_without_message", "it accepts a trigger and sends nothing", "commands.trigger_effect",
              "accepted TriggerMessage", pretended("TriggerMessage", status="Accepted"), ("exercise.triggered",)),
    # messages
    WireFault("doubled_ids", "its readings have one message id", "ladder.message_ids", "id of its own", same_id),
    WireFault("no_answer", "it does not answer a request", "ladder.requests_answered", "answer each request",
              never_answered, ("exercise.triggered", "exercise.plain")),
    WireFault("answer_of_wrong_type", "it answers with a number for a word", "ladder.answers_fit", "by the schema",
              other_answer("UnlockConnector", {"status": 1}), ("commands.unlock_at_rest",)),
    WireFault("firmware_word_wrong", "it reports a firmware status that OCPP does not have", "ladder.words_known",
              "words of OCPP", set_in("FirmwareStatusNotification", status="Broken"), ("commands.firmware_dry",)),
    WireFault("schema_broken", "a status has no error code", "ladder.messages_understood", "schema",
              lambda frame: frame.is_request("StatusNotification") and frame.payload.pop("errorCode", None)),
    # direct current
    WireFault("event_leaves_dc", "a security event leaves a DC station", "ladder.billing_messages_only", "scope",
              leaked_event, ("exercise.bank_card",), "chargy-dc"),
    WireFault("measurand_leaves_dc", "a temperature leaves a DC station", "ladder.billing_messages_only", "scope",
              leaked_measurand, ("exercise.bank_card",), "chargy-dc"),
    WireFault("record_altered", "a signed record is altered", "energy.signed_records", "byte for byte",
              altered_record, ("exercise.bank_card",), "chargy-dc"),
    WireFault("payment_token_missing", "the start of a paid session has no token", "payment.payment_token",
              "prefix of payment tokens", set_in("StartTransaction", idTag=""), ("exercise.bank_card",), "chargy-dc"),
    WireFault("captured_more_than_shown", "a bank card is charged a euro more than was shown",
              "payment.captured_as_shown", "refund what was charged too much", exercise=("vehicle.bank_card",),
              plan="chargy-dc", bank=charge_more),
    WireFault("captured_twice", "a bank card is charged twice", "payment.captured_once", "refund the driver",
              exercise=("vehicle.bank_card",), plan="chargy-dc", bank=charge_twice),
    # OCPP 2.0.1
    WireFault("lost_end_201", "TransactionEvent Ended never arrives", "energy.every_start_has_stop", "lost end",
              lost_end_of_201, plan="generic-ocpp201"),
    WireFault("gap_201", "a TransactionEvent never arrives", "energy.message_numbers", "queue", lost_update_of_201,
              plan="generic-ocpp201"),
    WireFault("doubled_end_201", "TransactionEvent Ended comes again", "energy.stop_sent_once", "queue",
              doubled_end_of_201, plan="generic-ocpp201"),
    WireFault("sleeping_state_201", "it never says that it charges", "vehicle.status_awake", "at each change",
              sleeping_charging_state, plan="generic-ocpp201"),
    WireFault("clock_201", "its clock is 5 minutes slow", "bearer.clock_offset", "set its clock",
              shifted_clock(-300), plan="generic-ocpp201"),
    WireFault("register_falls_201", "a register is less than the one before", "energy.register_rises",
              "lifetime register", changed_register(fallen_register, "TransactionEvent"), ("exercise.long",),
              "generic-ocpp201"),
    WireFault("wrong_reason_201", "each transaction ends for the reason Other", "vehicle.stop_reasons",
              "words of OCPP", wrong_reason_of_201, ("exercise.remote",), "generic-ocpp201"),
    WireFault("profile_not_applied_201", "it accepts a profile and keeps its power", "vehicle.profile_effect",
              "control pilot", pretended("SetChargingProfile", status="Accepted"), ("exercise.limited",),
              "generic-ocpp201"),
)  # fmt: skip
