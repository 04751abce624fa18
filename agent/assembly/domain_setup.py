"""The initial state of a station by its file: run-time settings, EVSEs, and the configuration of the domain."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.assembly.dialects import backend_and_dialects
from agent.assembly.files import tariff_keys
from agent.domain.backend_connection import BackendConfig
from agent.domain.collaborators import Collaborators
from agent.domain.evse import EvseRecord, StationState
from agent.domain.evse_parts import EvseConfig, Metering
from agent.domain.local_time import LocalOffset
from agent.domain.metrology import MeterWatch
from agent.domain.orders import Order
from agent.domain.station_config import StationConfig
from agent.domain.variables import (
    ADHOC_TARIFF,
    DISPLAY_MESSAGES,
    ENERGY_MANAGER,
    LAMP,
    OUTLETS_MOST,
    TARIFF_FILES,
    TARIFFS,
    TERMINAL,
    TERMINAL_RAISES,
    VARIABLES,
    Settings,
    WrongValue,
    parse_value,
    qr_code_part,
    terminal_part,
    web_limit_part,
    web_payment_part,
)
from agent.domain.web_payment import (
    MAX_COST,
    MAX_ENERGY,
    MAX_TIME,
    WebPaymentConfig,
    address_problem,
    receipt_problem,
    template_problem,
)
from agent.model.board import EvseTraits
from agent.model.types import STATION, EvseId, MeterPolicy
from agent.ocpp import versions
from agent.ocpp.dialects.dialect import Dialect, RequestRow
from agent.station_file.settings import NOMINAL_V, Backend, SettingsError, StationFile, did_you_mean
from agent.station_file.tables import BEARER_KINDS, BearerKeys, WebPayment

if TYPE_CHECKING:
    from agent.domain.adhoc_tariff import AdhocTariff
    from agent.domain.bearers import BearerConfig
    from agent.domain.charging.external_limit import ExternalLimitConfig
    from agent.domain.payment import PaymentTerms
    from agent.domain.traffic import DataPlan
    from agent.ocpp.link import Link
    from agent.services.keys.root_counts import RootCounts


def initial_settings(file: StationFile) -> Settings:
    """Return the defaults, overwritten by the station file.

    Raises ``SettingsError``. A wrong value is refused, not ignored.
    """
    wrong: list[str] = []
    spoken, wrong_backends = _spoken_dialects(file)
    parts = {
        LAMP: any("lamp" in e.devices for e in file.evses),
        TERMINAL: file.payment is not None,
        TERMINAL_RAISES: bool((file.payment or {}).get("raise_cents")),
        DISPLAY_MESSAGES: _shows_messages(file, spoken),
        TARIFFS: _takes_tariffs(file, spoken),
        ENERGY_MANAGER: file.energy_manager is not None,
        TARIFF_FILES: tariff_keys(file) is not None,
        ADHOC_TARIFF: file.tariff is not None or any(e.tariff is not None for e in file.evses),
    }
    fitted = (
        {p for p, there in parts.items() if there} | _code_parts(file) | _bearer_parts(file) | _terminal_parts(file)
    )
    settings = Settings(fitted=frozenset(fitted))
    for name, value in _profile_settings(file).items():
        settings.put_value(name, value)
    for key, value in file.settings.items():
        if key in versions.FAMILIES and isinstance(value, Mapping):
            values, problems = versions.parse_settings(key, value)
            wrong += problems
            for name, known in values.items():
                settings.put_value(name, known)
        elif isinstance(value, Mapping):
            wrong.append(f"settings.{key}: must be a value, is a table{did_you_mean(key, versions.FAMILIES, 'tables')}")
        elif key in VARIABLES:
            try:
                settings.put_value(key, parse_value(VARIABLES[key], _as_text(value)))
            except WrongValue as e:
                wrong.append(f"settings.{e}")
        else:
            wrong.append(f"settings.{key}: unknown setting{did_you_mean(key, VARIABLES, 'known')}")
    wrong += [*_wrong_prices(settings), *_wrong_codes(file, settings)]
    wrong += wrong_backends or _wrong_driver_inputs(file)
    if settings.bool_value("cost_display") and not any("display" in d for d in file.all_devices):
        wrong.append("settings.cost_display: nothing can be shown without a display: add [display], or leave it off")
    if wrong:
        raise SettingsError([f"{file.path}: {w}" for w in wrong])
    _set_code_urls(file, settings)
    settings.put_value("languages", file.station.languages)
    settings.put_value("language", settings.text_value("language") or next(iter(file.station.languages), "en"))
    settings.put_value("connector_count", len(file.evses))
    if find_spec("paramiko") is not None:
        settings.put_value("file_transfer_protocols", (*settings.list_value("file_transfer_protocols"), "SFTP"))
    offered = settings.list_value("feature_profiles")
    settings.put_value("feature_profiles", tuple(p for p in offered if p not in file.station.features_off))
    settings.put_value("free_vending", file.station.free_vending)
    if file.backends:
        settings.put_value("security_profile", file.backends[0].security_profile)
        settings.put_value("cpo_name", settings.text_value("cpo_name") or file.backends[0].cpo_name)
        settings.put_value("message_timeout_s", max(1, round(file.backends[0].call_timeout_s)))
    return settings


def _wrong_prices(settings: Settings) -> list[str]:
    if settings.text_value("adhoc_tariff") or settings.text_value("adhoc_tariff_in_force"):
        return ["settings.adhoc_tariff: is a backend's to set; the price of the station file is [tariff]"]
    return []


def _terminal_parts(file: StationFile) -> set[str]:
    """Return the parts that the payment terminals are, of the station and of its EVSEs."""
    places = [(STATION, file.devices), *((e.number, e.devices) for e in file.evses)]
    return {terminal_part(number) for number, devices in places if "terminal" in devices}


def _spoken_dialects(file: StationFile) -> tuple[list[Dialect], list[str]]:
    """Return the dialects of all backends, and what is wrong with those that have none."""
    spoken: list[Dialect] = []
    wrong: list[str] = []
    for backend in file.backends:
        try:
            spoken += backend_and_dialects(file, backend)["dialects"]
        except SettingsError as e:
            wrong += [p.removeprefix(f"{file.path}: ") for p in e.problems]
    return spoken, wrong


def _shows_messages(file: StationFile, spoken: Sequence[Dialect]) -> bool:
    """Return whether a backend can put messages on a display: it takes a display, and a version that has them."""
    rows = (dialect.request_row("SetDisplayMessage") for dialect in spoken)
    return any("display" in d for d in file.all_devices) and any(isinstance(row, RequestRow) for row in rows)


def _profile_settings(file: StationFile) -> Mapping[str, int]:
    if not file.shapes_links:
        return {}
    from agent.assembly.link_profile import profile_settings

    return profile_settings(file)


def _data_plan(file: StationFile) -> DataPlan | None:
    if not file.shapes_links:
        return None
    from agent.assembly.link_profile import data_plan

    return data_plan(file)


def link_conditions(file: StationFile) -> dict[str, Any]:
    """Return what the file says of how the links connect, as values of ``LinkConfig``."""
    if not file.shapes_links:
        return {}
    from agent.assembly.link_profile import wire_conditions

    return wire_conditions(file)


def web_plan(file: StationFile) -> WebPaymentConfig:
    web = file.web_payment
    return WebPaymentConfig(
        station=file.backends[0].charge_point_id if file.backends else file.station.id,
        dynamic=web.dynamic,
        shared=web.shared,
        plugged=web.when == "plugged",
        hosts=web.allowed_hosts,
        station_roaming_id=web.station_roaming_id,
        ids={e.number: e.roaming_id for e in file.evses if e.roaming_id},
        fixed={e.number: e.qr_url for e in file.evses if e.qr_url and e.number > OUTLETS_MOST},
        limit_choices=limit_choices(web),
    )


def limit_choices(web: WebPayment) -> dict[str, tuple[int, ...]]:
    """Return what a driver may choose as the most, by the parameter of the address: Wh, seconds, cents."""
    given = ((MAX_TIME, web.max_time_min, 60), (MAX_ENERGY, web.max_energy_kwh, 1000), (MAX_COST, web.max_cost, 100))
    return {name: tuple(sorted(n * scale for n in numbers)) for name, numbers, scale in given if numbers}


def _code_parts(file: StationFile) -> set[str]:
    """Return the names of the QR code settings: of the outlets with a display, as far as there are names for them."""
    shared = "display" in file.devices
    shown = [e.number for e in file.evses if (shared or "display" in e.devices) and e.number <= OUTLETS_MOST]
    chosen = [n for n in shown if n in (file.web_payment.evses or shown)]
    web = ([STATION] if file.web_payment.shared else chosen) if file.web_payment.dynamic and chosen else []
    choices = limit_choices(file.web_payment)
    limits = {web_limit_part(n, name) for n in web for name in (*choices, *([""] if choices else []))}
    return {qr_code_part(n) for n in shown} | {web_payment_part(n) for n in web} | limits


def _set_code_urls(file: StationFile, settings: Settings) -> None:
    for e in file.evses:
        if e.qr_url and e.number <= OUTLETS_MOST and not settings.text_value(f"qr{e.number}_url"):
            settings.put_value(f"qr{e.number}_url", e.qr_url)


def _wrong_codes(file: StationFile, settings: Settings) -> list[str]:
    hosts, numbers = file.web_payment.allowed_hosts, range(OUTLETS_MOST + 1)
    urls = {"station.qr_url": file.station.qr_url} | {f"evse[{e.number}].qr_url": e.qr_url for e in file.evses}
    urls |= {f"settings.qr{n}_url": settings.text_value(f"qr{n}_url") for n in numbers if n}
    wrong = [f"{k}: {p}" for k, url in urls.items() if url and (p := address_problem(url, hosts))]
    receipt = settings.text_value("receipt_url")
    if receipt and (problem := receipt_problem(receipt, hosts)):
        wrong.append(f"settings.receipt_url: {problem}")
    templates = {f"settings.web{n}_template": settings.text_value(f"web{n}_template") for n in numbers}
    wrong += [f"{k}: {p}" for k, t in templates.items() if t and (p := template_problem(t, hosts))]
    if file.web_payment.dynamic and not file.web_payment.shared and len(file.evses) > OUTLETS_MOST:
        wrong.append(f"web_payment: more than {OUTLETS_MOST} EVSEs need shared = true")
    if strange := sorted(set(file.web_payment.evses) - {e.number for e in file.evses}):
        wrong.append(f"web_payment.evses: there is no EVSE {', '.join(map(str, strange))}")
    if file.web_payment.evses and file.web_payment.shared:
        wrong.append("web_payment: evses names outlets, shared = true sets up none of them; remove one of the two")
    return wrong


def _limits_transactions(file: StationFile) -> bool:
    """Return whether the backend that authorizes may limit a transaction."""
    spoken = (backend_and_dialects(file, b)["dialects"] for b in file.backends[:1])
    return any(dialect.limits_transactions for dialects in spoken for dialect in dialects)


def _wrong_driver_inputs(file: StationFile) -> list[str]:
    """Return what is missing where drivers are to choose limits or to enter VAT numbers."""
    web = file.web_payment
    used = [f"web_payment.{name}" for name in ("max_energy_kwh", "max_time_min", "max_cost") if getattr(web, name)]
    wrong = [f"{key}: needs dynamic = true: it is part of a one-time code" for key in used if not web.dynamic]
    if (file.payment or {}).get("vat_numbers") is True:
        used.append("payment.vat_numbers")
    if not used:
        return []
    missing = {
        "[buttons]: drivers use them": "buttons" in file.devices,
        "a first backend of OCPP 2.1": not file.backends or _limits_transactions(file),
    }
    return wrong + [f"{key}: needs {what}" for what, there in missing.items() if not there for key in used]


def backend_config(b: Backend) -> BackendConfig:
    """Return what the station file says about a backend."""
    password = bool(b.password or b.password_file)
    return BackendConfig(b.url, b.security_profile, password, b.client_cert is not None)


def unusable_certificates(file: StationFile) -> list[str]:
    """Return complaints about certificate files that TLS cannot use. A station with such a file does not connect."""
    from agent.ocpp.transport import tls

    wrong = []
    for b in (b for b in file.backends if b.security_profile >= 2 or b.ca is not None):
        try:
            tls.build_context(b)
        except OSError as e:
            wrong.append(f"{file.path}: backend {b.name}: ca, crl, client_cert, client_key: not usable ({e})")
    for b in (b for b in file.backends if b.soap_tls):
        from agent.ocpp.transport.ocpp_s.port_security import make_port_context

        try:
            make_port_context(b)
        except (OSError, ValueError) as e:
            wrong.append(f"{file.path}: backend {b.name}: client_cert, client_key, soap_client_ca: not usable ({e})")
    for b in file.backends:
        for key, path in (("ca", b.ca), ("manufacturer_ca", b.manufacturer_ca)):
            wrong += [f"{file.path}: backend {b.name}: {key}: {path}: {why}" for why in _weak_roots(path)]
    return wrong + _unusable_tariff_keys(file)


def _unusable_tariff_keys(file: StationFile) -> list[str]:
    if (keys := tariff_keys(file)) is None:
        return []
    from agent.services.keys.tariff_signature import UntrustedTariff, load_trusted_keys

    try:
        load_trusted_keys(keys)
    except UntrustedTariff as e:
        return [f"{file.path}: tariff.signed_by: {e}; no tariff file would be taken"]
    return []


def _weak_roots(path: Path | None) -> list[str]:
    """Return what is wrong with the keys of these roots. A file that cannot be read is reported elsewhere."""
    from agent.services.keys import x509_certificates

    try:
        roots = x509_certificates.read_certificates(path.read_bytes()) if path is not None else []
    except (OSError, ValueError):
        return []
    found = [(n, x509_certificates.key_problem(root)) for n, root in enumerate(roots, 1)]
    return [f"certificate {n} {why}: use another root" for n, why in found if why]


def _bearer_parts(file: StationFile) -> set[str]:
    """Return the parts that the bearers are, and their SIMs."""
    if not file.bearers or any(keys.kind not in BEARER_KINDS for keys in file.bearers.values()):
        return set()  # a wrong kind is reported by the parser
    from agent.domain.bearers import ocpp_interfaces
    from agent.domain.variables import data_link_part

    names = ocpp_interfaces(bearer_configs(file))
    sims = {data_link_part(names[place], has_sim=True) for place, keys in file.bearers.items() if keys.kind == "gprs"}
    return {data_link_part(name) for name in names.values()} | sims


def bearer_configs(file: StationFile) -> tuple[BearerConfig, ...]:
    """Return what the station file says of each bearer, in order of preference."""
    if not file.bearers:
        return ()
    from agent.domain.bearers import BearerConfig
    from agent.model.bearer import BearerKind
    from agent.model.pin_mark import make_former_pin_mark, make_pin_mark

    pins = {place: file.devices[place].options.get("pin", "") for place in file.bearers}
    return tuple(
        BearerConfig(
            place,
            BearerKind(keys.kind),
            keys.iccid,
            make_pin_mark(pins[place]),
            keys.pin_confirmed,
            _make_table_mark(keys, file.devices[place].options),
            make_former_pin_mark(pins[place], keys.pin_confirmed),
        )
        for place, keys in file.bearers.items()
    )


def _make_table_mark(keys: BearerKeys, options: Mapping[str, Any]) -> str:
    """Return a check sum of what a network profile may replace, and of the SIM. Another order of the tables is another
    meaning of ``Wireless0``, and shows by the order of the marks."""
    import hashlib

    names = ("pin", "apn", "username", "password", "auth", "operator")
    values = [keys.kind, keys.iccid, *(str(options.get(name, "")) for name in names)]
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def power_times(file: StationFile) -> dict[str, Any]:
    times = file.power_times
    return {} if times is None else {"mains_hold_s": times.hold_s, "backup_s": times.backup_s}


PLAUSIBLE_TIMES = 10
"""An external limit above so many times what all outlets can draw is no limit of this station."""


def external_limit_config(file: StationFile) -> ExternalLimitConfig | None:
    """Return what the file says of the limit of an energy manager; None: there is no energy manager."""
    if file.energy_manager is None:
        return None
    from agent.domain.charging.external_limit import ExternalLimitConfig, SilencePolicy
    from agent.domain.charging.profiles import Unit

    keys, unit = file.energy_manager, Unit(file.energy_manager.rate_unit)
    outlets = (e.phase_a(NOMINAL_V) * (e.phases * NOMINAL_V if unit is Unit.W else 1) for e in file.evses)
    return ExternalLimitConfig(
        unit,
        keys.source,
        keys.silent_s,
        SilencePolicy(keys.on_silence),
        keys.fallback,
        PLAUSIBLE_TIMES * sum(outlets),
        frozenset(b.name for b in file.backends if _reports_rates(file, b)),
    )


def _reports_rates(file: StationFile, backend: Backend) -> bool:
    """Return whether a version of this backend has a message for a changed charging rate."""
    from agent.domain.messages import TransactionUpdated
    from agent.ocpp.dialects.dialect import MessageRow

    try:
        dialects = backend_and_dialects(file, backend)["dialects"]
    except SettingsError:
        return False  # reported elsewhere
    return any(isinstance(dialect.message_row(TransactionUpdated), MessageRow) for dialect in dialects)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def initial_offers(file: StationFile) -> Mapping[EvseId, AdhocTariff]:
    """Return the ad-hoc prices of the file. Raises ``SettingsError``."""
    if file.tariff is None and all(e.tariff is None for e in file.evses):
        return {}
    from agent.station_file.tariff import adhoc_tariffs

    wrong: list[str] = []
    made = adhoc_tariffs(file, wrong)
    if wrong:
        raise SettingsError([f"{file.path}: {w}" for w in wrong])
    return made


def initial_terms(file: StationFile) -> PaymentTerms | None:
    """Return the terms of payment with a bank card. Raises ``SettingsError``."""
    if file.payment is None:
        return None
    from agent.station_file.payment import payment_terms

    wrong: list[str] = []
    made = payment_terms(file, wrong)
    if wrong:
        raise SettingsError([f"{file.path}: {w}" for w in wrong])
    return made


def shared_terminal_complaints(file: StationFile) -> list[str]:
    """Return complaints about the tables of a payment master or a satellite, and about their certificates."""
    if file.payment_master is None and file.payment_satellite is None:
        return []
    from agent.services.satellites.shared_tls import certificate_problem
    from agent.station_file.satellites import shared_terminal_problems

    found = shared_terminal_problems(file)
    for where, table in (("payment.master", file.payment_master), ("payment.satellite", file.payment_satellite)):
        if table is not None and (said := certificate_problem(table.certificate, table.key, table.ca)):
            found.append(f"{where}.certificate: {said}")
    return [f"{file.path}: {problem}" for problem in found]


def startup_payment_terms(file: StationFile, facts: Mapping[str, Mapping[str, Any]]) -> PaymentTerms | None:
    """Return the payment terms of a station that starts.

    Payments on disk are finished and reported even if the file no longer has a ``[payment]`` table. Raises
    ``SettingsError``.
    """
    kept = facts.get("payment", {})
    aside = facts.get("poisoned", {}).items()
    unread = any(key.startswith("payment/") and not record.get("reviewed") for key, record in aside)
    if file.payment is not None or not (kept or unread):
        return initial_terms(file)
    from agent.station_file.payment import remaining_terms

    return remaining_terms(file)


def stranded_payments(file: StationFile, facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return complaints about terminals that are no longer in the file while they hold money."""
    if not facts.get("payment"):
        return []
    from agent.station_file.payment import stranded_payments

    waiting = len(stranded_payments(facts["payment"], file))
    many = "1 payment is" if waiting == 1 else f"{waiting} payments are"
    said = f"{file.path}: {many} unfinished and the terminal is not in the file any more: put it back, or look at them"
    return [f"{said} (chargy-agent payments list)"] if waiting else []


