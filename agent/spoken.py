"""How each backend of the station file is dialled and spoken to: its versions, and its quirks."""

from __future__ import annotations

from typing import Any

from agent.ocpp.dialect import Dialect, In
from agent.ocpp.versions import dialects
from agent.settings import Backend, SettingsError, StationFile


def spoken_to(file: StationFile, backend: Backend) -> dict[str, Any]:
    """``backend`` and ``dialects`` for its link. Raises ``SettingsError``, and ``ValueError`` for versions that nobody
    speaks."""
    spoken = dialects(backend.versions, file.station.features_off)
    if backend.scope == "billing" or backend is not file.backends[0]:
        spoken = _narrowed(file, backend, spoken)
    if not backend.quirks:
        return {"backend": backend, "dialects": spoken}
    from agent.ocpp import quirks
    from agent.services.devices import config_dirs

    try:
        values = quirks.load(backend.quirks, config_dirs(file))
    except quirks.WrongQuirks as e:
        raise SettingsError([f"{file.path}: backend {backend.name}: {p}" for p in e.problems]) from None
    made, altered = quirks.applied(values, backend, spoken)
    return {"backend": made, "dialects": altered}


def _narrowed(file: StationFile, backend: Backend, spoken: tuple[Dialect, ...]) -> tuple[Dialect, ...]:
    """Before the quirks: these only say the same otherwise."""
    from agent.ocpp import scope

    if unknown := set(backend.calls) - {r.action for d in spoken for r in d.rows if isinstance(r, In)}:
        problem = f"{file.path}: backend {backend.name}: calls: no such call is offered: {', '.join(sorted(unknown))}"
        raise SettingsError([problem])
    if backend.scope == "billing":
        spoken = tuple(map(scope.billing, spoken))
    return spoken if backend is file.backends[0] else tuple(scope.looking_on(d, backend.calls) for d in spoken)
