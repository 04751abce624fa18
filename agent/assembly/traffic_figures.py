"""Figures of the traffic and the data budget, for the picture of the status socket and ``chargy-agent traffic``."""

from __future__ import annotations

from typing import Any

from agent.domain.evse import StationState
from agent.domain.station_config import StationConfig
from agent.domain.traffic import Sums, TrafficMonth, TrafficTally, projected_bytes


def traffic_snapshot(site: StationState, now_utc_s: float | None) -> dict[str, Any] | None:
    """Return the figures of the present month for the picture; None: nothing was counted yet."""
    month = site.traffic.months.get(site.traffic.present)
    return None if month is None else {"month": site.traffic.present, **_month_figures(site.config, month, now_utc_s)}


def _month_figures(config: StationConfig, month: TrafficMonth, now_utc_s: float | None) -> dict[str, Any]:
    plan = config.data_plan
    return {
        "level": str(month.level),
        "soft_bytes": plan.soft_bytes if plan is not None else None,
        "hard_bytes": plan.hard_bytes if plan is not None else None,
        "bearers": [_bearer_figures(config, month, bearer, now_utc_s) for bearer in month.days],
    }


def _bearer_figures(config: StationConfig, month: TrafficMonth, bearer: str, now_utc_s: float | None) -> dict[str, Any]:
    used, plan = month.used_bytes((bearer,)), config.data_plan
    projected = None if now_utc_s is None else projected_bytes(used, month.since_utc_s, now_utc_s)
    is_metered = plan is not None and bearer in plan.metered
    return {"kind": bearer, "metered": is_metered, "month_bytes": used, "projected_bytes": projected}


def traffic_report(tally: TrafficTally, config: StationConfig, now_utc_s: float | None) -> dict[str, Any]:
    """Return all that is known, for ``chargy-agent traffic``: the newest month last."""
    return {
        "months": [
            {
                "month": name,
                "since_utc_s": month.since_utc_s,
                **_month_figures(config, month, now_utc_s if name == tally.present else None),
                "actions": _sum_rows(month.actions, "action"),
                "days": _sum_rows(month.days, "day"),
            }
            for name, month in sorted(tally.months.items())
        ]
    }


def _sum_rows(sums: Sums, name_key: str) -> list[dict[str, Any]]:
    return [
        {
            "bearer": bearer,
            name_key: name,
            "messages": total.messages,
            "sent_bytes": total.sent,
            "received_bytes": total.received,
            "header_bytes_estimated": total.headers,
            "total_bytes": total.total_bytes,
        }
        for bearer, rows in sorted(sums.items())
        for name, total in sorted(rows.items())
    ]
