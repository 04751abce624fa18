"""The state of a station for tests of the domain, by the names of its fields alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.collaborators import Collaborators
from agent.domain.evse import EvseRecord, StationState
from agent.domain.variables import Settings, Value
from agent.model.fastclass import field_specs


def station_state(
    evses: Mapping[int, EvseRecord], settings: Mapping[str, Value] | None = None, **options: Any
) -> StationState:
    """``options``: fields of the state, or of what is handed in to it."""
    collaborators = {name: options.pop(name) for name in field_specs(Collaborators) if name in options}
    return StationState(dict(evses), Settings(settings), collaborators=Collaborators(**collaborators), **options)
