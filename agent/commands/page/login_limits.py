"""How often a login may be tried: after each failure a pause, which grows, for the address and for the user."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable

from agent.model.fastclass import mutable

FREE_FAILURES = 3
"""A person mistypes."""
PAUSE_S = 1.0
ADDRESS_PAUSE_MOST_S, USER_PAUSE_MOST_S = 900.0, 60.0
"""Another address must not be able to keep the user out for long."""
FORGET_S = 3600.0
REMEMBERED = 500


@mutable
class FailureCount:
    failures: int
    until_s: float
    last_s: float


class LoginLimits:
    """Counts failures by address and by user. Times are seconds of any one clock that never steps."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Hashable, FailureCount] = OrderedDict()

    def remaining_pause_s(self, address: str, user: str, now_s: float) -> float:
        """Return how long no login is tried from this address, or for this user; 0: now."""
        counts = [self._counts.get(key) for key in (("address", network_of_address(address)), ("user", user))]
        return max([0.0, *(count.until_s - now_s for count in counts if count is not None)])

    def record_failure(self, address: str, user: str, now_s: float) -> None:
        network = network_of_address(address)
        for key, most_s in ((("address", network), ADDRESS_PAUSE_MOST_S), (("user", user), USER_PAUSE_MOST_S)):
            count = self._counts.get(key)
            if count is None or now_s - count.last_s > FORGET_S:
                count = FailureCount(0, now_s, now_s)
            count.failures, count.last_s = count.failures + 1, now_s
            beyond = count.failures - FREE_FAILURES
            count.until_s = now_s + (min(most_s, PAUSE_S * 2 ** min(beyond, 20)) if beyond >= 0 else 0.0)
            self._counts[key] = count
            self._counts.move_to_end(key)
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)

    def record_success(self, user: str) -> None:
        """Forget the failures of the user. Those of the address stay: a guesser may have an account too."""
        self._counts.pop(("user", user), None)


def network_of_address(address: str) -> str:
    """Return what one person has of addresses: one of IPv4, a network of 64 bits of IPv6 (RFC 4291, 2.5.4)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
