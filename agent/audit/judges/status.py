"""Judges of status."""

from __future__ import annotations

from agent.audit.context import Judge

JUDGES: tuple[Judge, ...] = ()
