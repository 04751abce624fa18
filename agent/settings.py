"""The station file: TOML to frozen dataclasses. An unknown key is an error; every error names the path and helps.

Keys and meaning: docs/station-file.md (the file as suites use it is a public contract).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from agent.frozen import frozen
from agent.kinds import MeterPolicy
from agent.tables import Device as Device
from agent.tables import SettingsError as SettingsError
from agent.tables import build as build
from agent.tables import device_of, devices_of, meant_key
from agent.tables import meant as meant


@frozen
class Power:
    """The power-fail input. ``hold_s``: mains that is back sooner was a glitch; ``backup_s``: the back-up supply is
    good for so long, then the agent has ended in any case."""

    device: Device
    hold_s: float = 0.3
    backup_s: float = 15.0


@frozen
class Station:
    id: str = "CHARGY-SIM"
    number: str = ""
    hotline: str = ""
    vendor: str = "Chargy"
    model: str = "SimStation"
    serial: str = ""
    firmware_version: str = ""
    timezone: str = "Europe/Luxembourg"
    languages: tuple[str, ...] = ("fr", "de", "lb", "en")
    price_line: str = ""
    qr_url: str = ""
    state_dir: Path = Path("state")
    status_socket: Path | None = None
    config_dir: tuple[Path, ...] = ()
    store_max_mb: int = 32
    features_off: tuple[str, ...] = ()
    free_vending: bool = False
    resume_within_s: float = 60.0
    max_a: float | None = None
    """What each phase of the feed carries, for all EVSEs together."""


@frozen
class Backend:
    name: str = "chargy"
    url: str = ""
    charge_point_id: str = ""
    versions: tuple[str, ...] = ("1.6",)
    security_profile: int = 0
    password: str = field(default="", repr=False)
    password_file: Path | None = None
    secure_url: str = ""
    """The address once the security profile has been raised to 2 or 3; "": ``url`` with wss:// in front."""
    ca: Path | None = None
    crl: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    manufacturer_ca: Path | None = None
    cpo_name: str = "Chargy"
    reconnect_s: float | None = None
    call_timeout_s: float = 30.0
    scope: str = "full"
    calls: tuple[str, ...] = ()
    """What a backend that is not the first may do besides looking."""
    quirks: str = ""
    """A profile of deviations from the standard (``config/quirks``)."""
    via: str = ""
    """``host:port`` to dial instead of ``url``'s own (a tunnel, a gateway); name, TLS check and path stay the URL's."""
    charge_point_id_in_url: str | None = None
    subprotocol_echo: str | None = None
    """These two are made of ``quirks`` and are no keys of the file."""

    @property
    def endpoint(self) -> str:
        """``url`` with the charge point id appended, unless it ends with it already."""
        if self.charge_point_id_in_url == "absent":
            return self.url
        tail = self.url.rstrip("/").rsplit("/", 1)[-1]
        if unquote(tail) == self.charge_point_id and urlsplit(self.url).path.strip("/"):
            return self.url.rstrip("/")
        plain = self.charge_point_id_in_url == "plain"
        return self.url.rstrip("/") + "/" + (self.charge_point_id if plain else quote(self.charge_point_id, safe=""))


@frozen
class WebPayment:
    """Payment at a web page by QR code. ``dynamic``: a backend may set up one-time codes; ``shared``: one set-up for
    the station instead of one per EVSE; ``evses``: at these only (empty: at all that have a display). ``when``:
    ``idle``, or ``plugged`` once a vehicle is there."""

    dynamic: bool = False
    shared: bool = False
    evses: tuple[int, ...] = ()
    when: str = "idle"
    allowed_hosts: tuple[str, ...] = ()
    station_roaming_id: str = ""


@frozen
class SinkTable:
    """Where alerts go besides the backends. ``queue``: lines that wait at most; ``max_mb``: of the file and the one
    before it."""

    name: str
    kind: str = "file"
    queue: int = 1000
    path: Path | None = None
    max_mb: float = 4.0
    host: str = ""
    port: int = 1883
    topic: str = ""
    username: str = ""
    password_file: Path | None = None
    ca: Path | None = None


