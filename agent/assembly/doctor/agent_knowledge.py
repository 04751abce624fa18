"""What a running agent knows of its way to the backends, for ``chargy-agent doctor`` and the service screen: it tests
nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent import __version__
from agent.assembly.shared_terminal import shared_terminal_rows
from agent.assembly.snapshot import SnapshotParts
from agent.domain.bearers import BearerConfig, BearerRecord
from agent.model.bearer import BearerStatus
from agent.ocpp.link import Link
from agent.ocpp.wire.calls import Unprocessed
from agent.services.store.store import Store

ASK = "doctor"


def link_row(link: Link) -> dict[str, Any]:
    """Return what a link knows. ``problem``: why its last attempt to connect has failed; ``unprocessed``: what its
    latest call got instead of an answer; ``refusal``: the error code of its latest answer."""
    problem = link.connect_problem
    return {
        "name": link.name,
        "url": link.url,
        "connected": link.is_connected,
        "boot": link.boot_status,
        "ocpp": link.ocpp_version,
        "error": link.connect_error or None,
        "problem": {"code": str(problem.code), "status": problem.status, "location": problem.location},
        "unprocessed": unprocessed_to_row(link.unprocessed),
        "refusal": link.refusal_code,
    }


def unprocessed_to_row(unprocessed: Unprocessed | None) -> dict[str, Any] | None:
    """Return what came instead of an answer of OCPP, for ``soap_findings``."""
    if unprocessed is None:
        return None
    return {"why": unprocessed.why, "status": unprocessed.status, "is_fault": unprocessed.is_fault}


def bearer_row(record: BearerRecord, in_use: str) -> dict[str, Any]:
    return {
        "name": record.config.name,
        "in_use": record.config.name == in_use,
        "status": status_to_row(record.config, record.status),
    }


def status_to_row(config: BearerConfig, status: BearerStatus) -> dict[str, Any]:
    """Return the state of a bearer. Of the ICCID only the last digits are shown, and the IMSI not at all."""
    return {
        "kind": str(config.kind),
        "has_pin": bool(config.pin_mark),
        "other_sim": bool(config.iccid and status.iccid and config.iccid != status.iccid),
        "state": str(status.state),
        "reason": status.reason,
        "interface": status.interface,
        "address": status.address,
        "sim": str(status.sim),
        "pin_tries": status.pin_tries,
        "iccid_end": status.iccid[-4:],
        "registration": str(status.registration),
        "operator": status.operator,
        "technology": status.technology,
        "signal_dbm": status.signal_dbm,
    }


def station_knowledge(parts: SnapshotParts) -> dict[str, Any]:
    """Return what the station knows of its way to the backends. ``hurried``: its time runs at another rate than that of
    this machine."""
    from agent.assembly.traffic_figures import traffic_snapshot

    site, utc_s = parts.site, parts.clock.now().utc_s
    return {
        "links": [link_row(link) for link in parts.links.values()],
        "bearers": [bearer_row(b, site.bearer_in_use) for b in site.bearers.values()],
        "devices": [
            {"name": s.name, "open": s.open, "error": s.trouble, **s.status_fields()}
            for s in parts.dispatch.supervisors
        ]
        + shared_terminal_rows(site),
        "traffic": traffic_snapshot(site, utc_s),
        "utc_s": utc_s,
        "hurried": parts.clock.hurried,
    }


async def answer_doctor(
    store: Store, question: Mapping[str, Any], knowledge: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Answer one question. ``question``: ``store`` (the path of the store meant)."""
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    return {"running": True, "version": __version__, "disk_problem": store.disk_problem, **knowledge()}
