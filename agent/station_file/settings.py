"""The station file: TOML to frozen dataclasses. An unknown key is an error; every error names the path and helps.

Keys and meaning: docs/station-file.md (the file as suites use it is a public contract).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from agent.model.device_role import EVSE_TABLE, STATION_TABLE, DeviceRole
from agent.model.fastclass import field_specs, replace
from agent.model.key_rules import HostLabels
from agent.model.types import MeterPolicy
from agent.station_file.device_roles import ROLES, find_roles, roles_in
from agent.station_file.device_roles import DeviceTables as DeviceTables
from agent.station_file.parser import Device as Device
from agent.station_file.parser import SettingsError as SettingsError
from agent.station_file.parser import build_table as build_table
from agent.station_file.parser import device_of, did_you_mean_key
from agent.station_file.parser import did_you_mean as did_you_mean
from agent.station_file.tables import BEARER_KINDS, MOST_PILOT_A, SERIAL_MAX
from agent.station_file.tables import NOMINAL_V as NOMINAL_V
from agent.station_file.tables import Backend as Backend
from agent.station_file.tables import BearerKeys as BearerKeys
from agent.station_file.tables import EnergyManagerKeys as EnergyManagerKeys
from agent.station_file.tables import Evse as Evse
from agent.station_file.tables import FieldPageKeys as FieldPageKeys
from agent.station_file.tables import LinkKeys as LinkKeys
from agent.station_file.tables import MasterTable as MasterTable
from agent.station_file.tables import MetricsKeys as MetricsKeys
from agent.station_file.tables import PowerTimes as PowerTimes
from agent.station_file.tables import SatelliteTable as SatelliteTable
from agent.station_file.tables import SimulatedEvse as SimulatedEvse
from agent.station_file.tables import Simulation as Simulation
from agent.station_file.tables import SinkTable as SinkTable
from agent.station_file.tables import Station as Station
from agent.station_file.tables import StationFile as StationFile
from agent.station_file.tables import WebPayment as WebPayment

TABLES = (
    "station", "backend", "backends", "link", "metrics", "field_page", "sinks", "web_payment", "settings", "evse",
    "simulation", "tariff", "payment",
)  # fmt: skip
"""The tables that are no devices; those of devices are in ``device_roles.py``."""
T = TypeVar("T")
OUTSIDE_SCHEME = "x-"
"""What the scheme of an address begins with whose transport another distribution brings."""


def load_station_file(path: Path) -> StationFile:
    """Read and judge a station file. Raises ``SettingsError`` with every problem found, not only the first."""
    return parse_station_file(read_station_file(path), path)


def read_station_file(path: Path) -> dict[str, Any]:
    """Read the tables of a station file without judging them. Raises ``SettingsError``."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise SettingsError([f"{path}: cannot be read: {e.strerror or e}"]) from e
    except ValueError as e:  # no TOML, no UTF-8, or a number of thousands of digits
        raise SettingsError([f"{path}: is not valid TOML: {e}"]) from e
    except RecursionError as e:
        raise SettingsError([f"{path}: is not valid TOML for this program: tables are nested too deep"]) from e


