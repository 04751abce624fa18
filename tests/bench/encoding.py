"""Builds, validates and encodes nine values so many times: ``python -m tests.bench.encoding 1.6|2.0.1 COUNT``.

MeterValues in OCPP 1.6, TransactionEvent in 2.0.1, from the domain's message to the text of the frame.
"""

from __future__ import annotations

import sys
from typing import Any

from agent.domain.messages import MeterSampled, Sample
from agent.domain.variables import Settings
from agent.model.types import Moment, Reading, ReadingContext, Stamp
from agent.ocpp.dialects.dialect import Identity, MessageRow, RowContext
from agent.ocpp.versions import build_dialects
from agent.ocpp.wire.rpc import Rpc

NAMES = ("Energy.Active.Import.Register", "Power.Active.Import", "Current.Import", "Voltage", "Current.Offered")


class Clock:
    rate = 1.0

    def now(self) -> Moment:
        return Moment(Stamp(1, 0.0), 1.8e9)

    def utc_s(self, stamp: Stamp) -> float:
        return 1.8e9 + stamp.t_s

    def heard_utc(self, utc_s: float, round_trip_s: float, is_preliminary: bool = False) -> None: ...


def message(number: int, session: str) -> MeterSampled:
    """Nine values."""
    reading = Reading(
        Stamp(1, float(number)), 1234567 + number, 11040.0, (230.4, 229.8, 231.1), (15.9, 16.0, 15.8), offered_a=16.0
    )
    return MeterSampled(session, 1, (Sample(ReadingContext.PERIODIC, reading, NAMES),))


def main(version: str, count: int) -> None:
    dialect = build_dialects((version,))[0]
    outbox: Any = None  # nothing of it is asked for values that belong to no numbered transaction
    desk = RowContext("chargy", outbox, Clock(), Settings(), Identity)
    row = dialect.message_row(MeterSampled)
    assert isinstance(row, MessageRow)
    assert dialect.schemas
    rpc = Rpc()
    for number in range(count):
        said = message(number, "" if version == "1.6" else "8f2c4d1e-0b1a-4c3d-9e8f-001122334455")
        out = row.row_for(said)
        payload = out.encode(said, desk)
        check = dialect.schemas.request_check(out.action)
        assert payload is not None
        assert check is not None
        assert check(payload) is None
        text = rpc.encode_call(f"abc{number:x}", out.action, payload)
        assert text.count("measurand") == 9


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
