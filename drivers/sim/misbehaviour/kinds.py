"""What a misbehaving station does: a class for each deviation, by its name in the station file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from drivers.sim.misbehaviour.messages import (
    ENERGY,
    TOKEN_KEYS,
    BackendClock,
    Payload,
    StationCall,
    change_instants,
    change_values,
    instant_text,
)

NO_ANSWER: Payload = {"no": "answer"}
"""Stands for an answer that is not sent."""
LATE_S = 45.0
"""Longer than backends usually wait for an answer (30 s)."""
CHATTY_S, UNASKED_S = 1.0, 5.0
LOCAL_TIME = timedelta(hours=2)
"""A clock that shows the summer time of Luxembourg and calls it UTC."""
FIRST_NUMBER = 900_000_001
FLOOD = 20
FILE_STATUSES = ("DiagnosticsStatusNotification", "LogStatusNotification", "FirmwareStatusNotification")


class Misbehaviour:
    """One deviation; what a class does not change passes as it is. ``does`` and ``seen`` are for the documentation.

    ``period_s``: real seconds between two calls of ``regular_calls`` and ``regular_texts``; 0: they are not called.
    ``answer_delay_s``: real seconds by which answers to the backend are late. ``connections_max``: how often the
    station connects; None: as often as it can.
    """

    does: ClassVar[str] = ""
    seen: ClassVar[str] = ""
    period_s: ClassVar[float] = 0.0
    answer_delay_s: ClassVar[float] = 0.0
    connections_max: ClassVar[int | None] = None

    def __init__(self, clock: BackendClock) -> None:
        self.clock = clock

    def answer_for_backend(self, call: StationCall) -> Payload | None:
        """Return the answer that the agent gets at once, so that the backend does not get the request; None: it goes
        on its way."""
        return None

    def replace_call(self, call: StationCall) -> list[StationCall]:
        """Return what is sent in the place of a request, in this order."""
        return [call]

    def message_id_on_wire(self, call: StationCall) -> str:
        """Return another message id; "": none."""
        return ""

    def texts_after_call(self, call: StationCall) -> list[str]:
        """Return what is sent after a request without being one."""
        return []

    def replace_answer(self, call: StationCall, payload: Payload) -> Payload:
        """Return what the agent gets in the place of the backend's answer."""
        return payload

    def answer_request(self, action: str) -> Payload | None:
        """Return the answer to a request of the backend, of which the agent does not learn; ``NO_ANSWER``: none at
        all; None: the agent answers."""
        return None

    def regular_calls(self, version: str) -> list[StationCall]:
        return []

    def regular_texts(self) -> list[str]:
        return []


# --- too much and too little -----------------------------------------------------------------------------------------


class Chatty(Misbehaviour):
    does = "sends a Heartbeat every real second, and each StatusNotification three times"
    seen = "evcc#33317 (the flood cost its operator), sap-labs-france/ev-server#1082"
    period_s = CHATTY_S

    def replace_call(self, call: StationCall) -> list[StationCall]:
        copies = 2 if call.action == "StatusNotification" else 0
        return [call, *[call.as_copy()] * copies]

    def regular_calls(self, version: str) -> list[StationCall]:
        return [StationCall("Heartbeat", {}, version)]


class Silent(Misbehaviour):
    does = "answers no request of the backend, and sends no Heartbeat"
    seen = "SmartEVSE-3.5#202, #345 (connected for days, and not there)"

    def answer_for_backend(self, call: StationCall) -> Payload | None:
        if call.action != "Heartbeat":
            return None
        return {"currentTime": instant_text(self.clock.present_time())}

    def answer_request(self, action: str) -> Payload | None:
        return NO_ANSWER


class AnswersLate(Misbehaviour):
    does = f"answers each request of the backend {LATE_S:g} real seconds late"
    seen = "slow modems and controllers"
    answer_delay_s = LATE_S


class TriggerWithoutMessage(Misbehaviour):
    does = "accepts TriggerMessage and sends nothing"
    seen = "evcc#19271, #15726, #13105"

    def answer_request(self, action: str) -> Payload | None:
        return {"status": "Accepted"} if action == "TriggerMessage" else None


class RepeatsFileStatus(Misbehaviour):
    does = f"sends each status of an upload or a download {FLOOD} times"
    seen = "libocpp#459, EVerest#536"

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [call, *[call.as_copy()] * (FLOOD - 1)] if call.action in FILE_STATUSES else [call]


class NoFileStatus(Misbehaviour):
    does = "accepts uploads and downloads, and never says what became of them"
    seen = "MicroOcpp#397, #208"

    def answer_for_backend(self, call: StationCall) -> Payload | None:
        return {} if call.action in FILE_STATUSES else None


class NeverReconnects(Misbehaviour):
    does = "does not connect again once its connection has ended"
    seen = "EVerest#1808, MicroOcpp#337"
    connections_max = 1


# --- time ------------------------------------------------------------------------------------------------------------