def parse_station_file(raw: Mapping[str, Any], path: Path) -> StationFile:
    """Judge an already read file; relative paths in it are relative to ``path``'s folder."""
    wrong: list[str] = []
    base = path.resolve().parent
    evse_tables = _parse_tables(raw, "evse", wrong)
    roles = find_roles(_unknown_names(raw, evse_tables), wrong)
    known = (*TABLES, *roles_in(STATION_TABLE, roles))
    wrong += [f"[{key}]: unknown table{did_you_mean_key(key, known)}" for key in raw if key not in known]
    station = build_table(Station, raw.get("station", {}), "station", wrong, base)
    backends = tuple(_parse_backend(b, where, station, wrong, base) for where, b in _backend_tables(raw, wrong))
    if not station.serial and len(station.id) > SERIAL_MAX:
        wrong.append(
            f"station.serial: is missing: the id, which stands in for it, has more than {SERIAL_MAX} characters"
        )
    names = [b.name for b in backends]
    wrong += _soap_port_problems(backends)
    wrong += [f"backends: the name {n!r} is used twice" for n in sorted({n for n in names if names.count(n) > 1})]
    evses = tuple(_parse_evse(e, i, roles_in(EVSE_TABLE, roles), wrong, base) for i, e in enumerate(evse_tables, 1))
    wrong += [w for e in evses for w in _feed_problems(e) if not _is_reported(wrong, w.partition(": ")[0])]
    if not evses:
        wrong.append("[[evse]]: at least one EVSE is needed, for example: [[evse]] number = 1")
    if sorted(e.number for e in evses) != list(range(1, len(evses) + 1)):
        wrong.append(f"evse: the numbers must count 1 to {len(evses)}, are {[e.number for e in evses]}")
    devices = _parse_devices(raw, roles_in(STATION_TABLE, roles), "", wrong)
    settings = raw.get("settings", {})
    if not isinstance(settings, dict):
        wrong.append("[settings]: must be a table")
        settings = {}
    file = StationFile(
        path=path,
        station=station,
        backends=backends,
        evses=tuple(sorted(evses, key=lambda e: e.number)),
        settings=settings,
        devices=devices,
        roles=roles,
        power_times=_parse_power_times(raw.get("power"), wrong),
        energy_manager=_parse_energy_manager(devices, wrong),
        bearers=_parse_bearers(devices, wrong),
        link=_parse_link(raw["link"], wrong) if "link" in raw else LinkKeys(),
        metrics=build_table(MetricsKeys, raw["metrics"], "metrics", wrong) if "metrics" in raw else MetricsKeys(),
        field_page=build_table(FieldPageKeys, raw.get("field_page", {}), "field_page", wrong, base),
        sinks=_parse_sinks(raw, wrong, base),
        web_payment=build_table(WebPayment, raw.get("web_payment", {}), "web_payment", wrong, base),
        meter_policies={e.number: p for e in evses if (p := _meter_policy(e, devices.get("meter"), raw, wrong))},
        tariff=raw.get("tariff"),
        payment=_payment_without_roles(raw.get("payment")),
        payment_master=_parse_payment_role(raw, "master", MasterTable, wrong, base),
        payment_satellite=_parse_payment_role(raw, "satellite", SatelliteTable, wrong, base),
        simulation=build_table(Simulation, raw.get("simulation", {}), "simulation", wrong, base),
    )
    if wrong:
        raise SettingsError([f"{path}: {w}" for w in wrong], file)
    return file


def _unknown_names(raw: Mapping[str, Any], evse_tables: Sequence[Any]) -> Iterator[str]:
    """Yield the keys that are none of this program's, unless they are device roles."""
    yield from (key for key in raw if key not in TABLES)
    known = field_specs(Evse)
    yield from (key for table in evse_tables if isinstance(table, Mapping) for key in table if key not in known)


def _parse_evse(raw: Any, position: int, roles: Mapping[str, DeviceRole], wrong: list[str], base: Path) -> Evse:
    where = f"evse[{_evse_number(raw, position)}]"
    devices = _parse_devices(raw, roles, f"{where}.", wrong) if isinstance(raw, Mapping) else DeviceTables()
    return build_table(Evse, raw, where, wrong, base, {"number": position, "devices": devices}, others=roles)


def _parse_devices(
    raw: Mapping[str, Any], roles: Mapping[str, DeviceRole], where: str, wrong: list[str]
) -> DeviceTables:
    """Return the devices of a table, each with all keys of its own table."""
    found = DeviceTables()
    for name, role in roles.items():
        if name not in raw:
            continue
        items = raw[name] if role.is_list and isinstance(raw[name], list | tuple) else [raw[name]]
        for i, table in enumerate(items):
            place = f"{name}[{i}]" if role.is_list else name
            device = device_of(table, where + place, wrong)
            if device is not None:
                found[place] = device
    return found


def _parse_power_times(raw: Any, wrong: list[str]) -> PowerTimes | None:
    """Parse the agent's own keys of ``[power]``."""
    if not isinstance(raw, Mapping):
        return None
    return build_table(PowerTimes, {k: v for k, v in raw.items() if k in ROLES["power"].own_keys}, "power", wrong)


