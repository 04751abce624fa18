"""A map's TOML table, read key by key, so that a misspelt or surplus one is noticed."""

from __future__ import annotations

from typing import Any

from drivers.device_maps import MapError
from drivers.meter_modbus.register_numbers import NumberType


class MapTable:
    """A TOML table whose keys must all be used, so that a misspelt one is noticed."""

    def __init__(self, raw: dict[str, Any], where: str) -> None:
        self._raw = dict(raw)
        self.where = where

    def take_key(self, key: str, kind: type | tuple[type, ...], *default: Any) -> Any:
        if key not in self._raw:
            if default:
                return default[0]
            raise MapError(f"{self.where}: {key} is missing")
        value = self._raw.pop(key)
        if not isinstance(value, kind):
            raise MapError(f"{self.where}: {key} cannot be {value!r}")
        return value

    def take_table(self, key: str) -> MapTable:
        return MapTable(self.take_key(key, dict, {}), f"{self.where}: {key}")

    def take_tables(self, key: str) -> list[MapTable]:
        return [MapTable(t, f"{self.where}: {key} {i}") for i, t in enumerate(self.take_key(key, list), 1)]

    def take_named_tables(self) -> dict[str, MapTable]:
        return {k: MapTable(self.take_key(k, dict), f"{self.where}.{k}") for k in list(self._raw)}

    def take_number_type(self) -> NumberType:
        try:
            return NumberType.from_type_name(self.take_key("type", str))
        except ValueError as e:
            raise MapError(f"{self.where}: {e}") from e

    def refuse_unknown_keys(self) -> None:
        if self._raw:
            raise MapError(f"{self.where}: unknown key {', '.join(map(repr, self._raw))}")

    def take_texts(self, key: str) -> dict[str, str]:
        """Take a table whose values are all text."""
        table = self.take_table(key)
        return {k: table.take_key(k, str) for k in list(table._raw)}
