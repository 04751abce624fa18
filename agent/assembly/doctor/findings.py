"""The findings of the doctor: each has a code, and one table says on which rung it is and how bad it is. The texts are
in ``config/doctor``, one file per language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum


class Verdict(StrEnum):
    """``NOT_JUDGED``: it could not be tried, or was not asked for."""

    GOOD = "good"
    WARNING = "warning"
    WRONG = "wrong"
    NOT_JUDGED = "not judged"


SEVERITY = (Verdict.GOOD, Verdict.NOT_JUDGED, Verdict.WARNING, Verdict.WRONG)

RUNGS = (
    "station_file", "agent", "disk", "flash", "devices", "sim", "registration", "bearer", "budget", "route", "dns",
    "tcp", "tls", "http", "soap", "boot", "clock", "latency", "mtu",
)  # fmt: skip
"""In the order in which they are judged: from what is at hand to what is far away."""

_GOOD = {
    "station_file": ("file_good",),
    "agent": ("agent_running", "agent_stopped"),
    "disk": ("disk_good",),
    "flash": ("flash_good",),
    "devices": ("device_good", "device_identified", "station_connected", "devices_none"),
    "sim": ("sim_ready", "sim_none"),
    "registration": ("registered", "registration_not_needed"),
    "bearer": ("bearer_up", "bearer_none"),
    "budget": ("budget_none", "budget_good"),
    "route": ("route_good",),
    "dns": ("dns_good", "dns_not_needed"),
    "tcp": ("tcp_good",),
    "tls": ("tls_good", "tls_not_used"),
    "http": ("http_good", "http_good_agent", "http_not_used"),
    "soap": ("soap_good", "soap_good_agent", "soap_not_used"),
    "boot": ("boot_accepted",),
    "clock": ("clock_good",),
    "latency": ("latency_good",),
    "mtu": ("mtu_good",),
}
_WARNING = {
    "disk": ("disk_low",),
    "flash": ("flash_worn",),
    "devices": ("terminal_bank_silent", "station_away"),
    "sim": ("sim_other",),
    "registration": ("signal_weak",),
    "bearer": ("bearer_spare_down",),
    "budget": ("budget_soft", "budget_hard"),
    "tcp": ("tcp_address_dead",),
    "tls": ("tls_ends_soon",),
    "boot": ("boot_pending",),
    "clock": ("clock_differs",),
    "latency": ("latency_high", "answers_lost"),
}
_WRONG = {
    "station_file": ("file_wrong",),
    "agent": ("agent_forbidden", "agent_hidden", "agent_cannot_start", "store_refused"),
    "disk": ("disk_full", "disk_read_only", "disk_not_writable", "store_disk_problem"),
    "flash": ("flash_end",),
    "devices": (
        "device_silent", "device_garbled", "device_refused", "device_broken", "device_reported", "device_unfit",
    ),
    "sim": (
        "sim_missing", "sim_pin_missing", "sim_pin_refused", "sim_puk", "sim_last_try", "sim_failed", "modem_silent",
    ),
    "registration": ("registration_denied", "registration_searching", "registration_no_signal"),
    "bearer": ("bearer_absent", "bearer_no_carrier", "bearer_no_address", "bearer_down", "dial_refused"),
    "route": ("route_missing", "backend_none"),
    "dns": ("dns_unknown_name", "dns_silent", "dns_no_server", "dns_failed"),
    "tcp": ("tcp_refused", "tcp_silent", "tcp_unreachable", "tcp_failed"),
    "tls": (
        "tls_needed", "tls_files", "tls_certificate_expired", "tls_not_yet_valid", "tls_station_clock",
        "tls_wrong_name", "tls_root_unknown", "tls_issuer_unknown", "tls_revoked", "tls_certificate_wrong",
        "tls_client_certificate_demanded", "tls_client_certificate_refused", "tls_own_certificate_ended",
        "tls_not_tls", "tls_version", "tls_cipher", "tls_hung_up", "tls_silent", "tls_failed",
    ),
    "http": (
        "http_unauthorized", "http_forbidden", "http_not_found", "http_redirected", "http_portal",
        "http_not_websocket", "http_server_error", "http_status", "http_no_subprotocol", "http_wrong_subprotocol",
        "http_silent", "http_closed", "http_not_http", "http_failed",
    ),
    "soap": (
        "soap_own_port", "soap_failed", "soap_unauthorized", "soap_forbidden", "soap_not_found", "soap_redirected",
        "soap_portal", "soap_server_error", "soap_server_fault", "soap_status", "soap_identity", "soap_security",
        "soap_version", "soap_wrong_url", "soap_fault", "soap_silent", "soap_closed", "soap_wrong_answer",
    ),
    "boot": ("boot_rejected", "boot_wrong_answer", "boot_error", "boot_silent", "boot_closed"),
    "mtu": ("mtu_large_lost",),
}  # fmt: skip
_NOT_JUDGED = {
    "flash": ("flash_unknown",),
    "sim": ("sim_pin_waits", "sim_unknown"),
    "registration": ("registration_unknown",),
    "bearer": ("modem_not_dialled", "modem_waits"),
    "budget": ("budget_unknown",),
    "http": ("http_waits", "http_earlier"),
    "soap": ("soap_waits",),
    "boot": ("boot_not_asked", "boot_waits"),
    "clock": ("clock_unknown",),
    "latency": ("latency_unknown",),
    "mtu": ("mtu_unknown",),
}
_TABLES = {
    Verdict.GOOD: _GOOD, Verdict.WARNING: _WARNING, Verdict.WRONG: _WRONG, Verdict.NOT_JUDGED: _NOT_JUDGED,
}  # fmt: skip
CODES: Mapping[str, tuple[str, Verdict]] = MappingProxyType(
    {code: (rung, verdict) for verdict, table in _TABLES.items() for rung, codes in table.items() for code in codes}
)
"""By code: rung and verdict."""
NOT_JUDGED_AFTER = "not_judged_after"
ON_ANY_RUNG: Mapping[str, Verdict] = MappingProxyType(
    {NOT_JUDGED_AFTER: Verdict.NOT_JUDGED, "time_over": Verdict.WRONG, "examination_failed": Verdict.WRONG}
)
"""Codes that any rung may have."""


@frozen
class Finding:
    """``subject``: which device, bearer or backend; "": the station. ``values``: what stands in the text."""

    code: str
    rung: str
    verdict: Verdict
    subject: str = ""
    values: Mapping[str, str] = MappingProxyType({})


def make_finding(code: str, subject: str = "", **values: object) -> Finding:
    """Return the finding of a code in ``CODES``."""
    rung, verdict = CODES[code]
    return Finding(code, rung, verdict, subject, {name: str(value) for name, value in values.items()})


def make_general_finding(code: str, rung: str, subject: str = "", **values: object) -> Finding:
    """Return the finding of a code that any rung may have."""
    texts = {name: str(value) for name, value in values.items()}
    return Finding(code, rung, ON_ANY_RUNG[code], subject, texts)


def is_passed(findings: list[Finding]) -> bool:
    """Return whether what needs this rung may be judged: nothing is wrong, and something is known."""
    verdicts = {f.verdict for f in findings}
    return Verdict.WRONG not in verdicts and bool(verdicts - {Verdict.NOT_JUDGED})


def first_wrong(findings: Sequence[Finding]) -> Finding | None:
    """Return the first finding on the way to the backend that is wrong, otherwise any that is: a silent meter does not
    keep a station from connecting."""
    wrong = [f for f in findings if f.verdict is Verdict.WRONG]
    return next((f for f in wrong if f.rung != "devices"), next(iter(wrong), None))


def first_problem(findings: Sequence[Finding]) -> Finding | None:
    """Return what to do something about first: what is wrong, otherwise a warning."""
    return first_wrong(findings) or next((f for f in findings if f.verdict is Verdict.WARNING), None)


def worst_verdict(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict of one rung; at least one finding is given."""
    return max((f.verdict for f in findings), key=SEVERITY.index)
