"""Answers about bearers: what each reports, and which one carries the links."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.domain.bearers import BearerConfig, BearerRecord, choose_bearer
from agent.model.bearer import BearerKind, BearerStatus
from agent.services.devices.bearer import describe_status
from agent.services.store.store import Store

ASK = "bearers"
Row = dict[str, Any]


def bearer_rows(records: Sequence[BearerRecord], in_use: str, now_s: float) -> list[Row]:
    """Return one row per bearer, in order of preference."""
    return [
        {
            "name": record.config.name,
            "kind": str(record.config.kind),
            "up": record.status.is_up,
            "in_use": record.config.name == in_use,
            "demoted_s": round(max(record.penalty_end_s - now_s, 0.0)),
            "status": describe_status(record.status),
        }
        for record in records
    ]


def bearer_pictures(records: Sequence[BearerRecord], in_use: str, now_s: float) -> list[Row]:
    """Return what the control API shows of each bearer. A SIM is shown by the last digits of its ICCID."""
    return [
        {
            "name": record.config.name,
            "kind": str(record.config.kind),
            "state": str(record.status.state),
            "reason": record.status.reason,
            "in_use": record.config.name == in_use,
            "demoted_s": round(max(record.penalty_end_s - now_s, 0.0)),
            "interface": record.status.interface,
            "address": record.status.address,
            **(_modem_picture(record.status) if record.config.kind is BearerKind.GPRS else {}),
        }
        for record in records
    ]


def _modem_picture(status: BearerStatus) -> Row:
    return {
        "sim": str(status.sim),
        "pin_tries": status.pin_tries,
        "iccid": f"…{status.iccid[-4:]}" if status.iccid else "",
        "registration": str(status.registration),
        "operator": status.operator,
        "technology": status.technology,
        "signal_dbm": status.signal_dbm,
    }


def rows_of_statuses(configs: Sequence[BearerConfig], statuses: Mapping[str, BearerStatus]) -> list[Row]:
    """Return the rows of a station whose agent does not run: in use is what an agent would use."""
    records = [BearerRecord(config, statuses[config.name]) for config in configs]
    best = choose_bearer(records, 0.0)
    return bearer_rows(records, best.config.name if best is not None else "", 0.0)


async def answer_bearers(store: Store, question: Mapping[str, Any], rows: Callable[[], list[Row]]) -> dict[str, Any]:
    """Answer one question. ``question``: ``store`` (the path of the store meant)."""
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    return {"bearers": rows(), "running": True}
