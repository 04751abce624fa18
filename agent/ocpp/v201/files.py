"""Firmware in, logs out (OCPP 2.0.1 L01, N01)."""

from __future__ import annotations

from agent.domain.messages import FirmwareStatus, LogStatus
from agent.ocpp.dialects.dialect import MessageRow, RequestRow, decode_empty_response
from agent.ocpp.dialects.files import (
    answer_get_log,
    answer_signed_firmware,
    decode_get_log,
    decode_signed_firmware,
    encode_file_status,
)

ROWS = (
    RequestRow("UpdateFirmware", decode_signed_firmware, answer_signed_firmware),
    RequestRow("GetLog", decode_get_log, answer_get_log),
    MessageRow(FirmwareStatus, "FirmwareStatusNotification", encode_file_status, decode_empty_response),
    MessageRow(LogStatus, "LogStatusNotification", encode_file_status, decode_empty_response),
)