def _parse_energy_manager(devices: DeviceTables, wrong: list[str]) -> EnergyManagerKeys | None:
    """Parse the agent's own keys of ``[energy_manager]``."""
    role = ROLES["energy_manager"]
    device = devices.get(role.name)
    if device is None:
        return None
    own = {key: device.options[key] for key in role.own_keys if key in device.options}
    keys = build_table(EnergyManagerKeys, own, role.name, wrong)
    if keys.on_silence == "fall_back" and "fallback" not in own:
        wrong.append(
            f"{role.name}.fallback: is missing: the limit in {keys.rate_unit} that holds while the energy manager is"
            ' silent (on_silence = "fall_back")'
        )
    if keys.on_silence == "release" and "fallback" in own:
        wrong.append(
            f'{role.name}.fallback: has no effect with on_silence = "{keys.on_silence}": set on_silence = "fall_back",'
            " or leave it out"
        )
    return keys


def _parse_bearers(devices: DeviceTables, wrong: list[str]) -> dict[str, BearerKeys]:
    """Parse the agent's own keys of each ``[[bearer]]``. The order of the tables must be that of the cost."""
    found: dict[str, BearerKeys] = {}
    dearest = 0
    for place, device in devices.of_role("bearer").items():
        own = {key: device.options[key] for key in ROLES["bearer"].own_keys if key in device.options}
        before = len(wrong)
        found[place] = build_table(BearerKeys, own, place, wrong)
        if any(w.startswith(f"{place}.kind") for w in wrong[before:]):
            continue
        wrong += _via_problems(found[place].via, place)
        rank = BEARER_KINDS.index(found[place].kind)
        if rank < dearest:
            wrong.append(
                f"{place}.kind: {BEARER_KINDS[rank]!r} costs less than {BEARER_KINDS[dearest]!r}: put its table before"
                " that one"
            )
        dearest = max(dearest, rank)
    wrong += _shared_pins(devices, found)
    wrong += _shared_modems(devices, found)
    return found


_OF_SIM = ("pin", "apn", "initial_apn", "username", "password", "auth", "operator")
"""Keys of a modem's table that do not tell it from another modem."""


def _shared_modems(devices: DeviceTables, bearers: Mapping[str, BearerKeys]) -> Iterator[str]:
    """Yield the tables that name the same modem as one before: its SIM would get the PINs of both."""
    by_modem: dict[tuple[str, str], str] = {}
    for place, keys in bearers.items():
        table = devices[place].without_keys(*ROLES["bearer"].own_keys)
        if keys.kind != "gprs" or not table.options:  # without any key it has no PIN; a simulation gives it a modem
            continue
        device = table.without_keys(*_OF_SIM)
        first = by_modem.setdefault((device.driver, repr(sorted(device.options.items()))), place)
        if first != place:
            yield f"{place}: {first} is the same modem: name each modem by a key of its own (device, modem)"


def _parse_link(raw: Any, wrong: list[str]) -> LinkKeys:
    link = build_table(LinkKeys, raw, "link", wrong)
    soft, hard = link.monthly_mb_soft, link.monthly_mb_hard
    if soft is not None and hard is not None and soft >= hard:
        wrong.append(f"link.monthly_mb_soft: must be less than monthly_mb_hard ({hard:g}), is {soft:g}")
    return link


def _via_problems(via: str, where: str) -> Iterator[str]:
    host, _, port = via.rpartition(":")
    if said := HostLabels().value_problem(host):
        yield f"{where}.via: {said}"
    elif via and not 1 <= int(port) <= 65535:
        yield f"{where}.via: must be host:port with a port from 1 to 65535, is {via!r}"


def _shared_pins(devices: DeviceTables, bearers: Mapping[str, BearerKeys]) -> Iterator[str]:
    """Yield the tables that may be the same SIM twice: a wrong PIN would cost it two of its three tries."""
    by_pin: dict[Any, str] = {}
    for place, keys in bearers.items():
        pin = devices[place].options.get("pin")
        if not isinstance(pin, str) or not pin:
            continue
        other = by_pin.setdefault(pin, place)
        if other != place and (not keys.iccid or not bearers[other].iccid or keys.iccid == bearers[other].iccid):
            yield (
                f"{place}.iccid: {other} has the same PIN: name the SIM of each by its iccid (a modem with several"
                " lines has one table: device and data_device)"
            )


def _parse_payment_role(raw: Mapping[str, Any], name: str, cls: type[T], wrong: list[str], base: Path) -> T | None:
    """Parse ``[payment.master]`` or ``[payment.satellite]``; None: there is no such table."""
    payment = raw.get("payment")
    if not isinstance(payment, Mapping) or name not in payment:
        return None
    return build_table(cls, payment[name], f"payment.{name}", wrong, base)


