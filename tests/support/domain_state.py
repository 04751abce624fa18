"""The state of a station for tests of the domain, by the names of its fields alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.collaborators import Collaborators
from agent.domain.evse import EvseRecord, StationState
from agent.domain.evse_parts import EvseConfig
from agent.domain.station_config import StationConfig
from agent.domain.variables import Settings, Value
from agent.model.board import EvseTraits
from agent.model.fastclass import field_specs, replace


def station_state(
    evses: Mapping[int, EvseRecord], settings: Mapping[str, Value] | None = None, **options: Any
) -> StationState:
    """``options``: fields of the state, of its configuration, or of what is handed in to it."""
    config, collaborators = _taken(options, StationConfig), _taken(options, Collaborators)
    return StationState(
        dict(evses), Settings(settings), StationConfig(**config), Collaborators(**collaborators), **options
    )


def evse_record(number: int = 1, tethered: bool = False, **options: Any) -> EvseRecord:
    """``options``: fields of the configuration."""
    return EvseRecord(number, EvseConfig(**options), EvseTraits(tethered=tethered))


def configure(holder: EvseRecord | StationState, **changes: Any) -> None:
    """Change the configuration, as another station file would."""
    holder.config = replace(holder.config, **changes)  # type: ignore[assignment]


def _taken(options: dict[str, Any], cls: type[Any]) -> dict[str, Any]:
    return {name: options.pop(name) for name in field_specs(cls) if name in options}
