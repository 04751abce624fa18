"""The bearers in the device model of OCPP 2.x: one component ``DataLink`` each, whose instance is the name that
SetNetworkProfile has for it (``Wired0``, ``Wireless0``).

Source: OCPP 2.0.1 part 2, appendix 3: ``DataLink`` among the components, its variables among those of any component.
``Operator`` and ``AccessTechnology`` are our own: the standard has none for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from agent.domain.variables import DATA_LINK, data_link_part
from agent.model.bearer import BearerState, BearerStatus
from agent.model.types import STATION
from agent.ocpp.dialects.device_model_v2x import Name, ReportFacts

LinkText: TypeAlias = Callable[[Mapping[str, Any]], str]
INTERFACES = tuple(f"{way}{number}" for way in ("Wired", "Wireless") for number in range(4))
"""OCPPInterfaceEnumType."""


@lru_cache(maxsize=4)
def data_link_names(fitted: frozenset[str]) -> tuple[Name, ...]:
    """Return the variables of the bearers of a station that has these parts (``Settings.fitted``)."""
    return tuple(name for interface in INTERFACES for name in _interface_names(interface, fitted))


def _interface_names(interface: str, fitted: frozenset[str]) -> Iterator[Name]:
    for has_sim, rows in ((False, _ROWS), (True, _SIM_ROWS)):
        part = data_link_part(interface, has_sim)
        if part in fitted:
            yield from (_make_link_variable(interface, part, *row) for row in rows)


def _make_link_variable(
    interface: str, part: str, variable: str, kind: str, unit: str, text: LinkText, watched: str = ""
) -> Name:
    def present_text(facts: ReportFacts, evse: int) -> str:
        return text(facts.evses[STATION]["data_links"][interface])

    return Name(
        DATA_LINK, variable, value=present_text, kind=kind, unit=unit, profile=part, component_instance=interface,
        watched=watched,
    )  # fmt: skip


def _boolean_text(value: bool) -> str:
    return "true" if value else "false"


def _signal_text(status: BearerStatus) -> str:
    return "" if status.signal_dbm is None else str(status.signal_dbm)


_ROWS: tuple[tuple[Any, ...], ...] = (
    ("Active", "boolean", "", lambda link: _boolean_text(link["in_use"]), "link_in_use"),
    ("Available", "boolean", "", lambda link: _boolean_text(link["status"].state is not BearerState.ABSENT)),
    ("Problem", "boolean", "", lambda link: _boolean_text(not link["status"].is_up), "link_problem"),
    ("State", "string", "", lambda link: str(link["status"].state), "link_state"),
    ("NetworkAddress", "string", "", lambda link: str(link["status"].address)),
)
"""Variable, data type, unit, value, and the name by which monitors know it."""
_SIM_ROWS: tuple[tuple[Any, ...], ...] = (
    ("ICCID", "string", "", lambda link: str(link["status"].iccid)),
    ("IMSI", "string", "", lambda link: str(link["status"].imsi)),
    ("SignalStrength", "decimal", "dBm", lambda link: _signal_text(link["status"]), "signal_dbm"),
    ("Operator", "string", "", lambda link: str(link["status"].operator)),
    ("AccessTechnology", "string", "", lambda link: str(link["status"].technology)),
)
