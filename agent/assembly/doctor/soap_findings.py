"""The findings of the rung of SOAP: what an exchange with the backend has shown, by the doctor or by the agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.assembly.doctor.findings import Finding, make_finding
from agent.ocpp.transport.connect_problems import ProblemCode
from agent.station_file.settings import Backend

Row = Mapping[str, Any]

STATUS_CODES = {401: "soap_unauthorized", 403: "soap_forbidden", 404: "soap_not_found"}
FAULT_CODES = {
    "IdentityMismatch": "soap_identity",
    "SecurityError": "soap_security",
    "UrlMismatch": "soap_wrong_url",
    "ProtocolError": "soap_version",
    "NotSupported": "soap_version",
    "ActionNotSupported": "soap_version",
    "GenericError": "soap_version",
}
"""By subcode of the fault. GenericError: a fault of the sender without one, by which a server says that it does not
know the element."""
REDIRECTIONS, FIRST_SERVER_ERROR = range(300, 400), 500


def is_soap_address(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def unprocessed_finding(row: Row, backend: Backend) -> Finding:
    """Return what came instead of an answer. ``row``: as ``agent_knowledge.unprocessed_to_row`` makes it."""
    status, values = int(row["status"]), {"identity": backend.charge_point_id, "error": row["why"]}
    return make_finding(_page_code(status, bool(row["is_fault"])), backend.name, status=status, **values)


def _page_code(status: int, is_fault: bool) -> str:
    if is_fault:
        return "soap_server_fault"
    if status in REDIRECTIONS:
        return "soap_redirected"
    if status >= FIRST_SERVER_ERROR:
        return "soap_server_error"
    return STATUS_CODES.get(status, "soap_portal" if status < REDIRECTIONS.start else "soap_status")


def fault_finding(word: str, backend: Backend) -> Finding:
    """Return what a fault means. ``word``: its subcode, or the neutral code for none."""
    values = {"identity": backend.charge_point_id, "versions": ", ".join(backend.versions), "error": word}
    return make_finding(FAULT_CODES.get(word, "soap_fault"), backend.name, **values)


def connect_finding(problem: Row, error: str, backend: Backend) -> Finding:
    """Return why the exchange could not begin."""
    is_own = problem["code"] == ProblemCode.OWN_PORT
    return make_finding("soap_own_port" if is_own else "soap_failed", backend.name, error=error)


def known_soap_finding(row: Row, backend: Backend) -> Finding:
    """Return what the running agent knows. ``row``: as ``agent_knowledge.link_row`` makes it."""
    if row.get("unprocessed"):
        return unprocessed_finding(row["unprocessed"], backend)
    if row["connected"] and row["boot"]:
        return make_finding("soap_good_agent", backend.name, version=row["ocpp"])
    if row["connected"] and row.get("refusal"):
        return fault_finding(row["refusal"], backend)
    if row["error"]:
        return connect_finding(row["problem"], row["error"], backend)
    return make_finding("soap_waits", backend.name)
