"""Firmware in, logs out (OCPP 2.0.1 L01, N01)."""

from __future__ import annotations

from agent.domain.messages import FirmwareStatus, LogStatus
from agent.ocpp.dialects.dialect import In, Out, nothing
from agent.ocpp.dialects.files import accepted, get_log, log_accepted, signed_firmware, with_id

ROWS = (
    In("UpdateFirmware", signed_firmware, accepted),
    In("GetLog", get_log, log_accepted),
    Out(FirmwareStatus, "FirmwareStatusNotification", with_id, nothing),
    Out(LogStatus, "LogStatusNotification", with_id, nothing),
)
