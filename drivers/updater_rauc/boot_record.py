"""What the driver remembers of boots and installations, in one small file beside the store.

RAUC knows what is in its slots, and the boot loader which slot comes next. Neither knows whether the back office has
accepted a boot. The file must lie on a partition that both systems share, as the store does.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from agent.model.fastclass import frozen
from agent.ports import Broken

log = logging.getLogger(__name__)


@frozen
class BootRecord:
    """Systems are named by ``Slot.system``; "" is none."""

    accepted: str = ""
    """The system that was committed last."""
    tried: str = ""
    """The system that was installed last, until it is committed."""
    confirmed_boot: str = ""
    """The boot, as the message bus names it, that was marked good last."""


class BootRecordFile:
    """Reads and writes the record. A file that cannot be read counts as none: a boot then has to be accepted again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> BootRecord:
        try:
            found = json.loads(self._path.read_text("utf-8"))
            return BootRecord(*(str(found[name]) for name in ("accepted", "tried", "confirmed_boot")))
        except FileNotFoundError:
            return BootRecord()
        except (OSError, ValueError, KeyError, TypeError) as e:
            log.warning("updater: %s cannot be read (%s): the running system has to be accepted again", self._path, e)
            return BootRecord()

    def write(self, record: BootRecord) -> None:
        """Return when the record is on the disk. Raises ``Broken``."""
        fields = {"accepted": record.accepted, "tried": record.tried, "confirmed_boot": record.confirmed_boot}
        new = self._path.with_name(self._path.name + ".new")
        try:
            with new.open("w", encoding="utf-8") as file:
                json.dump(fields, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as e:
            raise Broken(f"updater: {self._path} cannot be written: {e.strerror or e}") from e
