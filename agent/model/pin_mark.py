"""A check sum of a PIN, by which another PIN is noticed without knowing it."""

from __future__ import annotations


def make_pin_mark(pin: str) -> str:
    """Return the check sum; "": there is no PIN.

    It depends on nothing else: a refused PIN stays refused when a station or a table is renamed, when a person confirms
    it, and when it comes from the backend.
    """
    return _check_sum(f"PIN/{pin}/") if pin else ""


def make_former_pin_mark(pin: str, confirmed: str) -> str:
    """Return the check sum under which an earlier program stored a PIN that a person had confirmed; "": it is none."""
    return _check_sum(f"PIN/{pin}/{confirmed}") if pin and confirmed else ""


def _check_sum(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]
