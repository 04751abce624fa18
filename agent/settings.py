"""The station file: TOML to frozen dataclasses. An unknown key is an error; every error names the path and helps.

Keys and meaning: docs/station-file.md (the file as suites use it is a public contract).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from agent.frozen import frozen
from agent.key_rules import Between, Entries, HostName, OneLine, OneOf, Seconds, TcpPort, Text
from agent.kinds import FEATURE_PROFILES, MeterPolicy
from agent.tables import Device as Device
from agent.tables import SettingsError as SettingsError
from agent.tables import build as build
from agent.tables import device_of, devices_of, meant_key
from agent.tables import meant as meant

STORE_MAX_MB = 100_000
MOST_KW = 10_000
NOMINAL_V = 230.0
MIN_A = 6.0
"""The least current that IEC 61851-1 can offer."""
MOST_PILOT_A = 80.0
"""The most that its pilot signal can offer."""
MOST_EVSES = 1000
OCPP_VERSIONS = ("2.0.1", "1.6")
VIA = r"(([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})?"

Name: TypeAlias = Annotated[str, Text(40, 1, r"[A-Za-z0-9_.-]+", "letters, digits, _ . -")]
Identity: TypeAlias = Annotated[
    str, Text(48, 1, r"[A-Za-z0-9*_=:+|@.-]+", "letters, digits and * - _ = : + | @ . (OCPP 2.0.1, identifierString)")
]
Url: TypeAlias = Annotated[str, Text(500, form=r"\S*", like="an address without blanks")]


@frozen
class Power:
    """The power-fail input. ``hold_s``: mains that is back sooner was a glitch; ``backup_s``: the back-up supply is
    good for so long, then the agent has ended in any case."""

    device: Device
    hold_s: Seconds = 0.3
    backup_s: Seconds = 15.0


@frozen
class Station:
    id: Identity = "CHARGY-SIM"
    number: Annotated[str, Text(20)] = ""
    hotline: Annotated[str, Text(40)] = ""
    vendor: Annotated[str, Text(50, 1)] = "Chargy"
    model: Annotated[str, Text(20, 1)] = "SimStation"
    serial: Annotated[str, Text(25)] = ""
    firmware_version: Annotated[str, Text(50)] = ""
    timezone: OneLine = "Europe/Luxembourg"
    languages: Annotated[
        tuple[Annotated[str, Text(8, 2, "[a-z]{2,3}(-[A-Za-z0-9]+)?", 'a language tag such as "fr"')], ...],
        Entries(1, 16, repeats=False),
    ] = ("fr", "de", "lb", "en")
    price_line: OneLine = ""
    qr_url: Url = ""
    state_dir: Path = Path("state")
    status_socket: Path | None = None
    config_dir: tuple[Path, ...] = ()
    store_max_mb: Annotated[int, Between(1, STORE_MAX_MB, "megabytes")] = 32
    features_off: tuple[Annotated[str, OneOf(FEATURE_PROFILES[1:])], ...] = ()
    free_vending: bool = False
    resume_within_s: Annotated[float, Between(0, 86_400, "seconds")] = 60.0
    max_a: Annotated[float, Between(MIN_A, 100_000, "amperes; a vehicle takes no less")] | None = None
    """What each phase of the feed carries, for all EVSEs together."""


@frozen
class Backend:
    name: Name = "chargy"
    url: Url = ""
    charge_point_id: Identity = ""
    versions: Annotated[tuple[Annotated[str, OneOf(OCPP_VERSIONS)], ...], Entries(1, 8, repeats=False)] = ("1.6",)
    security_profile: Annotated[int, OneOf((0, 1, 2, 3))] = 0
    password: Annotated[str, Text(64)] = field(default="", repr=False)
    password_file: Path | None = None
    secure_url: Url = ""
    """The address once the security profile has been raised to 2 or 3; "": ``url`` with wss:// in front."""
    ca: Path | None = None
    crl: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    manufacturer_ca: Path | None = None
    cpo_name: Annotated[str, Text(50)] = "Chargy"
    reconnect_s: Seconds | None = None
    call_timeout_s: Annotated[float, Between(0.01, 3600, "seconds")] = 30.0
    scope: Annotated[str, OneOf(("full", "billing"))] = "full"
    calls: tuple[Annotated[str, Text(50, 1)], ...] = ()
    """What a backend that is not the first may do besides looking."""
    quirks: Annotated[str, Text(100, form=r"[^/\\]*", like="a name without a path")] = ""
    """A profile of deviations from the standard (``config/quirks``)."""
    via: Annotated[str, Text(300, form=VIA, like="host:port")] = ""
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
    evses: Annotated[tuple[Annotated[int, Between(1, MOST_EVSES)], ...], Entries(0, MOST_EVSES, repeats=False)] = ()
    when: Annotated[str, OneOf(("idle", "plugged"))] = "idle"
    allowed_hosts: tuple[HostName, ...] = ()
    station_roaming_id: Annotated[str, Text(64)] = ""


@frozen
class SinkTable:
    """Where alerts go besides the backends. ``queue``: lines that wait at most; ``max_mb``: of the file and the one
    before it."""

    name: Name
    kind: Annotated[str, OneOf(("file", "mqtt"))] = "file"
    queue: Annotated[int, Between(1, 100_000, "lines")] = 1000
    path: Path | None = None
    max_mb: Annotated[float, Between(0.001, STORE_MAX_MB, "megabytes")] = 4.0
    host: HostName = ""
    port: TcpPort = 1883
    topic: Annotated[str, Text(200, form="[^+#]*", like="a topic for alerts, without + #")] = ""
    username: OneLine = ""
    password_file: Path | None = None
    ca: Path | None = None


