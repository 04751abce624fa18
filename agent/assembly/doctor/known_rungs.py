"""What is known of the rungs without a test: findings made of the rows of ``agent_knowledge``. The doctor uses them
beside its own tests, the display's service screen uses nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.assembly.doctor.findings import NOT_JUDGED_AFTER, Finding, make_finding, make_general_finding
from agent.assembly.doctor.soap_findings import is_soap_address, known_soap_finding
from agent.assembly.link_profile import MEGABYTE
from agent.domain.traffic import BudgetLevel, DataPlan
from agent.model.bearer import WEAK_SIGNAL_DBM, BearerKind, BearerState, Registration, SimState
from agent.ocpp.transport.connect_problems import ProblemCode
from agent.ocpp.transport.transport import is_tls
from agent.station_file.settings import Backend

Row = Mapping[str, Any]

LOW_BYTES, FULL_BYTES = 32 * 1024 * 1024, 1024 * 1024
"""Below the one a firmware image has no room; below the other the store has none."""
CLOCK_DIFFERS_S = 30.0
LAST_TRY, ALL_TRIES = 1, 3
KERNEL_INTERFACES = Path("/sys/class/net")
SIM_CODES = {
    SimState.MISSING: "sim_missing",
    SimState.PIN_REFUSED: "sim_pin_refused",
    SimState.PUK_REQUIRED: "sim_puk",
    SimState.FAILED: "sim_failed",
    SimState.NOT_USED: "sim_unknown",
}
REGISTRATION_CODES = {
    Registration.DENIED: "registration_denied",
    Registration.SEARCHING: "registration_searching",
    Registration.IDLE: "registration_searching",
    Registration.UNKNOWN: "registration_searching",
}
BUDGET_CODES = {
    BudgetLevel.WITHIN: "budget_good",
    BudgetLevel.SOFT: "budget_soft",
    BudgetLevel.HARD: "budget_hard",
}
HTTP_CODES = {
    ProblemCode.OTHER: "http_failed",
    ProblemCode.EARLIER: "http_earlier",
    ProblemCode.NAME: "http_earlier",
    ProblemCode.REFUSED: "http_earlier",
    ProblemCode.UNREACHABLE: "http_earlier",
    ProblemCode.CERTIFICATE: "http_earlier",
    ProblemCode.TLS: "http_earlier",
    ProblemCode.SILENT: "http_silent",
    ProblemCode.CLOSED: "http_closed",
    ProblemCode.UNAUTHORIZED: "http_unauthorized",
    ProblemCode.FORBIDDEN: "http_forbidden",
    ProblemCode.NOT_FOUND: "http_not_found",
    ProblemCode.REDIRECTED: "http_redirected",
    ProblemCode.WEB_PAGE: "http_portal",
    ProblemCode.SERVER_ERROR: "http_server_error",
    ProblemCode.STATUS: "http_status",
    ProblemCode.NOT_HTTP: "http_not_http",
    ProblemCode.NOT_WEBSOCKET: "http_not_websocket",
    ProblemCode.NO_SUBPROTOCOL: "http_no_subprotocol",
    ProblemCode.WRONG_SUBPROTOCOL: "http_wrong_subprotocol",
    ProblemCode.OWN_PORT: "http_failed",
}
BOOT_CODES = {"Accepted": "boot_accepted", "Pending": "boot_pending", "Rejected": "boot_rejected"}


# --- at hand ---------------------------------------------------------------------------------------------------------


def disk_space_state(folder: Path) -> tuple[str, dict[str, str]]:
    """Return the code of the free space, and what it is. Nothing is written. Raises ``OSError``."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    values = {"free": f"{free / 1024 / 1024:.1f} MiB"}
    if found.f_flag & os.ST_RDONLY:
        return "disk_read_only", values
    if free < FULL_BYTES or (found.f_files and not found.f_favail):
        return "disk_full", values
    return ("disk_low" if free < LOW_BYTES else "disk_good"), values


def device_findings(rows: Sequence[Row]) -> list[Finding]:
    """Return the findings of the devices that the agent has open, the bearers excepted."""
    findings = [
        make_finding("device_reported", row["name"], error=row["error"])
        if row["error"] and not row.get("station")
        else _device_finding(row)
        for row in rows
        if not row["name"].startswith("bearer")
    ]
    return findings or [make_finding("devices_none")]


def _device_finding(row: Row) -> Finding:
    """Return the finding of a device without an error; of a terminal with what it says of itself. A station that shares
    a terminal with this one is connected or not."""
    if row.get("station"):
        return make_finding("station_connected" if row["open"] else "station_away", row["name"])
    identity = row.get("identity") or {}
    known = {"": " ".join(filter(None, (identity.get("vendor"), identity.get("model"))))}
    known |= {f"{name} ": str(identity.get(name) or "") for name in ("serial", "firmware")}
    known["uplink "] = str(row.get("uplink") or "")
    about = ", ".join(f"{what}{value}" for what, value in known.items() if value)
    if row.get("bank") == "silent":
        return make_finding("terminal_bank_silent", row["name"], about=about or "-")
    if not about:
        return make_finding("device_good", row["name"])
    return make_finding("device_identified", row["name"], about=about)


