"""Which dialects a station file may name, in its order of preference. A version is imported when it is named."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agent.ocpp.dialect import Dialect

KNOWN = ("1.6",)


def dialects(versions: Sequence[str], features_off: Collection[str] = ()) -> tuple[Dialect, ...]:
    """The dialects of these versions. Raises ``ValueError`` naming the ones that are not spoken here."""
    unknown = [v for v in versions if v not in KNOWN]
    spoken = [v for v in versions if v in KNOWN]
    if not spoken:
        raise ValueError(f"none of {unknown} is spoken here; known: {', '.join(KNOWN)}")
    from agent.ocpp import v16

    return (v16.dialect(features_off),)
