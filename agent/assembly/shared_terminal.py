"""The other stations of a site that share a terminal with this one, as the status and the doctor show them."""

from __future__ import annotations

from typing import Any

from agent.domain.evse import StationState

AWAY = "not connected"


def shared_terminal_rows(site: StationState) -> list[dict[str, Any]]:
    """Return one row for each satellite, or for the payment master: name, whether it is connected, and what is wrong. A
    satellite that is no longer in the station file has none."""
    found = {f"satellite {n}": n in site.satellites_online for n, outlets in site.config.satellites.items() if outlets}
    if site.config.is_satellite:
        found["payment master"] = site.master_online
    return [
        {"name": name, "open": is_online, "error": None if is_online else AWAY, "station": True}
        for name, is_online in found.items()
    ]
