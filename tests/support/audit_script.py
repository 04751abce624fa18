"""A conversation of an audit, written by hand: frames with instants of the writer's choice, and the context of a judge.

Instants are seconds since the beginning. Real time and the time in timestamps are the same unless ``speed`` says
otherwise: then timestamps run ``speed`` times as fast.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.audit.context import AuditContext, JudgeResult, WireRecord
from agent.audit.judge_table import known_judges
from agent.scenario.frames import CALL, CALL_ERROR, CALL_RESULT, Frame
from agent.scenario.observation import StationView
from agent.scenario.versions import read_frame

BEGIN = datetime(2026, 11, 28, 10, 0, 0, tzinfo=UTC)
AT_S = 5000.0
"""Monotonic instant of the beginning."""


class AuditScript:
    """``clock_s``: the present instant; each frame is at it, and moves it on a little."""

    def __init__(self, version: str = "1.6", speed: float = 1.0) -> None:
        self.version, self.speed, self.clock_s = version, speed, 0.0
        self.frames: list[Frame] = []
        self.records: list[WireRecord] = [WireRecord(AT_S - 1, "connected", {"version": version})]
        self._ids = itertools.count(1)

    def stamp(self, offset_s: float = 0.0) -> str:
        """The station's time now, as OCPP writes it."""
        at = BEGIN + timedelta(seconds=self.clock_s * self.speed + offset_s)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def wait(self, seconds: float) -> None:
        self.clock_s += seconds / self.speed

    def reconnect(self) -> None:
        self.clock_s += 0.01 / self.speed
        self.records += [WireRecord(AT_S + self.clock_s, "disconnected"), WireRecord(AT_S + self.clock_s, "connected")]

    def note(self, kind: str, **data: Any) -> None:
        self.records.append(WireRecord(AT_S + self.clock_s, kind, data))

    def station(
        self, action: str, payload: Mapping[str, Any], answer: Mapping[str, Any] | None = None, message_id: str = ""
    ) -> Frame:
        """The station sends a request, which the backend answers; None: with nothing in it."""
        return self._ask(True, action, payload, {} if answer is None else answer, message_id)

    def unanswered(self, action: str, payload: Mapping[str, Any], sender: str = "station") -> Frame:
        return self._add(sender == "station", CALL, f"m{next(self._ids)}", action, payload)

    def backend(self, action: str, payload: Mapping[str, Any], answer: Mapping[str, Any] | None = None) -> Frame:
        """The backend sends a request, which the station accepts unless ``answer`` says something else."""
        return self._ask(False, action, payload, {"status": "Accepted"} if answer is None else answer, "")

    def error(self, request: Frame, code: str, description: str = "") -> None:
        """Answer a request with an error."""
        payload = {"error": code, "description": description}
        self._add(not request.from_station, CALL_ERROR, request.message_id, request.action, payload, request)

    def answer(self, request: Frame, payload: Mapping[str, Any]) -> Frame:
        return self._add(not request.from_station, CALL_RESULT, request.message_id, request.action, payload, request)

    def garbage(self, text: str) -> None:
        self.frames.append(Frame(
            len(self.frames), AT_S + self.clock_s, self._utc_s(), True, self.version, text, 0, "", "", None
        ))  # fmt: skip

    def context(self, **more: Any) -> AuditContext:
        view = StationView()
        for frame in self.frames:
            read_frame(view, frame)
        return AuditContext(
            self.version, "CP-1", "foreign", tuple(self.frames), view, self.speed, records=tuple(self.records), **more
        )

    def judge(self, name: str, **more: Any) -> JudgeResult:
        """What a judge says, with its own defaults where ``parameters`` has nothing."""
        judge = known_judges()[name]
        given = {key: p.default for key, p in judge.parameters.items()} | dict(more.pop("parameters", {}))
        return judge.function(self.context(parameters=given, **more))

    def _ask(
        self, from_station: bool, action: str, payload: Mapping[str, Any], answer: Mapping[str, Any], message_id: str
    ) -> Frame:
        request = self._add(from_station, CALL, message_id or f"m{next(self._ids)}", action, payload)
        self._add(not from_station, CALL_RESULT, request.message_id, action, answer, request)
        return request

    def _add(
        self, from_station: bool, kind: int, message_id: str, action: str, payload: Mapping[str, Any],
        answers: Frame | None = None,
    ) -> Frame:  # fmt: skip
        self.clock_s += 0.01 / self.speed
        body = json.loads(json.dumps(payload))
        text = json.dumps([kind, message_id, *([action] if kind == CALL else []), body])
        frame = Frame(
            len(self.frames), AT_S + self.clock_s, self._utc_s(), from_station, self.version, text, kind, message_id,
            action, body, answers,
        )  # fmt: skip
        self.frames.append(frame)
        return frame

    def _utc_s(self) -> float:
        return BEGIN.timestamp() + self.clock_s


# --- what good stations say ------------------------------------------------------------------------------------------


