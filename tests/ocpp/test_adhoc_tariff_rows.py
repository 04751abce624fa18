"""The tariff from afar on the wire, golden lines of 1.6 and 2.0.1: key, variable, the address of a signed file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.domain.messages import PricesReported
from agent.domain.orders import Response
from agent.domain.requests import SetVariablesRequest, TariffFileRequest, UpdateFirmwareRequest
from agent.domain.variables import ADHOC_TARIFF, TARIFF_FILES, VARIABLES, Settings
from agent.model.fastclass import replace
from agent.ocpp.dialects.dialect import MessageRow, NotExpressible, RequestRow, RowContext
from agent.ocpp.v16 import V16
from agent.ocpp.v201 import V201
from tests.ocpp.ocpp_stand_ins import decoded, desk

TEXT = '{"id":"2027-02","valid_from":"2027-02-01T00:00:00+01:00","kwh":0.52}'
PRICES = '[{"evses":[1],"currency":"EUR","kwh":0.45}]'
VARIABLE = {"component": {"name": "TariffCostCtrlr"}, "variable": {"name": "AdhocTariff"}}
LOCATION = "https://u:p@host/7.tariff?x=1"


def place(*parts: str, in_force: str = PRICES) -> RowContext:
    settings = Settings({"adhoc_tariff_in_force": in_force}, frozenset(parts or (ADHOC_TARIFF, TARIFF_FILES)))
    return desk(None, settings)


def row(action: str, dialect: Any = V16) -> RequestRow:
    found = dialect.request_row(action)
    assert isinstance(found, RequestRow)
    return found


def change(key: str, where: RowContext) -> Any:
    return decoded(row("ChangeConfiguration"), {"key": key, "value": TEXT}, where)


def test_the_key_of_16() -> None:
    assert change("adhoctariff", place()) == SetVariablesRequest({"adhoc_tariff": TEXT})
    assert change("AdhocTariff", replace(place(), primary=False)) == {"status": "Rejected"}
    assert change("AdhocTariff", place("other")) == {"status": "NotSupported"}
    assert change("AdhocTariffInForce", place()) == {"status": "Rejected"}
    reply = Response("chargy", "1", "Accepted", {"adhoc_tariff": "Rejected"})
    assert row("ChangeConfiguration").answer(reply, {"key": "AdhocTariff"}, place()) == {"status": "Rejected"}


def in_force(where: RowContext) -> str:
    payload = {"key": ["AdhocTariffInForce"]}
    reply = Response("chargy", "1", "Accepted", {n: where.settings[n] for n in VARIABLES})
    [entry] = row("GetConfiguration").answer(reply, payload, where)["configurationKey"]
    assert entry["readonly"] is True
    return str(entry["value"])


def test_what_is_in_force_fits_into_a_value_of_16() -> None:
    assert in_force(place()) == PRICES
    window = [{"begin": f"{n:02}:00", "end": f"{n + 1:02}:00", "kwh": 0.5} for n in range(24)]
    long = [{"evses": [1, 2], "id": "T1", "valid_from": "2027-01-01T00:00:00Z", "kwh": 0.5, "window": window}]
    assert json.loads(in_force(place(in_force=json.dumps(long)))) == [
        {"evses": [1, 2], "id": "T1", "valid_from": "2027-01-01T00:00:00Z"}
    ]
    assert in_force(place(in_force=json.dumps(long * 20))) == "[]"


def test_a_report_of_the_prices() -> None:
    out = V16.message_row(PricesReported)
    assert isinstance(out, MessageRow)
    payload = {"vendorId": "chargy", "messageId": "AdhocTariffInForce", "data": PRICES}
    assert out.action == "DataTransfer"
    assert out.encode(PricesReported(PRICES), place()) == payload
    assert out.decode_response(PricesReported(PRICES), {"status": "UnknownVendorId"}, place()).events == ()
    assert isinstance(V201.message_row(PricesReported), NotExpressible), "2.x monitors the variable"


def test_the_variable_of_201() -> None:
    payload = {"setVariableData": [{**VARIABLE, "attributeValue": TEXT}]}
    set_ = row("SetVariables", V201)
    assert set_.decode(payload, place()) == SetVariablesRequest({"adhoc_tariff": TEXT})
    assert set_.decode(payload, place("other")) == SetVariablesRequest({})
    for said in ("Accepted", "Rejected"):
        reply = Response("chargy", "1", "Accepted", {"adhoc_tariff": said})
        [result] = set_.answer(reply, payload, place())["setVariableResult"]
        assert result["attributeStatus"] == said


@pytest.mark.parametrize(
    ("parts", "location", "is_tariff"),
    [
        ((TARIFF_FILES,), LOCATION, True),
        ((TARIFF_FILES,), "https://host/a.tariff/firmware", False),
        ((ADHOC_TARIFF,), LOCATION, False),
    ],
)
def test_update_firmware_of_a_tariff_file(parts: tuple[str, ...], location: str, is_tariff: bool) -> None:
    plain = {"location": location, "retrieveDate": "2027-01-01T00:00:00Z"}
    kind = TariffFileRequest if is_tariff else UpdateFirmwareRequest
    assert isinstance(row("UpdateFirmware").decode(plain, place(*parts)), kind)
    unsigned = {"requestId": 7, "firmware": {"location": location, "retrieveDateTime": "2027-01-01T00:00:00Z"}}
    said = decoded(row("UpdateFirmware", V201), unsigned, place(*parts))
    if is_tariff:
        assert isinstance(said, TariffFileRequest)
        assert (said.update.location, said.update.request_id) == (location, 7)
    else:
        assert said == {"status": "InvalidCertificate"}, "firmware has to be signed in 2.x"
