"""Orders of files and keys at a station of a fleet: carried out as on a board, by parts that are made on first use.

A back office may ask any of ten thousand stations for its diagnostics, a certificate request or new firmware. Until
then the station pays nothing for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent.assembly.files import FILE_ORDERS
from agent.domain.certificate_orders import KeepCertificates
from agent.domain.events import ConnectionExamined, Event
from agent.domain.orders import ExamineConnection, SendLog
from agent.services.keys.orders import KeyOrders
from agent.services.ordered_jobs import BeginTask

if TYPE_CHECKING:
    from agent.services.files.orders import FileOrders
    from agent.station_file.settings import StationFile


class FileAndKeyOrders:
    """``agent.services.devices.dispatch.OrderExecutor``. ``facts``: what a diagnostics archive says of the station."""

    orders = (*KeyOrders.orders, *FILE_ORDERS, ExamineConnection)

    def __init__(
        self,
        file: StationFile,
        post_event: Callable[[Event], None],
        facts: Callable[[], Mapping[str, Any]],
        begin: BeginTask = asyncio.create_task,
    ) -> None:
        self._file, self._post_event, self._facts, self._begin = file, post_event, facts, begin
        self._keys: KeyOrders | None = None
        self._files: FileOrders | None = None

    def accept_order(self, order: Any) -> None:
        if isinstance(order, ExamineConnection):
            self._post_event(ConnectionExamined())
        elif isinstance(order, FILE_ORDERS):
            self._made_files().accept_order(order)
        elif self._keys is not None or not isinstance(order, KeepCertificates):
            self._made_keys().accept_order(order)

    def close(self) -> None:
        for executor in (self._keys, self._files):
            if executor is not None:
                executor.close()

    def _made_keys(self) -> KeyOrders:
        if self._keys is None:
            from agent.assembly.files import key_store_of

            station = self._file.station
            serial = station.serial or station.id
            self._keys = KeyOrders(key_store_of(self._file), self._post_event, serial, self._begin)
        return self._keys

    def _made_files(self) -> FileOrders:
        if self._files is None:
            from agent.assembly.files import file_orders, key_store_of

            keys = key_store_of(self._file)
            self._files = file_orders(self._file, self._collect_diagnostics, keys, self._post_event, self._begin)
        return self._files

    def _collect_diagnostics(self, order: SendLog) -> Callable[[], Mapping[str, bytes]]:
        text = json.dumps(dict(self._facts()), indent=2)
        return lambda: {"station.json": text.encode()}
