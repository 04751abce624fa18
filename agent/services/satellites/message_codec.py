"""Messages between a payment master and its satellites as JSON: ``{"kind": ..., ...}``, a field by its own name. An
unknown field is ignored, a missing one has its default: the two programs may differ in age."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, TypeAlias

from agent.domain.satellite_grant import supply_from_record, supply_to_record
from agent.domain.satellite_messages import (
    BegunReport,
    EndedReport,
    EndNoted,
    Grant,
    GrantRefused,
    GrantWithdrawn,
    MasterMessage,
    MeteredReport,
    OutletNotice,
    OutletReport,
    OutletsReported,
    PaymentOutcome,
    SatelliteMessage,
    SessionConfirmed,
    SessionStopped,
)
from agent.domain.serialization import UnreadableRecord, dump_record, load_record
from agent.domain.session_usage import Usage
from agent.domain.tariff import Tariff
from agent.model.fastclass import field_specs
from agent.model.types import DirectPayment

PROTOCOL = 1
HELLO = "hello"
PROGRAM_MOST = 40
"""So many characters of the name of the other side's program are read."""
LARGEST_BYTES = 1 << 18
"""Of one message: a signed record of a meter is the largest part."""
LARGEST_INTEGER = 1 << 53
"""Of either sign. No amount, register or time is larger, and what is made of them can be written."""

KINDS: Mapping[str, type[SatelliteMessage] | type[MasterMessage]] = {
    "outlets": OutletsReported,
    "refused": GrantRefused,
    "begun": BegunReport,
    "metered": MeteredReport,
    "ended": EndedReport,
    "grant": Grant,
    "withdraw": GrantWithdrawn,
    "confirm": SessionConfirmed,
    "stop": SessionStopped,
    "noted": EndNoted,
    "settled": PaymentOutcome,
    "notice": OutletNotice,
}
_KIND_OF = {cls: kind for kind, cls in KINDS.items()}


class MalformedMessage(Exception):
    """The other side has sent what this program cannot read."""


def _plain_value(kind: type[Any]) -> Callable[[Any], Any]:
    def read_value(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{kind.__name__} expected, is {type(value).__name__}")
        return value

    return read_value


def _read_number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"number expected, is {type(value).__name__}")
    return float(value)


def _read_outlets(value: Any) -> tuple[OutletReport, ...]:
    return tuple(_read_fields(OutletReport, item) for item in value)


_Pair: TypeAlias = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""How a value is written, and how it is read."""
_TYPES: Mapping[str, _Pair] = {
    "str": (str, _plain_value(str)),
    "int": (int, _plain_value(int)),
    "EvseId": (int, _plain_value(int)),
    "bool": (bool, _plain_value(bool)),
    "float": (float, _read_number),
    "Usage": (Usage.to_record, Usage.from_record),
    "Tariff": (Tariff.to_record, Tariff.from_record),
    "Tariff | None": (
        lambda tariff: None if tariff is None else tariff.to_record(),
        lambda record: None if record is None else Tariff.from_record(record),
    ),
    "DirectPayment": (dump_record, lambda record: load_record(record, DirectPayment)),
    "SupplyReport": (supply_to_record, supply_from_record),
    "tuple[OutletReport, ...]": (lambda outlets: [_write_fields(one) for one in outlets], _read_outlets),
}


def _write_fields(record: Any) -> dict[str, Any]:
    return {n: _TYPES[str(spec.type)][0](getattr(record, n)) for n, spec in field_specs(type(record)).items()}


def _read_fields(cls: type[Any], data: Mapping[str, Any]) -> Any:
    values = {}
    for name, spec in field_specs(cls).items():
        if name in data:
            values[name] = _TYPES[str(spec.type)][1](data[name])
        elif spec.default is MISSING:
            raise ValueError(f"{name} is missing")
    return cls(**values)


def encode_message(message: SatelliteMessage | MasterMessage) -> str:
    """Return the text of a message."""
    return json.dumps({"kind": _KIND_OF[type(message)], **_write_fields(message)}, separators=(",", ":"))


def encode_hello(program: str) -> str:
    """Return the first message of a connection, from either side."""
    return json.dumps({"kind": HELLO, "protocol": PROTOCOL, "program": program}, separators=(",", ":"))


def read_hello(text: str | bytes) -> str:
    """Return the program of the other side, as it may be in a log. Raises ``MalformedMessage``: no hello, or another
    protocol."""
    data = _read_object(text)
    if data.get("kind") != HELLO or data.get("protocol") != PROTOCOL:
        raise MalformedMessage(f"protocol {PROTOCOL} expected, is {data.get('protocol')!r}")
    return "".join(c for c in str(data.get("program", ""))[:PROGRAM_MOST] if c.isprintable())


def decode_message(text: str | bytes, direction: type[SatelliteMessage] | type[MasterMessage]) -> Any:
    """Return the message; None: its kind is not known to this program. Raises ``MalformedMessage``."""
    data = _read_object(text)
    cls = KINDS.get(str(data.get("kind")))
    if cls is None or not issubclass(cls, direction):
        return None
    try:
        return _read_fields(cls, data)
    except (UnreadableRecord, AttributeError, KeyError, TypeError, ValueError, OverflowError, ArithmeticError) as e:
        raise MalformedMessage(f"{data['kind']}: {type(e).__name__}: {e}") from e


def _read_integer(text: str) -> int:
    if len(text) > len(str(-LARGEST_INTEGER)) or abs(value := int(text)) > LARGEST_INTEGER:
        raise MalformedMessage(f"an integer of {len(text)} digits is beyond reason")
    return value


def _read_fraction(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedMessage("a number is beyond reason")
    return value


def _refuse_constant(text: str) -> float:
    raise MalformedMessage(f"{text} is no number")


def _read_object(text: str | bytes) -> dict[str, Any]:
    try:
        data = json.loads(text, parse_int=_read_integer, parse_float=_read_fraction, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as e:
        raise MalformedMessage(f"no JSON: {type(e).__name__}") from e
    if not isinstance(data, dict):
        raise MalformedMessage("no JSON object")
    return data
