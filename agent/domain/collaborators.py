"""What the domain asks of the rest of the program. Each function answers at once, from memory: it reads no file and
waits for no device."""

from __future__ import annotations

from collections.abc import Callable

from agent.domain.local_time import LocalOffset
from agent.model.fastclass import frozen


@frozen
class Collaborators:
    """Handed in by the composition root by name, and never replaced."""

    new_id: Callable[[], str] = lambda: "session"
    """Makes the id of a session, of a transaction that begins before it, or of a card payment."""
    local_offset: Callable[[float], LocalOffset] = lambda utc_s: LocalOffset()
    """The wall clock of the station file's time zone at this time."""
    max_token_length: Callable[[], int] = lambda: 36
    """What the version in use can carry."""
    can_csms_settle: Callable[[], bool] = lambda: False
    """Whether the backend that authorizes can settle card payments and make their receipts, in the version in use."""
    count_trusted_roots: Callable[[], int] = lambda: 0
    """How many roots are trusted, of any use. Known while a request is answered that depends on it
    (``services/keys/root_counts.py``)."""
    has_open_exchange: Callable[[], bool] = lambda: False
    """Whether an exchange with a backend is open, in either direction."""
    count_queued_messages: Callable[[], int] = lambda: 0
    """How many billed messages wait for all backends."""
    count_csms_roots: Callable[[], int] = lambda: 0
    """How many roots of central systems are trusted: installed ones and those of the station file. Known
    while the same requests are answered."""