class Station16(AuditScript):
    """A station of OCPP 1.6 that does everything right. ``more``: values of each sample beside the register."""

    def __init__(self, speed: float = 1.0, **more: Any) -> None:
        super().__init__("1.6", speed)
        self.number, self.wh, self.more = 100, 5000.0, more

    def boot(self) -> None:
        payload = {"chargePointVendor": "Foreign", "chargePointModel": "M1", "chargePointSerialNumber": "SN-7"}
        self.station("BootNotification", payload, {"status": "Accepted", "currentTime": self.stamp(), "interval": 300})
        for evse in (0, 1, 2):
            self.status(evse, "Available")

    def status(self, evse: int, status: str, error: str = "NoError", offset_s: float = 0.0) -> Frame:
        return self.station("StatusNotification", {
            "connectorId": evse, "status": status, "errorCode": error, "timestamp": self.stamp(offset_s)
        })  # fmt: skip

    def start(self, evse: int = 1, token: str = "04A1B2C3") -> int:
        self.status(evse, "Preparing")
        self.number += 1
        self.station(
            "StartTransaction",
            {"connectorId": evse, "idTag": token, "meterStart": int(self.wh), "timestamp": self.stamp()},
            {"transactionId": self.number, "idTagInfo": {"status": "Accepted"}},
        )
        self.status(evse, "Charging")
        return self.number

    def charge(self, seconds: float, power_w: float = 11000.0, evse: int = 1, each_s: float = 60.0) -> None:
        """Energy flows, with a sample at each interval."""
        for _ in range(int(seconds / each_s)):
            self.wait(each_s)
            self.wh += power_w * each_s / 3600
            self.sample(evse)

    def sample(self, evse: int = 1, *values: Mapping[str, Any]) -> Frame:
        register = {"value": f"{self.wh:.0f}", "context": "Sample.Periodic", "unit": "Wh"}
        sample = {"timestamp": self.stamp(), "sampledValue": [register, *values]}
        return self.station("MeterValues", {"connectorId": evse, "transactionId": self.number, "meterValue": [sample]})

    def stop_payload(self, reason: str = "Local") -> dict[str, Any]:
        return {
            "transactionId": self.number, "meterStop": int(self.wh), "timestamp": self.stamp(), "reason": reason,
            "idTag": "04A1B2C3",
        }  # fmt: skip

    def stop(self, evse: int = 1, reason: str = "Local") -> None:
        self.station("StopTransaction", self.stop_payload(reason))
        self.status(evse, "Finishing")
        self.status(evse, "Available")

    def session(self, seconds: float = 600.0, evse: int = 1, reason: str = "Local") -> None:
        self.start(evse)
        self.charge(seconds, evse=evse)
        self.stop(evse, reason)
        self.wait(30)


class Station201(AuditScript):
    """A station of OCPP 2.0.1 that does everything right."""

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__("2.0.1", speed)
        self.number, self.seq_no, self.wh, self.names = 0, 0, 5000.0, itertools.count(1)
        self.transaction = ""

    def boot(self) -> None:
        payload = {"reason": "PowerUp", "chargingStation": {"vendorName": "Foreign", "model": "M2"}}
        self.station("BootNotification", payload, {"status": "Accepted", "currentTime": self.stamp(), "interval": 300})
        self.status(1, "Available")

    def status(self, evse: int, status: str, offset_s: float = 0.0) -> Frame:
        return self.station("StatusNotification", {
            "evseId": evse, "connectorId": 1, "connectorStatus": status, "timestamp": self.stamp(offset_s)
        })  # fmt: skip

    def event_payload(self, kind: str, trigger: str, **more: Any) -> dict[str, Any]:
        info = {"transactionId": self.transaction, **more.pop("info", {})}
        value = {"value": round(self.wh, 1), "measurand": "Energy.Active.Import.Register"}
        payload = {
            "eventType": kind, "timestamp": self.stamp(), "triggerReason": trigger, "seqNo": self.seq_no,
            "transactionInfo": info, "evse": {"id": 1, "connectorId": 1},
            "meterValue": [{"timestamp": self.stamp(), "sampledValue": [value]}], **more,
        }  # fmt: skip
        self.seq_no += 1
        return payload

    def event(self, kind: str, trigger: str, **more: Any) -> Frame:
        return self.station("TransactionEvent", self.event_payload(kind, trigger, **more))

    def start(self, token: str = "04A1B2C3") -> str:
        self.transaction, self.seq_no = f"tx-{next(self.names)}", 0
        self.status(1, "Occupied")
        self.event("Started", "Authorized", idToken={"idToken": token, "type": "ISO14443"})
        self.event("Updated", "ChargingStateChanged", info={"chargingState": "Charging"})
        return self.transaction

    def charge(self, seconds: float, power_w: float = 11000.0, each_s: float = 60.0) -> None:
        for _ in range(int(seconds / each_s)):
            self.wait(each_s)
            self.wh += power_w * each_s / 3600
            self.event("Updated", "MeterValuePeriodic", info={"chargingState": "Charging"})

    def stop(self, reason: str = "Local") -> None:
        self.event("Ended", "StopAuthorized", info={"stoppedReason": reason})
        self.status(1, "Available")

    def session(self, seconds: float = 600.0, reason: str = "Local") -> None:
        self.start()
        self.charge(seconds)
        self.stop(reason)
        self.wait(30)
