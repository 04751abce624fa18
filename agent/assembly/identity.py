"""What a station is to its backends: the identity in BootNotification, and the password of each backend."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from agent import __version__
from agent.domain.evse import StationState
from agent.domain.metrology import identity_from_record
from agent.model import secret_file
from agent.ocpp.dialects.dialect import Identity
from agent.services.devices.dispatch import OrderDispatch
from agent.services.devices.supervisor import MeterSupervisor
from agent.services.logs.masking import LogMask
from agent.station_file.settings import Backend, StationFile

log = logging.getLogger(__name__)


class IdentitySource:
    """Makes the identity from the station file and from what the devices report."""

    def __init__(
        self, file: StationFile, site: StationState, dispatch: OrderDispatch, facts: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._file, self._site, self._dispatch = file, site, dispatch
        self._known_meter = facts.get("meter", {}).get("1", {})
        self._known_version = str(facts.get("firmware", {}).get("version", {}).get("version", ""))

    def current_identity(self) -> Identity:
        """Return the identity for BootNotification. Until the meter has been read, its last known identity is used."""
        station = self._file.station
        meters = (s.identity for s in self._dispatch.supervisors_of(MeterSupervisor) if s.identity)
        meter = next(meters, None) or identity_from_record(self._known_meter)
        return Identity(
            vendor=station.vendor,
            model=station.model,
            serial=station.serial or station.id,
            firmware=self._firmware_version(),
            meter_serial=meter.serial,
            meter_type=meter.model,
            organisation=self._site.settings.text_value("cpo_name"),
            boot_reason=self._site.config.boot_reason,
            **self._sim_numbers(),
        )

    def _sim_numbers(self) -> dict[str, str]:
        """Return ICCID and IMSI of the bearer in use, otherwise of the first one with a SIM."""
        sims = self._site.sims
        sim = sims.get(self._site.bearer_in_use) or next(iter(sims.values()), None)
        return {"iccid": sim.iccid, "imsi": sim.imsi} if sim is not None else {}

    def _updater_versions(self) -> Iterator[str | None]:
        from agent.services.devices.updater import UpdaterSupervisor

        return (s.version for s in self._dispatch.supervisors_of(UpdaterSupervisor))

    def _firmware_version(self) -> str:
        """Return the version that the updater reports now or has reported, that of the station file, or our own."""
        versions = self._updater_versions() if "updater" in self._file.devices else ()
        reported = next((version for version in versions if version is not None), self._known_version)
        return reported or self._file.station.firmware_version or __version__


def learn_backend_secrets(file: StationFile, mask: LogMask) -> None:
    """Mask the passwords of the station file, and what a caller of the own port must send. What is wrong with a file is
    said where it is used."""
    for backend in file.backends:
        mask.learn_secret(backend.password)
        mask.learn_secret(backend.soap_password)
        if backend.soap_password_file is not None:
            with contextlib.suppress(secret_file.Unfit):
                mask.learn_secret(secret_file.read_secret_text(backend.soap_password_file, is_private=False))


def backend_password(backend: Backend, mask: LogMask) -> str | None:
    """Return the password of the station file. The link itself knows one that its backend has set since."""
    if backend.password_file is not None:
        try:
            text = secret_file.read_secret_text(backend.password_file, is_private=False)
            mask.learn_secret(text)
            return text
        except secret_file.Unfit as e:
            log.error("backend %s: password_file %s: %s", backend.name, backend.password_file, e)
    return backend.password or None
