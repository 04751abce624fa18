"""Recordings that are typed here: a conversation of OCPP 1.6, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CARD = "04A1B2C3"


class TypedRecording:
    """Lines of a recording. ``now_s``: the station's seconds."""

    def __init__(self, station_id: str = "CP-1", link: str = "chargy", version: str = "1.6") -> None:
        self.lines: list[dict[str, Any]] = []
        self.link, self.version, self.now_s, self._ids = link, version, 100.0, 0
        self.add("begin", format=1, program="test", station=station_id, links={link: station_id})

    def add(self, kind: str, **content: Any) -> None:
        whole, part = divmod(round(self.now_s * 1000), 1000)
        at = f"2026-11-28T10:{whole // 60:02}:{whole % 60:02}.{part:03}Z"
        self.lines.append({"kind": kind, "at": at, "at_s": self.now_s, **content})

    def frame(self, from_station: bool, *message: Any) -> None:
        sender = "station" if from_station else "backend"
        text = message[0] if isinstance(message[0], str) else json.dumps(message)
        self.add("frame", link=self.link, sender=sender, version=self.version, frame=text)

    def call(self, action: str, payload: Any, answer: Any, from_station: bool = True) -> None:
        """A request and its answer, a second later. ``answer`` None: there is none."""
        self._ids += 1
        self.now_s += 1.0
        self.frame(from_station, 2, f"id{self._ids}", action, payload)
        if answer is not None:
            self.frame(not from_station, 3, f"id{self._ids}", answer)

    def boot(self, **answer: Any) -> None:
        accepted = {"currentTime": "2026-11-28T10:01:41Z", "interval": 300, "status": "Accepted"}
        asked = {"chargePointVendor": "V", "chargePointModel": "M"}
        self.call("BootNotification", asked, {**accepted, **answer})

    def session(self, number: int, token: str = CARD, begin_wh: int = 1000, energy_wh: int = 500) -> None:
        """A whole session: asked, started, measured, stopped."""
        accepted = {"idTagInfo": {"status": "Accepted"}}
        self.call("Authorize", {"idTag": token}, accepted)
        start = {"connectorId": 1, "idTag": token, "meterStart": begin_wh, "timestamp": self.instant()}
        self.call("StartTransaction", start, {"transactionId": number, **accepted})
        sample = {"timestamp": self.instant(), "sampledValue": [{"value": str(begin_wh + energy_wh // 2)}]}
        self.call("MeterValues", {"connectorId": 1, "transactionId": number, "meterValue": [sample]}, {})
        stop = {"transactionId": number, "meterStop": begin_wh + energy_wh, "timestamp": self.instant()}
        self.call("StopTransaction", stop | {"idTag": token, "reason": "Local"}, accepted)

    def instant(self) -> str:
        return f"2026-11-28T10:{int(self.now_s) // 60:02}:{int(self.now_s) % 60:02}Z"

    def save(self, folder: Path) -> Path:
        path = folder / "recorded.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in self.lines), "utf-8")
        return path


def a_day() -> TypedRecording:
    """Two sessions, between which the backend has sent a request and the station was without a connection."""
    made = TypedRecording()
    made.boot()
    made.call("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"}, {})
    made.add("event", event="CardPresented", evse=1, token="…B2C3", type="ISO14443")
    made.session(41)
    made.call("GetConfiguration", {"key": ["HeartbeatInterval"]}, {"configurationKey": []}, from_station=False)
    made.add("event", event="LinkChanged", link="chargy", up=False)
    made.add("event", event="LinkChanged", link="chargy", up=True)
    made.session(42, begin_wh=1500, energy_wh=800)
    return made
