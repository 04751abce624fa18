"""The bearers between the domain, which chooses one, and the links, which use it; what the links take over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from agent.domain.events import Event, TrafficCounted
from agent.domain.evse import StationState
from agent.domain.traffic import Sums, traffic_sum_of
from agent.model.traffic import DEFAULT_BEARER
from agent.ocpp.link import Link
from agent.ocpp.transport.traffic import TrafficCounter
from agent.services.devices.dispatch import OrderExecutor
from agent.station_file.settings import StationFile

SIM_LOOKS, LOOK_S = 100, 0.1


def interface_in_use(site: StationState, link: str) -> str | None:
    """Return the network interface of the bearer in use; "": the routes of the kernel decide; None: this link needs a
    bearer that is not up."""
    bearer = site.bearers.get(site.bearer_in_use)
    is_first = site.config.links[:1] == (link,)
    if is_first and site.bearer_demanded and not (bearer is not None and bearer.status.is_up):
        return None
    return interface_of_links(site)


def interface_of_links(site: StationState) -> str:
    """Return the network interface of the bearer in use; "": the routes of the kernel decide."""
    bearer = site.bearers.get(site.bearer_in_use)
    return bearer.status.interface if bearer is not None else ""


def bearer_via(file: StationFile, bearer: str, link: str) -> str:
    """Return the ``via`` of a bearer for this link; "": it has none. It leads to the first backend."""
    keys = file.bearers.get(bearer)
    return keys.via if keys is not None and link == file.backends[0].name else ""


def silence_limit_s(file: StationFile, site: StationState) -> float | None:
    """Return after how much silence a ping goes over the bearer in use; None: the settings alone say so."""
    record = site.bearers.get(site.bearer_in_use)
    if not file.bearers or (record is not None and record.config.kind in file.link.metered):
        return None
    from agent.assembly.link_profile import unmetered_ping_s  # also before the first bearer has reported: it may be any

    return unmetered_ping_s(file, site.settings)


async def wait_for_sim(file: StationFile, site: StationState) -> None:
    """Wait until the SIM of a modem is known, at most ten seconds: BootNotification reports its numbers.

    A station that has had a modem before knows them from its store.
    """
    if all(keys.kind != "gprs" for keys in file.bearers.values()):
        return
    for _ in range(SIM_LOOKS):
        if any(sim.iccid for sim in site.sims.values()):
            return
        await asyncio.sleep(LOOK_S)


def bearer_executors(
    file: StationFile, post: Callable[[Event], None], links: Callable[[], Mapping[str, Link]]
) -> tuple[OrderExecutor, ...]:
    """Return what carries out the orders of a station with bearers that need no device."""
    if not file.bearers:
        return ()
    from agent.ocpp.bearer_probe import BearerProbe

    def first_backend(bearer: str) -> tuple[str, int] | None:
        first = next(iter(links().values()), None)
        return None if first is None else first.address_over(bearer_via(file, bearer, first.name))

    return (BearerProbe(post, first_backend),)


class TrafficReports:
    """Reports to the domain what the counter of the links has counted."""

    def __init__(self, site: StationState, post_event: Callable[[Event], None]) -> None:
        self._site, self._post_event = site, post_event
        self.counter = TrafficCounter(self._bearer_kind, self.report_counts)
        self.since_start: Sums = {}
        """By action; for counters that must never go back."""

    def _bearer_kind(self) -> str:
        record = self._site.bearers.get(self._site.bearer_in_use)
        return str(record.config.kind) if record is not None else DEFAULT_BEARER

    def report_counts(self) -> None:
        if counts := self.counter.collect_counts():
            for count in counts:
                traffic_sum_of(self.since_start, count.bearer, count.action).add_count(count)
            self._post_event(TrafficCounted(counts))
