"""A recording made of frames and deeds that are typed here: what it waits for, and that each file is a right one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.scenario.recording import ScenarioRecording
from agent.scenario.scenario_file import parse_scenario
from agent.scenario.scenario_model import Scenario

CARD = "04A1B2C3"


class Hand:
    """Does things at one OCPP 1.6 station, and has it answer. ``now_s``: its time."""

    def __init__(self, title: str = "By hand") -> None:
        self.made = ScenarioRecording(title)
        self.now_s, self._ids = 0.0, 0
        self.online = True
        self.status(1, "Available")
        self.made.mark_beginning()

    def frame(self, from_station: bool, *message: Any) -> None:
        self.made.add_frame(from_station, "1.6", json.dumps(message), self.now_s)

    def call(self, action: str, payload: Any, answer: Any, from_station: bool = True) -> None:
        self._ids += 1
        self.frame(from_station, 2, str(self._ids), action, payload)
        self.frame(not from_station, 3, str(self._ids), answer)

    def status(self, n: int, status: str) -> None:
        self.call("StatusNotification", {"connectorId": n, "status": status, "errorCode": "NoError"}, {})

    def start(self, n: int, number: int, token: str = CARD, meter_wh: int = 100) -> None:
        asked = {"connectorId": n, "idTag": token, "meterStart": meter_wh, "timestamp": "2026-11-28T10:00:00Z"}
        self.call("StartTransaction", asked, {"transactionId": number, "idTagInfo": {"status": "Accepted"}})

    def reading(self, n: int, number: int, wh: int) -> None:
        sample = {"timestamp": "2026-11-28T10:00:00Z", "sampledValue": [{"value": str(wh)}]}
        self.call("MeterValues", {"connectorId": n, "transactionId": number, "meterValue": [sample]}, {})

    def stop(self, number: int, wh: int, **more: Any) -> None:
        self.call("StopTransaction", {"transactionId": number, "meterStop": wh, **more}, {})

    def deed(self, **values: Any) -> None:
        self.made.add_carried_out_deed(next(iter(values)), values, self.now_s, self.online)

    def scenario(self) -> Scenario:
        text = self.made.format_scenario(self.now_s, self.online)
        return parse_scenario(text.encode(), Path("recorded.toml"))

    def steps(self) -> list[dict[str, Any]]:
        return [dict(step.values) for step in self.scenario().steps]


def test_a_session_has_a_wait_for_what_was_seen_before_each_deed() -> None:
    hand = Hand()
    hand.deed(plug=1)
    hand.status(1, "Preparing")
    hand.deed(tap=CARD)
    hand.start(1, 7)
    hand.status(1, "Charging")
    hand.reading(1, 7, 150)
    hand.now_s = 90.0
    hand.reading(1, 7, 375)
    hand.deed(unplug=1, side="vehicle")
    hand.stop(7, 380, reason="EVDisconnected")
    hand.status(1, "Finishing")
    hand.deed(unplug=1)
    hand.status(1, "Available")
    assert hand.scenario().variables == {"card": CARD}
    assert hand.scenario().versions == ("1.6",)
    assert hand.steps() == [
        {"wait_status": "available"},
        {"plug": 1},
        {"wait_status": "preparing"},
        {"tap": "${card}"},
        {"wait_transaction": "started", "where": {"token": "${card}"}, "set": {"transaction_1": "id"}},
        {"wait_status": "charging"},
        {"wait_energy": 100, "within_s": 180},
        {"unplug": 1, "side": "vehicle"},
        {"wait_transaction": "ended", "where": {"id": "${transaction_1}", "reason": "EVDisconnected"}},
        {"wait_status": "finishing"},
        {"unplug": 1},
        {"wait_status": "available"},
    ]


def test_only_the_last_status_before_the_next_deed_is_waited_for_and_no_status_twice() -> None:
    hand = Hand()
    hand.deed(tap=CARD)
    hand.status(1, "Preparing")
    hand.status(1, "Charging")
    hand.status(1, "SuspendedEV")
    hand.deed(vehicle=1, ready=False)
    hand.status(1, "SuspendedEV")
    assert [s["wait_status"] for s in hand.steps() if "wait_status" in s] == ["suspended_vehicle"]


def test_energy_is_waited_for_only_where_the_transaction_goes_on() -> None:
    hand = Hand()
    hand.deed(tap=CARD)
    hand.start(1, 7)
    hand.reading(1, 7, 101)
    assert not [s for s in hand.steps() if "wait_energy" in s]
    hand.reading(1, 7, 119)
    assert [s["wait_energy"] for s in hand.steps() if "wait_energy" in s] == [9]
    hand.stop(7, 140)
    assert not [s for s in hand.steps() if "wait_energy" in s]


def test_what_began_before_the_recording_has_no_variable() -> None:
    hand = Hand()
    hand.start(1, 7)
    hand.made.mark_beginning()
    hand.deed(tap=CARD)
    hand.stop(7, 140, reason="Local")
    assert hand.steps()[-1] == {"wait_transaction": "ended", "where": {"reason": "Local"}}


def test_a_request_of_the_backend_has_the_status_of_its_answer_and_the_variables() -> None:
    hand = Hand()
    hand.deed(backend="remote_start", **{"with": {"token": CARD, "evse": 2}})
    hand.call("RemoteStartTransaction", {"connectorId": 2, "idTag": CARD}, {"status": "Accepted"}, from_station=False)
    hand.start(2, 9)
    hand.deed(backend="remote_stop", **{"with": {"transaction": 9}})
    hand.call("RemoteStopTransaction", {"transactionId": 9}, {"status": "Rejected"}, from_station=False)
    hand.deed(backend="DataTransfer", payload={"vendorId": "x"})
    hand.call("DataTransfer", {"vendorId": "x"}, {"status": "UnknownVendorId"}, from_station=False)
    deeds = [s for s in hand.steps() if "backend" in s]
    assert deeds == [
        {"backend": "remote_start", "with": {"token": "${card}", "evse": 2}, "status": "Accepted"},
        {"backend": "remote_stop", "with": {"transaction": "${transaction_1}"}, "status": "Rejected"},
        {"backend": "DataTransfer", "payload": {"vendorId": "x"}, "status": "UnknownVendorId"},
    ]


def test_a_cut_link_is_waited_for_and_time_without_it_passes() -> None:
    hand = Hand()
    hand.deed(link="down")
    hand.now_s, hand.online = 2.0, False
    hand.deed(tap=CARD)
    hand.now_s = 40.4
    hand.deed(link="up")
    hand.online = True
    assert hand.steps() == [
        {"link": "down"}, {"wait_connection": "down"}, {"tap": "${card}"}, {"pause_s": 38}, {"link": "up"},
        {"wait_connection": "up"},
    ]  # fmt: skip
    assert [dict(s.values) for s in hand.scenario().finally_steps] == [{"link": "up"}]


def test_a_start_of_the_station_is_waited_for() -> None:
    hand = Hand()
    hand.deed(power_cut=5)
    hand.call("BootNotification", {"chargePointModel": "M", "chargePointVendor": "V"}, {"status": "Accepted"})
    assert hand.steps()[-1] == {"wait_message": "BootNotification", "within_s": 300.0}


@pytest.mark.parametrize(
    ("deed", "restored"),
    [
        ({"fault": "GroundFailure"}, {"fault": "GroundFailure", "active": False}),
        ({"fault": "DoorOpen", "evse": 2}, {"fault": "DoorOpen", "evse": 2, "active": False}),
        ({"fault": "DoorOpen", "active": False}, None),
        ({"mains": "off"}, {"mains": "on"}),
        ({"mains": "on"}, None),
        (
            {"backend": "availability", "with": {"availability": "inoperative", "evse": 2}},
            {"backend": "availability", "with": {"availability": "operative", "evse": 2}},
        ),
        ({"backend": "charging_profile", "with": {"limit_a": 10}}, {"backend": "clear_profiles"}),
    ],
    ids=str,
)
def test_what_is_left_behind_is_put_back(deed: dict[str, Any], restored: dict[str, Any] | None) -> None:
    hand = Hand()
    hand.deed(**deed)
    hand.deed(**deed)
    found = [dict(step.values) for step in hand.scenario().finally_steps]
    assert found == ([restored] if restored is not None else [])


@pytest.mark.parametrize(
    ("deed", "need"),
    [
        ({"pay": 1}, "payment_terminal"), ({"scan": 1}, "payment_page"), ({"mains": "off"}, "backup_supply"),
        ({"press": "stop"}, "stop_button"), ({"plug": 2}, "two_outlets"), ({"tap": CARD, "evse": 2}, "two_outlets"),
        ({"link": "down"}, "link_control"), ({"fault": "DoorOpen"}, "fault_injection"),
        ({"backend": "charging_profile", "with": {"limit_a": 10}}, "smart_charging"),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_station_must_have_is_in_the_file(deed: dict[str, Any], need: str) -> None:
    hand = Hand()
    hand.deed(**deed)
    assert hand.scenario().needs == (need,)


def test_what_has_no_word_is_named_in_the_file_and_two_cards_have_two_names() -> None:
    hand = Hand('A "title" with\tsigns')
    hand.made.left_out.append('POST /evses/1/meter {"wh": 5}\nsteps = []')
    hand.deed(tap=CARD)
    hand.deed(tap="B")
    hand.deed(tap=CARD)
    assert hand.scenario().title == 'A "title" with\tsigns'
    assert hand.scenario().variables == {"card": CARD, "card_2": "B"}
    assert [s["tap"] for s in hand.steps()] == ["${card}", "${card_2}", "${card}"]
    text = hand.made.format_scenario(0.0, True)
    assert text.splitlines()[-1] == '# left out: POST /evses/1/meter {"wh": 5} steps = []'