def unusable_terminals(file: StationFile) -> list[str]:
    """Return complaints about useless terminals and about outlets that lack one.

    A terminal is useless if it would never wait for a card, or would sell nothing with it. A station still runs with
    such a file and does what it can.
    """
    sells = file.tariff is not None or any(e.tariff for e in file.evses)
    if not sells and not any("terminal" in d for d in file.all_devices):
        return []
    from agent.station_file.payment import meters_without_class, uncovered_holds, unused_terminals
    from agent.station_file.tariff import adhoc_tariffs, without_a_terminal

    made = adhoc_tariffs(file, [])
    found = (
        *unused_terminals(file),
        *meters_without_class(file),
        *uncovered_holds(file, made),
        *without_a_terminal(file, made),
    )
    return [f"{file.path}: {problem}" for problem in found]


def wall_clock(file: StationFile, facts: Mapping[str, Any] = MappingProxyType({})) -> Callable[[float], LocalOffset]:
    """Return the station's time zone as a function for the domain, which has no time zones.

    A station with prices, or with payments on disk, needs it: its zone is loaded here, because a call of the domain
    reads no file.
    """
    from agent.ports.zone import next_offset_change, preload_time_zone

    tariffs = (file.tariff, *(e.tariff for e in file.evses))
    if file.payment is not None or any(t is not None for t in tariffs) or facts.get("payment"):
        preload_time_zone(file.station.timezone)
    return lambda utc_s: LocalOffset(*next_offset_change(utc_s, file.station.timezone))


