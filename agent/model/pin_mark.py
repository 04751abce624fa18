"""A check sum of a PIN, by which another PIN is noticed without knowing it."""

from __future__ import annotations


def make_pin_mark(pin: str, confirmed: str = "") -> str:
    """Return the check sum; "": there is no PIN.

    It depends on nothing else: a refused PIN stays refused when a station or a table is renamed, and when it comes
    from the backend. A person who has confirmed the PIN makes it another one.
    """
    import hashlib

    return hashlib.sha256(f"PIN/{pin}/{confirmed}".encode()).hexdigest()[:16] if pin else ""
