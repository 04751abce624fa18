"""Payment at a web page that a QR code on the display leads to (OCPP 2.1 C25, WebPaymentsCtrlr; on 1.6 by the published
back-port): one-time tokens, addresses, and what is wrong with either. Pure.

A token is not that of RFC 6238: HMAC-SHA256 of the number of the time slot, its bytes turned into 62 letters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field
from urllib.parse import quote, urlsplit

from agent.model.fastclass import frozen
from agent.model.types import TransactionLimit

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
VERSION = "v1"
NAMES = frozenset({"chargingstationid", "roamingcsid", "evse", "evseid", "roamingevseid", "totp", "version"})
"""Compared without case; ``evseid`` is what the back-port's sample calls ``evse``."""
MAX_TIME, MAX_ENERGY, MAX_COST = "maxtime", "maxenergy", "maxcost"
"""Query parameters of an address (C25.FR.56 to C25.FR.58): seconds, Wh, the currency's unit."""
_KEPT = "*-._~"
HTTP = "http://"


def totp_time_slot(utc_s: float, validity_s: int) -> int:
    return int(utc_s // validity_s)


def one_time_token(secret: str, number: int, length: int) -> str:
    """The one-time token of slot ``number`` (unsigned 64 bit). Repeats after 32 letters."""
    import hashlib
    import hmac

    digest = hmac.digest(secret.encode(), (number % 2**64).to_bytes(8, "big"), hashlib.sha256)
    offset = digest[-1] & 0x0F
    return "".join(ALPHABET[digest[(offset + i) % len(digest)] % len(ALPHABET)] for i in range(length))


def template_names(template: str) -> list[str]:
    """Lower-cased names in braces. Raises ``ValueError`` for braces that do not match."""
    names, rest = [], template
    while rest:
        before, brace, rest = rest.partition("{")
        if "}" in before or (brace and "}" not in rest):
            raise ValueError("a brace without its partner")
        if brace:
            name, _, rest = rest.partition("}")
            if not name or "{" in name:
                raise ValueError("braces in braces, or nothing in them")
            names.append(name.lower())
    return names


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """``values`` by lower-cased name, percent-encoded where they are put in."""
    out, rest = "", template
    while rest:
        before, brace, rest = rest.partition("{")
        out += before
        if brace:
            name, _, rest = rest.partition("}")
            out += quote(values[name.lower()], safe=_KEPT)
    return out


def add_limit_parameters(url: str, limit: TransactionLimit) -> str:
    """Return the address with what the driver has chosen as query parameters, before a fragment if there is one."""
    cents = limit.cost_cents
    chosen = (
        (MAX_TIME, limit.time_s),
        (MAX_ENERGY, limit.energy_wh),
        (MAX_COST, None if cents is None else f"{cents / 100:.2f}".removesuffix(".00")),
    )
    query = "&".join(f"{name}={value}" for name, value in chosen if value is not None)
    if not query:
        return url
    address, hash_sign, fragment = url.partition("#")
    joint = "?" if "?" not in address else "" if address.endswith(("?", "&")) else "&"
    return f"{address}{joint}{query}{hash_sign}{fragment}"


def template_problem(template: str, hosts: Collection[str]) -> str:
    """Why this is no template of an address with a one-time token, "" if it is one."""
    try:
        names = template_names(template)
    except ValueError as e:
        return str(e)
    if unknown := sorted(set(names) - NAMES):
        return f"{{{unknown[0]}}} means nothing here; known: {', '.join(sorted(NAMES))}"
    if "totp" not in names or "version" not in names:
        return "must contain {totp} and {version}"
    if not {"chargingstationid", "roamingevseid"} & set(names):
        return "must contain {chargingstationid} or {roamingevseid}"
    return address_problem(fill_template(template, dict.fromkeys(NAMES, "x")), hosts)


def address_problem(url: str, hosts: Collection[str]) -> str:
    """Return why people may not be led there; "" if they may. ``hosts``: those that are allowed;
    none given: any. Plain http only on this very machine, or to a host that is given as
    ``http://HOST`` (a demonstration on a local network)."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as e:
        return f"is no address: {e}"
    hosts = [h.lower() for h in hosts]  # as ``hostname`` is
    local = host in ("127.0.0.1", "localhost", "::1") or HTTP + host in hosts
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        return "must begin with https://"
    if not _is_plain_host(host) or "@" in parts.netloc or not url.isprintable() or " " in url or "\\" in url:
        return "is no address that people can be led to"
    names = [h.removeprefix(HTTP) for h in hosts]
    if names and not any(host == h or host.endswith("." + h) for h in names):
        return f"leads to {host}, which is not among the allowed hosts"
    return ""


def receipt_address(template: str, reference: str, payment: str, session: str) -> str:
    """Where the receipt of a bank card's session is."""
    for name, value in (("{reference}", reference), ("{payment}", payment), ("{session}", session)):
        template = template.replace(name, value)
    return template


def receipt_problem(template: str, hosts: Collection[str]) -> str:
    """Why receipts may not be there, "" if they may."""
    return address_problem(receipt_address(template, "x", "x", "x"), hosts)


def _is_plain_host(host: str) -> bool:
    """Letters, digits, hyphens: whatever else there is, a browser may see another host than we do."""
    return bool(host) and all(c.isascii() and (c.isalnum() or c in "-.:") for c in host)


@frozen
class WebPaymentConfig:
    """How payment by QR code is offered, from the station file (``[web_payment]``). ``shared``: one set of settings for
    the whole station instead of one per EVSE. ``plugged``: shown only once a vehicle is there. ``ids``: EVSE number to
    what roaming calls it."""

    station: str = ""
    dynamic: bool = False
    shared: bool = False
    plugged: bool = False
    hosts: tuple[str, ...] = ()
    station_roaming_id: str = ""
    ids: Mapping[int, str] = field(default_factory=dict)
    fixed: Mapping[int, str] = field(default_factory=dict)
    """Addresses of outlets that no key of a backend names (there are four)."""
    limit_choices: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """What a driver may choose as the most, by the parameter of the address: Wh, seconds, cents."""
