"""The outlets of satellites as the terminal of the payment master sees them (decision 73)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.evse_parts import BoardReport
from agent.domain.payment import Payment
from agent.model.fastclass import mutable
from agent.model.types import EvseId, Moment, Stamp

if TYPE_CHECKING:
    from agent.domain.satellite_messages import OutletReport
    from agent.domain.tariff import Tariff


@mutable
class SatelliteOutlet:
    """``record``: under its number at the terminal, with as much of its state as a payer's choice needs; no block but
    the payment master's writes it, and no board is behind it. ``evse``: its number at the satellite. ``is_open``: a
    driver may begin there now. ``tariff``: what is presented there."""

    satellite: str
    evse: EvseId
    record: EvseRecord
    is_open: bool = False
    tariff: Tariff | None = None

    def take_report(self, report: OutletReport | None, now: Moment, is_first: bool) -> bool:
        """Take what the satellite reports of it (None: nothing). Returns whether a vehicle was connected just now: not
        by the first report of a connection, which does not say since when it is there."""
        was_connected = self.record.board.vehicle_connected
        if report is None:
            self.is_open, self.tariff, self.record.board = False, None, BoardReport()
            return False
        self.is_open, self.tariff = report.is_open, report.tariff
        is_connected = report.vehicle_connected
        is_new = is_connected and not was_connected and not is_first
        plugged_at = now.stamp if is_new else self.record.board.plugged_at or Stamp(now.stamp.boot, 0.0)
        self.record.board = BoardReport(
            known=True, vehicle_connected=is_connected, plugged_at=plugged_at if is_connected else None
        )
        without_charge = SessionState.OCCUPIED if is_connected else SessionState.FREE
        self.record.state = SessionState.ENDED if report.has_charged and is_connected else without_charge
        return is_new


def make_satellite_outlets(satellites: Mapping[str, tuple[EvseId, ...]]) -> dict[EvseId, SatelliteOutlet]:
    """Return all outlets of these satellites by their numbers at the terminal. Nothing is known of them yet."""
    return {
        number: SatelliteOutlet(name, evse, EvseRecord(number))
        for name, numbers in satellites.items()
        for evse, number in enumerate(numbers, 1)
    }


def paid_outlet(site: StationState, p: Payment) -> SatelliteOutlet | None:
    """Return the outlet of a satellite that this payment is for; None: it is for an outlet of this station, or for one
    that is no longer in the station file."""
    outlet = site.satellite_outlets.get(p.evse)
    return outlet if outlet is not None and outlet.satellite == p.satellite else None
