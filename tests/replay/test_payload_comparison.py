"""Which differences between two payloads count."""

from __future__ import annotations

from typing import Any

import pytest

from agent.commands.replay.payload_comparison import (
    ABSENT,
    PayloadDifference,
    TransactionIds,
    compare_payloads,
)


@pytest.mark.parametrize(("recorded", "present", "found"), [
    ({"status": "Accepted"}, {"status": "Accepted"}, []),
    ({"status": "Accepted"}, {"status": "Blocked"}, [("status", "Accepted", "Blocked")]),
    ({"currentTime": "2026-11-28T10:00:00Z"}, {"currentTime": "2027-01-01T00:00:00.123+01:00"}, []),
    ({"currentTime": "2026-11-28T10:00:00Z"}, {"currentTime": "soon"}, [
        ("currentTime", "2026-11-28T10:00:00Z", "soon")]),
    ({"a": {"b": 1}}, {"a": {}}, [("a.b", 1, ABSENT)]),
    ({}, {"a": [1]}, [("a", ABSENT, [1])]),
    ({"a": [1, 2]}, {"a": [1, 3, 4]}, [("a.1", 2, 3), ("a.2", ABSENT, 4)]),
    ({"a": 1}, {"a": 1.0}, []),
    ({"a": 1}, {"a": True}, [("a", 1, True)]),
    ({"a": "1"}, {"a": 1}, [("a", "1", 1)]),
    ({"value": "***"}, {"value": "secret"}, []),
    ({"value": "***"}, {}, [("value", "***", ABSENT)]),
])  # fmt: skip
def test_values_are_compared_by_what_they_say(recorded: Any, present: Any, found: list[Any]) -> None:
    assert compare_payloads("Any", recorded, present) == [PayloadDifference(*one) for one in found]


def test_what_is_ignored_is_named_by_action_and_path() -> None:
    recorded, present = {"interval": 300, "status": "Accepted"}, {"interval": 60, "status": "Pending"}
    paths = [d.path for d in compare_payloads("BootNotification", recorded, present, ["BootNotification.interval"])]
    assert paths == ["status"]
    assert compare_payloads("BootNotification", recorded, present, ["*.interval", "Boot*.status"]) == []
    assert len(compare_payloads("Authorize", recorded, present, ["BootNotification.*"])) == 2


def test_numbers_of_transactions_are_exchanged_in_both_directions() -> None:
    ids = TransactionIds()
    ids.learn_numbers({"transactionId": 41}, {"transactionId": 1001})
    stop = {"transactionId": 41, "meterStop": 41}
    assert ids.as_present(stop) == {"transactionId": 1001, "meterStop": 41}
    profile = {"csChargingProfiles": {"transactionId": 1001}, "list": [{"transactionId": 7}]}
    assert ids.as_recorded(profile) == {"csChargingProfiles": {"transactionId": 41}, "list": [{"transactionId": 7}]}
    ids.learn_numbers({"transactionId": 42}, {"error": "InternalError"})
    assert ids.as_present({"transactionId": 42}) == {"transactionId": 42}


def test_texts_of_2_x_are_renewed_once_each() -> None:
    ids = TransactionIds()
    started = {"eventType": "Started", "transactionInfo": {"transactionId": "T1"}}
    ids.renew_texts(started)
    ids.renew_texts([{"transactionId": "T2"}, started])
    sent = ids.as_present(started)
    new = sent["transactionInfo"]["transactionId"]
    assert new != "T1"
    assert len(new) <= 36, "identifierString of OCPP 2.0.1"
    assert ids.as_present({"transactionId": "T2"}) != ids.as_present({"transactionId": "T1"}) == {"transactionId": new}
    assert ids.as_recorded(sent) == started
