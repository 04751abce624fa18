"""The dialects that a station file may name, in its order of preference. A version is imported
when it is named."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agent.domain.variables import Value
from agent.ocpp.dialects.dialect import Dialect

KNOWN = ("2.0.1", "1.6")
VENDOR_MAX = {"1.6": 20}
"""Characters of chargePointVendor (CiString20Type); other versions have room for every name that
a station file accepts."""
TABLES = ("ocpp16", "ocpp2")
"""Sub-tables of ``[settings]`` that name settings in the words of a version."""


def build_dialects(versions: Sequence[str], features_off: Collection[str] = ()) -> tuple[Dialect, ...]:
    """Return the dialects of these versions, the preferred one first. Raises ``ValueError`` for
    an unknown version."""
    unknown = [v for v in versions if v not in KNOWN]
    if unknown or not versions:
        raise ValueError(f"OCPP {', '.join(unknown) or '?'} is not supported; known: {', '.join(KNOWN)}")
    return tuple(_build_dialect(v, features_off) for v in dict.fromkeys(versions))


def vendor_problem(versions: Sequence[str], vendor: str) -> str:
    """Return what is wrong with the name of the vendor; "" for nothing."""
    for version in versions:
        if len(vendor) > (most := VENDOR_MAX.get(version, len(vendor))):
            return f"must have at most {most} characters with OCPP {version}, has {len(vendor)}: {vendor!r}"
    return ""


def _build_dialect(version: str, features_off: Collection[str]) -> Dialect:
    if version == "2.0.1":
        from agent.ocpp import v201

        return v201.build_dialect(features_off)
    from agent.ocpp import v16

    return v16.build_dialect(features_off)


def parse_settings(table: str, given: Mapping[str, Any]) -> tuple[dict[str, Value], list[str]]:
    """Parse settings from one of ``TABLES``: typed values by our own names, and one line per
    problem."""
    if table == "ocpp2":
        from agent.ocpp.dialects.device_model_v2x import parse_settings_2

        return parse_settings_2(given)
    from agent.ocpp.dialects.keys_v1x import parse_settings_16

    return parse_settings_16(given)
