"""A central system of OCPP 1.2, 1.5 and 1.6 over SOAP that shares no codec with the agent: ``zeep`` reads and writes,
after a description in WSDL.

As a server it holds every message of a station against the schema (libxml2 judges). As a client it calls the operations
of the station: without ``From`` and ``ReplyTo``, as central systems on Apache CXF do."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import zeep
from aiohttp import web
from lxml import etree
from zeep.helpers import serialize_object

from tests.support.soap_descriptions import DESCRIPTIONS, SERVICES, description_file, element_names

SOAP = "http://www.w3.org/2003/05/soap-envelope"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
SOAP_TYPE = "application/soap+xml; charset=utf-8"
OTHER_VERSION = (
    f'<e:Envelope xmlns:e="{SOAP}"><e:Body><e:Fault><e:Code><e:Value>e:Sender</e:Value></e:Code><e:Reason>'
    '<e:Text xml:lang="en">Message part was not recognized</e:Text></e:Reason></e:Fault></e:Body></e:Envelope>'
).encode()
"""What a service says to an element that is not in its description."""
NOW = "2026-11-25T10:00:00Z"
ACCEPTED = {"idTagInfo": {"status": "Accepted"}}
ANSWERS: dict[str, dict[str, Any]] = {
    "Authorize": ACCEPTED,
    "BootNotification": {"status": "Accepted", "currentTime": NOW, "heartbeatInterval": 300},
    "DataTransfer": {"status": "Accepted"},
    "Heartbeat": {"currentTime": NOW},
    "StartTransaction": {"transactionId": 7, **ACCEPTED},
    "StopTransaction": ACCEPTED,
}


@cache
def wsdl_client(version: str, side: str) -> zeep.Client:
    """The description of one service as zeep understands it."""
    with tempfile.TemporaryDirectory() as folder:
        return zeep.Client(str(description_file(version, side, Path(folder))))


@cache
def body_schema(version: str, side: str) -> etree.XMLSchema:
    """The schema of the bodies of one service, as libxml2 applies it."""
    with tempfile.TemporaryDirectory() as folder:
        tree = etree.parse(str(description_file(version, side, Path(folder))))
    schema = tree.find(".//{http://www.w3.org/2001/XMLSchema}schema")
    return etree.XMLSchema(etree.fromstring(etree.tostring(schema)))


def read_body(version: str, side: str, element: Any) -> Any:
    """What zeep reads in the element of a body, as plain values."""
    client = wsdl_client(version, side)
    parsed = client.get_element(element.tag).parse(element, client.wsdl.types)
    return serialize_object(parsed, dict)


class ZeepCentral:
    """``answers``: action -> fields of the answer; a bytes object is sent as it is, with status 200; a tuple is a
    status and a body; a coroutine function is called with the fields of the request and returns one of these."""

    def __init__(self, answers: Mapping[str, Any] = ANSWERS, version: str = "1.5") -> None:
        self.answers: dict[str, Any] = dict(answers)
        if version == "1.6":
            self.answers["BootNotification"] = {"status": "Accepted", "currentTime": NOW, "interval": 300}
        self.version, self.namespace = version, DESCRIPTIONS[version].namespace("central")
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.http: list[Mapping[str, str]] = []
        self.complaints: list[str] = []
        self.port = 0
        self.delay_s = 0.0
        self.connections: set[Any] = set()
        self.station_url = ""
        self.to_other_version: tuple[int, bytes] = (500, OTHER_VERSION)
        self.other_versions = 0
        self.most_octets = 2**20
        self.pages = 0

    def actions(self) -> list[str]:
        return [action for action, _ in self.calls]

    def of(self, action: str) -> list[dict[str, Any]]:
        return [payload for name, payload in self.calls if name == action]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ocpp/central"

    @contextlib.asynccontextmanager
    async def listening(self, **options: Any) -> AsyncIterator[ZeepCentral]:
        runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True, **options)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        self.http.append(dict(request.headers))
        self.connections.add(request.transport)
        octets = await request.read()
        if len(octets) > self.most_octets:
            self.pages += 1
            return web.Response(status=500, body=b"<html>Internal Server Error</html>", content_type="text/html")
        envelope = etree.fromstring(octets)
        header, content = envelope.find(f"{{{SOAP}}}Header"), envelope.find(f"{{{SOAP}}}Body")[0]
        found = {etree.QName(e).localname: "".join(e.itertext()).strip() for e in header}
        self.headers.append(found)
        if etree.QName(content).namespace != self.namespace:
            self.other_versions += 1
            status, body = self.to_other_version
            return web.Response(status=status, body=body, headers={"Content-Type": SOAP_TYPE})
        schema = body_schema(self.version, "central")
        if not schema.validate(content):
            self.complaints.append(f"{etree.QName(content).localname}: {schema.error_log.last_error}")
        action = found["Action"].removeprefix("/")
        if etree.QName(content).localname != element_names(action)[0]:
            self.complaints.append(f"{action}: {content.tag}")
        self.station_url = found["From"]
        self.calls.append(
            (action, {k: v for k, v in (read_body(self.version, "central", content) or {}).items() if v is not None})
        )
        answer, delay_s = self.answers.get(action, {}), self.delay_s
        if callable(answer):
            answer = await answer(self.calls[-1][1])
        await asyncio.sleep(delay_s)
        status, octets = answer if isinstance(answer, tuple) else (200, answer)
        if isinstance(octets, dict):
            octets = self.envelope(action, octets, found["MessageID"])
        kind = SOAP_TYPE if octets[:1] == b"<" else "text/plain"
        return web.Response(status=status, body=octets, headers={"Content-Type": kind})

    def envelope(self, action: str, fields: Mapping[str, Any], relates_to: str, soap: str = SOAP) -> bytes:
        """An answer as zeep writes it, with prefixes of its own."""
        client = wsdl_client(self.version, "central")
        root = etree.Element(f"{{{soap}}}Envelope", nsmap={"env": soap, "wsaddr": WSA})
        header = etree.SubElement(root, f"{{{soap}}}Header")
        for name, text in (("Action", f"/{action}Response"), ("RelatesTo", relates_to)):
            etree.SubElement(header, f"{{{WSA}}}{name}").text = text
        element = client.get_element(f"{{{self.namespace}}}{element_names(action)[1]}")
        body = etree.SubElement(root, f"{{{soap}}}Body")
        element.render(body, element(**fields))
        return etree.tostring(root)

    async def ask(self, action: str, identity: str = "CP-1", **fields: Any) -> Any:
        """Call an operation of the station. Raises ``zeep.exceptions.Fault``."""
        client = wsdl_client(self.version, "station")
        binding = f"{{{DESCRIPTIONS[self.version].namespace('station')}}}{SERVICES['station']}Soap"
        service = client.create_service(binding, self.station_url)
        call = getattr(service, action)
        found = await asyncio.to_thread(call, **fields, _soapheaders={"ChargeBoxIdentity": identity})
        return serialize_object(found, dict)
