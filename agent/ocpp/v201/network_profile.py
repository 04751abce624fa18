"""SetNetworkProfile (OCPP 2.0.1 B09). The operating system chooses the interface and owns VPN
and APN: a profile that asks for one is rejected, not half obeyed. The time-out of messages stays
that of the station file."""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.domain.requests import SetNetworkProfileRequest
from agent.ocpp.dialects.common_rows import REJECTED, answer_one_of
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, RequestRow, RowContext
from agent.ocpp.wire.text import is_plain

OURS = "OCPP20"
"""OCPPVersionEnumType: the word for 2.0.1."""


def _decode_set_network_profile(payload: Payload, ctx: RowContext) -> SetNetworkProfileRequest | LocalAnswer:
    data = payload["connectionData"]
    if data["ocppTransport"] != "JSON" or data["ocppVersion"] != OURS or "vpn" in data or "apn" in data:
        return REJECTED
    profile = int(data["securityProfile"])
    if not 0 <= profile <= 3 or not is_acceptable_url(data["ocppCsmsUrl"], profile):
        return REJECTED
    return SetNetworkProfileRequest(int(payload["configurationSlot"]), data["ocppCsmsUrl"], profile)


def is_acceptable_url(url: str, profile: int) -> bool:
    """Return whether a WebSocket can be opened to the address, with TLS where the security
    profile demands it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    schemes = ("wss",) if profile >= 2 else ("ws", "wss")
    plain = is_plain(url) and not any(c.isspace() for c in url)
    return plain and bool(host) and "@" not in parts.netloc and not parts.fragment and parts.scheme in schemes


ROWS = (RequestRow("SetNetworkProfile", _decode_set_network_profile, answer_one_of("Accepted")),)
