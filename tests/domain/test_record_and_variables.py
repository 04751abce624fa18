"""What is stored reads back as it was; what comes as text is judged; sampling arithmetic."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain import messages, session_records
from agent.domain.messages import MESSAGES, REPORTS, Sample, StopReason, TriggerReason
from agent.domain.payment import FINISHED, Payment, PayState
from agent.domain.sampling import next_mark_utc_s, next_sample_s, thin_out
from agent.domain.serialization import UnreadableRecord, dump_record, load_record
from agent.domain.session_records import Session
from agent.domain.stop_reason import PendingStop
from agent.domain.tariff import Tariff
from agent.domain.variables import (
    FORMS,
    MEASURANDS,
    PHASES,
    VARIABLES,
    Settings,
    Variable,
    WrongValue,
    format_value,
    parse_value,
)
from agent.model.string_enum import StrEnum
from agent.model.types import Reading, Stamp, Token, TokenType, Verdict
from tests.domain.test_tariff_properties import tariffs

texts = st.text(max_size=40)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
st.register_type_strategy(float, finite)
st.register_type_strategy(str, texts)
for enumeration in StrEnum.__subclasses__():
    st.register_type_strategy(enumeration, st.sampled_from(tuple(enumeration)))
STORED = (*MESSAGES, Sample, Reading, Stamp, Token, Verdict)
anything = st.one_of([st.from_type(c) for c in STORED])
json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.just("$"), inner, max_size=4),
    max_leaves=12,
)


TRIGGERS_BEFORE = [
    "AbnormalCondition",
    "Authorized",
    "CablePluggedIn",
    "ChargingStateChanged",
    "Deauthorized",
    "EnergyLimitReached",
    "EVCommunicationLost",
    "EVConnectTimeout",
    "EVDeparted",
    "EVDetected",
    "RemoteStart",
    "RemoteStop",
    "ResetCommand",
    "StopAuthorized",
    "TimeLimitReached",
    "TxResumed",
    "UnlockCommand",
]
STOP_REASONS_BEFORE = [
    "DeAuthorized",
    "EmergencyStop",
    "EVDisconnected",
    "GroundFault",
    "ImmediateReset",
    "Local",
    "LocalOutOfCredit",
    "MasterPass",
    "Other",
    "OvercurrentFault",
    "PowerLoss",
    "PowerQuality",
    "Reboot",
    "Remote",
    "StoppedByEV",
    "Timeout",
]
"""What the program of before can read: an update in vain brings it back, with the store of the newer one."""


# --- record ----------------------------------------------------------------------------------------------------------


@given(anything)
def test_what_is_stored_reads_back_as_it_was(value: Any) -> None:
    assert load_record(json.loads(json.dumps(dump_record(value)))) == value


@pytest.mark.parametrize("trigger", TriggerReason)
def test_an_earlier_program_reads_every_trigger(trigger: TriggerReason) -> None:
    started = messages.TransactionStarted("s1", 1, Token("A"), Stamp(1, 5.0), 7, trigger)
    record = json.loads(json.dumps(dump_record(started)))
    assert record.get("trigger", TRIGGERS_BEFORE[0]) in TRIGGERS_BEFORE
    assert load_record(record) == started


@pytest.mark.parametrize("reason", StopReason)
def test_an_earlier_program_reads_every_stop_reason(reason: StopReason) -> None:
    ended = messages.TransactionEnded("s1", 1, None, Stamp(1, 9.0), 7, reason, TriggerReason.STOP_AUTHORIZED)
    record = json.loads(json.dumps(dump_record(ended)))
    assert record.get("reason", STOP_REASONS_BEFORE[0]) in STOP_REASONS_BEFORE
    assert load_record(record) == ended


@pytest.mark.parametrize("reason", StopReason)
@pytest.mark.parametrize("trigger", TriggerReason)
def test_an_earlier_program_reads_every_pending_stop(reason: StopReason, trigger: TriggerReason) -> None:
    """A session that ends, or a transaction that outlives it, is billed by the program that comes back."""
    record = json.loads(json.dumps(PendingStop(reason, trigger, Stamp(1, 9.0)).to_record()))
    assert record["reason"] in STOP_REASONS_BEFORE
    assert record["trigger"] in TRIGGERS_BEFORE
    back = PendingStop.from_record(record)
    assert (back.reason, back.trigger) == (reason, trigger)


TOKEN_TYPES_BEFORE = [
    "Central", "DirectPayment", "eMAID", "ISO14443", "ISO15693", "KeyCode", "Local", "MacAddress", "NoAuthorization",
]  # fmt: skip


@pytest.mark.parametrize("kind", TokenType)
def test_an_earlier_program_reads_every_token(kind: TokenType) -> None:
    record = json.loads(json.dumps(dump_record(Token("A", kind))))
    assert record.get("type", "ISO14443") in TOKEN_TYPES_BEFORE
    assert load_record(record) == Token("A", kind)


PAY_STATES_BEFORE = [
    "New", "CardRead", "AuthPending", "Authorised", "Active", "FinalKnown", "CommitPending", "Committed", "VoidPending",
    "Voided", "Declined", "Uncertain",
]  # fmt: skip


@pytest.mark.parametrize("state", PayState)
def test_an_earlier_program_reads_every_state_of_a_payment(state: PayState) -> None:
    """What it does not know must be one that it neither charges nor releases."""
    payment = Payment("p1", 0, Token("PY1", TokenType.DIRECT_PAYMENT), 5000, Stamp(1, 5.0), state)
    record = json.loads(json.dumps(payment.to_record()))
    assert record["state"] in PAY_STATES_BEFORE
    assert record["state"] == state.value or PayState(record["state"]) in FINISHED
    assert Payment.from_record("p1", record).state is state


def test_a_word_that_is_newer_still_leaves_the_earlier_one() -> None:
    started = messages.TransactionStarted("s1", 1, Token("A"), Stamp(1, 5.0), 7, TriggerReason.SIGNED_DATA_RECEIVED)
    record = dump_record(started)
    record["later_words"] = {"trigger": "Unheard", "unknown": "Word"}
    assert load_record(record).trigger is TriggerReason.AUTHORIZED


@given(anything)
def test_every_field_keeps_its_type(value: Any) -> None:
    back = load_record(json.loads(json.dumps(dump_record(value))))
    for name in type(value).__slots__:
        assert type(getattr(back, name)) is type(getattr(value, name)), name


@given(anything, st.data())
def test_a_damaged_record_is_poisoned_and_nothing_else(value: Any, data: st.DataObject) -> None:
    record = dump_record(value)
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(json_values)
    try:
        load_record(record)
    except UnreadableRecord:
        pass


@given(json_values)
def test_any_json_is_poisoned_at_worst(value: Any) -> None:
    try:
        load_record(value)
    except UnreadableRecord:
        pass


def test_a_field_of_a_newer_program_is_ignored_and_one_of_ours_has_its_default() -> None:
    assert load_record({"$": "Token", "value": "x", "colour": "red"}) == Token("x")


def test_a_record_of_another_class_is_poisoned() -> None:
    with pytest.raises(UnreadableRecord, match="Token expected, is Stamp"):
        load_record(dump_record(Stamp(1, 2.0)), Token)


vars(session_records)["Tariff"] = Tariff  # builds() reads the annotations, and stations without a price do without it


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    stop = st.builds(
        PendingStop,
        st.sampled_from(tuple(StopReason)),
        st.sampled_from(tuple(TriggerReason)),
        st.from_type(Stamp),
        st.none() | st.from_type(Token),
        texts,
    )
    samples = st.lists(st.from_type(Sample), max_size=3).map(tuple)
    return draw(st.builds(Session, stop=st.none() | stop, samples=samples, tariff=st.none() | tariffs))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(sessions())
def test_a_session_reads_back_as_it_was(session: Session) -> None:
    assert Session.from_record(session.id, json.loads(json.dumps(session.to_record()))) == session


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(sessions(), st.data())
def test_a_damaged_session_is_found_when_it_is_read(session: Session, data: st.DataObject) -> None:
    record = session.to_record()
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(json_values)
    try:
        back = Session.from_record(session.id, json.loads(json.dumps(record)))
    except (UnreadableRecord, KeyError, TypeError, ValueError, OverflowError):
        return
    assert Session.from_record(back.id, json.loads(json.dumps(back.to_record()))) == back


def test_every_message_is_known_to_the_store() -> None:
    own = {c for c in vars(messages).values() if isinstance(c, type) and issubclass(c, messages.Message)}
    assert own - {messages.Message, messages.IdleMessage} == {*MESSAGES, *REPORTS}


# --- variables -------------------------------------------------------------------------------------------------------

phased = st.tuples(st.sampled_from(("Current.Import", "Power.Active.Import", "Voltage")), st.sampled_from(PHASES))
measurands = st.sampled_from(MEASURANDS) | phased.map(".".join)
words = st.text(st.characters(exclude_characters=",", exclude_categories=("Z", "C")), min_size=1, max_size=10)


def values_of(variable: Variable) -> st.SearchStrategy[Any]:
    if variable.kind == "bool":
        return st.booleans()
    if variable.kind == "int":
        return st.integers(variable.low, variable.high)
    if variable.kind == "list":
        items = measurands if variable.name.endswith("_measurands") else words
        if variable.pattern:
            items = st.from_regex(re.compile(variable.pattern, re.ASCII), fullmatch=True)
        if variable.choices:
            return st.permutations(variable.choices).map(tuple)
        return st.lists(items, max_size=min(variable.high, 5)).map(tuple)
    if variable.choices:
        return st.sampled_from(variable.choices)
    if variable.pattern:
        return st.from_regex(variable.pattern, fullmatch=True)
    return st.text(max_size=min(variable.high, 40)).map(str.strip)


@pytest.mark.parametrize("name", VARIABLES)
@given(data=st.data())
def test_what_is_written_reads_back(name: str, data: st.DataObject) -> None:
    variable = VARIABLES[name]
    value = data.draw(values_of(variable))
    assert parse_value(variable, format_value(variable, value)) == value


@pytest.mark.parametrize("name", VARIABLES)
@given(text=st.text(max_size=60) | st.integers().map(str) | st.sampled_from(("true", "TRUE", "", " ", "٣", "+1", "-0")))
def test_any_text_is_a_value_or_refused(name: str, text: str) -> None:
    variable = VARIABLES[name]
    try:
        value = parse_value(variable, text)
    except WrongValue:
        return
    assert type(value) is type(variable.default)
    assert parse_value(variable, format_value(variable, value)) == value
    if variable.kind == "int":
        assert isinstance(value, int)
        assert variable.low <= value <= variable.high


@pytest.mark.parametrize("variable", VARIABLES.values(), ids=lambda v: v.name)
def test_every_default_is_a_value_of_its_setting(variable: Variable) -> None:
    assert parse_value(variable, format_value(variable, variable.default)) == variable.default


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("receipt_url", "http://pay.example", "begins with https://"), ("currency", "euro", "three capital letters"),
        ("time_offset", "2", "such as +02:00"), ("limit_change_percent", "101", "from 0 to 100"),
        ("payment_increment", "0.123", "an amount such as 5 or 0.25"), ("offline_kwh_price", "x", "such as 0.59"),
        ("connector_phase_rotation", "1.RST,2.XYZ", "one of NotApplicable, Unknown, RST"),
        ("web1_totp_version", "v2", "one of 'v1'"), ("web1_roaming_id", "x" * 65, "0 to 64 characters, has 65"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_wanted(name: str, text: str, wanted: str) -> None:
    with pytest.raises(WrongValue, match=f"^{name}: ") as refused:
        parse_value(VARIABLES[name], text)
    assert wanted in str(refused.value)


@pytest.mark.parametrize("variable", [v for v in VARIABLES.values() if v.pattern], ids=lambda v: v.name)
def test_every_form_has_words(variable: Variable) -> None:
    assert variable.pattern in FORMS


def test_a_refusal_never_repeats_a_secret() -> None:
    with pytest.raises(WrongValue) as refused:
        parse_value(VARIABLES["authorization_key"], "hunter2" * 20)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["Voltage.L1-N", "Current.Import.L3", "Power.Active.Import.L2", "SoC"])
def test_measurands_with_a_phase(text: str) -> None:
    assert parse_value(VARIABLES["sampled_measurands"], f" {text} , Frequency,") == (text, "Frequency")


@pytest.mark.parametrize("text", ["SoC.L1", "Voltage.L4", "Voltage.", ".L1", "Energy.Active.Import.Register.L1"])
def test_what_is_not_measured_here(text: str) -> None:
    with pytest.raises(WrongValue):
        parse_value(VARIABLES["sampled_measurands"], text)


def test_settings_know_only_their_names() -> None:
    with pytest.raises(KeyError, match="no setting is called 'colour'"):
        Settings({"colour": 1})
    settings = Settings({"sample_interval_s": 5})
    assert (settings["sample_interval_s"], settings.int_value("sample_interval_s")) == (5, 5)
    assert settings.list_value("sampled_measurands") == ("Energy.Active.Import.Register",)
    assert (settings.list_value("sample_interval_s"), settings.int_value("authorization_key")) == ((), 0)


# --- sampling --------------------------------------------------------------------------------------------------------

instants = st.floats(0, 1e8, allow_nan=False)
intervals = st.integers(1, 86400)


@given(instants, intervals, st.floats(0, 1e7))
def test_the_next_sample_is_ahead_on_the_grid_and_not_far(started_s: float, interval_s: int, elapsed_s: float) -> None:
    now_s = started_s + elapsed_s
    next_s = next_sample_s(started_s, interval_s, now_s)
    assert now_s < next_s <= now_s + interval_s * 1.001
    steps = (next_s - started_s) / interval_s
    assert abs(steps - round(steps)) < 1e-3


@given(intervals, st.floats(1.6e9, 2e9))
def test_the_next_mark_is_ahead_and_a_multiple_since_midnight(interval_s: int, utc_s: float) -> None:
    mark_s = next_mark_utc_s(interval_s, utc_s)
    assert utc_s < mark_s <= utc_s + interval_s * 1.001
    since_midnight_s = mark_s % 86400
    assert min(since_midnight_s % interval_s, since_midnight_s) < 1e-3


@given(st.lists(st.floats(0, 1e6), max_size=60).map(sorted), st.integers(2, 30))
def test_thinning_keeps_order_ends_and_bound(items: list[float], most: int) -> None:
    kept = thin_out(tuple(items), most, lambda x: x)
    assert len(kept) == min(len(items), most)
    assert list(kept) == sorted(kept)
    assert (kept[:1], kept[-1:]) == (tuple(items[:1]), tuple(items[-1:]))
    assert set(kept) <= set(items)


@given(st.integers(3, 40), st.integers(41, 300))
def test_thinning_one_by_one_stays_even(most: int, count: int) -> None:
    kept: tuple[int, ...] = ()
    for n in range(count):
        kept = thin_out((*kept, n), most, float)
    gaps = [b - a for a, b in itertools.pairwise(kept)]
    assert max(gaps) <= 4 * count / most
