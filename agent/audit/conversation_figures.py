"""Figures of a conversation for the report: how fast each side answered, who said what when, how a vehicle charged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agent.audit.sampled_values import SampledValue, sampled_values
from agent.scenario.frames import CALL, CALL_ERROR, Frame
from agent.scenario.observation import ENERGY, StationView

LABELS = ("status", "connectorStatus", "eventType", "reason", "requestedMessage", "type", "key", "idTag", "errorCode")
"""Keys of a message whose value says most about it."""
KINDS = {CALL: "call", CALL_ERROR: "error"}


def answer_latencies(frames: Sequence[Frame]) -> dict[tuple[str, str], list[tuple[float, Frame]]]:
    """Return, by sender and action of the request, how many real ms each answer took, with the answer."""
    found: dict[tuple[str, str], list[tuple[float, Frame]]] = {}
    for frame in frames:
        if frame.answers is not None:
            sender = "station" if frame.answers.from_station else "backend"
            took_ms = (frame.at_s - frame.answers.at_s) * 1000.0
            found.setdefault((sender, frame.answers.action), []).append((took_ms, frame))
    return found


def latency_json(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    rows = []
    for (sender, action), answers in sorted(answer_latencies(frames).items()):
        took = sorted(ms for ms, _ in answers)
        rows.append({
            "action": action, "sender": sender, "count": len(took), "p50_ms": round(percentile(took, 0.5), 1),
            "p95_ms": round(percentile(took, 0.95), 1), "max_ms": round(took[-1], 1),
        })  # fmt: skip
    return rows


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of all do not exceed (nearest rank)."""
    rank = max(round(share * len(ascending) + 0.499999), 1)
    return ascending[min(rank, len(ascending)) - 1]


def sequence_json(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    """Return who said what, with seconds since the first frame."""
    begin_s = frames[0].utc_s if frames else 0.0
    return [
        {
            "at_s": round(f.utc_s - begin_s, 3), "sender": "station" if f.from_station else "backend",
            "kind": KINDS.get(f.kind, "result"), "action": f.action, "label": message_label(f),
        }
        for f in frames
    ]  # fmt: skip


def message_label(frame: Frame) -> str:
    """Return the values that say most about a message, in a few words."""
    if not isinstance(frame.payload, dict):
        return ""
    if frame.kind == CALL_ERROR:
        return str(frame.payload.get("error", ""))[:40]
    said = [str(frame.payload[key]) for key in LABELS if isinstance(frame.payload.get(key), str | int)]
    return " ".join(said)[:40]


def charge_curves(frames: Sequence[Frame], view: StationView) -> list[dict[str, Any]]:
    """Return power, energy and state of charge over the station's time, for each transaction that has readings."""
    of_transaction: dict[Any, list[SampledValue]] = {}
    for value in sampled_values(frames):
        if value.transaction is not None and value.number is not None and not value.phase:
            of_transaction.setdefault(value.transaction, []).append(value)
    curves = []
    for number, values in of_transaction.items():
        known = view.transactions.get(number)
        points = _curve_points(values, known.start_wh if known is not None else None)
        if len(points) > 1:
            evse = known.evse if known is not None else values[0].evse
            title = f"Outlet {evse}, transaction {number}"
            curves.append({"transaction": str(number), "evse": evse, "title": title, "points": points})
    return curves


QUANTITY_KEYS = {ENERGY: "energy_wh", "Power.Active.Import": "power_w", "SoC": "soc_percent"}


def _curve_points(values: Sequence[SampledValue], start_wh: float | None) -> list[dict[str, Any]]:
    points: dict[float, dict[str, Any]] = {}
    for value in values:
        key, at_s = QUANTITY_KEYS.get(value.measurand), instant_s(value.timestamp)
        if key is None or at_s is None or value.number is None:
            continue
        if key == "energy_wh":
            start_wh = value.number if start_wh is None else start_wh
        number = value.number - (start_wh or 0.0) if key == "energy_wh" else value.number
        points.setdefault(at_s, {})[key] = round(number, 1)
    begin_s = min(points, default=0.0)
    return [
        {"t_s": round(at_s - begin_s, 1), **{key: points[at_s].get(key) for key in QUANTITY_KEYS.values()}}
        for at_s in sorted(points)
    ]


def instant_s(text: object) -> float | None:
    """Return an instant of a message in seconds since 1970; None for what is none, or has no time zone."""
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant.timestamp() if instant.tzinfo is not None else None
