"""The pytest fixture ``simulated_station``. pytest finds it where ``chargy-agent[sim]`` is installed::

def test_a_session(simulated_station):
    station = simulated_station(backend="ws://127.0.0.1:9000")
    station.wait_for_status("Available")
    station.plug_in_vehicle()
    station.tap_contactless_card("04A1B2C3D4E5F6")
    assert station.wait_for_call("StartTransaction").payload["connectorId"] == 1

``simulated_stations`` starts several behind one port, by their ids.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from agent.desk.station import Station


class StartStation(Protocol):
    """Starts a station that ends with the test. The arguments are those of ``agent.desk.simulate_station``."""

    def __call__(
        self,
        file: Path | str | None = None,
        *,
        text: str = "",
        backend: str = "",
        versions: Sequence[str] = (),
        speed: float | None = None,
    ) -> Station: ...


class StartStations(Protocol):
    """Starts several stations that end with the test. The arguments are those of ``agent.desk.simulate_stations``."""

    def __call__(
        self,
        files: Sequence[Path | str] | int,
        *,
        text: str = "",
        backend: str = "",
        versions: Sequence[str] = (),
        speed: float | None = None,
    ) -> dict[str, Station]: ...


@pytest.fixture
def simulated_station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartStation]:
    """Start simulated stations: ``simulated_station(backend="ws://...")`` returns an ``agent.desk.Station``."""
    from agent.desk.simulation import simulate_station

    with contextlib.ExitStack() as stack:

        def start_station(
            file: Path | str | None = None,
            *,
            text: str = "",
            backend: str = "",
            versions: Sequence[str] = (),
            speed: float | None = None,
        ) -> Station:
            folder = tmp_path_factory.mktemp("station")
            return stack.enter_context(
                simulate_station(file, text=text, backend=backend, versions=versions, speed=speed, folder=folder)
            )

        yield start_station


@pytest.fixture
def simulated_stations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartStations]:
    """Start several simulated stations behind one port: ``simulated_stations(2)["CP-2"]`` is a station."""
    from agent.desk.simulation import simulate_stations

    with contextlib.ExitStack() as stack:

        def start_stations(
            files: Sequence[Path | str] | int,
            *,
            text: str = "",
            backend: str = "",
            versions: Sequence[str] = (),
            speed: float | None = None,
        ) -> dict[str, Station]:
            folder = tmp_path_factory.mktemp("stations")
            return stack.enter_context(
                simulate_stations(files, text=text, backend=backend, versions=versions, speed=speed, folder=folder)
            )

        yield start_stations