@frozen
class Evse:
    number: int
    kind: str = "AC"
    outlet: str = "socket"
    phases: int = 3
    roaming_id: str = ""
    """What roaming calls it: ``LU*CHY*E...``."""
    qr_url: str = ""
    max_a: float = 32.0
    phase_rotation: str = ""
    bay_sensor: bool = False
    power_kw: float | None = None
    efficiency: float = 0.93
    """Of the charger that makes direct current: what it gives of what it draws, where that is least."""
    tariff: Mapping[str, Any] | None = None
    board: Device | None = None
    meter: Device | None = None
    reader: tuple[Device, ...] = ()
    display: Device | None = None
    terminal: Device | None = None
    lamp: Device | None = None

    @property
    def dc(self) -> bool:
        return self.kind == "DC"

    @property
    def power_w(self) -> float:
        """The most that it can give."""
        return self.power_kw * 1000 if self.power_kw is not None else self.phases * self.max_a * NOMINAL_V

    def phase_a(self, nominal_v: float) -> float:
        """The most that it can give, in amperes of each phase of the feed."""
        return self.power_w / (self.phases * nominal_v) if self.dc else self.max_a


@frozen
class SimulatedEvse:
    number: int
    plugged: bool = False
    ev_connected: bool = False
    ev_ready: bool = False
    meter_wh: int = 0


@frozen
class Simulation:
    port: int = 8080
    seed: int = 1
    restart_s: float = 0.1
    boot_s: float = 0.1
    state_dir: Path = Path("world")
    cards: Path | None = None
    alone: bool = False
    """Devices and backends that the file addresses are simulated too, as far as their kind can be."""
    evse: tuple[SimulatedEvse, ...] = ()


@frozen
class StationFile:
    """One whole file. ``settings`` holds initial values: own names flat, ``ocpp16`` and ``ocpp2`` as sub-tables."""

    path: Path
    station: Station
    backends: tuple[Backend, ...]
    evses: tuple[Evse, ...]
    settings: Mapping[str, Any]
    readers: tuple[Device, ...]
    display: Device | None
    meter: Device | None
    board: Device | None
    terminal: Device | None
    buttons: Device | None
    power: Power | None
    buzzer: Device | None
    updater: Device | None
    sinks: tuple[SinkTable, ...]
    web_payment: WebPayment
    meter_policies: Mapping[int, MeterPolicy]
    tariff: Any
    payment: Any
    simulation: Simulation

    def __repr__(self) -> str:
        return f"StationFile({str(self.path)!r})"  # the settings may hold the backend's password

    def evse(self, number: int) -> Evse:
        return next(e for e in self.evses if e.number == number)


TABLES = (
    "station", "backend", "backends", "sinks", "web_payment", "settings", "evse", "simulation",
    "board", "meter", "reader", "display", "terminal", "buttons", "power", "buzzer", "updater", "tariff",
    "payment",
)  # fmt: skip
STORE_MAX_MB = 100_000
MOST_KW = 10_000
NOMINAL_V = 230.0
MIN_A = 6.0
"""The least current that IEC 61851-1 can offer."""


def load(path: Path) -> StationFile:
    """Read and judge a station file. Raises ``SettingsError`` with every problem found, not only the first."""
    return parse(read(path), path)


