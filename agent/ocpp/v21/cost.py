"""Tariff and cost in 2.1 (block I). ``TariffCostCtrlr[Tariff]`` means more than in 2.0.1: the station computes
the cost by tariffs that the backend has set (I07). This one computes it by its own tariff alone."""

from __future__ import annotations

from agent.domain.variables import COST
from agent.ocpp.dialects.device_model_v2x import Name

VARIABLES = tuple(
    Name(
        "TariffCostCtrlr",
        name,
        instance="Tariff",
        value=lambda f, n: "false",
        kind="boolean",
        constant=True,
        profile=COST,
    )
    for name in ("Available", "Enabled")
)
