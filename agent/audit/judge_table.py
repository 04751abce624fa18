"""The judges by the names that plans use. A module of ``judges`` is a row."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from agent.audit.context import Judge
from agent.model.entry_points import load_entry_point

JUDGE_MODULES = (
    "identity", "parameters", "boot", "status", "clock", "tokens", "latency", "energy", "metering", "phases", "billing",
    "timing", "messages", "commands", "dc_messages", "payments", "consistency",
)  # fmt: skip


@functools.cache
def known_judges() -> Mapping[str, Judge]:
    """Return every judge by its name."""
    found: dict[str, Judge] = {}
    for module in JUDGE_MODULES:
        for judge in load_entry_point(f"agent.audit.judges.{module}:JUDGES"):
            assert judge.name not in found, judge.name
            found[judge.name] = judge
    return found
