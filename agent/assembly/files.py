"""Connect the file transfers of a station: what they may fetch and send, and from where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from agent.domain.certificates import CertificateUse
from agent.domain.events import Event
from agent.domain.evse import StationState
from agent.domain.orders import SendLog
from agent.services.clock import Clock
from agent.services.engine import Engine
from agent.services.files.orders import FileOrders
from agent.services.keys.key_store import KeyStore, NamedFiles
from agent.services.keys.orders import KeyOrders
from agent.services.logs.buffer import LogRing
from agent.services.logs.masking import LogMask
from agent.services.status import StatusSocket
from agent.services.store.store import Store
from agent.station_file.settings import StationFile

UPDATER_FIRST_S = 10.0
"""Time that BootNotification waits after an update for the updater to report the version that runs."""


class Station(Protocol):
    """The part of a station that is needed here."""

    file: StationFile
    store: Store
    engine: Engine
    status: StatusSocket
    ring: LogRing
    site: StationState
    clock: Clock
    mask: LogMask
    keys: KeyOrders

    def status_snapshot(self) -> dict[str, Any]: ...


def files_of(station: Station) -> FileOrders:
    file = station.file
    folder = file.station.state_dir / "files"
    ca = next((b.ca for b in file.backends if b.ca is not None), None)

    def diagnostics_parts(order: SendLog) -> Callable[[], Mapping[str, bytes]]:
        from agent.assembly.diagnostics import Diagnostics

        made = Diagnostics(
            file,
            station.site.settings,
            station.ring,
            lambda: station.status.frame_lines,
            station.status_snapshot,
            station.store.usage_summary,
            lambda: security_log(station.site, station.clock),
            lambda: station.clock.now().utc_s,
        ).collect_parts(order)
        # free text of a backend (error descriptions, messages to the driver) repeats tokens where no name says so
        return lambda: {name: station.mask.mask_text(content.decode()).encode() for name, content in made().items()}

    def manufacturer_roots() -> list[bytes]:
        """Return the installed roots and those of the station file."""
        return [pem.encode() for pem in station.keys.pki.trusted_pems(CertificateUse.MANUFACTURER_ROOT)]

    def post_event(event: Event) -> None:
        station.engine.post_event(event)

    return FileOrders(folder, post_event, diagnostics_parts, manufacturer_roots, ca)


def key_store_of(file: StationFile) -> KeyStore:
    """Return the keys and certificates. Roots of the station file are trusted beside the installed ones."""
    csms = [(CertificateUse.CSMS_ROOT, b.ca) for b in file.backends if b.ca is not None]
    manufacturer = [
        (CertificateUse.MANUFACTURER_ROOT, b.manufacturer_ca) for b in file.backends if b.manufacturer_ca is not None
    ]
    own = tuple(b.client_cert for b in file.backends if b.client_cert is not None)
    return KeyStore(file.station.state_dir / "pki", NamedFiles((*csms, *manufacturer), own))


def keys_of(station: Station, pki: KeyStore) -> KeyOrders:
    return KeyOrders(pki, station.engine.post_event, station.file.station.serial or station.file.station.id)


def security_log(site: StationState, clock: Clock) -> list[dict[str, Any]]:
    """Return the stored security events, oldest first."""
    return [
        {"utc_s": round(clock.utc_s(n.at), 3), "kind": n.kind, "info": n.info, "link": n.link}
        for n in tuple(site.security.records)
    ]


Facts: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]


def last_version(facts: Facts) -> str:
    """Return the firmware version that the updater reported last."""
    return str(facts.get("firmware", {}).get("version", {}).get("version", ""))


def booting_firmware(facts: Facts) -> bool:
    """Return whether the board was booted to try new firmware."""
    return facts.get("firmware", {}).get("job", {}).get("phase") == "booting"