def budget_finding(plan: DataPlan | None, month: Row | None) -> Finding:
    """Judge what the links have taken of the data volume. ``month``: the figures of the present one."""
    if plan is None:
        return make_finding("budget_none")
    used = sum(row["month_bytes"] for row in month["bearers"] if row["metered"]) if month is not None else 0
    limits = [limit for limit in (plan.soft_bytes, plan.hard_bytes) if limit is not None]
    shown = {"used": f"{used / MEGABYTE:.2f} MB", "limits": " / ".join(f"{n / MEGABYTE:g} MB" for n in limits)}
    return make_finding(BUDGET_CODES[plan.level_of(used)], **shown)


# --- bearers: rows by name, as ``agent_knowledge.status_to_row`` makes them -------------------------------------------


def modem_rows(rows: Mapping[str, Row]) -> dict[str, Row]:
    return {name: row for name, row in rows.items() if row["kind"] == BearerKind.GPRS}


def sim_findings(rows: Mapping[str, Row]) -> Iterator[Finding]:
    modems = modem_rows(rows)
    if not modems:
        yield make_finding("sim_none")
    for name, row in modems.items():
        yield make_finding(_sim_code(row), name, reason=row["reason"], iccid=row["iccid_end"], tries=row["pin_tries"])
        if row["other_sim"]:
            yield make_finding("sim_other", name, iccid=row["iccid_end"])


def _sim_code(row: Row) -> str:
    sim, tries = SimState(row["sim"]), row["pin_tries"]
    if sim is SimState.READY:
        return "sim_ready"
    if sim is SimState.PIN_REQUIRED:
        if tries is not None and tries <= LAST_TRY:
            return "sim_last_try"
        if not row["has_pin"]:
            return "sim_pin_missing"
        return "sim_pin_refused" if tries is not None and tries < ALL_TRIES else "sim_pin_waits"
    is_silent = sim is SimState.NOT_USED and row["state"] != BearerState.UP and row["reason"]
    return "modem_silent" if is_silent else SIM_CODES[sim]


def registration_findings(rows: Mapping[str, Row]) -> Iterator[Finding]:
    modems = modem_rows(rows)
    for name, row in modems.items():
        signal_dbm, registration = row["signal_dbm"], Registration(row["registration"])
        shown = {"operator": row["operator"] or "?", "technology": row["technology"] or "?", "signal": signal_dbm}
        if row["sim"] != SimState.READY:
            yield make_finding("registration_unknown", name)
        elif registration in REGISTRATION_CODES:
            code = "registration_no_signal" if signal_dbm is None else REGISTRATION_CODES[registration]
            yield make_finding("registration_denied" if registration is Registration.DENIED else code, name, **shown)
        elif signal_dbm is not None and signal_dbm <= WEAK_SIGNAL_DBM:
            yield make_finding("signal_weak", name, **shown)
        else:
            yield make_finding("registered", name, **shown)
    if not modems:
        yield make_finding("registration_not_needed")


def bearer_findings(rows: Mapping[str, Row], waits_for_dialling: bool = False) -> Iterator[Finding]:
    """Yield the findings of the bearers. ``waits_for_dialling``: the agent, which dials, is stopped."""
    if not rows:
        yield make_finding("bearer_none")
    is_any_up = any(row["state"] == BearerState.UP for row in rows.values())
    for name, row in rows.items():
        shown = {"interface": row["interface"] or "?", "address": row["address"], "reason": row["reason"]}
        if row["state"] == BearerState.UP:
            yield make_finding("bearer_up", name, **shown)
        elif is_any_up:
            yield make_finding("bearer_spare_down", name, **shown)
        else:
            reason = row.get("dial_error") or row["reason"]
            yield make_finding(_down_code(row, waits_for_dialling), name, **{**shown, "reason": reason})


def _down_code(row: Row, waits_for_dialling: bool) -> str:
    if row.get("dial_error"):
        return "dial_refused"
    is_registered = row["sim"] == SimState.READY and row["registration"] in (Registration.HOME, Registration.ROAMING)
    if row["kind"] == BearerKind.GPRS and not is_registered:
        return "modem_waits"
    if row["kind"] == BearerKind.GPRS:
        return "modem_not_dialled" if waits_for_dialling else "bearer_down"
    if row["state"] == BearerState.ABSENT:
        return "bearer_absent"
    return "bearer_no_address" if _has_carrier(row["interface"]) else "bearer_no_carrier"


