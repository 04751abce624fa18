"""The content of a signed tariff file, whose signature was checked: which stations it is for, its number in the
sequence of the operator, and the tariffs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.tariff_document import TariffDocument, UnusableTariff, parse_json_object, read_tariff_document
from agent.model.fastclass import frozen

FORMAT = 1
PURPOSE = "ad-hoc tariffs for chargy-agent"
EVERY_STATION = "*"
TARIFFS_MOST = 40
_NAMES = {"format", "purpose", "sequence", "stations", "tariffs"}


@frozen
class TariffFile:
    """``sequence``: a file with a lower number is older. ``stations``: by their ``station.id``."""

    sequence: int
    stations: tuple[str, ...]
    documents: tuple[TariffDocument, ...]

    def concerns_station(self, station: str) -> bool:
        return station in self.stations or EVERY_STATION in self.stations


def read_tariff_file(text: str) -> TariffFile:
    """Read the text that was signed. Raises ``UnusableTariff``."""
    given = parse_json_object(text)
    if given.get("format") != FORMAT or given.get("purpose") != PURPOSE:
        raise UnusableTariff(f'is no tariff file: it must have "format": {FORMAT} and "purpose": "{PURPOSE}"')
    if set(given) != _NAMES:
        raise UnusableTariff(f"must have {', '.join(sorted(_NAMES))}, and nothing else")
    sequence, tariffs = given["sequence"], given["tariffs"]
    if type(sequence) is not int or not 0 < sequence < 2**53:
        raise UnusableTariff("sequence: must be a whole number above 0")
    if not isinstance(tariffs, list) or len(tariffs) > TARIFFS_MOST:
        raise UnusableTariff(f"tariffs: must be a list of at most {TARIFFS_MOST}")
    documents = tuple(_read_document(tariff, n) for n, tariff in enumerate(tariffs))
    return TariffFile(sequence, _read_stations(given), documents)


def _read_document(given: Any, n: int) -> TariffDocument:
    if not isinstance(given, dict):
        raise UnusableTariff(f"tariffs[{n}]: must be an object")
    try:
        return read_tariff_document(given)
    except UnusableTariff as e:
        raise UnusableTariff(f"tariffs[{n}].{e}") from None


def _read_stations(given: Mapping[str, Any]) -> tuple[str, ...]:
    stations = given["stations"]
    if not isinstance(stations, list) or not stations or not all(isinstance(s, str) for s in stations):
        raise UnusableTariff(f'stations: must be a list of station ids, or ["{EVERY_STATION}"]')
    return tuple(stations)
