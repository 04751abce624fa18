"""The bodies of the control API, one form each: what a handler reads, and what the API's description says of it."""

from __future__ import annotations

from agent.scenario.operations import OPERATIONS
from drivers.sim.car import CAR_RANGES, MOST_CELLS, PROFILES
from drivers.sim.doctor_run import LANGUAGES
from drivers.sim.malformed_messages import MALFORMATIONS
from drivers.sim.message_schemas import BACKEND, STATION
from drivers.sim.modem_far_end import MODEM_FAULTS, MOST_SIGNAL
from drivers.sim.request_body import (
    BodyForm,
    any_text_key,
    boolean_key,
    choice_key,
    digits_key,
    hexadecimal_key,
    integer_key,
    nullable_key,
    number_key,
    object_key,
    printable_text_key,
)
from drivers.sim.scenario_recorder import LONGEST_TITLE
from drivers.sim.terminal import ACTIONS, CARD_BEHAVIOURS
from drivers.sim.time_rate import FASTEST, SLOWEST

LONGEST_ACTION = 50
LONGEST_MESSAGE_ID = 36
LONGEST_TEXT = 500_000
LONGEST_TOKEN = 36
LONGEST_HOLD_S = 3600
CARDS = ("desfire_ev1", "random_uid", "classic")
CAR_SCHEMA = {
    "type": "object",
    "properties": {
        "profile": {"type": "string", "enum": list(PROFILES)},
        "phases": {"type": "integer", "enum": [1, 3]},
        "cells": {"type": "integer", "minimum": 1, "maximum": MOST_CELLS},
        **{key: {"type": "number", "minimum": low, "maximum": high} for key, (low, high) in CAR_RANGES.items()},
    },
    "additionalProperties": False,
}
_ANY_OUTLET = nullable_key(integer_key("evse", None, 1))

EMPTY = BodyForm()
PLUG = BodyForm((boolean_key("ready", True), nullable_key(object_key("car", None, CAR_SCHEMA))))
UNPLUG = BodyForm((choice_key("side", "station", "ev", default="station"),))
VEHICLE_DEMAND = BodyForm(
    (boolean_key("ready", None), nullable_key(number_key("max_a", None, 0))), one_of=("ready", "max_a")
)
FAULT = BodyForm((printable_text_key("fault"), boolean_key("active", True)))
METER_REGISTER = BodyForm((integer_key("wh"),))
PARKING_BAY = BodyForm((boolean_key("occupied"),))
CONTACTLESS_CARD = BodyForm(
    (
        hexadecimal_key("uid"),
        _ANY_OUTLET,
        choice_key("card", *CARDS, default=CARDS[0]),
        number_key("hold_s", 0.5, 0, LONGEST_HOLD_S),
    )
)
SERIAL_TOKEN = BodyForm((printable_text_key("token", longest=LONGEST_TOKEN), _ANY_OUTLET))
BANK_CARD = BodyForm(
    (
        digits_key("pan_last4", 4, "1234"),
        choice_key("behaviour", *CARD_BEHAVIOURS, default="approve"),
        _ANY_OUTLET,
    )
)
TERMINAL_BADGE = BodyForm((hexadecimal_key("uid"), _ANY_OUTLET))
TERMINAL_ACTION = BodyForm((choice_key("action", *ACTIONS), _ANY_OUTLET))
MODEM = BodyForm(
    (
        choice_key("fault", *MODEM_FAULTS, default=None),
        boolean_key("active", True),
        integer_key("signal", None, most=MOST_SIGNAL),
        nullable_key(printable_text_key("apn", None)),
    ),
    one_of=("fault", "signal", "apn"),
)
LINK = BodyForm(
    (
        boolean_key("up", None),
        nullable_key(number_key("latency_ms", None, 0)),
        nullable_key(number_key("kbit_s", None, 0)),
        number_key("loss", None, 0, 1),
        boolean_key("stall", None),
    )
)
SITE_LIMIT = BodyForm(
    (
        nullable_key(number_key("max_a", None, low=0)),
        choice_key("manager", "online", "silent", default=None),
    ),
    one_of=("max_a", "manager"),
)
MAINS = BodyForm((boolean_key("mains"),))
CLOCK_STEP = BodyForm((number_key("step_s", low=-4e9, high=4e9),))
TIME_RATE = BodyForm((number_key("speed", low=SLOWEST, high=FASTEST),))
AGENT_ACTION = BodyForm((choice_key("action", "kill", "stop", "start"),))
DOCTOR = BodyForm((choice_key("language", *LANGUAGES, default=LANGUAGES[0]),))
RECORDING = BodyForm((choice_key("action", "start", "stop"), printable_text_key("title", None, longest=LONGEST_TITLE)))
OCPP_REQUEST = BodyForm((printable_text_key("action", longest=LONGEST_ACTION), object_key("payload", {})))
_SENDER = choice_key("sender", STATION, BACKEND)
COMPOSED_REQUEST = BodyForm(
    (
        _SENDER,
        printable_text_key("action", longest=LONGEST_ACTION),
        object_key("payload", {}),
        choice_key("malformed", *MALFORMATIONS, default=None),
        printable_text_key("message_id", None, longest=LONGEST_MESSAGE_ID),
    )
)
COMPOSED_TEXT = BodyForm((_SENDER, any_text_key("text", LONGEST_TEXT)))
OPERATION = BodyForm((choice_key("operation", *OPERATIONS), object_key("with", {})))
