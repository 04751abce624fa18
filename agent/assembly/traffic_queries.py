"""Answers about the traffic of the links and the data budget of the month."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.assembly.traffic_figures import traffic_report
from agent.domain.station_config import StationConfig
from agent.domain.traffic import TrafficMonth, TrafficTally, month_and_day
from agent.services.store.store import Store

ASK = "traffic"


async def answer_traffic(
    store: Store, question: Mapping[str, Any], report: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Answer one question of ``chargy-agent traffic``. ``question``: ``store`` (the path of the store meant)."""
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    return {**report(), "running": True}


async def report_of_store(store: Store, config: StationConfig, now_utc_s: float) -> dict[str, Any]:
    """Return what the store of a stopped agent has of the traffic. A record that cannot be read is left out."""
    tally = TrafficTally(present=month_and_day(now_utc_s)[0])
    for name, record in (await store.read_facts()).get("traffic", {}).items():
        try:
            tally.months[name] = TrafficMonth.from_record(record)
        except ValueError:
            continue
    return traffic_report(tally, config, now_utc_s)
