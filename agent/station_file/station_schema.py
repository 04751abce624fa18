"""The JSON Schema of a station file, made of its own tables, roles and settings, and of the drivers' settings classes.

It is for editors. ``chargy-agent check`` knows more: what keys mean together, files, devices, certificates. A device's
table may leave its address out, since a simulated station brings the device, so no key of a driver is required here.
Draft 7 of JSON Schema, because editors of TOML know no newer one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from agent.domain.variables import VARIABLES, Variable
from agent.model.device_role import EVSE_TABLE, STATION_TABLE, DeviceRole
from agent.model.entry_points import load_entry_point
from agent.model.fastclass import field_specs
from agent.model.key_schema import key_schemas, object_schema, rule_schema, table_schema
from agent.ports.driver import Driver
from agent.station_file.device_roles import ROLES, roles_in
from agent.station_file.parser import MADE_FIELDS
from agent.station_file.payment import PaymentTable
from agent.station_file.tables import (
    Backend,
    Evse,
    FieldPageKeys,
    LinkKeys,
    MasterTable,
    MetricsKeys,
    SatelliteTable,
    Simulation,
    SinkTable,
    Station,
    WebPayment,
)
from agent.station_file.tariff import Amount, TariffTable

Json: TypeAlias = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
KEY_FIELDS = {"class": "accuracy_class"}
"""Keys that cannot be the name of a field."""
PLAIN_TABLES: Mapping[str, type[Any]] = {
    "station": Station, "link": LinkKeys, "metrics": MetricsKeys, "field_page": FieldPageKeys,
    "web_payment": WebPayment, "simulation": Simulation, "tariff": TariffTable, "payment": PaymentTable,
}  # fmt: skip
LISTED_TABLES: Mapping[str, type[Any]] = {"backends": Backend, "sinks": SinkTable}
"""Tables that there may be several of."""
VERSION_TABLES = ("ocpp16", "ocpp2")
"""The sub-tables of ``[settings]`` whose keys are those of a family of OCPP versions."""
PLAIN_VALUE = {"type": ["string", "number", "boolean", "array"]}


@rule_schema.register
def _amount_schema(rule: Amount) -> Json:
    return {"type": ["number", "string"], "minimum": 0, "maximum": rule.most, "pattern": r"^\s*\+?[0-9_.eE+-]+\s*$"}


def station_schema(drivers: Iterable[Driver[Any]], roles: Mapping[str, DeviceRole] = ROLES) -> Json:
    """Return the schema of a station file whose devices may have these drivers."""
    drivers = sorted(drivers, key=lambda d: d.name)
    tables = {name: table_schema(cls) for name, cls in PLAIN_TABLES.items()}
    tables |= {name: _one_or_several(_own_table_schema(cls)) for name, cls in LISTED_TABLES.items()}
    tables |= _role_references(STATION_TABLE, roles)
    tables["backend"] = _own_table_schema(Backend)
    tables["settings"] = _settings_schema()
    tables["payment"] = _payment_schema()
    tables["evse"] = _one_or_several(_evse_schema(roles))
    return {
        "$schema": DRAFT,
        "title": "Station file of chargy-agent (docs/station-file.md)",
        **object_schema(dict(sorted(tables.items())), ("evse",)),
        "definitions": {name: _device_schema(role, drivers) for name, role in sorted(roles.items())},
    }


def _payment_schema() -> Json:
    """Return the schema of ``[payment]``: amounts where the station has a terminal, or the address of the master."""
    roles = {"master": table_schema(MasterTable), "satellite": table_schema(SatelliteTable)}
    schema = table_schema(PaymentTable)
    return {
        **{key: value for key, value in schema.items() if key != "required"},
        "properties": {**schema["properties"], **roles},
        "anyOf": [{"required": ["amount_cents"]}, {"required": ["satellite"]}],
    }


def schema_text(drivers: Iterable[Driver[Any]], roles: Mapping[str, DeviceRole] = ROLES) -> str:
    return json.dumps(station_schema(drivers, roles), indent=2, ensure_ascii=False) + "\n"


def _own_table_schema(cls: type[Any]) -> Json:
    return table_schema(cls, [name for owner, name in MADE_FIELDS if owner == cls.__name__])


def _one_or_several(table: Json) -> Json:
    """Return the schema of ``[name]`` once, or ``[[name]]`` as often as wanted."""
    return {"anyOf": [{"type": "array", "items": table}, table]}


def _evse_schema(roles: Mapping[str, DeviceRole]) -> Json:
    keys = [name for name in field_specs(Evse) if name != "devices"]
    return object_schema(
        key_schemas(Evse, keys) | {"tariff": table_schema(TariffTable)} | _role_references(EVSE_TABLE, roles)
    )


def _role_references(table: str, roles: Mapping[str, DeviceRole]) -> dict[str, Json]:
    found = roles_in(table, roles)
    return {
        name: _one_or_several(_reference(name)) if role.is_list else _reference(name) for name, role in found.items()
    }


def _reference(name: str) -> Json:
    return {"$ref": f"#/definitions/{name}"}


def _device_schema(role: DeviceRole, drivers: Sequence[Driver[Any]]) -> Json:
    """Return the schema of a device's table: its driver, the agent's own keys, and the keys of that driver.

    ``properties`` names the keys of all drivers, for an editor that completes; the branch of the driver judges them.
    """
    fitting = [d for d in drivers if d.role == (role.driver_role or role.name)]
    own = _own_key_schemas(role)
    settings = {d.name: key_schemas(d.settings, field_specs(d.settings)) for d in fitting}
    return {
        "type": "object",
        "properties": {
            "driver": {"type": "string", **({"enum": list(settings)} if settings else {})},
            **_unjudged_keys(sorted({key for keys in settings.values() for key in keys} - own.keys())),
            **own,
        },
        "required": ["driver"],
        "allOf": [_driver_branch(name, keys, own) for name, keys in settings.items()],
    }


def _driver_branch(driver: str, keys: Mapping[str, Json], own: Mapping[str, Json]) -> Json:
    is_chosen = {"properties": {"driver": {"const": driver}}, "required": ["driver"]}
    allowed = {"properties": {"driver": True, **keys, **_unjudged_keys(own)}, "additionalProperties": False}
    return {"if": is_chosen, "then": allowed}


def _own_key_schemas(role: DeviceRole) -> dict[str, Json]:
    if not role.own_table:
        return _unjudged_keys(role.own_keys)
    cls: type[Any] = load_entry_point(role.own_table)
    fields = {key: KEY_FIELDS.get(key, key) for key in role.own_keys}
    found = key_schemas(cls, fields.values())
    return {key: found[name] for key, name in fields.items()}


def _unjudged_keys(names: Iterable[str]) -> dict[str, Any]:
    """Return the schemas of keys that may have any value."""
    return dict.fromkeys(names, True)


def _settings_schema() -> Json:
    keys = {name: _setting_schema(variable) for name, variable in VARIABLES.items()}
    named_by_version: Json = {"type": "object", "additionalProperties": PLAIN_VALUE}
    return object_schema(keys | dict.fromkeys(VERSION_TABLES, named_by_version))


def _setting_schema(variable: Variable) -> Json:
    """Return the schema of a setting. Each may be written as text, too, as OCPP writes it."""
    if variable.kind == "bool":
        return {"enum": [True, False, "true", "false"], "default": variable.default}
    if variable.kind == "int":
        number = {"type": "integer", "minimum": variable.low, "maximum": variable.high}
        return {"anyOf": [number, {"type": "string", "pattern": "^ *[+-]?[0-9]{1,12} *$"}], "default": variable.default}
    if variable.kind == "list":
        item = {"enum": list(variable.choices)} if variable.choices else PLAIN_VALUE
        return {"anyOf": [{"type": "array", "items": item}, {"type": "string"}]}
    if variable.choices:
        return {"enum": list(variable.choices), "default": variable.default}
    return PLAIN_VALUE
