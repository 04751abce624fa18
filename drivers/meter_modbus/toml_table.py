"""A map's TOML table, read key by key, so that a misspelt or surplus one is noticed."""

from __future__ import annotations

from typing import Any

from drivers.meter_modbus.register_numbers import NumberType


class MapError(Exception):
    """What is wrong with a map, for the person who wrote it."""


class Table:
    """A TOML table whose keys must all be used, so that a misspelt one is noticed."""

    def __init__(self, raw: dict[str, Any], where: str) -> None:
        self._raw = dict(raw)
        self.where = where

    def take(self, key: str, kind: type | tuple[type, ...], *default: Any) -> Any:
        if key not in self._raw:
            if default:
                return default[0]
            raise MapError(f"{self.where}: {key} is missing")
        value = self._raw.pop(key)
        if not isinstance(value, kind):
            raise MapError(f"{self.where}: {key} cannot be {value!r}")
        return value

    def table(self, key: str) -> Table:
        return Table(self.take(key, dict, {}), f"{self.where}: {key}")

    def tables(self, key: str) -> list[Table]:
        return [Table(t, f"{self.where}: {key} {i}") for i, t in enumerate(self.take(key, list), 1)]

    def named(self) -> dict[str, Table]:
        return {k: Table(self.take(k, dict), f"{self.where}.{k}") for k in list(self._raw)}

    def type(self) -> NumberType:
        try:
            return NumberType.named(self.take("type", str))
        except ValueError as e:
            raise MapError(f"{self.where}: {e}") from e

    def done(self) -> None:
        if self._raw:
            raise MapError(f"{self.where}: unknown key {', '.join(map(repr, self._raw))}")

    def texts(self, key: str) -> dict[str, str]:
        """A table whose values are all text."""
        table = self.table(key)
        return {k: table.take(k, str) for k in list(table._raw)}
