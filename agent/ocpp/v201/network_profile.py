"""SetNetworkProfile (OCPP 2.0.1 B09). A profile that asks for something that this station cannot do is rejected, not
half obeyed: a VPN, an interface or an APN that it has no bearer for. Without bearers in the station file the operating
system chooses the interface, whatever the profile says. The time-out of messages stays that of the station file."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from agent.domain.backend_connection import ANY_BEARER, BearerDemand
from agent.domain.requests import SetNetworkProfileRequest
from agent.domain.variables import DATA_LINK, data_link_part
from agent.model.key_rules import HostLabels
from agent.ocpp.dialects.common_rows import REJECTED, answer_one_of
from agent.ocpp.dialects.dialect import LocalAnswer, Payload, RequestRow, RowContext
from agent.ocpp.wire.text import is_plain

OURS = "OCPP20"
"""OCPPVersionEnumType: the word for 2.0.1."""
APN = re.compile(r"[A-Za-z0-9.-]{1,100}")
USERNAME = re.compile(r'[^\s"\\]{0,64}')
PASSWORD = re.compile(r"[ !#-\[\]-~]{0,64}")
"""Printable, and not to be confused with the quotes that pppd knows."""
NETWORK = re.compile(r"([0-9]{5,6})?")
"""Country and network code."""
PIN_LEAST, PIN_MOST = 4, 8


def _decode_set_network_profile(payload: Payload, ctx: RowContext) -> SetNetworkProfileRequest | LocalAnswer:
    data = payload["connectionData"]
    if data["ocppTransport"] != "JSON" or data["ocppVersion"] != OURS or "vpn" in data:
        return REJECTED
    profile = int(data["securityProfile"])
    bearer = _demanded_bearer(data, ctx)
    if bearer is None or not 0 <= profile <= 3 or not is_acceptable_url(data["ocppCsmsUrl"], profile):
        return REJECTED
    return SetNetworkProfileRequest(int(payload["configurationSlot"]), data["ocppCsmsUrl"], profile, bearer)


def _demanded_bearer(data: Payload, ctx: RowContext) -> BearerDemand | None:
    """Return what the profile says of the bearer; None: this station cannot do it."""
    fitted, interface, apn = ctx.settings.fitted, str(data["ocppInterface"]), data.get("apn")
    if not any(part.startswith(DATA_LINK) for part in fitted):
        return ANY_BEARER if apn is None else None
    if data_link_part(interface) not in fitted:
        return None
    if apn is None:
        return BearerDemand(interface)
    if data_link_part(interface, has_sim=True) not in fitted or not _is_usable_apn(apn):
        return None
    return BearerDemand(interface, _read_apn_access(apn))


def _is_usable_apn(apn: Payload) -> bool:
    texts = ((APN, "apn"), (USERNAME, "apnUserName"), (PASSWORD, "apnPassword"), (NETWORK, "preferredNetwork"))
    has_user = bool(apn.get("apnUserName")) or apn["apnAuthentication"] in ("NONE", "AUTO")
    has_network = bool(apn.get("preferredNetwork")) or not apn.get("useOnlyPreferredNetwork")
    is_pin = "simPin" not in apn or (apn["simPin"] >= 0 and len(_padded_pin_text(apn)) <= PIN_MOST)
    return all(form.fullmatch(str(apn.get(name, ""))) for form, name in texts) and has_user and has_network and is_pin


def _padded_pin_text(apn: Payload) -> str:
    """Return the PIN. It is a number in OCPP, which loses the zeros in front."""
    return str(apn["simPin"]).zfill(PIN_LEAST) if "simPin" in apn else ""


def _read_apn_access(apn: Payload) -> Any:
    from agent.model.bearer import ApnAccess
    from agent.model.pin_mark import make_pin_mark

    user, kind = str(apn.get("apnUserName", "")), str(apn["apnAuthentication"]).lower()
    pin = _padded_pin_text(apn)
    return ApnAccess(
        str(apn["apn"]),
        user,
        str(apn.get("apnPassword", "")),
        "none" if kind == "auto" and not user else kind,
        pin,
        make_pin_mark(pin),
        str(apn.get("preferredNetwork", "")),
        bool(apn.get("useOnlyPreferredNetwork", False)),
    )


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
    is_host = bool(host) and not HostLabels().value_problem(host)
    return plain and is_host and "@" not in parts.netloc and not parts.fragment and parts.scheme in schemes


ROWS = (RequestRow("SetNetworkProfile", _decode_set_network_profile, answer_one_of("Accepted")),)
