"""Carry out what the domain orders of keys and certificates.

The orders are carried out in turn, beside the event loop. Its event answers each order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from agent.domain.certificate_orders import (
    ChainTaken,
    ConfirmReplacement,
    DeleteRoot,
    InstallRoot,
    KeepCertificates,
    ListRoots,
    MakeRequest,
    RequestMade,
    RootDeleted,
    RootInstalled,
    RootsListed,
    TakeChain,
)
from agent.domain.events import Event
from agent.domain.orders import Order
from agent.services.keys.key_store import KeyStore, Taken
from agent.services.ordered_jobs import BeginTask, describe_defect

log = logging.getLogger(__name__)


class KeyOrders:
    """The queue of the orders of keys and certificates. ``orders`` are the classes that belong here."""

    orders = (MakeRequest, TakeChain, InstallRoot, ConfirmReplacement, DeleteRoot, ListRoots, KeepCertificates)

    def __init__(
        self, pki: KeyStore, post: Callable[[Event], None], serial: str, begin: BeginTask = asyncio.create_task
    ) -> None:
        """Make the queue. ``serial`` is the serial number that the station's BootNotification names."""
        self.pki, self._post, self._serial = pki, post, serial
        self._begin = begin
        self._closed = False
        self._queue: asyncio.Queue[Order] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def accept_order(self, order: Order) -> None:
        """Queue an order of one of the classes in ``orders``. Its event follows."""
        if self._closed:
            return
        self._queue.put_nowait(order)
        if self._task is None:
            self._task = self._begin(self._carry_out_orders())

    def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    async def _carry_out_orders(self) -> None:
        from agent.services.files.transfer.thread import run_in_thread

        while True:
            order = await self._queue.get()
            try:
                event = await run_in_thread(self._carry_out_order, order)
            except Exception as e:  # noqa: BLE001 - foreign certificates, the disk: the station goes on
                log.error("pki: %s: not done: %s", type(order).__name__, describe_defect(e))
                event = _failure_event(order)
            if event is not None:
                self._post(event)

    def _carry_out_order(self, order: Any) -> Event | None:
        match order:
            case MakeRequest(job, organisation):
                return RequestMade(job, self._unless_disk_fails(self.pki.make_request, "", self._serial, organisation))
            case TakeChain(job, chain, utc_s):
                taken = self._unless_disk_fails(
                    self.pki.take_chain, Taken(why="the disk does not take it"), chain, self._serial, utc_s
                )
                if taken.why:
                    log.warning("the certificate that the backend has had signed is not taken: %s", taken.why)
                return ChainTaken(job, taken.id, taken.begins_utc_s, taken.expires_utc_s, taken.why)
            case InstallRoot(job, use, certificate, most, utc_s, replaces):
                why = self._unless_disk_fails(self.pki.install_root, None, use, certificate, most, utc_s, replaces)
                if why:
                    log.warning("a %s of the backend is not installed: %s", use.value, why)
                return RootInstalled(job, "Failed" if why is None else "Rejected" if why else "Accepted", why or "")
            case DeleteRoot(job, named, spare_last):
                return RootDeleted(job, self._unless_disk_fails(self.pki.delete_root, "Failed", named, spare_last))
            case ConfirmReplacement(job, link):
                gone = self._unless_disk_fails(self.pki.confirm_replacement, False, link)
                return RootDeleted(job, "Accepted" if gone else "NotFound")
            case ListRoots(job, uses):
                return RootsListed(job, tuple(root for _, root in self.pki.installed_roots(uses)))
            case KeepCertificates(ids):
                self._unless_disk_fails(self.pki.keep_certificates, None, ids)
                return None
        raise TypeError(f"{type(order).__name__} is in orders and is not carried out here")

    def _unless_disk_fails(self, work: Callable[..., Any], otherwise: Any, *args: Any) -> Any:
        try:
            return work(*args)
        except OSError as e:
            log.error("pki: %s: check the disk and the permissions of state_dir/pki", e)
            return otherwise


def _failure_event(order: Order) -> Event | None:
    """Return the event that answers an order whose work ended in a way that was not expected."""
    match order:
        case MakeRequest(job):
            return RequestMade(job, "")
        case TakeChain(job):
            return ChainTaken(job, why="it could not be looked at")
        case InstallRoot(job):
            return RootInstalled(job, "Failed")
        case DeleteRoot(job) | ConfirmReplacement(job):
            return RootDeleted(job, "Failed")
        case ListRoots(job):
            return RootsListed(job)
    return None