def _payment_without_roles(raw: Any) -> Any:
    """Return ``[payment]`` without the tables of a shared terminal; None: a satellite has nothing else there."""
    if not isinstance(raw, Mapping):
        return raw
    rest = {key: value for key, value in raw.items() if key not in ("master", "satellite")}
    return rest if rest or "satellite" not in raw else None


def _meter_policy(evse: Evse, shared: Device | None, raw: Mapping[str, Any], wrong: list[str]) -> MeterPolicy | None:
    own = "meter" in evse.devices
    device = evse.devices.get("meter", shared)
    if device is None:
        return None
    policy = meter_policy(device, f"evse[{evse.number}].meter" if own else "meter", evse.kind, wrong)
    return replace(policy, sells=evse.tariff is not None or raw.get("tariff") is not None)


def meter_policy(device: Device, where: str, kind: str, wrong: list[str]) -> MeterPolicy:
    """Return what a meter's table demands (docs/decisions/0018): class, and the evidence of it. ``serial`` is also the
    driver's."""
    own = [key for key in ROLES["meter"].own_keys if key in device.options]
    table = {("accuracy_class" if key == "class" else key): device.options[key] for key in own}
    serial = device.options.get("serial", "")
    found: list[str] = []
    policy = build_table(MeterPolicy, table, where, found, given={"serial": serial if isinstance(serial, str) else ""})
    wrong += [said.replace(".accuracy_class: ", ".class: ", 1) for said in found]  # "class" is no name for a field
    if policy.certificate and kind != "DC":
        wrong.append(f"{where}.certificate: stands for the MID marking of DC meters; an AC meter has mid_year")
    return policy


def _parse_tables(raw: Mapping[str, Any], name: str, wrong: list[str]) -> list[Any]:
    value = raw.get(name, [])
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return value
    wrong.append(f"[[{name}]]: must be a table")
    return []


def _parse_sinks(raw: Mapping[str, Any], wrong: list[str], base: Path) -> tuple[SinkTable, ...]:
    tables = tuple(
        build_table(SinkTable, t, f"sinks[{i}]", wrong, base)
        for i, t in enumerate(_parse_tables(raw, "sinks", wrong), 1)
    )
    names = [t.name for t in tables]
    wrong += [f"sinks: the name {n!r} is used twice" for n in sorted({n for n in names if names.count(n) > 1})]
    for i, t in enumerate(tables, 1):
        if t.kind == "file" and t.path is None:
            wrong.append(f'sinks[{i}].path: is missing, for example path = "alerts.jsonl"')
        if t.kind == "mqtt" and not t.host and not _is_reported(wrong, f"sinks[{i}].host"):
            wrong.append(f"sinks[{i}].host: is missing: the MQTT broker")
        if t.tariffs and t.kind != "mqtt":
            wrong.append(f"sinks[{i}].tariffs: tariff files come to an MQTT topic; this sink is a file")
    return tables


def _evse_number(table: Any, position: int) -> int:
    number = table.get("number") if isinstance(table, Mapping) else None
    return number if type(number) is int else position


def _feed_problems(evse: Evse) -> Iterator[str]:
    where = f"evse[{evse.number}]"
    if evse.phase_rotation and len(evse.phase_rotation) != evse.phases:
        yield (
            f"{where}.phase_rotation: must name {evse.phases} of R, S, T (the feed's phases, in the"
            f" order of the outlet's), is {evse.phase_rotation!r}"
        )
    if evse.is_dc and evse.power_kw is None:
        yield f"{where}.power_kw: is missing: what this DC outlet can give at most, for example power_kw = 150"
    if not evse.is_dc and evse.max_a > MOST_PILOT_A:
        yield (
            f"{where}.max_a: is {evse.max_a:g}: the pilot of an AC outlet can offer {MOST_PILOT_A:g} A at most"
            " (IEC 61851-1, annex A)"
        )


def _backend_tables(raw: Mapping[str, Any], wrong: list[str]) -> list[tuple[str, Any]]:
    first = [("backend", raw["backend"])] if "backend" in raw else []
    return first + [(f"backends[{i}]", b) for i, b in enumerate(_parse_tables(raw, "backends", wrong), 1)]


