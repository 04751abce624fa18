"""Settings of ``drivers.meter_rest``: the keys of its table in the station file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import Between, HostName, OneLine, OneOf, TcpPort

MODELS = ("lem_dcbm", "isabellenhuette_iem")


@dataclass(frozen=True, slots=True)
class RestSettings:
    """``model``: "lem_dcbm" (LEM DCBM 400/600) or "isabellenhuette_iem" (IEM-DCR, IEM-DCC). ``serial``: the meter that
    was put into service; another one bills nothing. ``timeout_s``: of one request. ``signature_required``: without a
    signature no session is started; otherwise the register is billed all the same. ``record_s``: how long the end of a
    transaction waits for the signed record. ``cable``, ``tariff``: numbers in the LEM's own tables."""

    model: Annotated[str, OneOf(MODELS)]
    host: HostName
    port: TcpPort = 80
    serial: OneLine = ""
    timeout_s: Annotated[float, Between(0.01, 60, "seconds")] = 3.0
    signature_required: bool = False
    record_s: Annotated[float, Between(0, 600, "seconds")] = 5.0
    cable: Annotated[int, Between(0, 65_535)] = 0
    tariff: Annotated[int, Between(0, 65_535)] = 0