def initial_state(
    file: StationFile,
    facts: Mapping[str, Mapping[str, Any]],
    collaborators: Collaborators,
    clock_rate: float,
    boot_reason: str,
) -> StationState:
    """Return the state of a station that starts. Raises ``SettingsError``."""
    station, settings = file.station, initial_settings(file)
    terms = startup_payment_terms(file, facts)
    if terms is not None and terms.amount_cents:
        _set_payment_amount(settings, terms)
    evses = initial_evses(file, float(settings.int_value("nominal_voltage_v")))
    dialects = [backend_and_dialects(file, b)["dialects"] for b in file.backends]
    config = StationConfig(
        links=tuple(b.name for b in file.backends),
        backends={b.name: backend_config(b) for b in file.backends},
        io_s=max(1.0, clock_rate),
        feed_a=station.max_a,
        external_limit=external_limit_config(file),
        **power_times(file),
        free_vending=station.free_vending,
        resume_within_s=station.resume_within_s,
        languages=station.languages,
        number=station.number or station.id,
        hotline=station.hotline,
        price_line=station.price_line,
        qr_url=station.qr_url,
        web_payment=web_plan(file),
        payment_terms=terms,
        satellites=_served_satellites(file, facts),
        is_satellite=file.payment_satellite is not None,
        informs_sinks=bool(file.sinks),
        settlement_links=_settlement_links(file, settings.text_value("settlement_vendor_id")),
        takes_tariffs=TARIFFS in settings.fitted,
        tariff_station=station.id if TARIFF_FILES in settings.fitted else "",
        limits_transactions=any(d.limits_transactions for spoken in dialects[:1] for d in spoken),
        reports_variables=any(_reports_variables(d) for spoken in dialects for d in spoken),
        bearers=bearer_configs(file),
        data_plan=_data_plan(file),
        sells_without_contract=any(evse.config.offer is not None for evse in evses.values()),
        has_display=any("display" in devices for devices in file.all_devices),
        has_updater="updater" in file.devices,
        program_version=__version__,
        boot_reason=boot_reason,
    )
    return StationState(
        evses=evses,
        settings=settings,
        config=config,
        collaborators=collaborators,
        language=station.languages[0] if station.languages else "en",
    )


