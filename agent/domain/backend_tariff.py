"""A tariff that a backend has set, so that the station computes what a session costs (OCPP 2.1 I07 to I12)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.domain.tariff import Tariff
from agent.model.fastclass import frozen


@frozen
class BackendTariff:
    """``id``: of the backend; another content has another id. ``valid_from_utc_s`` None: always."""

    id: str
    tariff: Tariff
    valid_from_utc_s: float | None = None

    def to_record(self) -> dict[str, Any]:
        return {"id": self.id, "tariff": self.tariff.to_record(), "valid_from_utc_s": self.valid_from_utc_s}

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> BackendTariff:
        """Read back what ``to_record`` made. Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        since = r["valid_from_utc_s"]
        return cls(str(r["id"]), Tariff.from_record(r["tariff"]), None if since is None else float(since))


def without_replaced_tariffs(tariffs: Iterable[BackendTariff], utc_s: float | None) -> tuple[BackendTariff, ...]:
    """Return the tariffs of an EVSE, oldest first, without those that a later one has replaced by now (I07.FR.20 to
    I07.FR.23). With no clock, one that begins at a time is not valid yet."""
    ordered = sorted(tariffs, key=lambda t: t.valid_from_utc_s or 0.0)  # stable: the last that was set is the last
    valid = [n for n, t in enumerate(ordered) if is_valid_now(t, utc_s)]
    return tuple(ordered[valid[-1] if valid else 0 :])


def is_valid_now(tariff: BackendTariff, utc_s: float | None) -> bool:
    """Return whether the tariff may be used by now (I07.FR.19)."""
    return tariff.valid_from_utc_s is None or (utc_s is not None and tariff.valid_from_utc_s <= utc_s)