def read(path: Path) -> dict[str, Any]:
    """Not judged yet. Raises ``SettingsError``."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise SettingsError([f"{path}: cannot be read: {e.strerror or e}"]) from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise SettingsError([f"{path}: is not valid TOML: {e}"]) from e


def parse(raw: Mapping[str, Any], path: Path) -> StationFile:
    """Judge an already read file; relative paths in it are relative to ``path``'s folder."""
    wrong: list[str] = []
    base = path.resolve().parent
    wrong += [f"[{key}]: unknown table{meant_key(key, TABLES)}" for key in raw if key not in TABLES]
    station = build(Station, raw.get("station", {}), "station", wrong, base)
    if not 1 <= station.store_max_mb <= STORE_MAX_MB:
        wrong.append(f"station.store_max_mb: must be 1 to {STORE_MAX_MB} (megabytes), is {station.store_max_mb}")
    backends = tuple(_backend(b, where, station, wrong, base) for where, b in _backend_tables(raw, wrong))
    names = [b.name for b in backends]
    wrong += [f"backends: the name {n!r} is used twice" for n in sorted({n for n in names if names.count(n) > 1})]
    evses = tuple(
        build(Evse, e, f"evse[{i}]", wrong, base, {"number": i}) for i, e in enumerate(_tables(raw, "evse", wrong), 1)
    )
    wrong += [w for e in evses for w in _feed_problems(e)]
    if station.max_a is not None and station.max_a < MIN_A:
        wrong.append(f"station.max_a: must be {MIN_A:g} or more (a vehicle takes no less), is {station.max_a:g}")
    if not evses:
        wrong.append("[[evse]]: at least one EVSE is needed, for example: [[evse]] number = 1")
    if sorted(e.number for e in evses) != list(range(1, len(evses) + 1)):
        wrong.append(f"[[evse]] number: must count 1 to {len(evses)}, is {[e.number for e in evses]}")
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
        readers=devices_of(raw.get("reader", ()), "reader", wrong),
        display=device_of(raw.get("display"), "display", wrong),
        meter=device_of(raw.get("meter"), "meter", wrong),
        board=device_of(raw.get("board"), "board", wrong),
        terminal=device_of(raw.get("terminal"), "terminal", wrong),
        buttons=device_of(raw.get("buttons"), "buttons", wrong),
        buzzer=device_of(raw.get("buzzer"), "buzzer", wrong),
        power=_power(raw.get("power"), wrong),
        updater=device_of(raw.get("updater"), "updater", wrong),
        sinks=_sinks(raw, wrong, base),
        web_payment=build(WebPayment, raw.get("web_payment", {}), "web_payment", wrong, base),
        meter_policies={e.number: p for e in evses if (p := _meter_policy(e, raw, wrong))},
        tariff=raw.get("tariff"),
        payment=raw.get("payment"),
        simulation=build(Simulation, raw.get("simulation", {}), "simulation", wrong, base),
    )
    if wrong:
        raise SettingsError([f"{path}: {w}" for w in wrong], file)
    return file


def _power(raw: Any, wrong: list[str]) -> Power | None:
    """Two keys are the agent's own, the rest is the driver's."""
    device = device_of(raw, "power", wrong)
    if device is None:
        return None
    own = {k: v for k, v in raw.items() if k in ("hold_s", "backup_s")}
    wrong += [f"power.{k}: must be seconds, more than 0, is {v!r}" for k, v in own.items() if not _seconds(v)]
    given = {k: float(v) for k, v in own.items() if _seconds(v)}
    return Power(Device(device.driver, {k: v for k, v in device.options.items() if k not in own}), **given)


OWN_METER = ("class", "mid_year", "certificate", "firmware")
"""Keys of a meter's table that are the agent's own; ``serial`` is also the driver's."""


def _meter_policy(evse: Evse, raw: Mapping[str, Any], wrong: list[str]) -> MeterPolicy | None:
    own = evse.meter is not None
    device = evse.meter if own else device_of(raw.get("meter"), "meter", [])
    if device is None:
        return None
    return meter_policy(device, f"evse[{evse.number}].meter" if own else "meter", evse.kind, wrong)


def meter_policy(device: Device, where: str, kind: str, wrong: list[str]) -> MeterPolicy:
    """What a meter's table demands (docs/decisions/0018): class, and the evidence of it."""
    table = {("accuracy_class" if k == "class" else k): device.options[k] for k in OWN_METER if k in device.options}
    serial = device.options.get("serial", "")
    policy = build(MeterPolicy, table, where, wrong, given={"serial": serial if isinstance(serial, str) else ""})
    if policy.accuracy_class not in ("", "A", "B", "C"):
        wrong.append(f"{where}.class: must be 'A', 'B' or 'C' as on the meter's label, is {policy.accuracy_class!r}")
    if policy.mid_year is not None and not 2006 <= policy.mid_year <= 2100:
        wrong.append(f"{where}.mid_year: must be the year of the MID marking, from 2006 on, is {policy.mid_year}")
    if policy.certificate and kind != "DC":
        wrong.append(f"{where}.certificate: stands for the MID marking of DC meters; an AC meter has mid_year")
    return policy


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 86400


