"""The versions of OCPP that a station file may name, and the families that their settings belong to. A version is
imported when it is named.

Another distribution may add a version by an entry point of ``GROUP``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from agent.domain.variables import Value
from agent.model.entry_points import EntryPointError, load_checked, load_entry_point
from agent.ocpp.dialects.dialect import Dialect

log = logging.getLogger("agent.ocpp")

GROUP = "chargy_agent.ocpp_versions"
"""Name of the entry point: the version, as a station file has it. Value: ``module:attribute`` of its dialect."""
VERSIONS: Mapping[str, str] = {
    "2.1": "agent.ocpp.v21:V21",
    "2.0.1": "agent.ocpp.v201:V201",
    "1.6": "agent.ocpp.v16:V16",
    "1.5": "agent.ocpp.v15:V15",
    "1.2": "agent.ocpp.v12:V12",
}
"""The versions of this program, the newest first."""
FAMILIES: Mapping[str, str] = {
    "ocpp16": "agent.ocpp.dialects.keys_v1x:parse_settings",
    "ocpp2": "agent.ocpp.dialects.device_model_v2x:parse_settings",
}
"""The families of versions that name settings alike (``Dialect.family``): how the sub-table of ``[settings]`` of this
name is parsed."""


def build_dialects(
    versions: Sequence[str],
    features_off: Collection[str] = (),
    installed_versions: Callable[[], Mapping[str, str]] = dict,
) -> tuple[Dialect, ...]:
    """Return the dialects of these versions, the preferred one first. ``installed_versions``
    finds those that other distributions add; they do not replace ours. One that cannot be loaded is
    left out if another one is left. Raises ``ValueError`` for an unknown version, and if none is
    left."""
    dialects, broken = load_dialects(versions, features_off, installed_versions)
    if not dialects:
        raise ValueError("; ".join(broken))
    for line in broken:
        log.error("%s: this version is not offered", line)
    return dialects


def load_dialects(
    versions: Sequence[str],
    features_off: Collection[str] = (),
    installed_versions: Callable[[], Mapping[str, str]] = dict,
) -> tuple[tuple[Dialect, ...], list[str]]:
    """Return the dialects of these versions, and one line for each version that cannot be loaded.
    Raises ``ValueError`` for an unknown version."""
    known = VERSIONS
    if not set(versions) <= VERSIONS.keys():
        known = {**VERSIONS, **{v: entry for v, entry in installed_versions().items() if v not in VERSIONS}}
    unknown = [v for v in versions if v not in known]
    if unknown or not versions:
        raise ValueError(f"OCPP {', '.join(unknown) or '?'} is not supported; known: {', '.join(known)}")
    dialects: list[Dialect] = []
    broken: list[str] = []
    for version in dict.fromkeys(versions):
        try:
            dialects.append(load_checked(known[version], Dialect).without_features(features_off))
        except EntryPointError as e:
            broken.append(f"OCPP {version}: {e}: check the package that brings it")
    return tuple(dialects), broken


def parse_settings(family: str, given: Mapping[str, Any]) -> tuple[dict[str, Value], list[str]]:
    """Parse the sub-table of one of ``FAMILIES``: typed values by our own names, and one line per
    problem."""
    parsed: tuple[dict[str, Value], list[str]] = load_entry_point(FAMILIES[family])(given)
    return parsed