def _reports_variables(dialect: Dialect) -> bool:
    rows = (dialect.request_row(action) for action in ("SetVariableMonitoring", "CustomerInformation"))
    return any(isinstance(row, RequestRow) for row in rows)


def _takes_tariffs(file: StationFile, spoken: Sequence[Dialect]) -> bool:
    """Return whether a backend may set tariffs: where costs are shown. Where the station file has a price of its own,
    it may not: that price is on the label and on the screen."""
    tariffs = (file.tariff, *(e.tariff for e in file.evses))
    if not file.settings.get("cost_display") or file.payment is not None or any(t is not None for t in tariffs):
        return False
    return any(dialect.takes_tariffs for dialect in spoken)


def _served_satellites(file: StationFile, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[EvseId, ...]]:
    """Return the satellites of a payment master, and which numbers their outlets have at its terminal. A payment on
    disk for a satellite that is no longer in the file is brought to its end."""
    before: dict[str, tuple[EvseId, ...]] = {
        str(record["satellite"]): () for record in facts.get("payment", {}).values() if record.get("satellite")
    }
    if file.payment_master is None:
        return before
    from agent.station_file.satellites import satellite_numbers

    return before | satellite_numbers(file, [])


def _set_payment_amount(settings: Settings, terms: PaymentTerms) -> None:
    """Set the amounts of the station file, for a backend to read. What a backend has set comes with the facts."""
    from agent.domain.payment import format_cents

    given = {"payment_amount": terms.amount_cents}
    if terms.raise_cents:
        given |= {"payment_increment": terms.raise_cents, "payment_increment_threshold": 0}
    for name, cents in given.items():
        settings.put_value(name, settings.text_value(name) or format_cents(cents))


