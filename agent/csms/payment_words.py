"""What the payment page asks of a station, in the words of each version of OCPP that has any: the set-up of the
codes, a driver who pays, the start of the charge, and what it costs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agent.csms.station_records import Transaction

VENDOR, PRICING = "cloud.charging.open", "org.openchargealliance.costmsg"
SendCommand = Callable[[str, str, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(slots=True)
class Visit:
    """A visitor of the page. ``tag``: the idTag of the charge that is started for this visitor."""

    station: str
    connector: int
    tag: str
    paid: bool = False
    refusal: str = ""
    """Why the visit ended without a charge, as a key of the page's texts; "": it did not."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """What the driver has chosen at the station as the most, by the parameter of the address."""


class PaymentWords(Protocol):
    """The words of a version. Commands raise ``NotConnected``, ``ValueError``, ``TimeoutError``."""

    def __init__(self, send: SendCommand) -> None: ...

    async def offers_codes(self, station: str, number: int) -> bool:
        """Return whether the outlet (0: the station) shows codes with a one-time token."""
        ...

    async def set_code_variable(self, station: str, number: int, name: str, value: str) -> str:
        """Set a variable of WebPaymentsCtrlr. Return the status of the answer."""
        ...

    async def announce_payment(self, visit: Visit, hold_s: int) -> bool:
        """Report that the driver pays now. Return whether the outlet is kept."""
        ...

    async def withdraw_payment(self, visit: Visit) -> None:
        """Report that nothing was paid."""
        ...

    async def start_charging(self, visit: Visit) -> bool:
        """Start the charge. Return whether the station has accepted it."""
        ...

    async def send_running_cost(self, visit: Visit, charge: Transaction, cost: float, euro_kwh: float) -> None: ...

    async def send_final_cost(self, visit: Visit, charge: Transaction, cost: float, receipt: str) -> None: ...


class PaymentWords16:
    """OCPP 1.6: the published back-port of WebPaymentsCtrlr, and the California pricing messages."""

    def __init__(self, send: SendCommand) -> None:
        self._send = send

    @staticmethod
    def _key(number: int, name: str) -> str:
        return f"WebPaymentsCtrlr.{number}.{name}" if number else f"WebPaymentsCtrlr.{name}"

    async def offers_codes(self, station: str, number: int) -> bool:
        known = await self._send(station, "GetConfiguration", {"key": [self._key(number, "URLTemplate")]})
        return bool(known.get("configurationKey"))

    async def set_code_variable(self, station: str, number: int, name: str, value: str) -> str:
        answer = await self._send(station, "ChangeConfiguration", {"key": self._key(number, name), "value": value})
        return str(answer.get("status"))

    async def announce_payment(self, visit: Visit, hold_s: int) -> bool:
        return await self._transfer(visit, "NotifyWebPaymentStarted", connectorId=visit.connector, timeout=hold_s)

    async def withdraw_payment(self, visit: Visit) -> None:
        await self._transfer(visit, "NotifyWebPaymentFailed", connectorId=visit.connector, errorMessage=[])

    async def start_charging(self, visit: Visit) -> bool:
        wanted = {"connectorId": visit.connector, "idTag": visit.tag}
        return (await self._send(visit.station, "RemoteStartTransaction", wanted)).get("status") == "Accepted"

    async def send_running_cost(self, visit: Visit, charge: Transaction, cost: float, euro_kwh: float) -> None:
        at = {"timestamp": charge.last_at or charge.started, "meterValue": charge.last_wh}
        said = {"transactionId": charge.transaction_id, "cost": cost, **at, "state": "Charging"}
        await self._transfer(visit, "RunningCost", PRICING, **said, chargingPrice={"kWhPrice": euro_kwh})

    async def send_final_cost(self, visit: Visit, charge: Transaction, cost: float, receipt: str) -> None:
        said = {"transactionId": charge.transaction_id, "cost": cost, "qrCodeText": receipt}
        await self._transfer(visit, "FinalCost", PRICING, **said)

    async def _transfer(self, visit: Visit, message: str, vendor: str = VENDOR, **data: Any) -> bool:
        payload = {"vendorId": vendor, "messageId": message, "data": json.dumps(data)}
        return (await self._send(visit.station, "DataTransfer", payload)).get("status") == "Accepted"


class PaymentWords21:
    """OCPP 2.1 C25. The final cost is in the answer to the end of the transaction."""

    _numbers = itertools.count(1)

    def __init__(self, send: SendCommand) -> None:
        self._send = send

    @staticmethod
    def _variable(number: int, name: str) -> dict[str, Any]:
        evse = {"evse": {"id": number}} if number else {}
        return {"component": {"name": "WebPaymentsCtrlr", **evse}, "variable": {"name": name}}

    async def offers_codes(self, station: str, number: int) -> bool:
        asked = {"getVariableData": [self._variable(number, "URLTemplate")]}
        (found,) = (await self._send(station, "GetVariables", asked)).get("getVariableResult", [{}])
        return bool(found.get("attributeStatus") == "Accepted")

    async def set_code_variable(self, station: str, number: int, name: str, value: str) -> str:
        wanted = {"setVariableData": [{**self._variable(number, name), "attributeValue": value}]}
        (found,) = (await self._send(station, "SetVariables", wanted)).get("setVariableResult", [{}])
        return str(found.get("attributeStatus"))

    async def announce_payment(self, visit: Visit, hold_s: int) -> bool:
        said = {"evseId": visit.connector, "timeout": hold_s}
        return "error" not in await self._send(visit.station, "NotifyWebPaymentStarted", said)

    async def withdraw_payment(self, visit: Visit) -> None:
        await self.announce_payment(visit, 0)

    async def start_charging(self, visit: Visit) -> bool:
        wanted = {
            "evseId": visit.connector,
            "remoteStartId": next(self._numbers),
            "idToken": {"idToken": visit.tag, "type": "DirectPayment"},
        }
        return (await self._send(visit.station, "RequestStartTransaction", wanted)).get("status") == "Accepted"

    async def send_running_cost(self, visit: Visit, charge: Transaction, cost: float, euro_kwh: float) -> None:
        said = {"transactionId": str(charge.transaction_id), "totalCost": cost}
        await self._send(visit.station, "CostUpdated", said)

    async def send_final_cost(self, visit: Visit, charge: Transaction, cost: float, receipt: str) -> None:
        """Send nothing: ``PayDesk.payment_answer`` has said it."""