def _tables(raw: Mapping[str, Any], name: str, wrong: list[str]) -> list[Any]:
    value = raw.get(name, [])
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return value
    wrong.append(f"[[{name}]]: must be a table")
    return []


def _sinks(raw: Mapping[str, Any], wrong: list[str], base: Path) -> tuple[SinkTable, ...]:
    tables = tuple(
        build(SinkTable, t, f"sinks[{i}]", wrong, base) for i, t in enumerate(_tables(raw, "sinks", wrong), 1)
    )
    names = [t.name for t in tables]
    wrong += [f"sinks: the name {n!r} is used twice" for n in sorted({n for n in names if names.count(n) > 1})]
    for t in tables:
        if t.kind == "file" and t.path is None:
            wrong.append(f'sink {t.name!r}: path is missing, for example path = "alerts.jsonl"')
        if t.kind == "mqtt" and not t.host:
            wrong.append(f"sink {t.name!r}: host is missing: the MQTT broker")
        if len(t.topic) > 200 or not t.topic.isprintable() or any(c in t.topic for c in "+#"):
            wrong.append(f"sink {t.name!r}: topic: no place for alerts: without + #, at most 200 characters")
        if not 1 <= t.queue <= 100_000:
            wrong.append(f"sink {t.name!r}: queue must be 1 to 100000 lines, is {t.queue}")
    return tables


def _feed_problems(evse: Evse) -> Iterator[str]:
    where = f"evse[{evse.number}]"
    if evse.phase_rotation and len(evse.phase_rotation) != evse.phases:
        yield (
            f"{where}.phase_rotation: must name {evse.phases} of R, S, T (the feed's phases, in the"
            f" order of the outlet's), is {evse.phase_rotation!r}"
        )
    if evse.power_kw is not None and not 0 < evse.power_kw < MOST_KW:
        yield f"{where}.power_kw: must be more than 0 and below {MOST_KW}, is {evse.power_kw:g}"
    if evse.dc and evse.power_kw is None:
        yield f"{where}.power_kw: is missing: what this DC outlet can give at most, for example power_kw = 150"
    if not 0.5 <= evse.efficiency <= 1:
        yield f"{where}.efficiency: must be 0.5 to 1, is {evse.efficiency:g}"


def _backend_tables(raw: Mapping[str, Any], wrong: list[str]) -> list[tuple[str, Any]]:
    first = [("backend", raw["backend"])] if "backend" in raw else []
    return first + [(f"backends[{i}]", b) for i, b in enumerate(_tables(raw, "backends", wrong), 1)]


def _backend(raw: Any, where: str, station: Station, wrong: list[str], base: Path) -> Backend:
    given = {"charge_point_id": station.id} if not (isinstance(raw, dict) and "charge_point_id" in raw) else {}
    b = build(Backend, raw, where, wrong, base, given)
    if b.url:
        wrong += [f"{where}{p}" for p in _url_problems(b)]
    if b.security_profile in (1, 2) and not (b.password or b.password_file):
        wrong.append(f"{where}: security_profile {b.security_profile} needs password or password_file")
    if b.security_profile == 3 and b.client_cert is None:
        wrong.append(f"{where}: security_profile 3 needs client_cert (and client_key, unless both are in one file)")
    return b


def _url_problems(b: Backend) -> list[str]:
    try:
        url = urlsplit(b.url)
        host, _ = url.hostname, url.port
    except ValueError as e:
        return [f".url: is no URL: {e}"]
    if "@" in url.netloc:  # not repeated: it would be in the journal
        return [".url: must not hold a user or a password; use password or password_file (the user is charge_point_id)"]
    if url.scheme not in ("ws", "wss", "http", "https"):
        return [f".url: must begin with ws:// or wss:// (http:// for SOAP), is {b.url!r}"]
    if not host:
        return [f".url: names no host, is {b.url!r}"]
    if b.security_profile >= 2 and url.scheme not in ("wss", "https"):
        return [f": security_profile {b.security_profile} needs wss:// (TLS), is {b.url!r}"]
    return []


Check = Callable[[StationFile], list[str]]
