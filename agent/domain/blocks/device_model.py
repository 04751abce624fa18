"""Report the station's parts and their present state: only what the blocks know anyway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.blocks.evse_status import EvseStatus
from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import LOCKING
from agent.domain.functional_block import Replier, Yielded, answers_requests
from agent.domain.requests import DeviceReportRequest
from agent.domain.variables import VARIABLES
from agent.model.types import STATION, Moment


class DeviceModel:
    def __init__(self, site: StationState, status: EvseStatus) -> None:
        self._site, self._status = site, status

    @answers_requests(DeviceReportRequest)
    def answer_inventory_report(self, request: DeviceReportRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        """Answer an inventory request. ``settings``: values by our own names, without secrets.
        ``evses``: number -> state; 0 is the station."""
        site = self._site
        settings = {n: site.settings[n] for n, v in VARIABLES.items() if not v.secret}
        evses = {n: self._describe_evse(e, now) for n, e in site.evses.items()}
        station = {
            "status": str(self._status.derive_status(STATION, now.stamp).connector),
            "phases": max((e.config.phases for e in site.evses.values()), default=1),
            "problem": any(e["problem"] for e in evses.values()),
            "power_w": sum(e["power_w"] for e in evses.values()),
            "max_power_w": sum(e["max_power_w"] for e in evses.values()),
            "queued": site.collaborators.count_queued_messages(),
            "store_problem": not site.store_ok,
            "list": site.local_list,
            "profiles": len(site.charging_profiles),
            "certificates": site.collaborators.count_trusted_roots(),
            "messages": len(site.display_messages),
        }
        if site.bearers:
            station["data_links"] = self._describe_bearers()
        for place, identity in site.terminals.items():
            of_terminal = {
                "model": identity.model or identity.vendor,
                "serial": identity.serial,
                "firmware": identity.firmware,
                "connected": place in site.terminals_open,
            }
            (station if place == STATION else evses[place])["terminal"] = of_terminal
        sessions = [e.open_transaction_id for e in site.evses.values() if e.open_transaction_id]
        data = {"settings": settings, "evses": {STATION: station, **evses}, "sessions": sessions, "utc_s": now.utc_s}
        yield reply("Accepted", data)

    def _describe_bearers(self) -> dict[str, dict[str, Any]]:
        """Describe each bearer by its name in OCPP 2.x."""
        from agent.domain.bearers import ocpp_interfaces

        names, in_use = ocpp_interfaces(self._site.config.bearers), self._site.bearer_in_use
        return {
            names[name]: {"in_use": name == in_use, "status": record.status}
            for name, record in self._site.bearers.items()
        }

    def _describe_evse(self, evse: EvseRecord, now: Moment) -> dict[str, Any]:
        reading = evse.metering.reading if evse.session else None
        return {
            "status": str(self._status.derive_status(evse.number, now.stamp).connector),
            "problem": bool(evse.faults),
            "lock_problem": bool(evse.faults & LOCKING),
            "connector": evse.connector_type,
            "lockable": evse.can_unlock_plug,
            "lamp": str(evse.lamp),
            "bay": evse.config.bay_sensor,
            "phases": evse.config.phases,
            "power_w": (reading.power_w or 0.0) if reading else 0.0,
            "energy_wh": evse.metering.reading.energy_wh if evse.metering.reading else None,
            "max_power_w": round(evse.config.max_a * evse.config.phases * evse.config.nominal_v, 1),
        }
