"""The versions of OCPP that a station file may name, and the families that their settings belong to. A version is
imported when it is named.

A version is a package with ``build_dialect``. Another distribution may add one by an entry point of ``GROUP``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from agent.domain.variables import Value
from agent.ocpp.dialects.dialect import Dialect

GROUP = "chargy_agent.ocpp_versions"
"""Name of the entry point: the version, as a station file has it. Value: the package."""
VERSIONS: Mapping[str, str] = {"2.0.1": "agent.ocpp.v201", "1.6": "agent.ocpp.v16"}
"""The package of each version of this program, the newest first."""
FAMILIES: Mapping[str, str] = {
    "ocpp16": "agent.ocpp.dialects.keys_v1x",
    "ocpp2": "agent.ocpp.dialects.device_model_v2x",
}
"""The module of each family of versions that name settings alike (``Dialect.family``). The family is a sub-table of
``[settings]``; the module has ``parse_settings``."""


def build_dialects(
    versions: Sequence[str],
    features_off: Collection[str] = (),
    installed_versions: Callable[[], Mapping[str, str]] = dict,
) -> tuple[Dialect, ...]:
    """Return the dialects of these versions, the preferred one first. ``installed_versions``
    finds those that other distributions add. Raises ``ValueError`` for an unknown version."""
    packages = VERSIONS
    if not set(versions) <= VERSIONS.keys():
        packages = {**VERSIONS, **{v: p for v, p in installed_versions().items() if v not in VERSIONS}}
    unknown = [v for v in versions if v not in packages]
    if unknown or not versions:
        raise ValueError(f"OCPP {', '.join(unknown) or '?'} is not supported; known: {', '.join(packages)}")
    return tuple(_build_dialect(packages[v], features_off) for v in dict.fromkeys(versions))


def _build_dialect(package: str, features_off: Collection[str]) -> Dialect:
    dialect: Dialect = importlib.import_module(package).build_dialect(features_off)
    return dialect


def parse_settings(family: str, given: Mapping[str, Any]) -> tuple[dict[str, Value], list[str]]:
    """Parse the sub-table of one of ``FAMILIES``: typed values by our own names, and one line per
    problem."""
    parsed: tuple[dict[str, Value], list[str]] = importlib.import_module(FAMILIES[family]).parse_settings(given)
    return parsed