def _has_carrier(interface: str) -> bool:
    try:
        return (KERNEL_INTERFACES / interface / "carrier").read_text("ascii").strip() == "1"
    except OSError:
        return False


# --- backends: what a link knows, as ``agent_knowledge.link_row`` makes it --------------------------------------------


def upgrade_finding(row: Row, backend: Backend) -> Finding:
    if row["connected"]:
        return make_finding("http_good_agent", backend.name, version=row["ocpp"])
    if row["error"]:
        return upgrade_problem(row["problem"], row["error"], backend)
    return make_finding("http_waits", backend.name)


def upgrade_problem(problem: Row, error: str, backend: Backend) -> Finding:
    values = {
        "status": problem["status"], "location": problem["location"], "error": error,
        "versions": ", ".join(backend.versions), "identity": backend.charge_point_id,
    }  # fmt: skip
    return make_finding(HTTP_CODES[ProblemCode(problem["code"])], backend.name, **values)


def boot_finding(row: Row, backend: Backend) -> Finding:
    code = BOOT_CODES.get(row["boot"], "boot_waits") if row["connected"] else "boot_waits"
    return make_finding(code, backend.name, identity=backend.charge_point_id)


def clock_finding(offset_s: float | None, backend: str) -> Finding:
    """Judge the backend's clock minus that of this machine; None: not known."""
    if offset_s is None:
        return make_finding("clock_unknown", backend)
    if abs(offset_s) > CLOCK_DIFFERS_S:
        return make_finding("clock_differs", backend, offset=_offset_text(offset_s))
    return make_finding("clock_good", backend, offset=f"{abs(offset_s):.0f} s")


def clock_offset_s(known: Row) -> float | None:
    """Return the backend's clock, as the agent has learnt it, minus that of this machine. None: not known, or time runs
    faster than this machine's (a simulation), so that the two cannot be compared. ``known``: ``station_knowledge``."""
    return None if known["utc_s"] is None or known.get("hurried") else known["utc_s"] - time.time()


def _offset_text(offset_s: float) -> str:
    for unit, seconds in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if abs(offset_s) >= 2 * seconds - 30:
            return f"{offset_s / seconds:+.0f} {unit}"
    return f"{offset_s:+.0f} s"


NETWORK_RUNGS = ("dns", "tcp", "tls")
"""What an attempt to connect goes through before HTTP."""
FAILED_BEFORE_HTTP = {
    ProblemCode.NAME: "dns_failed",
    ProblemCode.REFUSED: "tcp_refused",
    ProblemCode.UNREACHABLE: "tcp_unreachable",
    ProblemCode.CERTIFICATE: "tls_certificate_wrong",
    ProblemCode.TLS: "tls_failed",
}
SHOWS_NOTHING_BEFORE = (ProblemCode.OTHER, ProblemCode.EARLIER, ProblemCode.SILENT)
"""Of an attempt that ended so it is not known how far it came."""


def connection_findings(row: Row, backend: Backend) -> Iterator[Finding]:
    """Yield what the link's latest attempt shows of name, TCP, TLS, HTTP and BootNotification. The finding of a rung
    that has passed has no values: an attempt does not note them."""
    code = ProblemCode(row["problem"]["code"])
    failed = "" if row["connected"] or not row["error"] else FAILED_BEFORE_HTTP.get(code, "")
    passed = _passed_rungs(row, code, failed, is_tls(row["url"]))
    for rung in NETWORK_RUNGS:
        if rung == "tls" and not is_tls(row["url"]):
            yield make_finding("tls_not_used", backend.name)
        elif rung in passed:
            yield make_finding(f"{rung}_good", backend.name)
        elif failed.startswith(f"{rung}_"):
            yield make_finding(failed, backend.name, error=row["error"])
        else:
            yield make_general_finding(NOT_JUDGED_AFTER, rung, backend.name, needs="http")
    is_soap = is_soap_address(row["url"])
    if failed:
        needs = failed.partition("_")[0]
        yield make_general_finding(NOT_JUDGED_AFTER, "soap" if is_soap else "http", backend.name, needs=needs)
    else:
        yield known_soap_finding(row, backend) if is_soap else upgrade_finding(row, backend)
    yield boot_finding(row, backend)


def _passed_rungs(row: Row, code: ProblemCode, failed: str, uses_tls: bool) -> Sequence[str]:
    if row["connected"]:
        return NETWORK_RUNGS
    if failed:
        return NETWORK_RUNGS[: NETWORK_RUNGS.index(failed.partition("_")[0])]
    if not row["error"] or code in SHOWS_NOTHING_BEFORE:
        return ()
    return ("dns", "tcp") if code is ProblemCode.CLOSED and uses_tls else NETWORK_RUNGS
