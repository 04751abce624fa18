"""Which blocks of the domain a station has: by the versions of OCPP in its file, and by its devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.assembly.domain_setup import initial_state
from agent.domain.collaborators import Collaborators
from agent.domain.events import RequestReceived
from agent.domain.orders import Order, Response
from agent.domain.requests import BackendRequest, CustomerInformationRequest, UpdateFirmwareRequest
from agent.domain.station import assemble_blocks
from agent.model.types import Moment, Stamp, Token
from agent.station_file.settings import parse_station_file

CUSTOMER = CustomerInformationRequest(Token("04A1B2C3"), report=True, clear=False)
SIGNED = UpdateFirmwareRequest("https://h/fw", 0.0, request_id=1, certificate="PEM", signature="sig")
UPDATER = {"driver": "updater_command", "install": "true"}


def answer_to(request: BackendRequest, folder: Path, versions: list[str], **tables: Any) -> list[Order]:
    """Return what the domain of a station with this file orders for a request of its backend."""
    backend = {"name": "chargy", "url": "ws://127.0.0.1:1/", "versions": versions}
    if not {"1.6", "2.0.1", "2.1"} & set(versions):
        backend["soap_url"] = "http://127.0.0.1:2/"
    raw = {"station": {"state_dir": str(folder / "state")}, "backend": backend, "evse": [{"number": 1}], **tables}
    site = initial_state(parse_station_file(raw, folder / "station.toml"), {}, Collaborators(), 1.0, "Unknown")
    return assemble_blocks(site).handle_event(RequestReceived("chargy", "q1", request), Moment(Stamp(1, 0.0)))


@pytest.mark.parametrize(
    ("versions", "status"),
    [
        (["1.6"], "NotImplemented"),
        (["1.5"], "NotImplemented"),
        (["2.0.1"], "Accepted"),
        (["1.6", "2.1"], "Accepted"),
    ],
)
def test_reports_are_there_where_a_version_has_requests_for_them(
    tmp_path: Path, versions: list[str], status: str
) -> None:
    [answer] = answer_to(CUSTOMER, tmp_path, versions)
    assert isinstance(answer, Response)
    assert answer.status == status


def test_firmware_is_updated_where_an_updater_is(tmp_path: Path) -> None:
    """Without one the answer is no at once; with one the signer is judged first."""
    [answer] = answer_to(SIGNED, tmp_path, ["1.6"])
    assert isinstance(answer, Response)
    assert answer.status == "Rejected"
    [order] = answer_to(SIGNED, tmp_path, ["1.6"], updater=UPDATER)
    assert type(order).__name__ == "JudgeSigner"
