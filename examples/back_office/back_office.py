"""A back office in 40 lines: OCPP 1.6J, every card is welcome. ``python back_office.py 9000``"""

import asyncio
import itertools
import sys
from datetime import UTC, datetime

import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result

numbers, begun_wh = itertools.count(1), {}


class Station(ChargePoint):
    @on("BootNotification")
    def accept_boot(self, **details):
        return call_result.BootNotification(datetime.now(UTC).isoformat(), 300, "Accepted")

    @on("Heartbeat")
    def answer_heartbeat(self):
        return call_result.Heartbeat(datetime.now(UTC).isoformat())

    @on("StatusNotification")
    def note_status(self, **status):
        return call_result.StatusNotification()

    @on("Authorize")
    def accept_card(self, id_tag):
        return call_result.Authorize({"status": "Accepted"})

    @on("StartTransaction")
    def begin_transaction(self, meter_start, **details):
        begun_wh[number := next(numbers)] = meter_start
        return call_result.StartTransaction(number, {"status": "Accepted"})

    @on("MeterValues")
    def note_meter_values(self, **values):
        return call_result.MeterValues()

    @on("StopTransaction")
    def end_transaction(self, transaction_id, meter_stop, **details):
        print(f"{self.id}: {meter_stop - begun_wh.pop(transaction_id)} Wh", flush=True)
        return call_result.StopTransaction()


async def serve(port):
    def handle(socket):
        return Station(socket.request.path.rpartition("/")[2], socket).start()

    async with websockets.serve(handle, "127.0.0.1", port, subprotocols=["ocpp1.6"]) as server:
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.wait_closed()


asyncio.run(serve(int(sys.argv[1])))
