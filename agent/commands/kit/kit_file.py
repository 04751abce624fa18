"""The integration kit: what the operator of the network fixes for one station, as one TOML file.

Its tables have the names and the keys of the station file wherever a value goes there, so that both files are judged by
the same rules. ``[kit]``, ``[sim]`` and ``[sticker]`` exist in a kit only. What a key means: docs/kit.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from agent.model import secret_file
from agent.model.fastclass import field_specs, frozen
from agent.model.key_rules import Between, OneLine, OneOf, Text
from agent.station_file.parser import build_table, did_you_mean_key
from agent.station_file.settings import SettingsError, parse_station_file, read_station_file
from agent.station_file.tables import (
    MOST_EVSES,
    CpoName,
    Identity,
    OcppVersions,
    QuirksName,
    SecurityProfile,
    Url,
    WebPayment,
)

KIT_VERSION = 1
BRANDS = ("chargy", "superchargy")
SECRET_NAME = re.compile(
    r"passw(or)?d|secret|passphrase|credential|(authorization|api|shared|private|access|encryption)_?key|psk$"
    r"|(^|[_.])(pin|puk|salt|token)$",
    re.IGNORECASE,
)
"""Keys whose value is not printed; ``password_file`` names a file, which may be shown."""


@frozen
class KitHeader:
    version: Annotated[int, Between(1, KIT_VERSION)]
    station_type: Annotated[str, Text(60)] = ""


@frozen
class KitStation:
    number: Annotated[str, Text(20, 1)]
    hotline: Annotated[str, Text(40, 1)]
    price_line: OneLine = ""
    qr_url: Url = ""


@frozen
class KitBackend:
    charge_point_id: Identity
    url: Annotated[str, Text(500, 1, form=r"\S*", like="an address without blanks")]
    versions: OcppVersions
    security_profile: SecurityProfile = 0
    password_file: Path | None = None
    secure_url: Url = ""
    ca: Path | None = None
    crl: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    manufacturer_ca: Path | None = None
    cpo_name: CpoName = "Chargy"
    quirks: QuirksName = ""


@frozen
class KitEvse:
    number: Annotated[int, Between(1, MOST_EVSES)]
    qr_url: Url = ""
    roaming_id: Annotated[str, Text(64)] = ""


@frozen
class SimCard:
    """The SIM of the station and its access to the network (private APN)."""

    apn: Annotated[str, Text(100, 1, r"[A-Za-z0-9.-]*", "letters, digits, . and - (3GPP TS 23.003)")]
    iccid: Annotated[str, Text(20, form=r"([0-9]{18,20})?", like="the 18 to 20 digits on the SIM")] = ""
    auth: Annotated[str, OneOf(("none", "pap", "chap"))] = "none"
    user: OneLine = ""
    password_file: Path | None = None
    pin_file: Path | None = None


@frozen
class Sticker:
    brand: Annotated[str, OneOf(BRANDS)] = "chargy"
    qr_url: Url = ""
    logo: Path | None = None


@frozen
class Kit:
    """One whole kit. ``raw``: its tables as they are written."""

    path: Path
    header: KitHeader
    station: KitStation
    backend: KitBackend
    evses: tuple[KitEvse, ...]
    sim: SimCard | None
    sticker: Sticker
    raw: Mapping[str, Any]

    @property
    def sticker_url(self) -> str:
        """Return what the QR code of a sticker leads to; without an address it dials the hotline."""
        return self.sticker.qr_url or self.station.qr_url or "tel:" + re.sub(r"[^+0-9]", "", self.station.hotline)


KIT_TABLES: dict[str, type[Any]] = {
    "kit": KitHeader, "station": KitStation, "backend": KitBackend, "web_payment": WebPayment, "evse": KitEvse,
    "sim": SimCard, "sticker": Sticker,
}  # fmt: skip
"""The tables whose keys are known here; the keys of the free ones are judged as those of a station file."""
FREE_TABLES = ("tariff", "settings")
REQUIRED_TABLES = ("kit", "station", "backend")
SECRET_FILES = (("backend", "password_file"), ("backend", "client_key"), ("sim", "password_file"), ("sim", "pin_file"))


def load_kit(path: Path) -> Kit:
    """Read and judge a kit. Raises ``SettingsError`` with every problem found."""
    raw = read_station_file(path)
    wrong: list[str] = []
    kit = _parse_tables(raw, path, wrong)
    if not wrong:
        wrong += _file_problems(kit)
        wrong += _station_problems(kit)
    if wrong:
        raise SettingsError([w if w.startswith(f"{path}: ") else f"{path}: {w}" for w in wrong])
    return kit


def is_secret_name(name: str) -> bool:
    return not name.endswith("_file") and SECRET_NAME.search(name) is not None


def leaf_paths(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield path and value of each key below ``value``. A list of plain values is one value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaf_paths(inner, (*above, key))
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        for index, entry in enumerate(value):
            yield from leaf_paths(entry, (*above, index))
    else:
        yield above, value


def _parse_tables(raw: Mapping[str, Any], path: Path, wrong: list[str]) -> Kit:
    header = raw.get("kit")
    version = header.get("version") if isinstance(header, Mapping) else None
    if type(version) is int and version > KIT_VERSION:
        raise SettingsError(
            [f"{path}: kit.version: is {version}; this program reads version {KIT_VERSION}: update chargy-agent"]
        )
    base = path.resolve().parent
    known = (*KIT_TABLES, *FREE_TABLES)
    wrong += [f"[{key}]: unknown table{did_you_mean_key(key, known)}" for key in raw if key not in known]
    wrong += [f"[{name}]: is missing; docs/kit.md shows a whole kit" for name in REQUIRED_TABLES if name not in raw]
    wrong += [f"[{name}]: must be a table" for name in FREE_TABLES if not isinstance(raw.get(name, {}), Mapping)]
    evses = raw.get("evse", [])
    if not isinstance(evses, list):
        wrong.append("evse: must be written as [[evse]]")
        evses = []
    if "web_payment" in raw:
        build_table(WebPayment, raw["web_payment"], "web_payment", wrong, base)
    absent = [w for w in wrong if w.endswith("a whole kit")]
    kit = Kit(
        path,
        build_table(KitHeader, raw.get("kit", {}), "kit", wrong, base),
        build_table(KitStation, raw.get("station", {}), "station", wrong, base),
        build_table(KitBackend, raw.get("backend", {}), "backend", wrong, base),
        tuple(build_table(KitEvse, t, f"evse[{_outlet_number(t, i)}]", wrong, base) for i, t in enumerate(evses, 1)),
        build_table(SimCard, raw["sim"], "sim", wrong, base) if "sim" in raw else None,
        build_table(Sticker, raw.get("sticker", {}), "sticker", wrong, base),
        raw,
    )
    missing = {f"{w.split(']')[0][1:]}." for w in absent}  # a table that is missing is one mistake, not one per key
    wrong[:] = [w for w in wrong if not (w.endswith(": is missing") and f"{w.split('.')[0]}." in missing)]
    wrong += list(_repeated_outlets(kit.evses))
    wrong += list(_inline_secrets(raw))
    return kit


def _outlet_number(table: Any, position: int) -> Any:
    return table.get("number", position) if isinstance(table, Mapping) else position


def _repeated_outlets(evses: Sequence[KitEvse]) -> Iterator[str]:
    numbers = [e.number for e in evses]
    yield from (f"evse[{n}]: outlet {n} is there twice" for n in sorted({n for n in numbers if numbers.count(n) > 1}))


def _inline_secrets(raw: Mapping[str, Any]) -> Iterator[str]:
    """Complain about secrets in the free tables. The value is not repeated."""
    for path, _ in leaf_paths({name: raw[name] for name in FREE_TABLES if isinstance(raw.get(name), Mapping)}):
        if is_secret_name(str(path[-1])):
            yield (
                f"{'.'.join(map(str, path))}: is a secret, which a kit keeps in a file of its own: use "
                "backend.password_file"
            )


def _file_problems(kit: Kit) -> Iterator[str]:
    """Complain about files that are not there, and about secrets that others can read."""
    outside = list(_files_outside(kit))
    yield from outside
    if outside:
        return
    for table, key, file in own_files(kit):
        if (table, key) in SECRET_FILES:
            if said := secret_file.secret_text_problem(file):
                yield f"{table}.{key}: {said}"
        elif not file.is_file():
            yield f"{table}.{key}: {file}: there is no such file; a relative path begins at the kit"
    if kit.sim is not None and kit.sim.user and kit.sim.auth == "none":
        yield 'sim.user: has no use without auth: write how the access point asks, auth = "pap" or "chap"'
    if kit.sim is not None and kit.sim.pin_file is not None and kit.sim.pin_file.exists():
        try:
            pin = secret_file.read_secret_text(kit.sim.pin_file)
        except secret_file.Unfit:
            return
        if re.fullmatch("[0-9]{4,8}", pin) is None:
            yield "sim.pin_file: the PIN of a SIM has 4 to 8 digits; the file holds something else"


def own_files(kit: Kit) -> Iterator[tuple[str, str, Path]]:
    """Yield table, key and path of each file that the kit brings. An absolute path is one of the station, which is
    judged there."""
    for table in ("backend", "sim", "sticker"):
        for key, written in kit.raw.get(table, {}).items():
            file = getattr(getattr(kit, table), key)
            if isinstance(file, Path) and not Path(written).is_absolute():
                yield table, key, file


def _files_outside(kit: Kit) -> Iterator[str]:
    """Complain about files that are not in the folder of the kit, by their path or by a link: ``apply`` often runs as
    root, and would copy any file of the station."""
    base = kit.path.resolve().parent
    for table, key, file in own_files(kit):
        if not file.resolve().is_relative_to(base):
            yield f"{table}.{key}: leads out of the folder of the kit: put the file into it"


def _has_certificates(kit: Kit) -> bool:
    """Return whether each certificate file is there. One with an absolute path may be on the station only."""
    files = [getattr(kit.backend, key) for key in field_specs(KitBackend) if key != "password_file"]
    return all(file.exists() for file in files if isinstance(file, Path))


def _station_problems(kit: Kit) -> list[str]:
    """Return what the station file's own rules find in the tables that go there."""
    from agent.assembly.domain_setup import initial_offers, initial_settings, unusable_certificates

    tables = {name: kit.raw[name] for name in ("backend", "web_payment", *FREE_TABLES) if name in kit.raw}
    outlets = [{"number": n} for n in range(1, max((e.number for e in kit.evses), default=1) + 1)]
    station = {"id": kit.backend.charge_point_id, "serial": "kit", **kit.raw["station"]}
    try:
        file = parse_station_file({**tables, "station": station, "evse": outlets}, kit.path)
    except SettingsError as e:
        return e.problems
    wrong = unusable_certificates(file) if _has_certificates(kit) else []
    for judge in (initial_settings, initial_offers):
        try:
            judge(file)
        except SettingsError as e:
            wrong += [said for said in e.problems if not _depends_on_devices(said)]
    return wrong


def _depends_on_devices(complaint: str) -> bool:
    """Return whether the complaint is about a device that the station may have: the kit names none."""
    return "without a display" in complaint