class WrongClock(Misbehaviour):
    does = "sends local time as UTC: every instant is two hours ahead"
    seen = "stations whose clock was set to local time; Tinkerforge/esp32-firmware#317 (two sources of time)"

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [call.with_payload(change_instants(call.payload, lambda instant: instant + LOCAL_TIME))]


class ClockOf1970(Misbehaviour):
    does = "has no clock: every instant counts from 1970-01-01 on"
    seen = "MicroOcpp#24, #311, #354"

    def __init__(self, clock: BackendClock) -> None:
        super().__init__(clock)
        self._first: datetime | None = None

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [call.with_payload(change_instants(call.payload, self._since_start))]

    def _since_start(self, instant: datetime) -> datetime:
        self._first = instant if self._first is None else self._first
        return datetime(1970, 1, 1, tzinfo=UTC) + max(instant - self._first, timedelta())


# --- transactions ----------------------------------------------------------------------------------------------------


class DuplicateStart(Misbehaviour):
    does = "sends each start of a transaction twice, with another message id"
    seen = "stations that repeat a start whose answer was late"

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [call, call.as_copy()] if call.starts_transaction else [call]


class DuplicateStop(Misbehaviour):
    does = "sends each end of a transaction twice, with another message id"
    seen = "libocpp#907 (a race at the boot)"

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [call, call.as_copy()] if call.ends_transaction else [call]


class StopNeverSent(Misbehaviour):
    does = "never sends the end of a transaction"
    seen = "MicroOcpp#298, #330, #211 (transactions that hang)"

    def answer_for_backend(self, call: StationCall) -> Payload | None:
        return {} if call.ends_transaction else None


class StopWithoutStart(Misbehaviour):
    does = "never sends the start of a transaction; in OCPP 1.6 the stop has transactionId -1"
    seen = "libocpp#495, MicroOcpp#454"

    def __init__(self, clock: BackendClock) -> None:
        super().__init__(clock)
        self._next_number = FIRST_NUMBER

    def answer_for_backend(self, call: StationCall) -> Payload | None:
        if not call.starts_transaction:
            return None
        if not call.is_version_16:
            return {"idTokenInfo": {"status": "Accepted"}} if "idToken" in call.payload else {}
        self._next_number += 1
        return {"transactionId": self._next_number - 1, "idTagInfo": {"status": "Accepted"}}

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [call.with_payload(change_values(call.payload, self._without_number))]

    def _without_number(self, key: str, value: Any) -> Any:
        is_own = key == "transactionId" and isinstance(value, int) and FIRST_NUMBER <= value < self._next_number
        return -1 if is_own else value


class OutOfOrder(Misbehaviour):
    does = "sends readings after the message that followed them: the last ones come after the end of the transaction"
    seen = "stations that queue readings apart from starts and ends"

    def __init__(self, clock: BackendClock) -> None:
        super().__init__(clock)
        self._held: list[StationCall] = []

    def answer_for_backend(self, call: StationCall) -> Payload | None:
        if not call.is_reading:
            return None
        self._held.append(call.as_copy())
        return {}

    def replace_call(self, call: StationCall) -> list[StationCall]:
        held, self._held = self._held, []
        return [call, *held]


class NoMeterValues(Misbehaviour):
    does = "sends no readings between start and end"
    seen = "MicroOcpp#193, evcc#15559"

    def answer_for_backend(self, call: StationCall) -> Payload | None:
        return {} if call.is_reading else None


class FrozenMeter(Misbehaviour):
    does = "sends the first readings of each outlet again and again, with fresh times"
    seen = "EVerest#2673"

    def __init__(self, clock: BackendClock) -> None:
        super().__init__(clock)
        self._values: dict[Any, Any] = {}

    def replace_call(self, call: StationCall) -> list[StationCall]:
        place = call.payload.get("connectorId", json.dumps(call.payload.get("evse")))
        meter_value = call.payload.get("meterValue")
        if not call.is_reading or not meter_value:
            return [call]
        first = self._values.setdefault(place, meter_value[0]["sampledValue"])
        frozen = [{**one, "sampledValue": first} for one in meter_value]
        return [call.with_payload({**call.payload, "meterValue": frozen})]


class MeterStartsAtZero(Misbehaviour):
    does = "reports 0 Wh as the register at the start of each transaction"
    seen = "EVerest#1126"

    def replace_call(self, call: StationCall) -> list[StationCall]:
        if not call.starts_transaction:
            return [call]
        if call.is_version_16:
            return [call.with_payload({**call.payload, "meterStart": 0})]
        values = [_with_energy_of_zero(one) for one in call.payload.get("meterValue", [])]
        return [call.with_payload({**call.payload, "meterValue": values} if values else call.payload)]


def _with_energy_of_zero(meter_value: Mapping[str, Any]) -> Payload:
    samples = [{**s, "value": 0} if s.get("measurand", ENERGY) == ENERGY else s for s in meter_value["sampledValue"]]
    return {**meter_value, "sampledValue": samples}