def _parse_backend(raw: Any, where: str, station: Station, wrong: list[str], base: Path) -> Backend:
    given = {"charge_point_id": station.id} if not (isinstance(raw, dict) and "charge_point_id" in raw) else {}
    b = build_table(Backend, raw, where, wrong, base, given)
    if b.soap_url and not b.url:
        b = replace(b, url=b.soap_url)
    if b.url:
        wrong += [f"{where}{p}" for p in _url_problems(b)]
    if b.security_profile in (1, 2) and not (b.password or b.password_file or _is_reported(wrong, f"{where}.password")):
        wrong.append(f"{where}: security_profile {b.security_profile} needs password or password_file")
    if b.security_profile in (1, 2) and ":" in b.charge_point_id:
        wrong.append(
            f"{where}.charge_point_id: must have no colon with HTTP Basic (RFC 7617), is {b.charge_point_id!r}"
        )
    wrong += _via_problems(b.via, where)
    if b.soap_url:
        wrong += [f"{where}{p}" for p in _url_problems(replace(b, url=b.soap_url), "soap_url")]
        if not replace(b, url=b.soap_url).is_soap_url and not _is_reported(wrong, f"{where}.soap_url"):
            wrong.append(f"{where}.soap_url: must begin with http:// or https://, is {b.soap_url!r}")
    wrong += [f"{where}{p}" for p in _own_port_problems(b)]
    if b.secure_url:
        wrong += [f"{where}{p}" for p in _url_problems(replace(b, url=b.secure_url, security_profile=2), "secure_url")]
    if b.security_profile == 3 and b.client_cert is None and not _is_reported(wrong, f"{where}.client_cert"):
        wrong.append(f"{where}: security_profile 3 needs client_cert (and client_key, unless both are in one file)")
    return b


def _own_port_problems(b: Backend) -> Iterator[str]:
    """Yield what is missing to secure the own port for requests over SOAP."""
    if b.soap_tls and b.client_cert is None:
        yield ": soap_tls needs client_cert (and client_key, unless both are in one file): callers see it"
    if b.soap_client_ca is not None and not b.soap_tls:
        yield ".soap_client_ca: a caller shows a certificate in TLS only: add soap_tls = true"
    if b.soap_tls and b.soap_address.startswith("http://"):
        yield f".soap_address: the own port speaks TLS (soap_tls): give an https:// address, is {b.soap_address!r}"
    if b.soap_user and not (b.soap_password or b.soap_password_file):
        yield ".soap_user: needs soap_password or soap_password_file"


def _soap_port_problems(backends: Sequence[Backend]) -> Iterator[str]:
    """Yield the backends that cannot have their own port for requests over SOAP, because another one has it."""
    owners: dict[int, str] = {}
    for backend in backends:
        if backend.soap_port and (backend.soap_url or backend.is_soap_url):
            owner = owners.setdefault(backend.soap_port, backend.name)
            if owner != backend.name:
                yield f"backends: {backend.name}: soap_port {backend.soap_port} is that of {owner!r} too: change one"


def _is_reported(wrong: Sequence[str], path: str) -> bool:
    """Return whether a problem of this path is reported already. A value that was not accepted is
    replaced by the default: what follows from that is no mistake of its own."""
    return any(w.startswith((f"{path}:", f"{path}[")) for w in wrong)


def _url_problems(b: Backend, key: str = "url") -> list[str]:
    try:
        url = urlsplit(b.url)
        host, _ = url.hostname, url.port
    except ValueError as e:
        return [f".{key}: is no URL{'' if '@' in b.url else f': {e}'}"]  # the error repeats what may be a password
    if "@" in url.netloc or (not url.netloc and "@" in b.url):  # not repeated: it would be in the journal
        return [
            f".{key}: must not hold a user or a password; use password or password_file (the user is charge_point_id)"
        ]
    if url.scheme not in ("ws", "wss", "http", "https") and not url.scheme.startswith(OUTSIDE_SCHEME):
        return [f".{key}: must begin with ws:// or wss:// (http:// for SOAP), is {b.url!r}"]
    if not host:
        return [f".{key}: names no host, is {b.url!r}"]
    if said := HostLabels().value_problem(host):
        return [f".{key}: {said}"]
    if b.security_profile >= 2 and url.scheme not in ("wss", "https"):
        secured = "https" if url.scheme == "http" else "wss"
        return [f".{key}: security_profile {b.security_profile} needs {secured}:// (TLS), is {b.url!r}"]
    return []


Check = Callable[[StationFile], list[str]]
