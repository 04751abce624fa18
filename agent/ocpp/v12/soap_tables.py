"""OCPP 1.2 on the wire: the elements of each operation, where they differ from those of 1.5."""

from __future__ import annotations

from agent.ocpp.v12.rows import REQUESTS_OF_15
from agent.ocpp.v15.soap_tables import (
    CONNECTOR,
    ID_TAG_INFO,
    TRANSACTION,
    TRANSACTION_END,
    TRANSACTION_START,
    point_in_time,
    text_elements,
)
from agent.ocpp.v15.soap_tables import SERVICE as SERVICE_15
from agent.ocpp.wire.soap_body import BodyElement, ContentKind, SoapOperation, SoapService

_VALUE = BodyElement("value", ContentKind.VALUE, "sampledValue", is_list=True)
"""One number: the register in Wh."""

_CHANGED = {
    "MeterValues": SoapOperation((
        CONNECTOR,
        BodyElement("values", ContentKind.GROUP, "meterValue", (point_in_time("timestamp"), _VALUE), True),
    )),
    "StartTransaction": SoapOperation(TRANSACTION_START, (TRANSACTION, ID_TAG_INFO)),
    "StatusNotification": SoapOperation((CONNECTOR, *text_elements("status", "errorCode"))),
    "StopTransaction": SoapOperation(TRANSACTION_END, (ID_TAG_INFO,)),
}  # fmt: skip

SERVICE = SoapService(
    "urn://Ocpp/Cs/2010/08/",
    "urn://Ocpp/Cp/2010/08/",
    {action: made for action, made in {**SERVICE_15.operations, **_CHANGED}.items() if action not in REQUESTS_OF_15},
)