def _settlement_links(file: StationFile, vendor: str) -> tuple[str, ...]:
    """Return the backends that have a version with a message about the money of a card. One that travels by
    DataTransfer is sent only under the agreed ``vendor``."""
    if file.payment is None and file.payment_satellite is None:
        return ()
    from agent.domain.messages import SettlementReported
    from agent.ocpp.dialects.dialect import MessageRow

    spoken = {b.name: backend_and_dialects(file, b)["dialects"] for b in file.backends}
    return tuple(
        name
        for name, dialects in spoken.items()
        if any(
            isinstance(row := d.message_row(SettlementReported), MessageRow)
            and (vendor or row.action != "DataTransfer")
            for d in dialects
        )
    )


def domain_collaborators(
    file: StationFile,
    facts: Mapping[str, Any],
    roots: RootCounts,
    links: Callable[[], Mapping[str, Link]],
    queued_count: Callable[[str], int] = lambda link: 0,
) -> Collaborators:
    """Return what the domain may ask of the rest of the program. ``links``: to the backends, the first one first."""
    return Collaborators(
        new_id=new_session_id,
        local_offset=wall_clock(file, facts),
        max_token_length=lambda: next((link.max_token_length for link in links().values()), 36),
        can_csms_settle=lambda: next((link.can_csms_settle for link in links().values()), False),
        has_open_exchange=lambda: any(link.has_open_exchange for link in links().values()),
        count_queued_messages=lambda: sum(queued_count(backend.name) for backend in file.backends),
        count_trusted_roots=lambda: roots.all_roots,
        count_csms_roots=lambda: roots.csms_roots,
    )


