"""Verdicts of obligations, and which of several is the heaviest."""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.string_enum import StrEnum


class AuditVerdict(StrEnum):
    """PARTIAL: the obligation was not exercised wholly, so that nothing can be said of the rest of it."""

    PASS = "PASS"
    FAIL = "FAIL"
    ERROR = "ERROR"
    PARTIAL = "PARTIAL"
    NOT_APPLICABLE = "NOT APPLICABLE"


WEIGHT = (
    AuditVerdict.FAIL, AuditVerdict.ERROR, AuditVerdict.PARTIAL, AuditVerdict.PASS, AuditVerdict.NOT_APPLICABLE,
)  # fmt: skip
"""The heaviest first."""
FINDINGS = (AuditVerdict.FAIL, AuditVerdict.ERROR, AuditVerdict.PARTIAL)
"""Verdicts after which there is something to do."""


def heaviest_verdict(verdicts: Iterable[AuditVerdict]) -> AuditVerdict:
    """Return the verdict of a whole with these parts. Without parts it does not apply."""
    found = set(verdicts)
    return next((v for v in WEIGHT if v in found), AuditVerdict.NOT_APPLICABLE)
