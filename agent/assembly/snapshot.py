"""The state of a running station: the agent's half of the control API's picture (docs/control-api.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.assembly.shared_terminal import shared_terminal_rows
from agent.domain.evse import EvseRecord, StationState
from agent.domain.faults import JAMS, KEPT
from agent.domain.metrology import identity_to_record
from agent.domain.orders import SetLamp, Show
from agent.model.fastclass import frozen
from agent.ocpp.link import Link
from agent.services.clock import Clock
from agent.services.devices.dispatch import OrderDispatch
from agent.services.store.store import Store

if TYPE_CHECKING:
    from agent.services.sinks.sinks import Sinks


@frozen
class SnapshotParts:
    """The parts of a station that the snapshot shows."""

    site: StationState
    store: Store
    clock: Clock
    links: Mapping[str, Link]
    dispatch: OrderDispatch


def station_snapshot(parts: SnapshotParts, ready: bool, sinks: Sinks | None) -> dict[str, Any]:
    from agent.assembly.traffic_figures import traffic_snapshot

    links = parts.links
    link = next(iter(links.values()), None)
    return {
        "agent": {
            "version": __version__,
            "pid": os.getpid(),
            "queue": sum(parts.store.queued_count(name) for name in links),
            "screen_language": parts.site.language,
        },
        "backend": {
            "url": link.url if link else "",
            "link": "up" if link and link.is_up else "down",
            "ocpp": link.ocpp_version if link else None,
            "boot": link.boot_status if link else None,
            **(_error_fields(link.connect_error) if link and link.connect_error else {}),
        },
        "ready": ready,
        "store": {
            "set_aside": str(parts.store.set_aside) if parts.store.set_aside else None,
            "ailing": parts.store.disk_problem or None,
            "lost": parts.store.lost or None,
        },
        "devices": [
            {"name": k.name, "open": k.open, **k.status_fields(), **_error_fields(k.trouble)}
            for k in parts.dispatch.supervisors
        ]
        + [
            {"name": row["name"], "open": row["open"], **_error_fields(row["error"])}
            for row in shared_terminal_rows(parts.site)
        ],
        **({"sinks": sinks.status_summary()} if sinks else {}),
        "traffic": traffic_snapshot(parts.site, parts.clock.now().utc_s),
        **({"bearers": _bearer_snapshot(parts)} if parts.site.bearers else {}),
        **(
            {"prices": json.loads(prices)}
            if (prices := parts.site.settings.text_value("adhoc_tariff_in_force"))
            else {}
        ),
        "evses": [_evse_snapshot(parts, e, link) for e in parts.site.evses.values()],
    }


def _bearer_snapshot(parts: SnapshotParts) -> list[dict[str, Any]]:
    from agent.assembly.bearer_queries import bearer_pictures

    return bearer_pictures([*parts.site.bearers.values()], parts.site.bearer_in_use, parts.clock.now().t_s)


def _evse_snapshot(parts: SnapshotParts, evse: EvseRecord, link: Link | None) -> dict[str, Any]:
    show, set_lamp = parts.dispatch.newest_level(Show, evse.number), parts.dispatch.newest_level(SetLamp, evse.number)
    screen = show.screen if show is not None else None
    reported = link.reported_statuses.get(evse.number) if link else None
    return {
        "number": evse.number,
        "screen": str(screen.name) if screen else None,
        "lamp": str(set_lamp.lamp) if set_lamp is not None else None,
        "reported": reported,
        "told": reported,
        "session_state": str(evse.state),
        "session": _session_snapshot(parts, evse, link),
        "last_session": _last_session_snapshot(parts, evse, link),
        "latched": sorted(evse.latched & (KEPT | JAMS)),
        "code": str(screen.values.get("qr_url") or "") or None if screen else None,
        "messages": str(screen.values.get("messages") or "").splitlines() if screen else [],
        "metrology": _metrology_snapshot(evse),
    }


def _metrology_snapshot(evse: EvseRecord) -> dict[str, Any]:
    """Return which meter bills here, what is demanded of it, and why it may not bill (decision 18)."""
    watch, meter = evse.metering.meter, evse.metering.meter.present
    return {
        "class": watch.policy.accuracy_class or None,
        "mid_year": watch.policy.mid_year,
        "certificate": watch.policy.certificate or None,
        "meter": {**identity_to_record(meter), "step_wh": meter.register_step_wh, "mid": meter.mid} if meter else None,
        **_error_fields(watch.trouble),
    }


def _error_fields(error: str | None) -> dict[str, Any]:
    """Return an error under its name and under the older one of version 1 of the control API."""
    return {"error": error, "trouble": error}


def _session_snapshot(parts: SnapshotParts, evse: EvseRecord, link: Link | None) -> dict[str, Any] | None:
    session = evse.session
    if session is None:
        return None
    newest = max(session.last_wh, evse.metering.reading.energy_wh if evse.metering.reading else 0)
    return {
        "id": session.id,
        "transaction_id": parts.store.transaction_id(link.name, session.id, link.ocpp_version) if link else None,
        "token": session.token.value,
        "energy_wh": newest - session.start_wh,
        "cost_cents": _cost_cents(parts, evse, newest),
    }


def _last_session_snapshot(parts: SnapshotParts, evse: EvseRecord, link: Link | None) -> dict[str, Any] | None:
    """Return the figures of the last bill. ``cost_final`` False: the total is not known yet."""
    ended = evse.last_session
    if ended is None:
        return None
    cents, final = _total_cost(evse, ended.id)
    return {
        "id": ended.id,
        "transaction_id": parts.store.transaction_id(link.name, ended.id, link.ocpp_version) if link else None,
        "token": ended.token.value,
        "started_utc_s": round(parts.clock.utc_s(ended.started), 3),
        "ended_utc_s": round(parts.clock.utc_s(ended.ended), 3),
        "energy_wh": ended.energy_wh,
        "cost_cents": cents,
        "cost_final": final,
        "reason": ended.reason,
    }


def _total_cost(evse: EvseRecord, session: str) -> tuple[int | None, bool]:
    """Return the amount that is computed here, otherwise the total that the backend reported."""
    account = evse.pricing.account
    for bill in (evse.pricing.bill, evse.pricing.priced):
        if bill is not None and bill.session == session:
            return bill.cents, bill.final
    cost = account.cost if account is not None and account.session == session else None
    return (None, False) if cost is None else (round(cost.total_micro / 10_000), cost.final)


def _cost_cents(parts: SnapshotParts, evse: EvseRecord, register_wh: int) -> int | None:
    """Return the amount that is computed here, otherwise the backend's cost, carried forward to now."""
    for bill in (evse.pricing.bill, evse.pricing.priced):
        if bill is not None and evse.session is not None and bill.session == evse.session.id:
            return bill.cents
    cost = evse.pricing.account.cost if evse.pricing.account is not None else None
    return None if cost is None else round(cost.cost_at_register(register_wh, parts.clock.now().utc_s) / 10_000)
