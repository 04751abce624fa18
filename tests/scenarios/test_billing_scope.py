"""``scope = "billing"``: every fault and every setting there is, a session, and nothing off the list crosses the link;
what was kept back is in the sink. The list here is written from the issue, not from the code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent.model.types import Fault
from tests.support.station_rig import Street, station_text, street
from tests.support.station_rig_v201 import Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALLOWED = {
    "1.6": {
        "BootNotification", "Heartbeat", "Authorize", "StartTransaction", "StopTransaction", "MeterValues",
        "StatusNotification", "SignCertificate",
    },
    "2.0.1": {
        "BootNotification", "Heartbeat", "Authorize", "TransactionEvent", "StatusNotification", "NotifyReport",
        "SignCertificate",
    },
}  # fmt: skip
STATUS_FIELDS = {
    "1.6": {"connectorId", "status", "errorCode", "timestamp"},
    "2.0.1": {"timestamp", "connectorStatus", "evseId", "connectorId"},
}
NOT_RAISED = {"StoreFailed", "RecordPoisoned", "InternalError", "ResetFailure", "WeakSignal"}
"""Not a matter of the street."""
LOOKS_S = (0.3, 2.0, 8.0)
"""So long a fault may take to be noticed: some of them need a car, or minutes, and are not. Longer on a machine that is
so busy that few were."""
ENOUGH = 20
SINK = '[[sinks]]\nname = "alerts"\npath = "alerts.jsonl"\n'
SETTINGS = (
    "sample_interval_s = 1\n[settings.ocpp16]\n"
    'MeterValuesSampledData = "Energy.Active.Import.Register,Power.Active.Import,Voltage,Current.Import"\n'
)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["1.6", "2.0.1"])
async def s(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    folder = tmp_path_factory.mktemp("scope")
    scope = 'scope = "billing"'
    more = {"settings": SETTINGS, "simulation": SINK}
    opening = (
        street201(folder, 1, backend_more=scope, **more)
        if request.param == "2.0.1"
        else street(folder, station_text(1, backend=scope, **more))
    )
    async with opening as opened:
        opened.folder = folder  # type: ignore[attr-defined]
        yield opened


def version(s: Street) -> str:
    return "2.0.1" if isinstance(s, Street201) else "1.6"


def alerts(s: Street) -> list[dict[str, Any]]:
    path = Path(s.folder) / "alerts.jsonl"  # type: ignore[attr-defined]
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)


async def every_fault(s: Street, noticed: set[str], look_s: float) -> None:
    """Raised one after the other and cleared; ``noticed``: those that the station has noticed."""
    for name in sorted(f.value for f in Fault if f.value not in NOT_RAISED | noticed):
        try:
            await s.fault(name)
        except AssertionError:
            continue  # this board cannot have it

        end_s = asyncio.get_running_loop().time() + look_s
        while name not in noticed and asyncio.get_running_loop().time() < end_s:
            await asyncio.sleep(0.02)
            noticed |= {a["fault"] for a in alerts(s) if a["message"] == "FaultNoted"}
        await s.fault(name, False)


async def every_setting(s: Street) -> None:
    """Read, and written again with what was read."""
    if isinstance(s, Street201):
        reports = [
            await s.report("GetBaseReport", reportBase=base)
            for base in ("FullInventory", "ConfigurationInventory", "SummaryInventory")
        ]
        found = list(written(reports[0][1]))
        assert len(found) > ENOUGH
        for i in range(0, len(found), 4):  # ItemsPerMessage
            await s.csms.ask("SetVariables", {"setVariableData": found[i : i + 4]})
        return
    for key in (await s.csms.ask("GetConfiguration", {}))["configurationKey"]:
        if not key["readonly"] and "value" in key:
            await s.csms.ask("ChangeConfiguration", {"key": key["key"], "value": key["value"]})


def written(report: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each variable that can be, with its own value."""
    for entry in report:
        for attribute in entry["variableAttribute"]:
            if attribute.get("mutability") == "ReadWrite" and attribute.get("value"):
                yield {
                    "component": entry["component"], "variable": entry["variable"],
                    "attributeType": attribute.get("type", "Actual"), "attributeValue": attribute["value"],
                }  # fmt: skip


def check(action: str, payload: dict[str, Any], v: str) -> None:
    assert action in ALLOWED[v], f"{action} crossed the link: {payload}"
    if action == "StatusNotification":
        assert set(payload) <= STATUS_FIELDS[v], payload
        assert payload.get("errorCode") in (None, "NoError", "OtherError")
        assert (payload.get("errorCode") == "OtherError") is (payload.get("status") == "Faulted")
    for value in (*payload.get("meterValue", ()), *payload.get("transactionData", ())):
        for sampled in value["sampledValue"]:
            assert sampled.get("measurand", "Energy.Active.Import.Register").startswith("Energy.Active.Import")
    for entry in payload.get("reportData", ()):
        assert entry["variable"]["name"] not in ("Problem", "Temperature", "Tripped", "Overload")
    words = set(texts(payload)) - {"NoError", "OtherError"}
    if action != "NotifyReport":
        assert not words & {f.value for f in Fault}, f"{action} tells a fault: {payload}"


async def test_nothing_off_the_list_crosses_the_link(s: Street) -> None:
    charged = {"1.6": "Charging", "2.0.1": "Occupied"}[version(s)]
    await s.plug()
    await s.tap("CARD-A")
    await s.until(lambda e: e["contactor"])
    await s.until(lambda e: e["reported"]["status"] == charged)
    await s.heard(lambda: [a for a in alerts(s) if a["message"] == "MeterSampled"])
    await s.tap("CARD-A")
    await s.until(lambda e: e["session"] is None)
    await s.unplug()
    noticed: set[str] = set()
    for look_s in LOOKS_S:
        if len(noticed) <= ENOUGH:
            await every_fault(s, noticed, look_s)
    assert len(noticed) > ENOUGH, noticed
    await every_setting(s)
    for action, payload in s.calls():
        check(action, payload, version(s))
    actions = {a for a, _ in s.calls()}
    assert {"BootNotification", "Authorize", "StatusNotification"} <= actions
    assert actions & {"TransactionEvent", "StopTransaction"}
    assert s.csms.violations == []


async def test_what_is_no_matter_of_a_billing_backend_is_refused(s: Street) -> None:
    refused = {
        "1.6": [("GetDiagnostics", {"location": "http://127.0.0.1:9/x"}), ("GetLog", None)],
        "2.0.1": [("GetLog", None)],
    }
    log = {"logType": "DiagnosticsLog", "requestId": 1, "log": {"remoteLocation": "http://127.0.0.1:9/x"}}
    for action, payload in refused[version(s)]:
        kind, _, code, *_ = await s.csms.call(action, payload or log)
        assert (kind, code) == (4, "NotSupported")
    asked = {"requestedMessage": "FirmwareStatusNotification"}
    assert (await s.csms.ask("TriggerMessage", asked))["status"] == "NotImplemented"
