"""RAUC in the words of the port: what runs, what is tried, and when a boot counts as good."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from pathlib import Path

from agent.model.fastclass import replace
from agent.ports import Broken, DeviceError, Refused, Unreachable
from agent.ports.updater import Running, Untrusted
from drivers.board_commands import run_checked_command
from drivers.updater_rauc.boot_record import BootRecord, BootRecordFile
from drivers.updater_rauc.service import LOOK_S, LOST, RaucRefusal, RaucService, Slot
from drivers.updater_rauc.settings import RaucSettings

log = logging.getLogger(__name__)

UNTRUSTED = "signature verification failed"
"""How RAUC's words for a signature begin that its keyring does not know. Only the security event depends on it."""
FILE_NAMESPACE = uuid.UUID("6d9f7a52-93d1-4c51-8a53-0f3c1b1f3c42")


class RaucUpdater:
    """``agent.ports.updater.UpdaterPort``."""

    def __init__(self, settings: RaucSettings, service: RaucService, record: BootRecordFile) -> None:
        self._settings, self._service, self._record = settings, service, record

    @property
    def progress_percent(self) -> int | None:
        return self._service.progress_percent

    async def running(self) -> Running:
        booted, _ = await self._read_slots()
        record = self._record.read()
        pending = _awaits_acceptance(booted, record)
        if not pending:
            await self._confirm_boot(booted, record)
        if record.accepted and booted.system not in (record.accepted, record.tried):
            log.warning("updater: %s runs, the system that was accepted last is %s", booted.system, record.accepted)
        tries_other = bool(record.tried) and record.tried != booted.system
        # what waits for its acceptance has come up, although it could not be noted as tried
        fell_back = tries_other and not pending and await self._service.primary_slot() == booted.name
        return Running(pending, fell_back, booted.version)

    async def install(self, file: Path) -> bool:
        transaction = _transaction_of(file)
        booted, others = await self._read_slots()
        if _awaits_acceptance(booted, self._record.read()):
            raise Broken(f"{booted.system} was not accepted yet: the other system is the only one to fall back to")
        if booted.transaction == transaction:
            return False  # this very file runs and was accepted: only that was not noted
        if not await self._is_next_system(transaction, others):
            await self._check_bundle(file)
            try:
                await self._install_bundle(file, transaction)
            except Unreachable as e:
                await self._find_end(transaction, e)
        await self._note_tried()
        return True

    async def commit(self) -> None:
        """Mark the booted slot as good. Only then it is noted: a process that ends in between does it again."""
        booted, _ = await self._read_slots()
        log.info("updater: %s is marked as good", await self._service.mark_booted_good())
        self._record.write(BootRecord(booted.system, "", await self._service.boot_id()))

    async def reboot(self) -> None:
        await run_checked_command("reboot", self._settings.reboot, self._settings.answer_s)

    async def _read_slots(self) -> tuple[Slot, list[Slot]]:
        """Return the slot of the running system, and the others that can take its place, once RAUC is idle."""
        await self._service.wait_until_idle(self._settings.install_s)
        slots = await self._service.list_slots()
        booted = next((s for s in slots if s.state == "booted"), None)
        if booted is None:
            raise Broken("RAUC does not know which of its slots was booted: see bootname in its system.conf")
        return booted, [s for s in slots if s.slot_class == booted.slot_class and s is not booted]

    async def _confirm_boot(self, booted: Slot, record: BootRecord) -> None:
        """Mark a boot of an accepted system as good, once: boot loaders count every boot as a try until then."""
        boot = await self._service.boot_id()
        if record.confirmed_boot == boot and record.accepted == booted.system:
            return
        try:
            await self._service.mark_booted_good()
            self._record.write(replace(record, accepted=booted.system, confirmed_boot=boot))
        except DeviceError as e:
            log.warning("updater: this boot was not marked as good, the boot loader counts it as a try: %s", e)

    async def _is_next_system(self, transaction: str, others: list[Slot]) -> bool:
        """Return whether this very file is installed already and comes next: only its end was not noted."""
        slot = next((s for s in others if s.transaction == transaction), None)
        return slot is not None and await self._service.primary_slot() == slot.name

    async def _find_end(self, transaction: str, error: Unreachable) -> None:
        """Return when RAUC answers again, if this file comes next: it was lost in the last moment."""
        try:
            async with asyncio.timeout(self._settings.answer_s):
                while True:
                    with suppress(Unreachable):
                        _, others = await self._read_slots()
                        if await self._is_next_system(transaction, others):
                            return
                        break
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            pass
        raise Broken(f"RAUC did not install the bundle: {error}") from error

    async def _check_bundle(self, file: Path) -> None:
        try:
            meant_for = await self._service.bundle_compatible(str(file), self._settings.install_s)
        except RaucRefusal as e:
            refusal = Untrusted if UNTRUSTED in str(e) else Refused
            raise refusal(f"RAUC does not accept the bundle: {e}") from e
        board = await self._service.read_property("Compatible")
        if meant_for != board:
            raise Refused(f"the bundle is for {meant_for!r}, this board is {board!r}")

    async def _install_bundle(self, file: Path, transaction: str) -> None:
        result = await self._service.install_bundle(str(file), transaction, self._settings.install_s)
        if result == LOST:
            raise Unreachable("it ended in the middle; see its journal (rauc.service)")
        if result != 0:
            raise Broken(f"RAUC did not install the bundle: {await self._service.read_property('LastError')}")

    async def _note_tried(self) -> None:
        """Note which system comes next, so that the next start can say whether it came up. RAUC has switched already:
        what cannot be asked or written now is no failed installation. The next boot waits for its acceptance all the
        same, since another system was accepted."""
        try:
            _, others = await self._read_slots()
            primary = await self._service.primary_slot()
            slot = next((s for s in others if s.name == primary), None)
            if slot is not None:
                self._record.write(replace(self._record.read(), tried=slot.system))
        except DeviceError as e:
            log.warning("updater: RAUC has installed the bundle, but what comes next is not noted: %s", e)
            return
        if slot is None:
            raise Broken("RAUC has installed the bundle, but the boot loader would not boot it: see its system.conf")


def _awaits_acceptance(booted: Slot, record: BootRecord) -> bool:
    """Return whether the system that runs has still to be accepted. One that RAUC has not installed came with the
    board."""
    if booted.system == record.tried:
        return True
    return bool(booted.installed) and booted.system != record.accepted


def _transaction_of(file: Path) -> str:
    """Return a name of the installation that is the same for the same file, without reading all of it."""
    try:
        found = file.stat()
    except OSError as e:
        raise Broken(f"{file}: {e.strerror}") from e
    return str(uuid.uuid5(FILE_NAMESPACE, f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"))
