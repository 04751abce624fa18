"""Firmware in, logs out (OCPP 2.0.1 L01, N01)."""

from __future__ import annotations

from agent.domain.messages import FirmwareStatus, LogStatus
from agent.ocpp.dialects.dialect import In, Out, decode_empty_response
from agent.ocpp.dialects.files import (
    answer_get_log,
    answer_signed_firmware,
    decode_get_log,
    decode_signed_firmware,
    encode_file_status,
)

ROWS = (
    In("UpdateFirmware", decode_signed_firmware, answer_signed_firmware),
    In("GetLog", decode_get_log, answer_get_log),
    Out(FirmwareStatus, "FirmwareStatusNotification", encode_file_status, decode_empty_response),
    Out(LogStatus, "LogStatusNotification", encode_file_status, decode_empty_response),
)
