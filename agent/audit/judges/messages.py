"""Judges of the messages themselves: their ids, the form of answers, and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.audit.context import (
    AuditContext,
    Judge,
    JudgeResult,
    failed_result,
    inapplicable_result,
    passed_result,
)
from agent.audit.message_paths import table_at, tables_at
from agent.audit.transaction_history import connection_numbers
from agent.scenario.frames import CALL_ERROR, CALL_RESULT, Frame

MAKER = "subcontractor"


def judge_message_ids(context: AuditContext) -> JudgeResult:
    """Judge that no id names two requests on one connection (OCPP-J 4.1.4)."""
    connections = connection_numbers(context)
    known: dict[tuple[int, str], Frame] = {}
    for frame in context.requests():
        key = (connections[frame.seq], frame.message_id)
        if key in known:
            return failed_result(
                f"{known[key].action} and {frame.action} have the same message id {frame.message_id!r}",
                evidence=(known[key], frame), advice_to=MAKER,
                advice="Have the maker of the controller give each request an id of its own: with the same id a "
                "backend takes the second one for a repetition, and its content is lost.",
            )  # fmt: skip
        known[key] = frame
    if not known:
        return inapplicable_result("the station has sent no request")
    return passed_result(f"{len(known)} requests have ids of their own")


# --- answers ---------------------------------------------------------------------------------------------------------

YES_NO = ("Accepted", "Rejected")
STATUS_OF_ANSWER: Mapping[str, tuple[str, ...]] = {
    "CancelReservation": YES_NO,
    "CertificateSigned": YES_NO,
    "ChangeAvailability": (*YES_NO, "Scheduled"),
    "ChangeConfiguration": (*YES_NO, "RebootRequired", "NotSupported"),
    "ClearCache": YES_NO,
    "ClearChargingProfile": ("Accepted", "Unknown"),
    "DataTransfer": (*YES_NO, "UnknownMessageId", "UnknownVendorId"),
    "DeleteCertificate": ("Accepted", "Failed", "NotFound"),
    "ExtendedTriggerMessage": (*YES_NO, "NotImplemented"),
    "GetBaseReport": (*YES_NO, "NotSupported", "EmptyResultSet"),
    "GetCompositeSchedule": YES_NO,
    "GetInstalledCertificateIds": ("Accepted", "NotFound"),
    "GetLog": (*YES_NO, "AcceptedCanceled"),
    "InstallCertificate": (*YES_NO, "Failed"),
    "RemoteStartTransaction": YES_NO,
    "RemoteStopTransaction": YES_NO,
    "RequestStartTransaction": YES_NO,
    "RequestStopTransaction": YES_NO,
    "ReserveNow": ("Accepted", "Faulted", "Occupied", "Rejected", "Unavailable"),
    "Reset": (*YES_NO, "Scheduled"),
    "SendLocalList": ("Accepted", "Failed", "NotSupported", "VersionMismatch"),
    "SetChargingProfile": (*YES_NO, "NotSupported"),
    "TriggerMessage": (*YES_NO, "NotImplemented"),
    "UnlockConnector": (
        "Unlocked", "UnlockFailed", "NotSupported", "OngoingAuthorizedTransaction", "UnknownConnector",
    ),
}  # fmt: skip
"""Words of the status in an answer, of OCPP 1.6 and 2.0.1."""
LISTS_IN_ANSWER: Mapping[str, str] = {
    "SetVariables": "setVariableResult", "GetVariables": "getVariableResult",
}  # fmt: skip
CORE_REQUESTS = frozenset({
    "ChangeAvailability", "ChangeConfiguration", "ClearCache", "GetConfiguration", "RemoteStartTransaction",
    "RemoteStopTransaction", "Reset", "UnlockConnector", "GetVariables", "SetVariables", "RequestStartTransaction",
    "RequestStopTransaction", "TriggerMessage", "GetBaseReport",
})  # fmt: skip
"""What each station must be able to do: the profile Core of 1.6, the core of 2.0.1."""
ABSENT_CODES = ("NotImplemented", "NotSupported")


def judge_answers_fit(context: AuditContext) -> JudgeResult:
    """Judge that answers have the form that their requests want."""
    answers = [f for f in context.frames if f.from_station and f.kind in (CALL_RESULT, CALL_ERROR)]
    for answer in answers:
        if problem := _answer_problem(answer):
            evidence = (answer,) if answer.answers is None else (answer.answers, answer)
            return failed_result(
                problem, evidence=evidence, advice_to=MAKER,
                advice="Have the maker of the controller answer by the schema of OCPP: the backend cannot tell "
                "whether its request was carried out.",
            )  # fmt: skip
    if not answers:
        return inapplicable_result("the station has answered no request")
    return passed_result(f"{len(answers)} answers have the right form")


def _answer_problem(answer: Frame) -> str:
    request = answer.answers
    if request is None:
        return f"an answer came with the id {answer.message_id!r}, which no open request has"
    if answer.kind == CALL_ERROR:
        return _error_problem(request, str(table_at(answer.payload).get("error")))
    status, words = table_at(answer.payload).get("status"), STATUS_OF_ANSWER.get(request.action)
    if words is not None and status not in words:
        return f"{request.action} was answered with the status {status!r}, expected {' or '.join(words)}"
    name = LISTS_IN_ANSWER.get(request.action)
    if name is not None and not tables_at(answer.payload, name):
        return f"{request.action} was answered without {name}"
    if request.action == "GetConfiguration" and not {"configurationKey", "unknownKey"} & set(answer.payload):
        return "GetConfiguration was answered without a list of keys"
    return ""


def _error_problem(request: Frame, code: str) -> str:
    if code in ABSENT_CODES and request.action not in CORE_REQUESTS:
        return ""
    if request.action == "TriggerMessage" and code in ABSENT_CODES:
        return ""  # OCPP 1.6 has it in a profile of its own
    return f"{request.action} was answered with the error {code}"


# --- words -----------------------------------------------------------------------------------------------------------

CHARGING_STATES = ("Charging", "EVConnected", "SuspendedEV", "SuspendedEVSE", "Idle")
FIRMWARE_WORDS = (
    "Downloaded", "DownloadFailed", "Downloading", "DownloadScheduled", "DownloadPaused", "Idle", "InstallationFailed",
    "Installing", "Installed", "InstallRebooting", "InstallScheduled", "InstallVerificationFailed", "InvalidSignature",
    "SignatureVerified",
)  # fmt: skip
UPLOAD_WORDS = (
    "BadMessage", "Idle", "NotSupportedOperation", "PermissionDenied", "Uploaded", "UploadFailure", "Uploading",
    "AcceptedCanceled",
)  # fmt: skip
KNOWN_WORDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("StatusNotification", "errorCode"): (
        "ConnectorLockFailure", "EVCommunicationError", "GroundFailure", "HighTemperature", "InternalError",
        "LocalListConflict", "NoError", "OtherError", "OverCurrentFailure", "PowerMeterFailure", "PowerSwitchFailure",
        "ReaderFailure", "ResetFailure", "UnderVoltage", "OverVoltage", "WeakSignal",
    ),
    ("StopTransaction", "reason"): (
        "DeAuthorized", "EmergencyStop", "EVDisconnected", "HardReset", "Local", "Other", "PowerLoss", "Reboot",
        "Remote", "SoftReset", "UnlockCommand",
    ),
    ("TransactionEvent", "eventType"): ("Started", "Updated", "Ended"),
    ("TransactionEvent", "transactionInfo.chargingState"): CHARGING_STATES,
    ("TransactionEvent", "transactionInfo.stoppedReason"): (
        "DeAuthorized", "EmergencyStop", "EnergyLimitReached", "EVDisconnected", "GroundFault", "ImmediateReset",
        "Local", "LocalOutOfCredit", "MasterPass", "Other", "OvercurrentFault", "PowerLoss", "PowerQuality", "Reboot",
        "Remote", "SOCLimitReached", "StoppedByEV", "TimeLimitReached", "Timeout",
    ),
    ("FirmwareStatusNotification", "status"): FIRMWARE_WORDS,
    ("SignedFirmwareStatusNotification", "status"): FIRMWARE_WORDS,
    ("DiagnosticsStatusNotification", "status"): ("Idle", "Uploaded", "UploadFailed", "Uploading"),
    ("LogStatusNotification", "status"): UPLOAD_WORDS,
}  # fmt: skip
"""By action and path: the words of OCPP 1.6 and 2.0.1. In both versions a field has the same words, or another name."""


def judge_known_words(context: AuditContext) -> JudgeResult:
    """Judge that error codes, reasons and states are words of OCPP."""
    judged = 0
    for frame in context.requests():
        for path, word in _words_in_request(frame):
            judged += 1
            known = KNOWN_WORDS[frame.action, path]
            if word not in known:
                return failed_result(
                    f"{frame.action}: {path} is {word!r}, which OCPP does not have", evidence=(frame,),
                    advice=f"Have the maker of the controller use the words of OCPP for {path} of {frame.action}, with "
                    "their capitals; what is its own belongs in vendorErrorCode or info.", advice_to=MAKER,
                )  # fmt: skip
    if not judged:
        return inapplicable_result("no message has such words")
    return passed_result(f"{judged} error codes, reasons and states are words of OCPP")


def _words_in_request(frame: Frame) -> Iterator[tuple[str, object]]:
    for action, path in KNOWN_WORDS:
        if action == frame.action:
            *above, key = path.split(".")
            table = table_at(frame.payload, *above)
            if key in table:
                yield path, table[key]


JUDGES = (
    Judge("message_ids_unique", "each request has a message id of its own", judge_message_ids),
    Judge("answers_fit", "answers have the form that their requests want", judge_answers_fit),
    Judge("words_known", "error codes, reasons and states are words of OCPP", judge_known_words),
)
