"""``kit inspect``: what a kit says, in words for the technician who will apply it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.commands.kit.kit_file import Kit, leaf_paths
from agent.commands.kit.station_changes import path_text, value_text
from agent.model.secret_file import is_credential_to_come

PROFILES = {
    0: "no security profile: neither password nor TLS, for a closed network only",
    1: "security profile 1: a password, no TLS",
    2: "security profile 2: TLS, and a password",
    3: "security profile 3: TLS, and a certificate of the station",
}


def explanation_lines(kit: Kit) -> Iterator[str]:
    station, backend = kit.station, kit.backend
    kind = f" of type {kit.header.station_type}" if kit.header.station_type else ""
    yield f"{kit.path}: good (version {kit.header.version})"
    yield ""
    yield f"Station {station.number}{kind}. Drivers reach the hotline at {station.hotline}."
    yield f"To the backend it is {backend.charge_point_id}, at {backend.url},"
    yield f"  OCPP {' or '.join(backend.versions)}{' (the first is preferred)' if len(backend.versions) > 1 else ''},"
    yield f"  {PROFILES[backend.security_profile]}."
    yield from _file_lines(kit)
    yield from _price_lines(kit)
    yield from _setting_lines(kit)
    yield from _sim_lines(kit)
    yield ""
    yield f"Stickers: brand {kit.sticker.brand}, QR code to {kit.sticker_url}."
    yield ""
    yield f"Next: chargy-agent kit diff {kit.path} STATION.toml"


def _file_lines(kit: Kit) -> Iterator[str]:
    """Yield the files that belong to the kit, never what is in them."""
    named = [("backend", key) for key in kit.raw["backend"]] + [("sim", key) for key in kit.raw.get("sim", {})]
    for table, key in named:
        file = getattr(getattr(kit, table), key, None)
        if not isinstance(file, Path):
            continue
        where = (
            "a file of the station, it is not copied" if Path(kit.raw[table][key]).is_absolute() else "file of the kit"
        )
        missing = "; systemd hands it to the service" if is_credential_to_come(file) else ""
        yield f"  {table}.{key}: {kit.raw[table][key]} ({where}{missing})"


def _price_lines(kit: Kit) -> Iterator[str]:
    if not (kit.station.price_line or kit.station.qr_url or {"tariff", "web_payment"} & set(kit.raw) or kit.evses):
        return
    yield ""
    yield "Price and QR code:"
    given = {key: kit.raw["station"][key] for key in ("price_line", "qr_url") if key in kit.raw["station"]}
    shown = {name: kit.raw[name] for name in ("tariff", "web_payment") if name in kit.raw}
    for path, value in leaf_paths({**({"station": given} if given else {}), **shown}):
        yield f"  {path_text(path)} = {value_text(path, value)}"
    for table in kit.raw.get("evse", []):
        for key in (k for k in table if k != "number"):
            yield f"  evse[{table['number']}].{key} = {value_text((key,), table[key])}"


def _setting_lines(kit: Kit) -> Iterator[str]:
    settings = [(p, v) for p, v in leaf_paths(kit.raw.get("settings", {}), ("settings",)) if len(p) > 1]
    if not settings:
        return
    yield ""
    yield "Required settings (first values: what the backend has set on a station before wins over them):"
    for path, value in settings:
        yield f"  {path_text(path)} = {value_text(path, value)}"


def _sim_lines(kit: Kit) -> Iterator[str]:
    sim = kit.sim
    if sim is None:
        return
    yield ""
    user = f", user {sim.user}" if sim.user else ""
    yield f"SIM: APN {sim.apn}{user}, ICCID {sim.iccid or 'not given: any SIM is taken'}."
    if sim.iccid and not has_check_digit(sim.iccid):
        yield "  The check digit of the ICCID does not fit (ITU-T E.118): compare it with the number on the SIM."
    yield (
        "  `kit apply` writes these values into the [[bearer]] table of kind gprs. A station file without such a table"
        " stays without them."
    )


def has_check_digit(iccid: str) -> bool:
    """Return whether the last digit is the check digit of the others (Luhn). An ICCID of 18 digits has none."""
    if len(iccid) == 18:
        return True
    digits = [int(d) for d in reversed(iccid)]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[1::2]]
    return (sum(digits[0::2]) + sum(doubled)) % 10 == 0
