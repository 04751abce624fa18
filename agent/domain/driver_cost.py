"""The price and cost of one session as its driver sees it, from its begin until the next driver
charges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent.domain.csms_cost import Cost
from agent.domain.orders import Persist
from agent.domain.serialization import dump_record, load_record
from agent.model.fastclass import frozen, mutable, replace
from agent.model.types import EvseId, MessageContent, Moment, Stamp

if TYPE_CHECKING:  # of stations that sell without a contract
    from agent.domain.messages import TransactionCost
    from agent.domain.session_usage import Usage
    from agent.domain.tariff import Tariff


@mutable
class DriverCost:
    """``message``: the price as it was shown to this driver. ``session_over``: the session has
    ended, with ``energy_wh``; ``reported``: the session is reported to a backend. ``unplugged_s``:
    when the vehicle was gone after that (None: it is there, or its leaving was not seen)."""

    session: str
    evse: EvseId
    start_wh: int
    message: tuple[MessageContent, ...] = ()
    cost: Cost | None = None
    session_over: bool = False
    energy_wh: int = 0
    reported: bool = True
    unplugged_s: float | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("account", session, ...)``."""
        return {
            "evse": self.evse,
            "start_wh": self.start_wh,
            "message": dump_record(self.message),
            "cost": dump_record(self.cost),
            "over": self.session_over,
            "energy_wh": self.energy_wh,
            "told": self.reported,
        }

    def persist_while_plugged(self) -> Iterator[Persist]:
        """Persist the cost as long as the vehicle is there. After that a new process has no driver
        to show it to."""
        if self.unplugged_s is None:
            yield Persist("account", self.session, self.to_record())

    @classmethod
    def from_record(cls, key: str, r: Mapping[str, Any]) -> DriverCost:
        """Read back what ``to_record`` made. Raises ``UnreadableRecord``, ``KeyError``,
        ``TypeError``, ``ValueError``."""
        return cls(
            session=key,
            evse=int(r["evse"]),
            start_wh=int(r["start_wh"]),
            message=tuple(load_record(m, MessageContent) for m in r["message"]),
            cost=load_record(r["cost"], Cost) if r["cost"] else None,
            session_over=bool(r["over"]),
            energy_wh=int(r.get("energy_wh", 0)),
            reported=bool(r.get("told", True)),
        )


@frozen
class DriverBill:
    """The bill of the latest session that a bank card pays for: what it costs by now, or in the end
    (``final``), and what the bank holds for it. ``receipt``: an address to show as QR code.
    ``parts``: what it is made of, in the end; they add up to ``cents``. ``estimated``: the backend
    charges, the station only estimates."""

    session: str
    cents: int
    held_cents: int
    currency: str = "EUR"
    receipt: str = ""
    final: bool = False
    tariff: Tariff | None = None
    parts: tuple[tuple[str, int], ...] = ()
    estimated: bool = False
    usage: Usage | None = None
    """What the session has used by now; None: it is not this station that bills it."""
    tariff_id: str = ""
    """Of the tariff that a backend has set."""
    is_driver_tariff: bool = False
    """It came with the authorization."""
    begun: Stamp | None = None
    """When the tariff began to count."""
    periods: tuple[tuple[str, Stamp, int, int, int], ...] = ()
    """Of the tariffs before it (``changed_tariff.TariffPeriod``)."""

    def cost_at_end(self, session: str, meter_wh: int, at: Stamp, now: Moment) -> TransactionCost | None:
        """Return what the session costs if it ends with this register at that time; None: the bill is not for it."""
        if session != self.session or self.usage is None or self.tariff is None:
            return None
        from agent.domain.tariff_cost import final_usage, transaction_cost

        cost = transaction_cost(self.tariff, final_usage(self.usage, meter_wh, at, now), self.held_cents or None)
        return replace(cost, tariff_id=self.tariff_id, begun=self.begun, periods=self.periods)


def bill_so_far(session: str, tariff: Tariff, usage: Usage, held_cents: int) -> DriverBill:
    """Return the bill of a session that runs, or has not ended in order yet."""
    cents = min(tariff.total_cents(usage), held_cents)
    return DriverBill(session, cents, held_cents, tariff.currency, tariff=tariff, usage=usage)
