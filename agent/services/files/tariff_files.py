"""Check signed tariff files, and take those that come to a topic of an MQTT broker."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection
from pathlib import Path

from agent.domain.events import Event, TariffFileChecked
from agent.domain.orders import AnswerTariffFile, Order
from agent.services.keys.tariff_signature import UntrustedTariff, read_signed_tariffs
from agent.services.ordered_jobs import BeginTask, describe_defect

log = logging.getLogger(__name__)

PENDING_MOST = 8
"""Files that are checked at the same time; what comes besides is dropped."""
ANSWER = "tariff_answer"
"""The topic below that of the sink on which files are answered."""


def check_tariff_file(job: str, content: bytes, keys: Path, is_fetched: bool) -> TariffFileChecked:
    """Return the event that says whether one of the trusted keys has signed this file."""
    try:
        text = read_signed_tariffs(content, keys)
    except UntrustedTariff as e:
        return TariffFileChecked(job, problem=str(e), is_fetched=is_fetched)
    return TariffFileChecked(job, text, hashlib.sha256(text.encode("utf-8")).hexdigest(), is_fetched=is_fetched)


class TariffTopics:
    """Check the files that come to the topics of sinks, and answer them there.

    ``send_line``: puts a line into the queue of the sink of this name. The name of a job is that of its sink.
    """

    orders: Collection[type[Order]] = (AnswerTariffFile,)

    def __init__(
        self,
        keys: Path,
        post: Callable[[Event], None],
        begin: BeginTask,
        send_line: Callable[[str, str, str], None],
    ) -> None:
        self._keys, self._post, self._begin, self._send_line = keys, post, begin, send_line
        self._pending_count = 0

    def accept_file(self, sink: str, content: bytes) -> None:
        """Take a file that has come to the topic of this sink."""
        if self._pending_count >= PENDING_MOST:
            log.warning("sink %s: tariff files come faster than they can be checked; one is dropped", sink)
            return
        self._pending_count += 1
        self._begin(self._check_file(sink, content))

    async def _check_file(self, sink: str, content: bytes) -> None:
        from agent.services.files.transfer.thread import run_in_thread

        try:
            checked = await run_in_thread(check_tariff_file, sink, content, self._keys, False)
        except Exception as e:  # noqa: BLE001 - a foreign file: the station goes on
            log.error("tariff file: not checked: %s", describe_defect(e))
            checked = TariffFileChecked(sink, problem="it cannot be checked")
        finally:
            self._pending_count -= 1
        self._post(checked)

    def accept_order(self, order: AnswerTariffFile) -> None:
        status = "Accepted" if order.accepted else "Rejected"
        self._send_line(order.job, ANSWER, json.dumps({"status": status, "why": order.why}))
