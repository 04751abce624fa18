"""Answer GET of one path, for a collector of metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

from agent.services.get_service import GetAnswer, GetRequest, GetService

log = logging.getLogger(__name__)

PATH = "/metrics"


class MetricsService(GetService):
    """Serves one of ``texts`` at ``PATH``: by content type, the preferred one first. ``host_names``: names that a
    request may use besides addresses and local names."""

    def __init__(
        self, host: str, port: int, texts: Mapping[str, Callable[[], str]], host_names: tuple[str, ...] = ()
    ) -> None:
        super().__init__("metrics", host, port, host_names)
        self._texts = texts

    def report_address(self) -> None:
        log.info("metrics at http://%s:%d%s", self._host, self.port, PATH)

    async def answer_get(self, request: GetRequest) -> GetAnswer:
        if request.path != PATH:
            return GetAnswer(HTTPStatus.NOT_FOUND)
        chosen = choose_content_type(request.fields.get("accept", ""), self._texts)
        return GetAnswer(HTTPStatus.OK, self._texts[chosen]().encode(), (f"Content-Type: {chosen}", "Vary: Accept"))


def choose_content_type(accept: str, offered: Iterable[str]) -> str:
    """Return the content type that a request likes best (RFC 9110, 12.5.1); of those that it likes alike, or not at
    all, the first one. ``accept``: the value of its field Accept."""
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        weight = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        try:
            ranges[name] = max(float(weight), ranges.get(name, 0.0))
        except ValueError:
            continue
    return max(offered, key=lambda content_type: _weight_of(content_type.partition(";")[0], ranges))


def _weight_of(media_type: str, ranges: Mapping[str, float]) -> float:
    wildcards = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((ranges[name] for name in wildcards if name in ranges), 0.0)
