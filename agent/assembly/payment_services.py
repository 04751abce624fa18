"""What a station that sells to bank cards runs beside its engine: the page of the receipts, and once a day the upkeep
of what is archived. Imported only there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from agent.assembly.payment_queries import find_receipt
from agent.domain.events import Event, FaultCleared, FaultRaised
from agent.domain.payment import DAY_S, HOUR_S, PaymentTerms
from agent.domain.payment_journal import ARCHIVE
from agent.domain.payment_receipt import KIND as RECEIPT
from agent.domain.payment_receipt import ReceiptTerms
from agent.model.types import STATION, Fault
from agent.ports.clock import ClockPort
from agent.ports.store import Put, StoreError
from agent.services.store.store import Store
from agent.station_file.receipts import ReceiptTable, receipt_table
from agent.station_file.settings import StationFile

log = logging.getLogger(__name__)

PAGE = 100
"""Records between which the store is left to others."""
NEARLY_FULL_SHARE, ENOUGH_ROOM_SHARE = 0.8, 0.75
"""Of the permitted size: from the first on the store is nearly full, below the second it is not any more."""
FIRST_S = 300.0
"""Real seconds after the start: a station that starts has other things to do."""


async def run_payment_services(
    file: StationFile, store: Store, clock: ClockPort, terms: PaymentTerms, post: Callable[[Event], None]
) -> None:
    """Run until cancelled. What fails is logged; the station goes on. ``post``: takes events for the domain."""
    async with asyncio.TaskGroup() as group:
        table = receipt_table(file, [])
        if table is not None and table.port:
            group.create_task(_serve_receipts(file, table, store))
        group.create_task(ArchiveUpkeep(store, lambda: clock.now().utc_s, terms, post).run())


async def _serve_receipts(file: StationFile, table: ReceiptTable, store: Store) -> None:
    from agent.services.receipts.receipt_service import ReceiptService, server_context

    try:
        tls = server_context(table.tls_cert, table.tls_key)
    except OSError as e:
        log.error("[payment.receipts] tls_cert %s: %s; no receipts are served", table.tls_cert, e.strerror or e)
        return
    await ReceiptService(
        table.host, table.port, table.page_hosts, tls, lambda reference: find_receipt(store, reference),
        file.station.timezone, file.path.resolve(),
    ).run()  # fmt: skip


class ArchiveUpkeep:
    """Deletes what is kept long enough, and from what stays the card and the words of its acquirer. Reports in time
    that the rest fills the store: of that nothing is deleted. ``utc_s``: the present time, None if no clock is known;
    ``post``: takes events for the domain."""

    def __init__(
        self, store: Store, utc_s: Callable[[], float | None], terms: PaymentTerms, post: Callable[[Event], None]
    ) -> None:
        self._store, self._utc_s, self._terms, self._post = store, utc_s, terms, post
        self._is_nearly_full = False

    async def run(self) -> None:
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                done = await self.clean_archive()
                await self.judge_free_room()
            except StoreError as e:
                log.warning("the archive of the payments is not cleaned: %s", e)
                done = False
            await asyncio.sleep(DAY_S if done and not self._is_nearly_full else HOUR_S)

    async def clean_archive(self) -> bool:
        """Clean it once. Returns False if the time is not known. Raises ``StoreError``."""
        now_s = self._utc_s()
        if now_s is None:
            return False
        receipts = self._terms.receipts or ReceiptTerms({}, "", keep_s=inf)  # the file does not say how long
        await self._clean_kind(ARCHIVE, lambda r: _cleaned_payment(r, now_s, self._terms.keep_s, receipts.card_s))
        await self._clean_kind(RECEIPT, lambda r: _cleaned_receipt(r, now_s, receipts.keep_s, receipts.card_s))
        return True

    async def judge_free_room(self) -> None:
        """Raise or clear the fault of a store that is nearly full. Raises ``StoreError``."""
        share = await self._store.used_share()
        is_nearly_full = share >= (ENOUGH_ROOM_SHARE if self._is_nearly_full else NEARLY_FULL_SHARE)
        if is_nearly_full == self._is_nearly_full:
            return
        self._is_nearly_full = is_nearly_full
        self._post((FaultRaised if is_nearly_full else FaultCleared)(STATION, Fault.STORE_NEARLY_FULL))
        if is_nearly_full:
            advice = "raise store_max_mb, or keep receipts and payments for fewer days; export them before"
            log.warning("%s: %.0f %% of store_max_mb is used: %s", self._store.path, 100 * share, advice)

    async def _clean_kind(self, kind: str, clean: Callable[[dict[str, Any]], Mapping[str, Any] | None]) -> None:
        after = ""
        while True:
            found, after = await self._store.read_fact_page(kind, after, PAGE)
            puts = [Put(kind, key, made) for key, record in found.items() if (made := clean(record)) != record]
            if puts:
                await self._store.commit(puts)
            if not after:
                return


def _cleaned_payment(record: dict[str, Any], now_s: float, keep_s: float, card_s: float) -> Mapping[str, Any] | None:
    """Return what stays of the record of a payment; None: nothing."""
    age_s = _age_of(record.get("settled_utc_s") or record.get("utc_s"), now_s)
    if age_s > keep_s:
        return None
    if age_s <= card_s:
        return record
    return {**{k: v for k, v in record.items() if k != "acquirer"}, "card": ["", "", ""]}


def _cleaned_receipt(record: dict[str, Any], now_s: float, keep_s: float, card_s: float) -> Mapping[str, Any] | None:
    age_s = _age_of(record.get("issued_utc_s"), now_s)
    if age_s > keep_s:
        return None
    return record if age_s <= card_s else {**record, "card": {}, "acquirer": {}}


def _age_of(utc_s: Any, now_s: float) -> float:
    """Return the age; what has no time counts as new."""
    return now_s - utc_s if isinstance(utc_s, int | float) else 0.0
