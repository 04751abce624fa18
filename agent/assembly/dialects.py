"""The OCPP versions and the quirks of each backend of the station file."""

from __future__ import annotations

from typing import Any

from agent.ocpp.dialects.dialect import Dialect, In
from agent.ocpp.versions import build_dialects
from agent.station_file.settings import Backend, SettingsError, StationFile


def backend_and_dialects(file: StationFile, backend: Backend) -> dict[str, Any]:
    """Return ``backend`` and ``dialects`` for the link of a backend. Raises ``SettingsError`` with all mistakes."""
    wrong: list[str] = []
    spoken: tuple[Dialect, ...] = ()
    try:
        spoken = build_dialects(backend.versions, file.station.features_off)
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

    if unknown := set(backend.calls) - {r.action for d in spoken for r in d.rows if isinstance(r, In)}:
        problem = f"{file.path}: backend {backend.name}: calls: no such call is offered: {', '.join(sorted(unknown))}"
        raise SettingsError([problem])
    if backend.scope == "billing":
        spoken = tuple(map(billing_scope.billing_only, spoken))
    return (
        spoken if backend is file.backends[0] else tuple(billing_scope.restrict_calls(d, backend.calls) for d in spoken)
    )
