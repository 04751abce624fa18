"""Answer GET of one path, for a collector of metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from agent.services.get_service import GetAnswer, GetRequest, GetService

log = logging.getLogger(__name__)

PATH = "/metrics"


class MetricsService(GetService):
    """Serves ``text()`` at ``PATH``. ``host_names``: names that a request may use besides addresses and local names."""

    def __init__(
        self, host: str, port: int, content_type: str, text: Callable[[], str], host_names: tuple[str, ...] = ()
    ) -> None:
        super().__init__("metrics", host, port, host_names)
        self._content_type, self._text = content_type, text

    def report_address(self) -> None:
        log.info("metrics at http://%s:%d%s", self._host, self.port, PATH)

    async def answer_get(self, request: GetRequest) -> GetAnswer:
        if request.path != PATH:
            return GetAnswer(HTTPStatus.NOT_FOUND)
        return GetAnswer(HTTPStatus.OK, self._text().encode(), (f"Content-Type: {self._content_type}",))
