"""A new version of OCPP is a package and the row that registers it: nothing in ``agent/`` names it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.assembly.dialects import backend_and_dialects
from agent.commands.check import check_station_file
from agent.csms import central_system
from agent.csms.central_system import Options, open_central
from agent.csms.station201 import Station201
from agent.csms.station_commands import on
from agent.domain.messages import SecurityHappened
from agent.domain.orders import AuthorizeToken
from agent.model.types import Token
from agent.ocpp.dialects.dialect import MessageRow, NotExpressible, find_gaps
from agent.ocpp.versions import GROUP, VERSIONS, build_dialects
from agent.station_file.settings import SettingsError, parse_station_file
from tests.ocpp.ocpp_stand_ins import desk
from tests.support.ocpp_next_version import MARK, VERSION
from tests.support.simulated_station import Simulated
from tests.support.station_rig import station_text
from tests.support.station_rig_v201 import CARD

ENTRY = "tests.support.ocpp_next_version:NEXT_VERSION"


class StationOfNextVersion(Station201):
    """What a central system has to do for the version: a class and its row."""

    started: list[dict[str, Any]] = []

    @on("TransactionEvent")
    def transaction_event(self, event_type: str, call_unique_id: str, **event: Any) -> Any:
        if event_type == "Started":
            self.started.append(event)
        return super().transaction_event(event_type, call_unique_id=call_unique_id, **event)


@pytest.fixture
def installed_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution that registers the version by an entry point, for this process and those that it starts."""
    folder = tmp_path / "site"
    metadata = folder / "next_version-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: next-version\nVersion: 1\n")
    station = f"[{central_system.GROUP}]\nocpp{VERSION} = {__name__}:{StationOfNextVersion.__name__}\n"
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{VERSION} = {ENTRY}\n{station}")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))
    central_system.known_stations.cache_clear()
    yield
    central_system.known_stations.cache_clear()


def in_file(tmp_path: Path, backend: str) -> dict[str, Any]:
    text = station_text(1, backend=f'versions = ["{VERSION}", "1.6"]\n{backend}')
    file = parse_station_file(tomllib.loads(text), tmp_path / "station.toml")
    return backend_and_dialects(file, file.backends[0])


@pytest.mark.usefixtures("installed_version")
async def test_an_installed_version_boots_and_sends_a_transaction(tmp_path: Path) -> None:
    assert list(central_system.known_stations()) == ["ocpp2.1", f"ocpp{VERSION}", "ocpp2.0.1", "ocpp1.6"]
    text = station_text(1, backend=f'versions = ["{VERSION}", "1.6"]', settings="sample_interval_s = 5")
    async with (
        open_central(Options(port=0, versions=(VERSION,), quiet=True)) as central,
        Simulated(tmp_path, text, f"ws://127.0.0.1:{central.port}", 20.0) as station,
    ):
        await station.until(lambda p: p["backend"]["boot"] == "Accepted" and p["backend"]["link"] == "up")
        assert (await station.picture())["backend"]["ocpp"] == VERSION
        await station.post("/evses/1/plug", {"ready": True, "car": None})
        await station.until_evse(lambda e: e["car"])
        await station.post("/cards/tap", {"token": CARD, "evse": 1})
        await station.until_evse(lambda e: e["session"] and e["session"]["energy_wh"] >= 10)
        await station.post("/cards/tap", {"token": CARD, "evse": 1})
        await station.until_evse(lambda e: not e["session"])
        await station.until(lambda p: p["agent"]["queue"] == 0)
        (bill,) = central.ledger.transactions.values()
        assert bill.energy_wh == (await station.evse())["meter_wh"]
        assert central.ledger.station_record("CP-1").version == VERSION
        assert central.ledger.violations == []
        asked = [{"component": {"name": "NextCtrlr"}, "variable": {"name": "Colour"}}]
        answer = await central.send_command("CP-1", "GetVariables", {"getVariableData": asked})
        (found,) = answer["getVariableResult"]
        assert (found["attributeStatus"], found["attributeValue"]) == ("Accepted", "green")
        (started,) = StationOfNextVersion.started
        assert started["custom_data"] == {"vendor_id": MARK["vendorId"]}


@pytest.mark.usefixtures("installed_version")
def test_scope_and_quirks_come_with_the_dialect(tmp_path: Path) -> None:
    """Nothing outside the dialect names its version: what its neighbour limits and alters, it has too."""
    quirks = tmp_path / "quirks"
    quirks.mkdir()
    (quirks / "odd.toml").write_text('about = "capital letters"\nid_tag_case = "upper"\ntransaction_data = false\n')
    new, _ = in_file(tmp_path, 'scope = "billing"\nquirks = "odd"')["dialects"]
    assert new.name == VERSION
    assert find_gaps(new) == []
    assert new.scope() is build_dialects(("2.0.1",))[0].scope()
    assert isinstance(new.message_row(SecurityHappened), NotExpressible)
    authorize = new.message_row(AuthorizeToken)
    assert isinstance(authorize, MessageRow)
    assert authorize.encode(AuthorizeToken("chargy", "1", Token("abcd")), desk()) == {
        "idToken": {"idToken": "ABCD", "type": "ISO14443"}
    }


def test_a_version_that_is_not_installed_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"OCPP {VERSION} is not supported; known: 2.1, 2.0.1, 1.6"):
        in_file(tmp_path, "")


def test_another_distribution_does_not_replace_a_version_of_this_program() -> None:
    assert build_dialects(("1.6",), (), lambda: {"1.6": ENTRY})[0].name == "1.6"
    assert [d.name for d in build_dialects((VERSION, "1.6"), (), lambda: {VERSION: ENTRY})] == [VERSION, "1.6"]


BROKEN = ["no_such_package:V21", "tests.support.ocpp_next_version:NO_SUCH_NAME", "raises_error:V21", ":V21", "sys:path"]


@pytest.fixture
def raises_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raises_error.py").write_text("raise RuntimeError('out of order')")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("raises_error")
@pytest.mark.parametrize("entry", BROKEN)
def test_a_version_that_cannot_be_loaded_is_a_mistake(entry: str) -> None:
    with pytest.raises(ValueError, match=f"OCPP {VERSION}: {entry} (cannot be loaded|is no )"):
        build_dialects((VERSION,), (), lambda: {VERSION: entry})


@pytest.mark.usefixtures("raises_error")
@pytest.mark.parametrize("entry", BROKEN)
def test_a_station_starts_without_a_version_that_cannot_be_loaded(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``check`` names it."""
    monkeypatch.setattr("agent.assembly.dialects._installed_versions", lambda: {VERSION: entry})
    assert [d.name for d in in_file(tmp_path, "")["dialects"]] == ["1.6"]
    assert f"OCPP {VERSION}: {entry} " in caplog.text
    (tmp_path / "station.toml").write_text(station_text(1, backend=f'versions = ["{VERSION}", "1.6"]'))
    complaints = [p.message for p in check_station_file(tmp_path / "station.toml")[1]]
    assert [c for c in complaints if f"OCPP {VERSION}: {entry} " in c], complaints


def test_each_version_of_this_program_has_a_package() -> None:
    found = {d.name: d.subprotocol or d.soap for d in build_dialects(tuple(VERSIONS))}
    over_soap = {v: f"agent.ocpp.v{v.replace('.', '')}.soap_tables:SERVICE" for v in ("1.5", "1.2")}
    assert found == {**{v: f"ocpp{v}" for v in VERSIONS}, **over_soap}
