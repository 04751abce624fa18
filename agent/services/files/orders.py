"""Carry out what the domain orders of files: fetch and check firmware, send logs.

One order of each kind is carried out at a time. Its event answers each order, whatever happens: a job that fails in a
way that was not expected is a failed job. All heavy imports wait for the first order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.events import (
    Event,
    FirmwareChecked,
    FirmwareFetched,
    LogSent,
    SignerJudged,
    TariffFileFetched,
)
from agent.domain.orders import (
    CheckFirmware,
    DropFirmware,
    DropLog,
    FetchFirmware,
    FetchTariffFile,
    JudgeSigner,
    Order,
    SendLog,
)
from agent.services.ordered_jobs import BeginTask, describe_defect

if TYPE_CHECKING:
    from agent.services.files.transfer import TransferControl
    from agent.services.files.transfer.progress import Connect

log = logging.getLogger(__name__)

CollectParts = Callable[[SendLog], Callable[[], Mapping[str, bytes]]]
"""Collects what belongs into the archive of an order.

It is called on the event loop, where it quickly takes what is there now. It returns a function, which is called beside
the loop and makes the contents: name -> content.
"""


IMAGE = "firmware"
"""The name of the file that is installed."""


class FileOrders:
    """The orders of files. Firmware, logs and tariff files each have a queue.

    ``folder``: files lie there while they are on their way.
    ``roots``: returns the PEM texts of the authorities that may sign firmware.
    ``ca``: a PEM file of further authorities for file servers, beside those of the system.
    ``tariff_keys``: a PEM file of the keys that may sign tariff files; None: the station takes none.
    ``choose_route``: returns how the connections of a transfer that begins now are opened; None: as the kernel routes.
    """

    def __init__(
        self,
        folder: Path,
        post: Callable[[Event], None],
        parts: CollectParts,
        roots: Callable[[], list[bytes]],
        ca: Path | None = None,
        begin: BeginTask = asyncio.create_task,
        tariff_keys: Path | None = None,
        choose_route: Callable[[], Connect | None] = lambda: None,
    ) -> None:
        self._folder, self._post, self._parts, self._roots, self._ca = folder, post, parts, roots, ca
        self._begin, self._tariff_keys, self._choose_route = begin, tariff_keys, choose_route
        self._closed = False
        self._firmware: asyncio.Task[None] | None = None
        self._judging: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._fetching_tariffs: asyncio.Task[None] | None = None
        self._going: dict[str, TransferControl | None] = {}
        """The transfers of firmware and logs that are neither done nor dropped. None: it waits for its turn."""
        self._beginnings: dict[type[Order], Callable[[Any], None]] = {
            JudgeSigner: self._begin_judging,
            FetchFirmware: self._begin_fetching,
            CheckFirmware: self._begin_checking,
            DropFirmware: self._begin_dropping,
            SendLog: self._begin_sending,
            DropLog: self._drop_log,
            FetchTariffFile: self._begin_fetching_tariffs,
        }

    @property
    def orders(self) -> Collection[type[Order]]:
        return self._beginnings.keys()

    @property
    def firmware_image(self) -> Path:
        return self._folder / IMAGE

    def accept_order(self, order: Order) -> None:
        """Begin an order of one of the classes in ``orders``."""
        if not self._closed:
            self._beginnings[type(order)](order)

    def _begin_judging(self, order: JudgeSigner) -> None:
        work = self._judge_signer(order)  # beside a running download
        self._judging = self._start_in_turn(self._judging, work, SignerJudged(order.job, False))

    def _begin_fetching(self, order: FetchFirmware) -> None:
        self._going[order.job] = None
        work = self._fetch_firmware(order.job, order.location)
        self._firmware = self._start_in_turn(self._firmware, work, FirmwareFetched(order.job, False))

    def _begin_checking(self, order: CheckFirmware) -> None:
        work = self._check_firmware(order.job, order.certificate, order.signature)
        self._firmware = self._start_in_turn(self._firmware, work, FirmwareChecked(order.job, False))

    def _begin_dropping(self, order: DropFirmware) -> None:
        self._stop_transfer(order.job)
        self._firmware = self._start_in_turn(self._firmware, self._forget_firmware(), None)

    def _begin_sending(self, order: SendLog) -> None:
        self._going[order.job] = None
        failed = LogSent(order.job, "UploadFailure")
        self._sending = self._start_in_turn(self._sending, self._send_log(order), failed)

    def _begin_fetching_tariffs(self, order: FetchTariffFile) -> None:
        failed = TariffFileFetched(order.job, False)
        self._fetching_tariffs = self._start_in_turn(self._fetching_tariffs, self._fetch_tariffs(order), failed)

    def _drop_log(self, order: DropLog) -> None:
        self._stop_transfer(order.job)

    def _start_in_turn(
        self, before: asyncio.Task[None] | None, work: Coroutine[Any, Any, None], failed: Event | None
    ) -> asyncio.Task[None]:
        """Begin a task that does its work after the task ``before`` has ended.

        ``failed`` answers the order if the work ends in a way that was not expected.
        """

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait((before,))
            try:
                await work
            except Exception as e:  # noqa: BLE001 - foreign files, servers and certificates: the station goes on
                log.error("file job: not done: %s", describe_defect(e))
                if failed is not None:
                    self._post(failed)

        return self._begin(in_turn())

    def _stop_transfer(self, job: str) -> None:
        going = self._going.pop(job, None)
        if going is not None:
            going.stop_transfer()

    def close(self) -> None:
        """Stop what is on its way, because the process ends. It is done again after the next start."""
        self._closed = True
        for job in list(self._going):
            self._stop_transfer(job)
        for task in (self._judging, self._firmware, self._sending, self._fetching_tariffs):
            if task is not None:
                task.cancel()

    # --- firmware ----------------------------------------------------------------------------------------------

    async def _judge_signer(self, order: JudgeSigner) -> None:
        from agent.services.files.transfer.thread import run_in_thread
        from agent.services.keys.firmware_signature import signer_problem

        try:
            why = await run_in_thread(signer_problem, order.certificate, self._roots(), order.utc_s)
        except OSError as e:
            why = f"the manufacturers' root certificates cannot be read ({e})"
        if why:
            log.warning("firmware: the signing certificate is not accepted: %s", why)
        self._post(SignerJudged(order.job, not why))

    async def _fetch_firmware(self, job: str, location: str) -> None:
        from agent.services.files.transfer import TransferFailed, fetch_file
        from agent.services.files.transfer.thread import run_in_thread

        if job not in self._going:
            return  # dropped before its turn
        going = self._going[job] = self._new_transfer()
        try:
            await run_in_thread(fetch_file, location, self.firmware_image, going)
            ok = True
        except TransferFailed as e:
            log.warning("firmware: not fetched: %s", e)
            ok = False
        if self._going.pop(job, None) is not None:
            self._post(FirmwareFetched(job, ok))

    async def _check_firmware(self, job: str, certificate: str, signature: str) -> None:
        from agent.services.files.transfer.thread import run_in_thread
        from agent.services.keys.firmware_signature import signature_problem

        why = await run_in_thread(signature_problem, self.firmware_image, certificate, signature)
        if why:
            log.warning("firmware: the signature does not fit: %s", why)
        self._post(FirmwareChecked(job, not why))

    async def _forget_firmware(self) -> None:
        from agent.services.files.transfer.partial_file import forget_file

        try:
            forget_file(self.firmware_image)
        except OSError as e:
            log.warning("firmware: %s: cannot be removed: %s", self.firmware_image, e.strerror)

    # --- tariff files ------------------------------------------------------------------------------------------

    async def _fetch_tariffs(self, order: FetchTariffFile) -> None:
        from agent.services.files.tariff_files import check_tariff_file
        from agent.services.files.transfer import TransferFailed, fetch_file
        from agent.services.files.transfer.partial_file import forget_file
        from agent.services.files.transfer.thread import run_in_thread
        from agent.services.keys.tariff_signature import FILE_BYTES_MAX

        assert self._tariff_keys is not None  # otherwise nothing orders it
        going, file = self._new_transfer(FILE_BYTES_MAX), self._folder / "tariffs"
        content = None
        try:
            await run_in_thread(fetch_file, order.location, file, going)
            content = file.read_bytes()
        except (TransferFailed, OSError) as e:
            log.warning("tariff file: not fetched: %s", e)
        forget_file(file)
        self._post(TariffFileFetched(order.job, content is not None))
        if content is not None:
            self._post(await run_in_thread(check_tariff_file, order.job, content, self._tariff_keys, True))

    # --- logs --------------------------------------------------------------------------------------------------

    async def _send_log(self, order: SendLog) -> None:
        from agent.services.files.transfer import TransferFailed, send_file
        from agent.services.files.transfer.thread import run_in_thread
        from agent.services.files.zip_file import pack_zip

        if order.job not in self._going:
            return  # dropped before its turn
        going = self._going[order.job] = self._new_transfer()
        file = self._folder / order.name
        status = "Uploaded"
        try:
            await run_in_thread(_pack_parts, pack_zip, file, self._parts(order))
            await run_in_thread(send_file, order.location, file, order.name, going)
        except (TransferFailed, OSError) as e:
            status = e.status if isinstance(e, TransferFailed) else "UploadFailure"
            log.warning("log %s: not sent: %s", order.name, e)
        finally:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
            stopped = self._going.pop(order.job, None) is None
        if not stopped:
            self._post(LogSent(order.job, status))

    def _new_transfer(self, most_bytes: int | None = None) -> TransferControl:
        from agent.services.files.transfer import TransferControl
        from agent.services.files.transfer.progress import FETCH_MAX, connect_as_routed

        return TransferControl(
            most_bytes=most_bytes or FETCH_MAX,
            context=self._tls_context,
            known_hosts=str(self._folder / "known_hosts"),
            connect=self._choose_route() or connect_as_routed,
        )

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._ca is not None:
            context.load_verify_locations(str(self._ca))
        return context


def _pack_parts(pack: Callable[[Path, Mapping[str, bytes]], None], file: Path, parts: Callable[[], Any]) -> None:
    pack(file, parts())
