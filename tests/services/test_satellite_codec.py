"""What a payment master and a satellite take from each other as a message, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent.domain.satellite_grant import supply_from_record
from agent.domain.satellite_messages import (
    BegunReport,
    EndedReport,
    Grant,
    MasterMessage,
    MeteredReport,
    PaymentOutcome,
    SatelliteMessage,
    SessionConfirmed,
    SupplyReport,
)
from agent.domain.session_usage import Usage
from agent.domain.tariff import Tariff
from agent.model.types import DirectPayment
from agent.services.satellites.message_codec import MalformedMessage, decode_message, encode_message, read_hello

SUPPLY = SupplyReport(1000, 3000, 1_800_000_000.0, 1_800_003_600.5)
MESSAGES: tuple[SatelliteMessage | MasterMessage, ...] = (
    BegunReport("p", "s", 1, Usage(wh=1000)),
    MeteredReport("p", "s", Usage(wh=2**53)),
    EndedReport("p", "s", Usage(wh=3000), SUPPLY),
    Grant("p", 1, "PY1", Tariff(), 5000, 60.0, 300.0, 86400.0, DirectPayment(5000)),
    SessionConfirmed("p", "s", 5000),
    PaymentOutcome("p", "s", "Settled", 100),
)
BEYOND = ("9" * 4300, "9" * 400, str(2**53 + 1), str(-(2**53) - 1), "NaN", "Infinity", "-Infinity", "1e999")
MARK = 123_454_321


def direction_of(message: SatelliteMessage | MasterMessage) -> type[Any]:
    return SatelliteMessage if isinstance(message, SatelliteMessage) else MasterMessage


def marked_texts(data: Any) -> Iterator[str]:
    """The text of a message once for each number in it, which is marked."""

    def visit(holder: Any, key: Any) -> Iterator[str]:
        value = holder[key]
        if isinstance(value, dict | list):
            for inner in list(value) if isinstance(value, dict) else range(len(value)):
                yield from visit(value, inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            holder[key] = MARK
            yield json.dumps(data)
            holder[key] = value

    for key in list(data):
        yield from visit(data, key)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_no_number_beyond_reason_is_taken(message: SatelliteMessage | MasterMessage) -> None:
    """4300 digits could not be written into a log line, a wait without end never ended: the agent did."""
    text = encode_message(message)
    assert decode_message(text, direction_of(message)) == message
    texts = list(marked_texts(json.loads(text)))
    assert texts
    for marked in texts:
        for beyond in BEYOND:
            with pytest.raises(MalformedMessage):
                decode_message(marked.replace(str(MARK), beyond), direction_of(message))


@pytest.mark.parametrize("number", BEYOND)
def test_no_number_beyond_reason_is_taken_in_a_field_of_a_later_program(number: str) -> None:
    with pytest.raises(MalformedMessage):
        read_hello(f'{{"kind":"hello","protocol":1,"later":{number}}}')


@pytest.mark.parametrize("register", [-1, 1.5, "1000", "9" * 4300, True, None])
def test_a_register_is_a_whole_number_from_0_on(register: object) -> None:
    record = {"begin_wh": 1000, "end_wh": 3000, "began_utc_s": None, "ended_utc_s": None, "signed": None}
    for name in ("begin_wh", "end_wh"):
        with pytest.raises((ValueError, TypeError)):
            supply_from_record({**record, name: register})


@pytest.mark.parametrize("time", ["nan", "inf", "1800000000", float("nan"), float("inf"), -5.0, 1e300, 2**53, True])
def test_a_time_that_no_clock_has_is_none(time: object) -> None:
    """It is on a receipt; the energy is charged without it."""
    record = {"begin_wh": 1000, "end_wh": 3000, "began_utc_s": time, "ended_utc_s": time, "signed": None}
    assert supply_from_record(record) == SupplyReport(1000, 3000)
