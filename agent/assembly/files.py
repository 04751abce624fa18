"""Connect the file transfers of a station: what they may fetch and send, and from where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from agent.domain.certificates import CertificateUse
from agent.domain.events import Event
from agent.domain.evse import StationState
from agent.domain.orders import (
    CheckFirmware,
    DropFirmware,
    DropLog,
    FetchFirmware,
    FetchTariffFile,
    JudgeSigner,
    SendLog,
)
from agent.services.clock import Clock
from agent.services.devices.dispatch import LateExecutor
from agent.services.keys.key_store import KeyStore, NamedFiles
from agent.services.ordered_jobs import BeginTask
from agent.station_file.settings import StationFile

if TYPE_CHECKING:
    from agent.services.files.orders import CollectParts, FileOrders
    from agent.services.files.tariff_files import TariffTopics
    from agent.services.files.transfer.progress import Connect
    from agent.services.sinks.sinks import Sinks

FILE_ORDERS = (JudgeSigner, FetchFirmware, CheckFirmware, DropFirmware, SendLog, DropLog, FetchTariffFile)
"""The orders that ``FileOrders`` carries out. It is loaded with the first one."""
UPDATER_FIRST_S = 10.0
"""Time that BootNotification waits after an update for the updater to report the version that runs."""


Facts: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]


def late_file_orders(
    file: StationFile,
    collect_parts: CollectParts,
    key_store: KeyStore,
    post_event: Callable[[Event], None],
    begin: BeginTask,
    site: StationState,
) -> LateExecutor:
    """Return what makes the executor of file transfers (``file_orders``) for the first order."""

    def made_orders() -> FileOrders:
        from agent.assembly.bearers import interface_of_links  # ``check`` needs no links

        return file_orders(file, collect_parts, key_store, post_event, begin, lambda: interface_of_links(site))

    return LateExecutor(FILE_ORDERS, made_orders)


def file_orders(
    file: StationFile,
    collect_parts: CollectParts,
    key_store: KeyStore,
    post_event: Callable[[Event], None],
    begin: BeginTask,
    interface: Callable[[], str] = lambda: "",
) -> FileOrders:
    """Return the executor of file transfers. ``collect_parts`` collects what a diagnostics archive holds.
    ``interface``: over which a transfer that begins now goes; "": the routes of the kernel decide."""
    from agent.services.files.orders import FileOrders

    def manufacturer_roots() -> list[bytes]:
        """Return the installed roots and those of the station file."""
        return [pem.encode() for pem in key_store.trusted_pems(CertificateUse.MANUFACTURER_ROOT)]

    def route_of_bearer() -> Connect | None:
        from agent.ocpp.transport.bound_socket import connect_preferably_through

        return partial(connect_preferably_through, in_use) if (in_use := interface()) else None

    folder, keys = _file_folder(file), tariff_keys(file)
    ca = next((b.ca for b in file.backends if b.ca is not None), None)
    return FileOrders(folder, post_event, collect_parts, manufacturer_roots, ca, begin, keys, route_of_bearer)


def firmware_image(file: StationFile) -> Path:
    """Return the file that an updater installs."""
    from agent.services.files.orders import IMAGE

    return _file_folder(file) / IMAGE


def _file_folder(file: StationFile) -> Path:
    return file.station.state_dir / "files"


def tariff_keys(file: StationFile) -> Path | None:
    """Return the PEM file of the keys that may sign tariff files; None: the station takes none."""
    if not isinstance(file.tariff, Mapping) or "signed_by" not in file.tariff:
        return None
    return file.path.parent / str(file.tariff["signed_by"])


def tariff_topics(
    file: StationFile,
    post_event: Callable[[Event], None],
    begin: BeginTask,
    find_sinks: Callable[[], Sinks | None],
) -> tuple[TariffTopics, ...]:
    """Return what takes tariff files from the topics of sinks, where a sink is to do that. ``find_sinks``: returns
    None until they run."""
    keys = tariff_keys(file)
    if keys is None or not any(table.tariffs for table in file.sinks):
        return ()
    from agent.services.files.tariff_files import TariffTopics

    def send_line(name: str, kind: str, line: str) -> None:
        if (sinks := find_sinks()) is not None:
            sinks.send_line(name, kind, line)

    return (TariffTopics(keys, post_event, begin, send_line),)


def key_store_of(file: StationFile) -> KeyStore:
    """Return the keys and certificates. Roots of the station file are trusted beside the installed ones."""
    csms = [(CertificateUse.CSMS_ROOT, b.ca) for b in file.backends if b.ca is not None]
    manufacturer = [
        (CertificateUse.MANUFACTURER_ROOT, b.manufacturer_ca) for b in file.backends if b.manufacturer_ca is not None
    ]
    own = tuple(b.client_cert for b in file.backends if b.client_cert is not None)
    return KeyStore(file.station.state_dir / "pki", NamedFiles((*csms, *manufacturer), own))


def security_log(site: StationState, clock: Clock) -> list[dict[str, Any]]:
    """Return the stored security events, oldest first."""
    return [
        {"utc_s": round(clock.utc_s(n.at), 3), "kind": n.kind, "info": n.info, "link": n.link}
        for n in tuple(site.security.records)
    ]


def booting_firmware(facts: Facts) -> bool:
    """Return whether the board was booted to try new firmware."""
    return facts.get("firmware", {}).get("job", {}).get("phase") == "booting"
