"""What 2.1 has besides 2.0.1 and this station does not offer. Where the standard has a word for that, it is the answer;
otherwise a CALLERROR NotSupported."""

from __future__ import annotations

from agent.ocpp.dialects.dialect import NotOffered, Row, answer_always

_BATTERY = "battery swap: this station has no batteries to exchange"
_DER = "DER control: the boards of this station take no grid parameters"
_STREAM = "periodic event streams are not offered"
_V2X = "V2X: the boards of this station do not discharge vehicles"
_DYNAMIC = "dynamic schedules: no Dynamic profile is accepted here"

ROWS: tuple[Row, ...] = (
    answer_always("ClearDERControl", status="NotSupported"),
    answer_always("GetDERControl", status="NotSupported"),
    answer_always("SetDERControl", status="NotSupported"),
    NotOffered("AFRRSignal", _V2X),
    NotOffered("NotifyAllowedEnergyTransfer", _V2X),
    NotOffered("RequestBatterySwap", _BATTERY),
    NotOffered("AdjustPeriodicEventStream", _STREAM),
    answer_always("GetPeriodicEventStream"),  # there is none
    NotOffered("UpdateDynamicSchedule", _DYNAMIC),
    answer_always("UsePriorityCharging", status="NoProfile"),  # no PriorityCharging profile is accepted here
)

NOT_SENT: dict[str, str] = {
    "BatterySwap": _BATTERY,
    "ClosePeriodicEventStream": _STREAM,
    "GetCertificateChainStatus": "the certificates of a backend are judged by revocation lists",
    "NotifyDERAlarm": _DER,
    "NotifyDERStartStop": _DER,
    "NotifyPeriodicEventStream": _STREAM,
    "NotifyPriorityCharging": "priority charging is not offered",
    "OpenPeriodicEventStream": _STREAM,
    "PullDynamicScheduleUpdate": _DYNAMIC,
    "ReportDERControl": _DER,
}
"""Actions that only a station sends, and why this one does not."""
