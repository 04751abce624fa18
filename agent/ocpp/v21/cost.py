"""Tariff and cost in 2.1 (block I). ``TariffCostCtrlr[Tariff]`` means more than in 2.0.1: the station computes
the cost by tariffs that the backend has set (I07). Where the station file has a price, it does not take any."""

from __future__ import annotations

from agent.domain.variables import COST, TARIFFS
from agent.ocpp.dialects.device_model_v2x import Name
from agent.ocpp.v21.tariffs import MAX_ELEMENTS

FAILED = "Deauthorize,UseDefault,CentralCost"
VARIABLES = (
    *(
        Name(
            "TariffCostCtrlr",
            name,
            instance="Tariff",
            value=lambda f, n: "true" if TARIFFS in f.parts else "false",
            kind="boolean",
            constant=True,
            profile=COST,
        )
        for name in ("Available", "Enabled")
    ),
    Name(
        "TariffCostCtrlr",
        "MaxElements",
        instance="Tariff",
        value=lambda f, n: str(MAX_ELEMENTS),
        kind="integer",
        constant=True,
        profile=TARIFFS,
    ),
    Name(
        "TariffCostCtrlr",
        "ConditionsSupported",
        instance="Tariff",
        value=lambda f, n: "false",
        kind="boolean",
        constant=True,
        profile=TARIFFS,
    ),
    Name(
        "TariffCostCtrlr",
        "HandleFailedTariff",
        value=lambda f, n: "CentralCost",
        kind="OptionList",
        choices=FAILED,
        constant=True,
        profile=TARIFFS,
    ),
)