# --- words and forms -------------------------------------------------------------------------------------------------


class LowerCaseTags(Misbehaviour):
    does = "sends idTag and idToken in small letters"
    seen = "readers and firmware differ in the case of a UID; a switch of Bender's charge controllers"

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [call.with_payload(change_values(call.payload, _in_small_letters))]


def _in_small_letters(key: str, value: Any) -> Any:
    return value.lower() if key in TOKEN_KEYS and isinstance(value, str) else value


class InvalidWords(Misbehaviour):
    does = "uses words that the standard does not have: an errorCode or connectorStatus, and the context of readings"
    seen = "lbbrhzn/ocpp#1248, #361"

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [call.with_payload(change_values(call.payload, _in_invalid_words))]


INVALID_WORDS = {"errorCode": "Unknown", "connectorStatus": "Charging", "context": "Sample.Cyclic"}


def _in_invalid_words(key: str, value: Any) -> Any:
    return INVALID_WORDS.get(key, value)


class StuckPreparing(Misbehaviour):
    does = "never reports a free outlet: Available is sent as Preparing, in OCPP 2.x as Occupied"
    seen = "OpenEVSE#864"

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [_with_status(call, {"Available": "Preparing"}, {"Available": "Occupied"})]


class AvailableWithCable(Misbehaviour):
    does = "reports Available while a cable is in, before and after a transaction; in OCPP 2.x always"
    seen = "libocpp#813"

    def replace_call(self, call: StationCall) -> list[StationCall]:
        return [_with_status(call, {"Preparing": "Available", "Finishing": "Available"}, {"Occupied": "Available"})]


def _with_status(call: StationCall, words_16: Mapping[str, str], words_2x: Mapping[str, str]) -> StationCall:
    """Return a StatusNotification with other words, and any other request as it is."""
    key, words = ("status", words_16) if call.is_version_16 else ("connectorStatus", words_2x)
    status = str(call.payload.get(key))
    if call.action != "StatusNotification" or status not in words:
        return call
    return call.with_payload({**call.payload, key: words[status]})


class IgnoresBootAnswer(Misbehaviour):
    does = "goes on as if it were accepted when BootNotification was answered with Pending or Rejected"
    seen = "SAP#1374, libocpp#478"

    def replace_answer(self, call: StationCall, payload: Payload) -> Payload:
        return {**payload, "status": "Accepted"} if call.action == "BootNotification" else payload


class MalformedFrames(Misbehaviour):
    does = "sends half a frame after each StatusNotification"
    seen = "frames that a modem has cut; asked for in shiv3#238"

    def texts_after_call(self, call: StationCall) -> list[str]:
        if call.action != "StatusNotification":
            return []
        text = json.dumps([2, "half", call.action, call.payload])
        return [text[: len(text) // 2]]


class AnswersUnasked(Misbehaviour):
    does = f"sends an answer to a request that there was not, every {UNASKED_S:g} real seconds"
    seen = "libocpp#1137"
    period_s = UNASKED_S

    def __init__(self, clock: BackendClock) -> None:
        super().__init__(clock)
        self._count = 0

    def regular_texts(self) -> list[str]:
        self._count += 1
        return [json.dumps([3, f"unasked-{self._count}", {"status": "Accepted"}])]


class RepeatedMessageIds(Misbehaviour):
    does = "counts its message ids from 1 to 3 and begins again"
    seen = "stations that count from 1 after each start"

    def __init__(self, clock: BackendClock) -> None:
        super().__init__(clock)
        self._count = 0

    def message_id_on_wire(self, call: StationCall) -> str:
        self._count = self._count % 3 + 1
        return str(self._count)


KINDS: Mapping[str, type[Misbehaviour]] = {
    "answers_late": AnswersLate,
    "answers_unasked": AnswersUnasked,
    "available_with_cable": AvailableWithCable,
    "chatty": Chatty,
    "clock_of_1970": ClockOf1970,
    "duplicate_start": DuplicateStart,
    "duplicate_stop": DuplicateStop,
    "frozen_meter": FrozenMeter,
    "ignores_boot_answer": IgnoresBootAnswer,
    "invalid_words": InvalidWords,
    "lower_case_tags": LowerCaseTags,
    "malformed_frames": MalformedFrames,
    "meter_starts_at_zero": MeterStartsAtZero,
    "never_reconnects": NeverReconnects,
    "no_file_status": NoFileStatus,
    "no_meter_values": NoMeterValues,
    "out_of_order": OutOfOrder,
    "repeated_message_ids": RepeatedMessageIds,
    "repeats_file_status": RepeatsFileStatus,
    "silent": Silent,
    "stop_never_sent": StopNeverSent,
    "stop_without_start": StopWithoutStart,
    "stuck_preparing": StuckPreparing,
    "trigger_without_message": TriggerWithoutMessage,
    "wrong_clock": WrongClock,
}
"""By the name in ``[simulation] misbehaviour`` (``MISBEHAVIOURS`` of the station file)."""
