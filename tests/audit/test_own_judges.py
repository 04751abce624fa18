"""Judges of identity, settings, boot, status, clock, tokens, latency and energy, on conversations written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from agent.audit.context import AuditContext, JudgeResult, KitFacts, MeterReading, WireRecord
from agent.audit.judge_table import known_judges
from agent.audit.station_facts import boot_facts, make_fact
from agent.audit.verdicts import AuditVerdict
from agent.scenario.frames import CALL, FrameLog
from agent.scenario.observation import StationView
from agent.scenario.versions import read_frame

BEGIN_S = 1_000.0
NOON = "2026-11-28T12:00:{:02}Z"


DONE: dict[str, Any] = {}


class Talk:
    """A conversation. ``>``: the station asks, ``<``: the backend. Each answer follows its request after 50 ms."""

    def __init__(self, version: str = "1.6") -> None:
        self.log, self.version, self._at_s, self._number = FrameLog(), version, BEGIN_S, 0

    def say(self, sender: str, action: str, payload: dict[str, Any], answer: Any = DONE, after_s: float = 1.0) -> Talk:
        self._number, self._at_s = self._number + 1, self._at_s + after_s
        from_station = sender == ">"
        self._add(from_station, [2, f"m{self._number}", action, payload])
        if answer is not None:
            self._at_s += 0.05
            wire = [4, f"m{self._number}", *answer] if isinstance(answer, list) else [3, f"m{self._number}", answer]
            self._add(not from_station, wire)
        return self

    def _add(self, from_station: bool, wire: Any) -> None:
        self.log.add_text(from_station, self.version, json.dumps(wire), self._at_s, self._at_s)

    def context(self, **more: Any) -> AuditContext:
        view, frames = StationView(), tuple(self.log.frames)
        for frame in frames:
            read_frame(view, frame)
        return AuditContext(self.version, "CP-1", "station", frames, view, facts=boot_facts(frames), **more)


def judge(name: str, talk: Talk | AuditContext, **parameters: Any) -> JudgeResult:
    one = known_judges()[name]
    context = talk.context() if isinstance(talk, Talk) else talk
    return one.function(replace_parameters(context, {n: p.default for n, p in one.parameters.items()} | parameters))


def replace_parameters(context: AuditContext, parameters: dict[str, Any]) -> AuditContext:
    return replace(context, parameters=parameters)


BOOT = {"chargePointVendor": "V", "chargePointModel": "M", "chargePointSerialNumber": "S", "firmwareVersion": "1"}


def boot(talk: Talk, at: int = 0, **payload: Any) -> Talk:
    answer = {"status": "Accepted", "currentTime": NOON.format(at), "interval": 300}
    return talk.say(">", "BootNotification", {**BOOT, **payload}, answer)


def status(talk: Talk, word: str, at: int = 1, evse: int = 1, **more: Any) -> Talk:
    payload = {"connectorId": evse, "status": word, "errorCode": "NoError", "timestamp": NOON.format(at)}
    return talk.say(">", "StatusNotification", {**payload, **more})


def session(talk: Talk, number: int = 7, start_wh: int = 1000, stop_wh: int = 1500, statuses: bool = True) -> Talk:
    begin = {"connectorId": 1, "idTag": "04A1B2C3", "meterStart": start_wh, "timestamp": NOON.format(5)}
    talk.say(">", "Authorize", {"idTag": "04A1B2C3"}, {"idTagInfo": {"status": "Accepted"}})
    talk.say(">", "StartTransaction", begin, {"transactionId": number, "idTagInfo": {"status": "Accepted"}})
    if statuses:
        status(talk, "Charging", 6)
    talk.say(">", "MeterValues", meter_values(number, (start_wh + stop_wh) // 2))
    talk.say(">", "StopTransaction", {"transactionId": number, "meterStop": stop_wh, "timestamp": NOON.format(50)})
    if statuses:
        status(talk, "Available", 55)
    return talk


def meter_values(number: int, register_wh: int) -> dict[str, Any]:
    value = {"value": str(register_wh), "unit": "Wh"}
    return {
        "connectorId": 1,
        "transactionId": number,
        "meterValue": [{"timestamp": NOON.format(9), "sampledValue": [value]}],
    }


def good_talk() -> Talk:
    return session(status(boot(Talk()), "Available"))


def verdicts(results: Iterable[JudgeResult]) -> list[str]:
    return [str(r.verdict) for r in results]


# --- identity and settings -------------------------------------------------------------------------------------------


def test_boot_has_to_name_the_station() -> None:
    assert judge("boot_identity", good_talk()).verdict is AuditVerdict.PASS
    bare = judge(
        "boot_identity", Talk().say(">", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
    )
    assert (bare.verdict, bare.says) == (AuditVerdict.FAIL, "BootNotification does not say: Serial number, Firmware")
    assert bare.evidence == (0,)
    assert judge("boot_identity", Talk()).verdict is AuditVerdict.PARTIAL


def test_boot_of_the_next_version_is_read_alike() -> None:
    station = {"vendorName": "V", "model": "M", "serialNumber": "S", "firmwareVersion": "1", "modem": {"iccid": "8935"}}
    talk = Talk("2.0.1").say(">", "BootNotification", {"reason": "PowerUp", "chargingStation": station})
    assert judge("boot_identity", talk).verdict is AuditVerdict.PASS
    assert talk.context().facts["iccid"].value == "8935"


def test_facts_have_to_be_known_and_in_their_form() -> None:
    matches = {"meter_class": "[ABC]"}
    known = {"meter_class": make_fact("meter_class", "B", "asked")}
    assert judge("station_facts", replace(good_talk().context(), facts=known), matches=matches).verdict == "PASS"
    wrong = {"meter_class": make_fact("meter_class", "2", "asked")}
    found = judge("station_facts", replace(good_talk().context(), facts=wrong), matches=matches)
    assert (found.verdict, found.says) == ("FAIL", "Accuracy class of the meter is '2' (asked), which is not [ABC]")
    assert judge("station_facts", good_talk(), matches=matches).verdict == "PARTIAL"
    assert judge("station_facts", good_talk(), matches=matches, required_of_all=True).verdict == "FAIL"


def test_the_station_has_to_be_that_of_its_kit() -> None:
    kit = KitFacts(charge_point_id="CP-1", station_type="M", versions=("1.6",), iccid="8935")
    assert judge("kit_identity", good_talk().context(kit=kit)).verdict == "PASS"
    other = judge("kit_identity", boot(Talk(), iccid="8936").context(kit=replace(kit, charge_point_id="CP-2")))
    assert other.verdict == "FAIL"
    assert "Charge point id is CP-1, the kit says CP-2" in other.says
    assert "ICCID of the SIM is 8936, the kit says 8935" in other.says
    assert judge("kit_identity", good_talk().context(kit=replace(kit, versions=("2.0.1",)))).verdict == "FAIL"
    assert judge("kit_identity", good_talk()).verdict == "NOT APPLICABLE"


def test_settings_are_compared_with_the_kit_as_first_reported() -> None:
    rows = [
        {"key": "HeartbeatInterval", "readonly": False, "value": "300"},
        {"key": "Flag", "readonly": False, "value": "true"},
    ]
    talk = Talk().say("<", "GetConfiguration", {}, {"configurationKey": rows, "unknownKey": ["Gone"]})
    changed = [{"key": "HeartbeatInterval", "readonly": False, "value": "1"}]
    talk.say("<", "GetConfiguration", {"key": ["HeartbeatInterval"]}, {"configurationKey": changed})

    def found(**settings: str) -> JudgeResult:
        return judge("kit_settings", talk.context(kit=KitFacts(settings=settings)))

    assert found(HeartbeatInterval="300", Flag="True").verdict == "PASS"
    wrong = found(HeartbeatInterval="60", Gone="1", Other="2")
    assert wrong.says == "Gone is missing; HeartbeatInterval is 300, the kit says 60; Other is missing"
    assert judge("kit_settings", good_talk().context(kit=KitFacts(settings={"A": "1"}))).verdict == "PARTIAL"
    assert judge("required_settings", talk, required=["Flag"]).verdict == "PASS"
    assert judge("required_settings", talk, required=["Flag", "Gone"]).says == "is missing: Gone"


def test_settings_of_a_report_are_read_with_component_and_instance() -> None:
    row = {
        "component": {"name": "TxCtrlr"}, "variable": {"name": "Times", "instance": "A"},
        "variableAttribute": [{"type": "Actual", "value": "60"}],
    }  # fmt: skip
    talk = Talk("2.0.1").say(">", "NotifyReport", {"requestId": 1, "seqNo": 0, "reportData": [row]})
    kit = KitFacts(settings={"TxCtrlr.Times[A]": "60", "HeartbeatInterval": "300"})
    assert judge("kit_settings", talk.context(kit=kit)).verdict == "PASS"
    assert judge("kit_settings", talk.context(kit=replace(kit, settings={"TxCtrlr.Times[A]": "61"}))).verdict == "FAIL"


# --- boot, messages, status ------------------------------------------------------------------------------------------


def test_the_ladder_from_the_connection_to_the_first_status() -> None:
    assert judge("boot_ladder", good_talk()).verdict == "PASS"
    early = boot(status(Talk(), "Available"))
    assert judge("boot_ladder", early).says == "StatusNotification is sent before BootNotification"
    pending = Talk().say(">", "BootNotification", BOOT, {"status": "Pending", "currentTime": NOON, "interval": 1})
    assert judge("boot_ladder", pending).says == "the backend answers Pending to BootNotification"
    assert judge("boot_ladder", boot(Talk())).says == "no outlet has reported its status"
    assert judge("boot_ladder", Talk()).verdict == "PARTIAL"


def test_a_message_that_is_refused_or_strange_is_found() -> None:
    assert judge("messages_understood", good_talk()).verdict == "PASS"
    refused = good_talk().say(">", "MeterValues", {}, ["FormationViolation", "connectorId is missing", {}])
    found = judge("messages_understood", refused)
    assert found.says == "MeterValues was refused with FormationViolation: connectorId is missing"
    strange = good_talk()
    strange.log.add_text(True, "1.6", "hello", 2000.0, 2000.0)
    assert judge("messages_understood", strange).verdict == "FAIL"


def test_a_request_without_an_answer_is_found_unless_the_connection_ended() -> None:
    talk = good_talk().say("<", "ClearCache", {}, {"status": "Accepted"})
    assert judge("requests_answered", talk).verdict == "PASS"
    talk.say("<", "Reset", {"type": "Hard"}, None)
    status(talk, "Available", 59).say("<", "ClearCache", {}, {"status": "Accepted"}, after_s=60)
    assert judge("requests_answered", talk).says == "Reset was not answered within 30 s"
    lost = WireRecord(next(f.at_s for f in talk.log.frames if f.action == "Reset") + 1, "disconnected")
    assert judge("requests_answered", talk.context(records=(lost,))).verdict == "PASS"
    assert judge("requests_answered", good_talk()).verdict == "PARTIAL"


def test_statuses_have_to_follow_what_happens() -> None:
    assert judge("status_awake", good_talk()).verdict == "PASS"
    asleep = judge("status_awake", session(status(boot(Talk()), "Available"), statuses=False))
    assert asleep.says == "outlet 1: transaction 7 has run, and no status has said so"
    stuck = status(session(status(boot(Talk()), "Available")), "Charging", 58)
    assert judge("status_awake", stuck).says.startswith("outlet 1: the status is still Charging")
    assert judge("status_awake", boot(Talk())).verdict == "PARTIAL"


def test_a_status_has_to_be_a_word_of_the_standard() -> None:
    assert judge("status_words", good_talk()).verdict == "PASS"
    assert (
        judge("status_words", status(boot(Talk()), "Occupied")).says == "outlet 1: 'Occupied' is no status of OCPP 1.6"
    )


# --- clock, tokens, latency ------------------------------------------------------------------------------------------


def clocked(seconds_off: int, count: int = 4) -> Talk:
    """The clock of the backend is at noon when the boot is answered; a message follows each second."""
    talk = boot(Talk())
    for second in range(1, count + 1):
        status(talk, "Available", second + seconds_off)
    return talk


def test_the_clock_is_compared_with_that_of_the_backend() -> None:
    assert judge("clock_offset", clocked(0)).verdict == "PASS"
    off = judge("clock_offset", clocked(30))
    assert off.verdict == "FAIL"
    assert off.says.startswith("the clock is +29.")
    assert judge("clock_offset", clocked(30), tolerance_s=40).verdict == "PASS"
    assert judge("clock_offset", clocked(0, 2)).verdict == "PARTIAL"


def test_the_time_of_a_simulation_runs_faster() -> None:
    talk = boot(Talk())
    for number in range(1, 5):
        status(talk, "Available", 10 * number)
    assert judge("clock_offset", talk.context(speed=10.0)).verdict == "PASS"
    assert judge("clock_offset", talk.context(), tolerance_s=5).verdict == "FAIL"


def test_a_time_without_a_zone_is_found() -> None:
    assert judge("times_in_utc", good_talk()).verdict == "PASS"
    local = status(boot(Talk()), "Available", timestamp="2026-11-28T12:00:00")
    assert "'2026-11-28T12:00:00' has no time zone" in judge("times_in_utc", local).says


def test_a_token_in_small_letters_is_found() -> None:
    assert judge("token_letters", good_talk()).verdict == "PASS"
    small = boot(Talk()).say(">", "Authorize", {"idTag": "04a1b2c3"})
    assert judge("token_letters", small).says == "Authorize: the token 04a1b2c3 has small letters"
    remote = (
        boot(Talk())
        .say("<", "RemoteStartTransaction", {"idTag": "04a1b2c3"})
        .say(">", "Authorize", {"idTag": "04a1b2c3"})
    )
    assert judge("token_letters", remote).verdict == "PARTIAL", "the backend's own token stays as it is"
    mixed = good_talk()
    mixed.say(">", "StartTransaction", {"connectorId": 1, "idTag": "04A1b2C3", "meterStart": 1, "timestamp": NOON})
    assert judge("same_token", good_talk()).verdict == "PASS"
    assert judge("same_token", mixed).says == "StartTransaction: 04A1b2C3 is not written as in Authorize"


def test_slow_answers_are_found() -> None:
    talk = Talk()
    for _ in range(30):
        talk.say("<", "ClearCache", {}, {"status": "Accepted"})
    assert judge("answer_latency", talk).verdict == "PASS"
    assert judge("answer_latency", talk, p95_s=0.02).verdict == "FAIL"
    assert judge("answer_latency", Talk()).verdict == "PARTIAL"


# --- energy ----------------------------------------------------------------------------------------------------------


def two_sessions(second_start_wh: int = 1500, second_stop_wh: int = 2500) -> Talk:
    return session(session(boot(Talk())), 8, second_start_wh, second_stop_wh)


def test_the_registers_have_to_fit_together() -> None:
    good = judge("energy_books", two_sessions())
    assert (good.verdict, good.says) == ("PASS", "2 transactions, 1500 Wh, without gap and overlap")
    gap = judge("energy_books", two_sessions(1600))
    assert gap.says == "outlet 1: the register moved by +100 Wh between 7 and 8"
    assert judge("energy_books", two_sessions(1400)).says.endswith("by -100 Wh between 7 and 8")
    assert "ends below its start" in judge("energy_books", session(Talk(), 7, 1500, 1000)).says
    back = two_sessions().say(">", "MeterValues", meter_values(8, 1200))
    assert "the register runs back" in judge("energy_books", back).says
    lost = session(Talk()).say(
        ">",
        "StartTransaction",
        {"connectorId": 1, "idTag": "A", "meterStart": 1500, "timestamp": NOON},
        {"transactionId": 9},
    )
    assert judge("energy_books", lost).says == "outlet 1, transaction 9 has started and never ended"


def meter(*registers_wh: float) -> tuple[MeterReading, ...]:
    return tuple(MeterReading(BEGIN_S + n, 1, "simulation", wh) for n, wh in enumerate(registers_wh))


def test_the_backends_sum_is_compared_with_the_meter_to_the_wh() -> None:
    assert judge("energy_meter", two_sessions().context(readings=meter(1000, 1500, 2500))).verdict == "PASS"
    off = judge("energy_meter", two_sessions().context(readings=meter(1000, 2530)))
    assert off.says == "outlet 1: 1500 Wh are billed, the meter has counted 1530 Wh"
    assert judge("energy_meter", two_sessions().context(readings=meter(1000, 2502))).verdict == "PASS", "1 Wh for each"
    assert judge("energy_meter", two_sessions().context(readings=meter(1000, 2503))).verdict == "FAIL"
    assert judge("energy_meter", two_sessions()).verdict == "NOT APPLICABLE"


def test_a_fresh_simulated_station_has_another_meter() -> None:
    begun = (WireRecord(BEGIN_S - 1, "station_began"), WireRecord(BEGIN_S + 1.5, "station_began"))
    readings = meter(1000, 1500, 0, 1000)
    assert judge("energy_meter", two_sessions().context(readings=readings, records=begun)).verdict == "PASS"


def replaced_station(*registers: tuple[float, float]) -> dict[str, Any]:
    """A station that is replaced after 100 s, and its readings: seconds after the begin, Wh."""
    begun = (WireRecord(BEGIN_S, "station_began"), WireRecord(BEGIN_S + 100, "station_began"))
    readings = tuple(MeterReading(BEGIN_S + at_s, 1, "simulation", wh) for at_s, wh in (*registers, (101, 0)))
    return {"records": begun, "readings": readings}


def requested_after_s(talk: Talk, action: str) -> list[float]:
    return [f.at_s - BEGIN_S for f in talk.log.frames if f.action == action and f.kind == CALL]


def test_a_station_that_is_replaced_after_its_meter_was_read_is_judged_whole() -> None:
    talk = two_sessions()
    after_s = requested_after_s(talk, "StopTransaction")[1]
    late = talk.context(**replaced_station((0.5, 1000), (after_s, 2500)))
    assert judge("energy_meter", late).verdict == "PASS"
    off = judge("energy_meter", talk.context(**replaced_station((0.5, 1000), (after_s, 2400))))
    assert off.says == "outlet 1: 1500 Wh are billed, the meter has counted 1400 Wh"


def test_a_transaction_in_which_the_station_was_replaced_is_left_out() -> None:
    """An audit that was killed: nothing has read the meter after the last end, or there was no end."""
    talk = two_sessions()
    began_s, ended_s = requested_after_s(talk, "StartTransaction")[1], requested_after_s(talk, "StopTransaction")[1]
    readings = ((0.5, 1000), (began_s - 0.01, 1500), (began_s + 0.01, 1700), (ended_s - 0.01, 2400))
    cut = judge("energy_meter", talk.context(**replaced_station(*readings)))
    assert cut.verdict == "PASS", cut.says
    left_out = ("Outlet 1: left out", "transaction 8: its station was replaced meanwhile")
    assert left_out in [(fact.title, fact.value) for fact in cut.facts]
    begin = {"connectorId": 1, "idTag": "A", "meterStart": 1500, "timestamp": NOON}
    open_talk = session(boot(Talk())).say(">", "StartTransaction", begin, {"transactionId": 8})
    began_s = requested_after_s(open_talk, "StartTransaction")[1]
    readings = ((0.5, 1000), (began_s - 0.01, 1500), (began_s + 0.5, 1700))
    assert judge("energy_meter", open_talk.context(**replaced_station(*readings))).verdict == "PASS"
    books = judge("energy_books", open_talk.context(**replaced_station(*readings)))
    assert books.says == "2 transactions, 500 Wh, without gap and overlap", "its station could not end it"
    kept = judge("energy_meter", open_talk.context(readings=meter(1000, 1700)))
    assert kept.verdict == "FAIL", "the station is still there"


def test_the_error_against_a_reference_meter_depends_on_the_class() -> None:
    def found(reference_wh: str, name: str = "B") -> JudgeResult:
        values = {"reference_meter": "R1", "reference_wh": reference_wh, "meter_class": name}
        facts = {key: make_fact(key, value, "asked") for key, value in values.items()}
        return judge("reference_energy", replace(two_sessions().context(), facts=facts))

    assert found("1500").verdict == "PASS"
    assert found("1480").verdict == "PASS", "1.35 % with class B and the reference meter's own 0.5 %"
    assert found("1470").says == "the error is +2.04 %, 1.5 % are permitted"
    assert found("1470", "A").verdict == "PASS"
    assert found("0").verdict == "PARTIAL"
    assert judge("reference_energy", two_sessions()).verdict == "NOT APPLICABLE"


def test_a_judge_looks_at_the_frames_that_it_is_given_only() -> None:
    talk = two_sessions(1600)
    whole = talk.context()
    first = replace(whole, frames=tuple(f for f in whole.frames if f.seq < 12))
    assert verdicts([judge("energy_books", whole), judge("energy_books", first)]) == ["FAIL", "PASS"]
