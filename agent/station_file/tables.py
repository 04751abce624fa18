"""The tables of the station file as frozen dataclasses: each key with its type, its range or choices, and its default.

What a key means: docs/station-file.md. ``settings.py`` reads a file into these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from agent.model.device_role import DeviceRole
from agent.model.fastclass import frozen
from agent.model.key_rules import (
    Between,
    CodeHost,
    Entries,
    HostLabels,
    HostName,
    IpAddress,
    IpNetwork,
    OneLine,
    OneOf,
    Seconds,
    TcpPort,
    Text,
)
from agent.model.types import FEATURE_PROFILES, MeterPolicy
from agent.station_file.device_roles import DeviceTables
from agent.station_file.parser import Device

STORE_MAX_MB = 100_000
MOST_KW = 10_000
NOMINAL_V = 230.0
MIN_A = 6.0
"""The least current that IEC 61851-1 can offer."""
MOST_PILOT_A = 80.0
"""The most that its pilot signal can offer."""
MOST_EVSES = 1000
SERIAL_MAX = 25
VIA = r"(([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})?"

Name: TypeAlias = Annotated[str, Text(40, 1, r"[A-Za-z0-9_.-]+", "letters, digits, _ . -")]
Identity: TypeAlias = Annotated[
    str, Text(48, 1, r"[A-Za-z0-9*_=:+|@.-]+", "letters, digits and * - _ = : + | @ . (OCPP 2.0.1, identifierString)")
]
OcppVersion: TypeAlias = Annotated[str, Text(10, 1, r"[0-9]+(\.[0-9]+)+", 'a version such as "1.6"')]
"""Which ones are spoken, ``agent/ocpp`` knows."""
Url: TypeAlias = Annotated[str, Text(500, form=r"\S*", like="an address without blanks")]
OcppVersions: TypeAlias = Annotated[tuple[OcppVersion, ...], Entries(1, 8, repeats=False)]
SecurityProfile: TypeAlias = Annotated[int, OneOf((0, 1, 2, 3))]
CpoName: TypeAlias = Annotated[str, Text(50)]
QuirksName: TypeAlias = Annotated[str, Text(100, form=r"[^/\\]*", like="a name without a path")]


@frozen
class PowerTimes:
    """The agent's own keys of the power-fail input. ``hold_s``: mains that is back sooner was a glitch; ``backup_s``:
    the back-up supply is good for so long, then the agent has ended in any case."""

    hold_s: Seconds = 0.3
    backup_s: Seconds = 15.0


@frozen
class EnergyManagerKeys:
    """The agent's own keys of the energy manager. ``rate_unit``: of its limit and of ``fallback``, amperes of each
    phase or watts; ``source``: ChargingLimitSourceEnumType of OCPP, which backends are informed of; ``silent_s``:
    without a report for so long it counts as silent; ``on_silence``: what holds then, its last limit, ``fallback`` or
    no limit."""

    rate_unit: Annotated[str, OneOf(("A", "W"))] = "A"
    source: Annotated[str, OneOf(("EMS", "SO", "Other"))] = "EMS"
    silent_s: Annotated[float, Between(5, 86_400, "seconds")] = 60.0
    on_silence: Annotated[str, OneOf(("keep", "fall_back", "release"))] = "keep"
    fallback: Annotated[float, Between(0, 10_000_000)] | None = None


@frozen
class Station:
    id: Identity = "CHARGY-SIM"
    number: Annotated[str, Text(20)] = ""
    hotline: Annotated[str, Text(40)] = ""
    vendor: Annotated[str, Text(50, 1)] = "Chargy"
    model: Annotated[str, Text(20, 1)] = "SimStation"
    serial: Annotated[str, Text(SERIAL_MAX)] = ""
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
    pool_terminal: bool = False
    """Another terminal of the recharging pool takes bank cards for this station."""
    resume_within_s: Annotated[float, Between(0, 86_400, "seconds")] = 60.0
    max_a: Annotated[float, Between(MIN_A, 100_000, "amperes; a vehicle takes no less")] | None = None
    """What each phase of the feed carries, for all EVSEs together."""


@frozen
class Backend:
    name: Name = "chargy"
    url: Url = ""
    charge_point_id: Identity = ""
    versions: OcppVersions = ("1.6",)
    security_profile: SecurityProfile = 0
    password: Annotated[str, Text(64)] = field(default="", repr=False)
    password_file: Path | None = None
    secure_url: Url = ""
    """The address once the security profile has been raised to 2 or 3; "": ``url`` with wss:// in front."""
    soap_url: Url = ""
    """Where OCPP over SOAP is spoken; "": at ``url``, if that is an address of HTTP."""
    soap_port: Annotated[int, Between(0, 65535)] = 8090
    """The own port for requests over SOAP; 0: any free one."""
    soap_address: Annotated[
        str, Text(500, form=r"from bearer|https?://\S+", like='"from bearer" or an http:// address')
    ] = "from bearer"
    """The own address that the backend is given: that of the bearer in use, or a fixed one."""
    soap_callers: tuple[Annotated[str, IpNetwork()], ...] = ()
    """Who may send requests over SOAP; none: the host that was dialled."""
    soap_tls: bool = False
    """The own port speaks TLS, with the certificate of the station (``client_cert``)."""
    soap_client_ca: Path | None = None
    """Who has signed the certificate that a caller of the own port must show; None: none is asked for."""
    soap_user: Annotated[str, Text(64, form="[^:]*", like="a name without a colon")] = ""
    """With ``soap_password``; "": the charge point id."""
    soap_password: Annotated[str, Text(64)] = field(default="", repr=False)
    """What a caller of the own port must send (HTTP Basic); "": nothing."""
    soap_password_file: Path | None = None
    ca: Path | None = None
    crl: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    manufacturer_ca: Path | None = None
    cpo_name: CpoName = "Chargy"
    reconnect_s: Seconds | None = None
    call_timeout_s: Annotated[float, Between(0.01, 3600, "seconds")] = 30.0
    scope: Annotated[str, OneOf(("full", "billing"))] = "full"
    calls: tuple[Annotated[str, Text(50, 1)], ...] = ()
    """What a backend that is not the first may do besides looking."""
    quirks: QuirksName = ""
    """A profile of deviations from the standard (``config/quirks``)."""
    via: Annotated[str, Text(300, form=VIA, like="host:port")] = ""
    """``host:port`` to dial instead of ``url``'s own (a tunnel, a gateway); name, TLS check and path stay the URL's."""
    charge_point_id_in_url: str | None = None
    subprotocol_echo: str | None = None
    """These two are made of ``quirks`` and are no keys of the file."""
    interface: str | None = None
    """The interface of the bearer in use; no key of the file."""

    @property
    def is_soap_url(self) -> bool:
        """Whether ``url`` is an address of HTTP."""
        return self.url.lower().startswith(("http://", "https://"))

    @property
    def connection_url(self) -> str:
        """Return ``url`` with the charge point id appended, unless it ends with it already."""
        if self.charge_point_id_in_url == "absent" or self.is_soap_url:  # over SOAP the id is a header
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
    ``idle``, or ``plugged`` once a vehicle is there. ``max_energy_kwh``, ``max_time_min``, ``max_cost`` (in the
    currency's unit): what drivers may choose as the most, by buttons; empty: nothing."""

    dynamic: bool = False
    shared: bool = False
    evses: Annotated[tuple[Annotated[int, Between(1, MOST_EVSES)], ...], Entries(0, MOST_EVSES, repeats=False)] = ()
    when: Annotated[str, OneOf(("idle", "plugged"))] = "idle"
    allowed_hosts: tuple[CodeHost, ...] = ()
    station_roaming_id: Annotated[str, Text(64)] = ""
    max_energy_kwh: Annotated[tuple[Annotated[int, Between(1, 1000, "kWh")], ...], Entries(0, 12, repeats=False)] = ()
    max_time_min: Annotated[tuple[Annotated[int, Between(1, 10_080, "min")], ...], Entries(0, 12, repeats=False)] = ()
    max_cost: Annotated[tuple[Annotated[int, Between(1, 1000)], ...], Entries(0, 12, repeats=False)] = ()


@frozen
class SinkTable:
    """Where alerts go besides the backends. ``queue``: lines that wait at most; ``max_mb``: of the file and the one
    before it; ``tariffs``: signed tariff files are taken from its topic."""

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
    tariffs: bool = False


BEARER_KINDS = ("lan", "wifi", "gprs")
"""The values of ``BearerKind``, whose module only a station with bearers imports."""


@frozen
class BearerKeys:
    """The agent's own keys of a ``[[bearer]]``. ``iccid``: the SIM that belongs to the station; "": any.
    ``pin_confirmed``: changed by a person who has made sure of the PIN, so that a refused one is used once more.
    ``via``: ``host:port`` to dial over this bearer instead of the address of the first backend (in a private APN);
    name, TLS check and path stay those of its ``url``."""

    kind: Annotated[str, OneOf(BEARER_KINDS)]
    iccid: Annotated[str, Text(20, form=r"([0-9]{18,20})?", like="the 18 to 20 digits on the SIM")] = ""
    pin_confirmed: Annotated[str, Text(40)] = ""
    via: Annotated[str, Text(300, form=VIA, like="host:port")] = ""


LINK_PROFILES = ("lan", "gprs")
"""The names in ``link_profile.PROFILES``."""
MegaBytes: TypeAlias = Annotated[float, Between(0.1, 1_000_000, "megabytes")]


@frozen
class LinkKeys:
    """What the link to the backends may cost. ``profile`` "": that of the dearest bearer. ``compression`` None: as the
    profile says. ``metered``: the kinds of bearer that the monthly limits are about."""

    profile: Annotated[str, OneOf(("", *LINK_PROFILES))] = ""
    compression: bool | None = None
    metered: Annotated[tuple[Annotated[str, OneOf(BEARER_KINDS)], ...], Entries(0, 3, repeats=False)] = ("gprs",)
    monthly_mb_soft: MegaBytes | None = None
    monthly_mb_hard: MegaBytes | None = None


@frozen
class MetricsKeys:
    """Metrics over HTTP. ``port`` 0: off. ``allowed_hosts``: names that a collector may use besides addresses."""

    port: Annotated[int, Between(0, 65535)] = 0
    host: Annotated[str, Text(60, 1), IpAddress(), HostLabels()] = "127.0.0.1"
    allowed_hosts: tuple[HostName, ...] = ()


@frozen
class FieldPageKeys:
    """The page for technicians on site. ``port`` 0: off. ``interface``: it answers at this interface only.
    ``allowed_hosts``: names with a dot that a browser may use. ``kits``, ``audits``: folders that it offers."""

    port: Annotated[int, Between(0, 65535)] = 0
    host: Annotated[str, Text(60, 1), IpAddress()] = "127.0.0.1"
    interface: Annotated[str, Text(15, form=r"[^\s/]*", like="the name of an interface (ip link)")] = ""
    allowed_hosts: tuple[HostName, ...] = ()
    users_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    kits: Path | None = None
    audits: Path | None = None


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
    devices: DeviceTables = field(default_factory=DeviceTables)

    @property
    def is_dc(self) -> bool:
        return self.kind == "DC"

    @property
    def power_w(self) -> float:
        """The most that it can give."""
        return self.power_kw * 1000 if self.power_kw is not None else self.phases * self.max_a * NOMINAL_V

    def phase_a(self, nominal_v: float) -> float:
        """The most that it can give, in amperes of each phase of the feed."""
        return self.power_w / (self.phases * nominal_v) if self.is_dc else self.max_a


@frozen
class SimulatedEvse:
    number: Annotated[int, Between(1, MOST_EVSES)]
    plugged: bool = False
    ev_connected: bool = False
    ev_ready: bool = False
    meter_wh: Annotated[int, Between(0, 10**12, "Wh")] = 0


MISBEHAVIOURS = (
    "answers_late", "answers_unasked", "available_with_cable", "chatty", "clock_of_1970", "duplicate_start",
    "duplicate_stop", "frozen_meter", "ignores_boot_answer", "invalid_words", "lower_case_tags", "malformed_frames",
    "meter_starts_at_zero", "never_reconnects", "no_file_status", "no_meter_values", "out_of_order",
    "repeated_message_ids", "repeats_file_status", "silent", "stop_never_sent", "stop_without_start",
    "stuck_preparing", "trigger_without_message", "wrong_clock",
)  # fmt: skip
"""Deviations that a simulated station has on request; ``drivers/sim/misbehaviour`` does them."""


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
    misbehaviour: Annotated[tuple[Annotated[str, OneOf(MISBEHAVIOURS)], ...], Entries(0, 50, repeats=False)] = ()
    """How the simulated station deviates from the standard on purpose (docs/misbehaviour.md)."""
    evse: tuple[SimulatedEvse, ...] = ()


@frozen
class MasterTable:
    """``[payment.master]``: the terminal of this station serves the outlets of others. ``certificate`` and ``key``: for
    the name ``payment-master`` (the key may be in the certificate's file); ``ca``: of the satellites."""

    certificate: Path
    ca: Path
    key: Path | None = None
    satellites: Mapping[str, Any] = field(default_factory=dict)
    host: Annotated[str, Text(60)] = ""
    port: Annotated[int, Between(1, 65535)] = 8740


@frozen
class SatelliteTable:
    """``[payment.satellite]``: the terminal of another station serves the outlets of this one. ``master``: its address
    and port; ``certificate`` and ``key``: for the name by which the master knows this station."""

    master: Annotated[str, Text(80, 1, form=r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}", like="host:port")]
    certificate: Path
    ca: Path
    key: Path | None = None


@frozen
class StationFile:
    """One whole file. ``settings`` holds initial values: own names flat, ``ocpp16`` and ``ocpp2`` as sub-tables."""

    path: Path
    station: Station
    backends: tuple[Backend, ...]
    evses: tuple[Evse, ...]
    settings: Mapping[str, Any]
    devices: DeviceTables
    roles: Mapping[str, DeviceRole]
    """All roles that the devices may have."""
    power_times: PowerTimes | None
    energy_manager: EnergyManagerKeys | None
    bearers: Mapping[str, BearerKeys]
    """By the place of the bearer, in order of preference."""
    link: LinkKeys
    metrics: MetricsKeys
    field_page: FieldPageKeys
    sinks: tuple[SinkTable, ...]
    web_payment: WebPayment
    meter_policies: Mapping[int, MeterPolicy]
    tariff: Any
    payment: Any
    payment_master: MasterTable | None
    payment_satellite: SatelliteTable | None
    simulation: Simulation

    def __repr__(self) -> str:
        return f"StationFile({str(self.path)!r})"  # the settings may hold the backend's password

    @property
    def field_page_users(self) -> Path:
        """The file of the users of the field page."""
        return self.field_page.users_file or self.station.state_dir / "field-page" / "users.json"

    @property
    def shapes_links(self) -> bool:
        """Whether anything in the file is about what the links may cost."""
        return bool(self.bearers) or self.link != LinkKeys()

    @property
    def all_devices(self) -> tuple[DeviceTables, ...]:
        return (self.devices, *(e.devices for e in self.evses))

    def device_for(self, evse: Evse, role: str) -> Device | None:
        """Return the device of this EVSE: its own, otherwise that of the station."""
        return evse.devices.get(role) or self.devices.get(role)

    def evse_table(self, number: int) -> Evse:
        return next(e for e in self.evses if e.number == number)
