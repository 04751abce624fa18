"""A backend that speaks each version of OCPP, one at a time: JSON by ``StrictCsms``, SOAP by ``ZeepCentral``. Neither
shares a codec with the agent. It keeps one book for all versions, authorizes all cards but one, and bills what was
started from its payment page by a price of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from websockets.asyncio.server import ServerConnection

from tests.support.busy_machine import Deadline
from tests.support.simulated_station import held_port
from tests.support.strict_csms import BILLED, ENERGY, StrictCsms, Transaction
from tests.support.zeep_central import ZeepCentral

JSON = {"1.6J": "1.6", "2.0.1": "2.0.1", "2.1": "2.1"}
SOAP = {"1.2": "1.2", "1.5": "1.5", "1.6S": "1.6"}
WIRE_NAMES = {**JSON, **SOAP}
"""The version that is negotiated, or that the namespaces name, by the name that it has here."""
CHANGING = "changing"
REFUSED = "BAD0000001"
PAGE = "PAGE"
"""How the token of a driver begins who has paid at the page of the backend."""
PAGE_EURO_KWH = Decimal("0.6130")
HEARTBEAT_S = 60
"""Over SOAP the station finds out with its next message that the backend has gone."""
PRICING = "org.openchargealliance.costmsg"
PAYMENT = "cloud.charging.open"
HOLD_S = 300
"""How long an outlet is kept for a driver who is paying."""


def energy_cents(wh: int, euro_kwh: Decimal, fee_cents: int = 0) -> int:
    """What so much energy costs, with VAT: rounded once, half up."""
    return int((wh * euro_kwh / 10 + fee_cents).quantize(Decimal(1), ROUND_HALF_UP))


@dataclass
class Booked:
    """A transaction in the book of the backend. ``book``: of the version in which it was begun; 2.0.1 and 2.1 have one
    book. ``said_cents``: the cost that the station has sent, in 2.1."""

    book: str
    number: int | str
    outlet: int
    token: str
    start_wh: int
    stop_wh: int | None = None
    said_cents: int | None = None

    @property
    def place(self) -> tuple[int, int]:
        """What is the same in each version: outlet and register of the begin."""
        return self.outlet, self.start_wh


@dataclass
class JsonSide(StrictCsms):
    """What is spoken over a WebSocket. ``known_elsewhere``: whether the other side has this transaction too."""

    known_elsewhere: Callable[[Transaction], bool] = lambda t: False
    refusals: int = 0
    bills: dict[int | str, int] = field(default_factory=dict)
    """The cents of what was started from the page, by the number of the transaction."""
    settled_cents: dict[str, int] = field(default_factory=dict)
    """What has become of a bank card's money, by the token of the session (2.1 C21)."""

    async def _station(self, connection: ServerConnection) -> None:
        if str(connection.subprotocol or "").removeprefix("ocpp") not in self.speaks:
            await connection.close()  # no version of this hour
            return
        await super()._station(connection)

    def _elsewhere(self, t: Transaction) -> bool:
        return super()._elsewhere(t) or self.known_elsewhere(t)

    def _Authorize(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.refusals += payload["idTag"] in self.refuse
        return super()._Authorize(id_, payload)

    def _Authorize_201(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.refusals += payload["idToken"]["idToken"] in self.refuse
        return super()._Authorize_201(id_, payload)

    def _MeterValues(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        t = self.transactions.get(payload.get("transactionId", -1))
        known = set(t.samples) if t is not None else set()
        return super()._MeterValues(id_, {**payload, "meterValue": _new_values(payload["meterValue"], known)})

    def _register(self, t: Transaction, payload: dict[str, Any]) -> None:
        if payload["eventType"] == "Updated":
            payload = {**payload, "meterValue": _new_values(payload.get("meterValue", ()), set(t.samples))}
        super()._register(t, payload)

    def _TransactionEvent_201(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        answer = super()._TransactionEvent_201(id_, payload)
        t = self.transactions.get(payload["transactionInfo"]["transactionId"])
        if payload["eventType"] != "Ended" or t is None or not t.token.startswith(PAGE) or t.stop_wh is None:
            return answer
        cents = self.bills[t.id] = energy_cents(t.stop_wh - t.start_wh, PAGE_EURO_KWH)
        return {**answer, "totalCost": cents / 100}

    def _NotifySettlement_201(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        name, cents = payload["pspRef"], round(payload["settlementAmount"] * 100)
        if payload["status"] != "Settled" or self.settled_cents.setdefault(name, cents) != cents:
            self.violations.append(f"settlement of {name}: {payload}, {self.settled_cents.get(name)} before")
        return {}


class SoapSide(ZeepCentral):
    """One version over SOAP. ``hear``: is awaited before a billed message is answered."""

    def __init__(self, version: str, port: int, first_number: int, hear: Callable[[], Awaitable[None]]) -> None:
        super().__init__(version=SOAP[version])
        self.port, self._hear = port, hear
        self.booked: list[Booked] = []
        self.refusals = 0
        self._book, self._numbers = version, itertools.count(first_number)
        self.answers |= {
            "Authorize": self._authorize_token,
            "BootNotification": self._accept_station,
            "Heartbeat": self._say_time,
            "StartTransaction": self._book_start,
            "StopTransaction": self._book_stop,
        }

    async def _authorize_token(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.refusals += fields["idTag"] == REFUSED
        return {"idTagInfo": {"status": "Invalid" if fields["idTag"] == REFUSED else "Accepted"}}

    async def _accept_station(self, fields: dict[str, Any]) -> dict[str, Any]:
        interval = "interval" if self.version == "1.6" else "heartbeatInterval"
        return {"status": "Accepted", interval: HEARTBEAT_S, **(await self._say_time(fields))}

    async def _say_time(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {"currentTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}

    async def _book_start(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A repeated start has the number that it had."""
        await self._hear()
        place = fields["connectorId"], fields["meterStart"]
        known = next((t for t in self.booked if t.place == place and t.token == fields["idTag"]), None)
        if known is None:
            known = Booked(self._book, next(self._numbers), place[0], fields["idTag"], place[1])
            self.booked.append(known)
        return {"transactionId": known.number, "idTagInfo": {"status": "Accepted"}}

    async def _book_stop(self, fields: dict[str, Any]) -> dict[str, Any]:
        await self._hear()
        number, stop_wh = fields["transactionId"], fields["meterStop"]
        known = next((t for t in self.booked if t.number == number), None)
        if known is None:
            self.complaints.append(f"stop of unknown transaction {number}")
        elif known.stop_wh not in (None, stop_wh):
            self.complaints.append(f"second stop of {number}: {known.stop_wh} Wh and {stop_wh} Wh")
        elif stop_wh < known.start_wh:
            self.complaints.append(f"register of {number} ran backwards: {known.start_wh} {stop_wh}")
        else:
            known.stop_wh = stop_wh
        return {"idTagInfo": {"status": "Accepted"}}


class VersionsBackend:
    """``async with VersionsBackend() as backend``. ``on_billed``: is awaited once, before a billed message is
    answered."""

    def __init__(self) -> None:
        self.version = ""
        """The one that is accepted now; "": none, and no connection either."""
        self.on_billed: Callable[[], Awaitable[None]] | None = None
        self.json = JsonSide(refuse={REFUSED}, hook=self._hear_json, known_elsewhere=self._is_in_soap_book)
        self._soap: dict[str, SoapSide] = {}
        self._stack, self._listening = contextlib.AsyncExitStack(), contextlib.AsyncExitStack()
        self._remote_ids = itertools.count(1)

    async def __aenter__(self) -> VersionsBackend:
        port = self._stack.enter_context(held_port())
        await self._stack.enter_async_context(self.json)
        self.json.speaks = ()
        self._soap = {v: SoapSide(v, port, 2000 + 1000 * place, self._hear) for place, v in enumerate(SOAP)}
        self._soap_url = self._soap["1.5"].url
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close_all()
        await self._stack.aclose()

    def file_lines(self, case: str) -> str:
        """Lines of ``[backend]`` for a station that speaks this version, or all of them."""
        if case == CHANGING:
            return f'versions = ["2.1", "2.0.1", "1.6", "1.5", "1.2"]\nsoap_url = "{self._soap_url}"\nsoap_port = 0'
        return f'versions = ["{WIRE_NAMES[case]}"]\nsoap_port = 0'

    def station_url(self, case: str) -> str:
        return self._soap_url if case in SOAP else self.json.url

    # --- the version of the hour -------------------------------------------------------------------------------------

    async def accept_version(self, version: str) -> None:
        """This version from now on, and no other one."""
        await self.close_all()
        self.version = version
        if version in JSON:
            self.json.speaks = (JSON[version],)
        else:
            await self._listening.enter_async_context(self._soap[version].listening())

    async def close_all(self) -> None:
        """No version and no connection."""
        self.version, self.json.speaks = "", ()
        await self.json.drop()
        listening, self._listening = self._listening, contextlib.AsyncExitStack()
        await listening.aclose()

    @property
    def wire_version(self) -> str:
        """The version that is accepted now, in the words of a station file."""
        return WIRE_NAMES[self.version]

    async def _hear(self) -> None:
        heard, self.on_billed = self.on_billed, None
        if heard is not None:
            await heard()

    async def _hear_json(self, moment: str, action: str, payload: dict[str, Any]) -> None:
        if moment == "before" and action in BILLED:
            await self._hear()

    # --- the book ----------------------------------------------------------------------------------------------------

    def _is_in_soap_book(self, t: Transaction) -> bool:
        places = ((b.outlet, b.start_wh, b.token) for side in self._soap.values() for b in side.booked)
        return (t.connector, t.start_wh, t.token) in places

    def all_booked(self) -> list[Booked]:
        of_json = [
            Booked(t.version, t.id, t.connector, t.token, t.start_wh, t.stop_wh, _said_cents(t))
            for t in self.json.transactions.values()
        ]
        return [*of_json, *(b for side in self._soap.values() for b in side.booked)]

    @property
    def complaints(self) -> list[str]:
        return [*self.json.violations, *(c for side in self._soap.values() for c in side.complaints)]

    @property
    def refusals(self) -> int:
        """How often the card that is not authorized was asked for."""
        return self.json.refusals + sum(side.refusals for side in self._soap.values())

    @property
    def reports_cost(self) -> bool:
        """Whether the version that is accepted now can say to the station what a session has cost."""
        return self.version != "1.2"

    def _booked_now(self, place: tuple[int, int]) -> Booked | None:
        """The transaction in the book of the version that is accepted now."""
        book = {"1.6J": "1.6", "2.1": "2.0.1"}.get(self.version, self.version)
        return next((b for b in self.all_booked() if b.place == place and b.book == book), None)

    # --- what it asks the station for --------------------------------------------------------------------------------

    async def ask_station(self, action: str, **fields: Any) -> str:
        """The status of the answer. Over SOAP the address of the station is known from its latest message: after a
        broken connection it is asked again."""
        patience = Deadline(60)
        while True:
            try:
                if self.version in JSON:
                    return str((await self.json.ask(action, fields)).get("status", ""))
                answer = await self._soap[self.version].ask(action, **fields)
                return answer if isinstance(answer, str) else str(answer["status"])
            except OSError:  # an exception of requests is one
                if patience.over:
                    raise
                await asyncio.sleep(0.1)

    async def announce_payment(self, outlet: int) -> None:
        """A driver pays at the page that the code of this outlet leads to (2.1 C25; the back-port to 2.0.1 and 1.x)."""
        if self.version == "2.1":
            assert await self.ask_station("NotifyWebPaymentStarted", evseId=outlet, timeout=HOLD_S) == ""
        elif self.version != "1.2":
            name = "evseId" if self.version == "2.0.1" else "connectorId"
            said = await self._transfer_data(PAYMENT, "NotifyWebPaymentStarted", {name: outlet, "timeout": HOLD_S})
            assert said == "Accepted"

    async def start_remotely(self, outlet: int, token: str) -> None:
        if self.version in ("2.0.1", "2.1"):
            kind = "DirectPayment" if self.version == "2.1" else "Central"
            fields: dict[str, Any] = {"evseId": outlet, "remoteStartId": next(self._remote_ids)}
            fields["idToken"] = {"idToken": token, "type": kind}
            said = await self.ask_station("RequestStartTransaction", **fields)
        else:
            said = await self.ask_station("RemoteStartTransaction", connectorId=outlet, idTag=token)
        assert said == "Accepted"

    async def stop_remotely(self, place: tuple[int, int]) -> None:
        booked = self._booked_now(place)
        assert booked is not None, (place, self.all_booked())
        action = "RequestStopTransaction" if self.version in ("2.0.1", "2.1") else "RemoteStopTransaction"
        assert await self.ask_station(action, transactionId=booked.number) == "Accepted"

    def is_ended(self, place: tuple[int, int]) -> bool:
        """Whether its end is in the book of the version that is accepted now."""
        booked = self._booked_now(place)
        return booked is not None and booked.stop_wh is not None

    async def bill_session(self, place: tuple[int, int]) -> int | None:
        """Say what a session has cost that was started from the page; its cents. None: the version has no words for
        it. In 2.x the answer to the end has said it already."""
        booked = self._booked_now(place)
        assert booked is not None
        assert booked.stop_wh is not None
        if self.version in ("2.0.1", "2.1"):
            return self.json.bills[booked.number]
        if not self.reports_cost:
            return None
        cents = energy_cents(booked.stop_wh - booked.start_wh, PAGE_EURO_KWH)
        said = await self._transfer_data(PRICING, "FinalCost", {"transactionId": booked.number, "cost": cents / 100})
        assert said == "Accepted"
        return cents

    async def _transfer_data(self, vendor: str, message: str, data: dict[str, Any]) -> str:
        text = json.dumps(data)
        return await self.ask_station("DataTransfer", vendorId=vendor, messageId=message, data=text)


def _new_values(values: Iterable[dict[str, Any]], known: set[int]) -> list[dict[str, Any]]:
    """What is no repetition: the samples of a message whose answer the agent did not live to see come again in others
    (decision 44)."""

    def is_repeated(value: dict[str, Any]) -> bool:
        registers = [s for s in value["sampledValue"] if s.get("measurand", ENERGY) == ENERGY]
        return bool(registers) and all(int(float(s["value"])) in known for s in registers)

    return [value for value in values if not is_repeated(value)]


def _said_cents(t: Transaction) -> int | None:
    """The total that the station has sent with the end (2.1 I12)."""
    total = (t.stop or {}).get("costDetails", {}).get("totalCost", {}).get("total", {})
    return None if "inclTax" not in total else round(total["inclTax"] * 100)
