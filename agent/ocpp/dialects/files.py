"""What SignedUpdateFirmware and GetLog of 1.6's security extension and UpdateFirmware and GetLog of 2.x have in common:
everything but their names."""

from __future__ import annotations

from typing import Any

from agent.domain.messages import FirmwareStatus, LogStatus
from agent.domain.orders import Response
from agent.domain.requests import GetLogRequest, TariffFileRequest, UpdateFirmwareRequest
from agent.domain.variables import TARIFF_FILES
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, Refused, RowContext
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.timestamps import parse_timestamp

RETRIES_MAX, RETRY_INTERVAL_MAX_S = 1000, 7 * 86400


def parse_optional_time(payload: Payload, key: str) -> float | None:
    """Return UTC seconds; None if the field is missing. Raises ``Refused`` for what is no time."""
    if key not in payload:
        return None
    utc_s = parse_timestamp(payload[key])
    if utc_s is None:
        raise Refused(Code.PROPERTY, f"{key}: is not a date and time")
    return utc_s


def parse_retries(payload: Payload) -> tuple[int, int]:
    """Return the number of further attempts, and the seconds between two attempts. JSON has no
    greatest number."""
    times, interval_s = payload.get("retries", 0), payload.get("retryInterval", 0)
    return int(min(max(times, 0), RETRIES_MAX)), int(min(max(interval_s, 0), RETRY_INTERVAL_MAX_S))


def decode_signed_firmware(
    payload: Payload, ctx: RowContext
) -> UpdateFirmwareRequest | TariffFileRequest | LocalAnswer:
    """Decode the request. Without certificate or signature it is refused (2.x L01.FR.11, test
    case L_18), except for a tariff file, which is no firmware and has its own signature."""
    firmware = payload["firmware"]
    is_signed = bool(firmware.get("signingCertificate") and firmware.get("signature"))
    is_tariff = names_tariff_file(firmware["location"], ctx)
    if not is_signed and not is_tariff:
        return LocalAnswer({"status": "InvalidCertificate"})
    request = UpdateFirmwareRequest(
        firmware["location"],
        parse_optional_time(firmware, "retrieveDateTime") or 0.0,
        parse_optional_time(firmware, "installDateTime"),
        *parse_retries(payload),
        request_id=int(payload["requestId"]),
        certificate=firmware.get("signingCertificate", ""),
        signature=firmware.get("signature", ""),
    )
    return TariffFileRequest(request) if is_tariff else request


def names_tariff_file(location: str, ctx: RowContext) -> bool:
    """Return whether this is the address of a signed tariff file, at a station that takes such files."""
    path = location.partition("#")[0].partition("?")[0]
    return path.endswith(".tariff") and TARIFF_FILES in ctx.settings.fitted


def answer_signed_firmware(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    known = ("Accepted", "AcceptedCanceled", "InvalidCertificate")
    return {"status": reply.status if reply.status in known else "Rejected"}


def decode_get_log(payload: Payload, ctx: RowContext) -> GetLogRequest:
    """Decode GetLog, of the whitepaper and of 2.x."""
    log = payload["log"]
    return GetLogRequest(
        log["remoteLocation"],
        payload["logType"] == "SecurityLog",
        int(payload["requestId"]),
        *parse_retries(payload),
        oldest_utc_s=parse_optional_time(log, "oldestTimestamp"),
        latest_utc_s=parse_optional_time(log, "latestTimestamp"),
    )


def answer_get_log(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    status = reply.status if reply.status in ("Accepted", "AcceptedCanceled") else "Rejected"
    return {"status": status, **({"filename": reply.data["filename"]} if "filename" in reply.data else {})}


def encode_file_status(message: FirmwareStatus | LogStatus, ctx: RowContext) -> dict[str, Any]:
    """Encode the status. ``requestId`` may be missing only where nothing is in progress."""
    number = {} if message.request_id is None else {"requestId": message.request_id}
    return {"status": message.status, **number}
