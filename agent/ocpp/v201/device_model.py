"""The device model of this very station: its components, and how a request finds a variable in
it (OCPP 2.0.1 part 1, 4; B05-B08). Names are case-insensitive."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from agent.domain.orders import Response
from agent.domain.variables import DATA_LINK
from agent.ocpp.dialects.device_model_v2x import NAMES, Name, Of, ReportFacts
from agent.ocpp.dialects.dialect import Payload, Refused, RowContext
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.timestamps import format_rfc3339


class Entry(NamedTuple):
    """One variable of one component. ``evse``: 0 for a component of the station."""

    name: Name
    evse: int

    @property
    def component_type(self) -> dict[str, Any]:
        """ComponentType of this entry."""
        component: dict[str, Any] = {"name": self.name.component}
        if self.name.component_instance:
            component["instance"] = self.name.component_instance
        if self.name.of is Of.EVSE:
            component["evse"] = {"id": self.evse}
        elif self.name.of is Of.CONNECTOR:
            component["evse"] = {"id": self.evse, "connectorId": 1}
        return component

    @property
    def variable_type(self) -> dict[str, Any]:
        """VariableType of this entry."""
        instance = {"instance": self.name.instance} if self.name.instance else {}
        return {"name": self.name.variable, **instance}


def list_entries(ctx: RowContext) -> Iterator[Entry]:
    """List every variable of this station, component by component."""
    every = chain(_family_names(ctx), _bearer_variables(ctx), ctx.added_variables)
    names = [name for name in every if not name.profile or ctx.settings.offers_part(name.profile)]
    for name in names:
        if name.of is Of.STATION:
            yield Entry(name, 0)
    for number in ctx.evse_numbers:
        for of in (Of.EVSE, Of.CONNECTOR):
            yield from (Entry(name, number) for name in names if name.of is of and name.only in (0, number))


def _family_names(ctx: RowContext) -> tuple[Name, ...]:
    """Return the variables of the family, without those that the version describes otherwise."""
    if not ctx.added_variables:
        return NAMES
    own = {_place_of(name) for name in ctx.added_variables}
    return tuple(name for name in NAMES if _place_of(name) not in own)


def _place_of(name: Name) -> tuple[str, str, str, Of]:
    return name.component, name.variable, name.instance, name.of


def _bearer_variables(ctx: RowContext) -> tuple[Name, ...]:
    """Return the variables of the bearers. Most stations have none, and need not know how they are described."""
    if not any(part.startswith(DATA_LINK) for part in ctx.settings.fitted):
        return ()
    from agent.ocpp.dialects.data_links import data_link_names

    return data_link_names(ctx.settings.fitted)


def collect_facts(reply: Response, ctx: RowContext) -> ReportFacts:
    """Collect the facts from the answer to ``DeviceReportRequest``. Raises ``Refused``: this station
    has no such block."""
    if reply.status != "Accepted":
        raise Refused(Code.NOT_SUPPORTED, "not offered by this station")
    utc_s = reply.data.get("utc_s")
    settings = {**reply.data.get("settings", {}), **ctx.overlay}
    now = format_rfc3339(utc_s) if utc_s is not None else ""
    return ReportFacts(settings, reply.data.get("evses", {}), ctx.identity(), now, ctx.settings.fitted)


def is_component(entry: Entry, wanted: Payload, loosely: bool = False) -> bool:
    """Return whether this entry belongs to the component that a request names. ``loosely``: a
    component without EVSE means those of all EVSEs, one without instance all instances."""
    instance = wanted.get("instance", "")
    is_instance = instance.lower() == entry.name.component_instance.lower() or (loosely and not instance)
    if wanted["name"].lower() != entry.name.component.lower() or not is_instance:
        return False
    have, want = entry.component_type.get("evse"), wanted.get("evse")
    if want is None:
        return have is None or loosely
    if have is None:
        return False
    return bool(have["id"] == want["id"]) and (have.get("connectorId") == want.get("connectorId") or loosely)


def is_variable(entry: Entry, wanted: Payload, loosely: bool = False) -> bool:
    """Return whether this entry is the variable that a request names. ``loosely``: a variable
    without instance means all instances."""
    if wanted["name"].lower() != entry.name.variable.lower():
        return False
    instance = wanted.get("instance", "")
    return bool(instance.lower() == entry.name.instance.lower()) or (loosely and not instance)


def find_entry(component: Payload, variable: Payload, ctx: RowContext) -> Entry | str:
    """Return the entry, or the status that says what is not known."""
    own = [e for e in list_entries(ctx) if is_component(e, component)]
    if not own:
        return "UnknownComponent"
    return next((e for e in own if is_variable(e, variable)), "UnknownVariable")
