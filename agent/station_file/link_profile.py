"""What ``[link] profile`` sets: how often the station reports, and how a connection is made (decision 45).

A setting of the station file, and one that a backend has set, wins over the profile.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.fastclass import frozen
from agent.station_file.tables import StationFile


@frozen
class LinkProfile:
    """``settings``: first values of run-time settings, by name. The other fields: ``WireOptions`` and ``Timeouts`` of
    the transport."""

    name: str
    settings: Mapping[str, int]
    compress: bool
    one_key_share: bool
    keepalive_idle_s: int
    saves_pings: bool
    user_timeout_s: int
    pong_s: float


PROFILES = {
    profile.name: profile
    for profile in (
        LinkProfile(
            "gprs",
            {"ping_interval_s": 240, "heartbeat_interval_s": 900, "sample_interval_s": 900},
            compress=True,
            one_key_share=True,
            keepalive_idle_s=300,  # after the ping: a probe each minute would cost more than all else of an idle day
            saves_pings=True,
            user_timeout_s=120,
            pong_s=45.0,
        ),
        LinkProfile(
            "lan",
            {"ping_interval_s": 45, "heartbeat_interval_s": 300, "sample_interval_s": 60},
            compress=False,
            one_key_share=False,
            keepalive_idle_s=60,
            saves_pings=False,
            user_timeout_s=60,
            pong_s=20.0,
        ),
    )
}


def find_link_profile(file: StationFile) -> LinkProfile | None:
    """Return the profile of the file; without one that of GPRS if a bearer of this kind is in it. None: the defaults
    of the program."""
    has_modem = any(keys.kind == "gprs" for keys in file.bearers.values())
    return PROFILES.get(file.link.profile or ("gprs" if has_modem else ""))
