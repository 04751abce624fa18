"""The OCPP versions, the quirks and the transports of each backend of the station file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.ocpp import versions
from agent.ocpp.dialects.dialect import Dialect, FixedAnswer, RequestRow
from agent.ocpp.transport import families
from agent.station_file.settings import Backend, SettingsError, StationFile


def backend_and_dialects(file: StationFile, backend: Backend) -> dict[str, Any]:
    """Return ``backend`` and ``dialects`` for the link of a backend. Raises ``SettingsError`` with all mistakes."""
    wrong: list[str] = []
    spoken: tuple[Dialect, ...] = ()
    try:
        spoken = versions.build_dialects(backend.versions, file.station.features_off, _installed_versions)
        wrong += [f"{file.path}: station.vendor: {p}" for p in _vendor_problems(spoken, file.station.vendor)]
        wrong += [f"{file.path}: backend {backend.name}: {p}" for p in _wire_problems(spoken, backend)]
        if backend.scope == "billing" or backend is not file.backends[0]:
            spoken = _limit_scope(file, backend, spoken)
    except ValueError as e:
        wrong.append(f"{file.path}: backend {backend.name}: versions: {e}")
    except SettingsError as e:
        wrong += e.problems
    made, altered = _with_quirks(file, backend, spoken, wrong) if backend.quirks else (backend, spoken)
    if wrong:
        raise SettingsError(wrong)
    return {"backend": made, "dialects": altered}


def version_complaints(file: StationFile) -> list[str]:
    """Return a line for each version that a backend does without, because it cannot be loaded."""
    wrong: list[str] = []
    for backend in file.backends:
        try:
            dialects, broken = versions.load_dialects(backend.versions, (), _installed_versions)
        except ValueError:
            continue  # reported by ``backend_and_dialects``
        wrong += [f"{file.path}: backend {backend.name}: versions: {line}" for line in broken if dialects]
        if said := _soap_packages_problem(backend):
            wrong.append(f"{file.path}: backend {backend.name}: url: {said}")
    return wrong


def _wire_problems(spoken: Sequence[Dialect], backend: Backend) -> Iterator[str]:
    """Yield what is wrong between the versions of a backend and its addresses."""
    is_soap = backend.is_soap_url or bool(backend.soap_url)
    if is_soap and not any(d.soap for d in spoken):
        key = "soap_url" if backend.soap_url else "url"
        yield f"{key}: none of the versions {', '.join(backend.versions)} is spoken over SOAP here: check both"
    if backend.url and not is_soap and not any(d.subprotocol for d in spoken):
        yield (
            f"versions: OCPP {', '.join(backend.versions)} is spoken over SOAP only: give soap_url an http:// address"
        )
    if is_soap and backend.is_soap_url and any(not d.soap for d in spoken) and any(d.soap for d in spoken):
        named = ", ".join(d.name for d in spoken if not d.soap)
        yield f"url: OCPP {named} needs a WebSocket: use a ws:// address here, and soap_url for the others"


def _soap_packages_problem(backend: Backend) -> str:
    """Return which package is missing that a SOAP address needs; "": none."""
    if not backend.soap_url and not backend.is_soap_url:
        return ""
    from agent.ports.driver import missing_module

    return missing_module(("aiohttp", "defusedxml"), "chargy-agent[soap]")


def _installed_versions() -> Mapping[str, str]:
    """Return the packages of the versions that other distributions add."""
    return _entry_points(versions.GROUP)


def installed_transports() -> Mapping[str, str]:
    """Return the transports that other distributions add, by the scheme of their addresses."""
    return _entry_points(families.GROUP)


def _entry_points(group: str) -> Mapping[str, str]:
    from agent.model.entry_points import list_entry_points

    return dict(list_entry_points(group))


def _vendor_problems(spoken: Sequence[Dialect], vendor: str) -> list[str]:
    """Return what is wrong with the name of the vendor in the first of these versions that has no room for it."""
    short = [(d.name, d.vendor_length_max) for d in spoken if len(vendor) > (d.vendor_length_max or len(vendor))]
    return [
        f"must have at most {most} characters with OCPP {version}, has {len(vendor)}: {vendor!r}"
        for version, most in short[:1]
    ]


def _with_quirks(
    file: StationFile, backend: Backend, spoken: tuple[Dialect, ...], wrong: list[str]
) -> tuple[Backend, tuple[Dialect, ...]]:
    from agent.ocpp.dialects import quirks
    from agent.services.devices.configured import config_dirs

    try:
        return quirks.apply_quirks(quirks.load_profile(backend.quirks, config_dirs(file)), backend, spoken)
    except quirks.WrongQuirks as e:
        wrong += [f"{file.path}: backend {backend.name}: {p}" for p in e.problems]
        return backend, spoken


def _limit_scope(file: StationFile, backend: Backend, spoken: tuple[Dialect, ...]) -> tuple[Dialect, ...]:
    """Limit the messages to the scope of the backend. This comes before the quirks, which only change the form."""
    from agent.ocpp.dialects import billing_scope

    if unknown := set(backend.calls) - {
        r.action for d in spoken for r in d.rows if isinstance(r, RequestRow | FixedAnswer)
    }:
        problem = f"{file.path}: backend {backend.name}: calls: no such call is offered: {', '.join(sorted(unknown))}"
        raise SettingsError([problem])
    if backend.scope == "billing":
        spoken = tuple(map(billing_scope.billing_only, spoken))
    return (
        spoken if backend is file.backends[0] else tuple(billing_scope.restrict_calls(d, backend.calls) for d in spoken)
    )