def new_session_id() -> str:
    """Return a random UUID (2.x transaction ids have at most 36 characters)."""
    text = os.urandom(16).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def initial_evses(file: StationFile, nominal_v: float = NOMINAL_V) -> dict[EvseId, EvseRecord]:
    """Return the EVSEs of the file in their initial state. Raises ``SettingsError``."""
    offers = initial_offers(file)
    return {
        e.number: EvseRecord(
            e.number,
            EvseConfig(
                max_a=e.phase_a(nominal_v),
                phases=e.phases,
                nominal_v=nominal_v,
                efficiency=e.efficiency if e.is_dc else 1.0,
                rotation=e.phase_rotation,
                dc=e.is_dc,
                bay_sensor=e.bay_sensor,
                offer=offers.get(e.number),
            ),
            traits=EvseTraits(tethered=e.outlet == "tethered"),
            metering=Metering(MeterWatch(file.meter_policies.get(e.number, MeterPolicy()))),
        )
        for e in file.evses
    }


def record_signing(
    file: StationFile, facts: Mapping[str, Mapping[str, Any]]
) -> Callable[[Sequence[Order]], Sequence[Order]]:
    """Return the step of the engine that signs OCMF records with the station's key.

    The key is made or loaded on first use, by the first order that names a bill.
    """
    made = facts.get("ocmf", {}).get("made", {}).get("number", 0)
    steps: list[Callable[[Sequence[Order]], Sequence[Order]]] = []

    def sign_records(orders: Sequence[Order]) -> Sequence[Order]:
        if not steps:
            from agent.services.keys.ocmf_signer import OcmfSigner
            from agent.services.keys.record_signing import RecordSigning

            signer = OcmfSigner(file.station.state_dir / "ocmf.key")
            steps.append(RecordSigning(signer, made if type(made) is int else 0).complete_orders)
        return steps[0](orders)

    return sign_records