@frozen
class Evse:
    number: Annotated[int, Between(1, MOST_EVSES)]
    kind: Annotated[str, OneOf(("AC", "DC"))] = "AC"
    outlet: Annotated[str, OneOf(("socket", "tethered"))] = "socket"
    phases: Annotated[int, OneOf((1, 3))] = 3
    roaming_id: Annotated[str, Text(64)] = ""
    """What roaming calls it: ``LU*CHY*E...``."""
    qr_url: Url = ""
    max_a: Annotated[float, Between(MIN_A, 3000, "amperes")] = 32.0
    phase_rotation: Annotated[str, OneOf(("", "RST", "STR", "TRS", "RTS", "SRT", "TSR", "R", "S", "T"))] = ""
    bay_sensor: bool = False
    power_kw: Annotated[float, Between(0.1, MOST_KW, "kW")] | None = None
    efficiency: Annotated[float, Between(0.5, 1)] = 0.93
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
    number: Annotated[int, Between(1, MOST_EVSES)]
    plugged: bool = False
    ev_connected: bool = False
    ev_ready: bool = False
    meter_wh: Annotated[int, Between(0, 10**12, "Wh")] = 0


@frozen
class Simulation:
    port: Annotated[int, Between(0, 65535)] = 8080
    seed: Annotated[int, Between(-(2**63), 2**63 - 1)] = 1
    restart_s: Annotated[float, Between(0, 3600, "seconds")] = 0.1
    boot_s: Annotated[float, Between(0, 3600, "seconds")] = 0.1
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


def load(path: Path) -> StationFile:
    """Read and judge a station file. Raises ``SettingsError`` with every problem found, not only the first."""
    return parse(read(path), path)


def read(path: Path) -> dict[str, Any]:
    """Not judged yet. Raises ``SettingsError``."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise SettingsError([f"{path}: cannot be read: {e.strerror or e}"]) from e
    except ValueError as e:  # no TOML, no UTF-8, or a number of thousands of digits
        raise SettingsError([f"{path}: is not valid TOML: {e}"]) from e
    except RecursionError as e:
        raise SettingsError([f"{path}: is not valid TOML for this program: tables are nested too deep"]) from e


def parse(raw: Mapping[str, Any], path: Path) -> StationFile:
    """Judge an already read file; relative paths in it are relative to ``path``'s folder."""
    wrong: list[str] = []
    base = path.resolve().parent
    wrong += [f"[{key}]: unknown table{meant_key(key, TABLES)}" for key in raw if key not in TABLES]
    station = build(Station, raw.get("station", {}), "station", wrong, base)
    backends = tuple(_backend(b, where, station, wrong, base) for where, b in _backend_tables(raw, wrong))
    names = [b.name for b in backends]
    wrong += [f"backends: the name {n!r} is used twice" for n in sorted({n for n in names if names.count(n) > 1})]
    evses = tuple(
        build(Evse, e, f"evse[{_number(e, i)}]", wrong, base, {"number": i})
        for i, e in enumerate(_tables(raw, "evse", wrong), 1)
    )
    wrong += [w for e in evses for w in _feed_problems(e)]
    if not evses:
        wrong.append("[[evse]]: at least one EVSE is needed, for example: [[evse]] number = 1")
    if sorted(e.number for e in evses) != list(range(1, len(evses) + 1)):
        wrong.append(f"evse: the numbers must count 1 to {len(evses)}, are {[e.number for e in evses]}")
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
    return build(Power, own, "power", wrong, given={"device": device.without(*own)})


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
    found: list[str] = []
    policy = build(MeterPolicy, table, where, found, given={"serial": serial if isinstance(serial, str) else ""})
    wrong += [said.replace(".accuracy_class: ", ".class: ", 1) for said in found]  # "class" is no name for a field
    if policy.certificate and kind != "DC":
        wrong.append(f"{where}.certificate: stands for the MID marking of DC meters; an AC meter has mid_year")
    return policy


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
    for i, t in enumerate(tables, 1):
        if t.kind == "file" and t.path is None:
            wrong.append(f'sinks[{i}].path: is missing, for example path = "alerts.jsonl"')
        if t.kind == "mqtt" and not t.host:
            wrong.append(f"sinks[{i}].host: is missing: the MQTT broker")
    return tables


def _number(table: Any, position: int) -> int:
    number = table.get("number") if isinstance(table, Mapping) else None
    return number if type(number) is int else position


def _feed_problems(evse: Evse) -> Iterator[str]:
    where = f"evse[{evse.number}]"
    if evse.phase_rotation and len(evse.phase_rotation) != evse.phases:
        yield (
            f"{where}.phase_rotation: must name {evse.phases} of R, S, T (the feed's phases, in the"
            f" order of the outlet's), is {evse.phase_rotation!r}"
        )
    if evse.dc and evse.power_kw is None:
        yield f"{where}.power_kw: is missing: what this DC outlet can give at most, for example power_kw = 150"
    if not evse.dc and evse.max_a > MOST_PILOT_A:
        yield (
            f"{where}.max_a: is {evse.max_a:g}: the pilot of an AC outlet can offer {MOST_PILOT_A:g} A at most"
            " (IEC 61851-1, annex A)"
        )


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
