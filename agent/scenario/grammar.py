"""The words of the scenario language, as a table: kinds of steps, their keys, and how a person is asked to do them.

Parser, JSON Schema, prompts and ``docs/scenarios.md`` read this table. A step is a table of TOML. One of its keys is
the kind of the step, the others are its options.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.scenario.versions import VERSIONS as VERSION_ROWS

VERSIONS = tuple(VERSION_ROWS)


class Form(StrEnum):
    """What a key holds. A text ``"${name}"`` may stand for each of the plain ones."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "true or false"
    TABLE = "table"
    VALUE = "any value"
    TEXTS = "text, or list of texts"
    LIST = "list of texts"
    STEPS = "list of steps"
    BRANCHES = "list of lists of steps"
    TABLES = "list of tables"


class Group(StrEnum):
    """Who carries out a step."""

    PHYSICAL = "at the station"
    OBSERVE = "observe"
    BACKEND = "backend"
    PERSON = "person"
    FLOW = "order of steps"


@frozen
class Key:
    """One key. ``choices``: the only values, empty for all."""

    name: str
    form: Form
    meaning: str
    choices: tuple[str, ...] = ()
    required: bool = False


@frozen
class StepKind:
    """``key`` is the one that names the kind. ``sentence``: the step in words, with names of keys in braces
    (``wording.py``); a person is asked to do what it says.

    ``shown_by``: requests of a station by which the step is noticed, so that a person need not press a key.
    """

    key: Key
    group: Group
    meaning: str
    options: tuple[Key, ...] = ()
    sentence: str = ""
    shown_by: tuple[str, ...] = ()

    @property
    def kind_name(self) -> str:
        return self.key.name

    def keys_by_name(self) -> dict[str, Key]:
        """Return every key of such a step by its name, the common ones included."""
        return {k.name: k for k in (self.key, *self.options, *COMMON)}


EVSE = Key("evse", Form.INTEGER, "number of the outlet; 1 unless it is said")
WITHIN = Key("within_s", Form.NUMBER, "longest wait, in seconds of the station's time; 60 unless it is said")
WHERE = Key("where", Form.TABLE, "what the message must contain: see Matching")
SET = Key("set", Form.TABLE, "variables to set: name = path in the message or answer")
COMMON = (
    Key("id", Form.TEXT, "name of the step in reports; its number unless it is said"),
    Key("title", Form.TEXT, "what the step shows, in words"),
    Key("versions", Form.LIST, "versions of OCPP in which the step is done; in others it is left out", VERSIONS),
    Key("needs", Form.LIST, "what the station must have, else the step is NOT APPLICABLE: see Needs"),
    Key("references", Form.LIST, "sections of standards or requirements that the step shows"),
    Key("advice", Form.TEXT, "what to do when the step fails, for the report"),
    Key("advice_to", Form.TEXT, "who has to do it", ("client", "subcontractor")),
    Key("go_on", Form.FLAG, "true: a failure of this step does not end the scenario"),
)
"""Keys that every step may have."""

STATUSES = (
    "available", "preparing", "charging", "suspended_vehicle", "suspended_station", "finishing", "occupied", "reserved",
    "unavailable", "faulted",
)  # fmt: skip
BOUNDS = (
    Key("at_least", Form.NUMBER, "smallest value that is right"),
    Key("at_most", Form.NUMBER, "largest value that is right"),
)
QUANTITIES = ("power_w", "current_a", "meter_wh", "limit_a", "soc_percent")
TRANSACTION = ("Authorize", "StartTransaction", "StopTransaction", "TransactionEvent")

_PHYSICAL = (
    StepKind(
        Key("plug", Form.INTEGER, "outlet into which a vehicle is plugged", required=True), Group.PHYSICAL,
        "A vehicle is plugged in. It asks for energy at once, unless `ready` is false.",
        (Key("ready", Form.FLAG, "false: the vehicle asks for nothing yet"),
         Key("car", Form.TABLE, "the vehicle: phases, max_a, capacity_kwh, soc, profile (docs/control-api.md)")),
        "plug the cable of a vehicle into outlet {plug} {details}", ("StatusNotification", "TransactionEvent"),
    ),
    StepKind(
        Key("unplug", Form.INTEGER, "outlet from which the cable is pulled", required=True), Group.PHYSICAL,
        "The cable is pulled at the station, or at the vehicle only. A locked plug is waited for.",
        (Key("side", Form.TEXT, "where it is pulled; `station` unless it is said", ("station", "vehicle")), WITHIN),
        "pull the cable of outlet {unplug} (at the {side})", ("StatusNotification", "TransactionEvent"),
    ),
    StepKind(
        Key("vehicle", Form.INTEGER, "outlet whose vehicle changes what it asks for", required=True), Group.PHYSICAL,
        "The vehicle asks for energy (state C) or pauses (state B), or takes at most so many ampere.",
        (Key("ready", Form.FLAG, "true: it asks for energy"), Key("max_a", Form.NUMBER, "most current that it takes")),
        "set the vehicle at outlet {vehicle}: {details}", ("StatusNotification", "TransactionEvent"),
    ),
    StepKind(
        Key("tap", Form.TEXT, "token of the card", required=True), Group.PHYSICAL,
        "A card is held to the reader and taken away.", (EVSE,),
        "hold the card {tap} to the reader of outlet {evse} and take it away", TRANSACTION,
    ),
    StepKind(
        Key("pay", Form.INTEGER, "outlet to pay for", required=True), Group.PHYSICAL,
        "A bank card is held to the payment terminal.",
        (Key("behaviour", Form.TEXT, "what the bank says: approve, decline ... (docs/control-api.md)"),
         Key("last4", Form.TEXT, "last four digits of the card")),
        "hold a bank card to the payment terminal, for outlet {pay} ({behaviour})", TRANSACTION,
    ),
    StepKind(
        Key("scan", Form.INTEGER, "outlet whose QR code is scanned", required=True), Group.PHYSICAL,
        "The QR code on the display is scanned, and what its page offers is bought.", (WITHIN,),
        "scan the QR code of outlet {scan} with a telephone and pay", ("StatusNotification", "TransactionEvent"),
    ),
    StepKind(
        Key("press", Form.TEXT, "name of the button: language, stop, outlet-1 ...", required=True), Group.PHYSICAL,
        "A button of the station is pressed once.", (), "press the button {press} once", TRANSACTION,
    ),
    StepKind(
        Key("fault", Form.TEXT, "name of the fault (docs/control-api.md, docs/faults.md)", required=True),
        Group.PHYSICAL, "A fault is caused or ended.",
        (EVSE, Key("active", Form.FLAG, "false: the fault ends")),
        "cause the fault {fault} at outlet {evse} (active: {active})", ("StatusNotification", "NotifyEvent"),
    ),
    StepKind(
        Key("clear", Form.INTEGER, "outlet whose latched faults are acknowledged", required=True), Group.PHYSICAL,
        "A person has looked at what was latched.", (),
        "acknowledge the latched faults of outlet {clear}", ("StatusNotification",),
    ),
    StepKind(
        Key("link", Form.TEXT, "state of the station's network", ("up", "down", "stalled"), True), Group.PHYSICAL,
        "The network between station and backend is cut, comes back, delivers nothing, or is slow.",
        (Key("latency_ms", Form.NUMBER, "delay of each packet"), Key("kbit_s", Form.NUMBER, "bandwidth"),
         Key("loss", Form.NUMBER, "share of lost packets, 0 to 1")),
        "set the network of the station: {link} {details}",
    ),
    StepKind(
        Key("mains", Form.TEXT, "state of the mains", ("on", "off"), True), Group.PHYSICAL,
        "The mains is lost or comes back, while a back-up supply keeps the controller alive.", (),
        "switch the mains of the station {mains} (the back-up supply stays)", ("StopTransaction", "TransactionEvent"),
    ),
    StepKind(
        Key("power_cut", Form.INTEGER, "seconds without power", required=True), Group.PHYSICAL,
        "The whole station loses power at once, without warning, and starts again.", (),
        "switch off the supply of the whole station, wait {power_cut} s, and switch it on", ("BootNotification",),
    ),
)  # fmt: skip

_OBSERVE = (
    StepKind(
        Key("wait_status", Form.TEXTS, "status of the outlet, one of them if it is a list", STATUSES, True),
        Group.OBSERVE, "The backend is sent this status, or has it already.", (EVSE, WITHIN),
        sentence="the status of outlet {evse} becomes {wait_status}",
    ),
    StepKind(
        Key("wait_transaction", Form.TEXT, "what becomes of a transaction", ("started", "updated", "ended"), True),
        Group.OBSERVE, "A transaction of the outlet starts, goes on, or ends.",
        (EVSE, WITHIN, Key("where", Form.TABLE, "what must be true of it: token, reason, energy_wh ...: see Matching"),
         SET),
        sentence="a transaction of outlet {evse} has {wait_transaction} {details}",
    ),
    StepKind(
        Key("wait_message", Form.TEXT, "action of OCPP", required=True), Group.OBSERVE,
        "A request arrives with this content.",
        (Key("sender", Form.TEXT, "who sends it; `station` unless it is said", ("station", "backend")), WHERE, SET,
         WITHIN),
        sentence="the {sender} sends {wait_message} {details}",
    ),
    StepKind(
        Key("forbid_message", Form.TEXTS, "action of OCPP", required=True), Group.OBSERVE,
        "No such request has been sent since the last step at the station or of the backend, nor is until the time is "
        "over.",
        (WHERE, Key("for_s", Form.NUMBER, "how long to watch; 10 s of the station's time unless it is said")),
        sentence="the station does not send {forbid_message} {details}",
    ),
    StepKind(
        Key("wait_energy", Form.NUMBER, "Wh since the start of the transaction", required=True), Group.OBSERVE,
        "The backend is sent readings of the running transaction that reach so much energy.", (EVSE, WITHIN, SET),
        sentence="outlet {evse} has delivered {wait_energy} Wh",
    ),
    StepKind(
        Key("wait_screen", Form.TEXTS, "name of the screen, one of them if it is a list", required=True), Group.OBSERVE,
        "The display of the outlet shows this: idle, plug_in, checking, charging, finished, refused ...",
        (EVSE, WITHIN),
        sentence="the display of outlet {evse} shows {wait_screen}",
    ),
    StepKind(
        Key("wait_connection", Form.TEXT, "state of the connection to the backend", ("up", "down"), True),
        Group.OBSERVE, "The station connects to the backend, or is no longer connected.", (WITHIN,),
        sentence="the connection to the backend is {wait_connection}",
    ),
    StepKind(
        Key("measure", Form.TEXT, "what is measured", QUANTITIES, True), Group.OBSERVE,
        "A quantity at the outlet is in its bounds, and stays there for `hold_s`.",
        (EVSE, *BOUNDS, WITHIN, Key("hold_s", Form.NUMBER, "how long it must stay in its bounds"),
         Key("minus", Form.NUMBER, "subtracted before it is compared"),
         Key("set", Form.TEXT, "variable that gets the value")),
        sentence="measure {measure} at outlet {evse}: {details}",
    ),
    StepKind(
        Key("check", Form.VALUE, "a value, usually of a variable", required=True), Group.OBSERVE,
        "Two values that are known already fit together.",
        (Key("equals", Form.VALUE, "the same value"), *BOUNDS,
         Key("tolerance", Form.NUMBER, "permitted difference to `equals`")),
        sentence="compare {check}: {details}",
    ),
)  # fmt: skip

_OTHERS = (
    StepKind(
        Key("backend", Form.TEXT, "an operation (see Operations), or an action of OCPP", required=True), Group.BACKEND,
        "The backend sends a request, and the station's answer is as expected.",
        (Key("status", Form.TEXTS, "status of the answer, one of them if it is a list"),
         Key("answer", Form.TABLE, "what the answer must contain: see Matching"),
         Key("results", Form.TABLE, "what results of the operation must be: see Operations"), SET,
         Key("payload", Form.TABLE, "content of the request, if `backend` is an action of OCPP"),
         Key("with", Form.TABLE, "what the operation needs: see Operations"), WITHIN),
        "the backend sends {backend} {details}",
    ),
    StepKind(
        Key("ask", Form.TEXT, "the question", required=True), Group.PERSON,
        "A person looks, and answers yes or no, or writes a value.",
        (Key("expect", Form.TEXT, "the right answer, `yes` unless it is said"),
         Key("set", Form.TEXT, "variable that gets the answer"),
         Key("simulated", Form.VALUE, "the answer where there is no person; without it the step is NOT APPLICABLE")),
        "{ask}",
    ),
    StepKind(
        Key("pause_s", Form.NUMBER, "seconds of the station's time", required=True), Group.FLOW,
        "Time passes.",
        sentence="{pause_s} s pass",
    ),
    StepKind(
        Key("set", Form.TABLE, "variables and their values", required=True), Group.FLOW, "Variables get values.",
        sentence="variables get values",
    ),
    StepKind(
        Key("repeat", Form.INTEGER, "how often", required=True), Group.FLOW,
        "The steps are done so often. `${round}` counts from 1.",
        (Key("steps", Form.STEPS, "what is repeated", required=True),),
        sentence="repeat {repeat} times",
    ),
    StepKind(
        Key("parallel", Form.BRANCHES, "lists of steps", required=True), Group.FLOW,
        "All lists of steps are done at the same time.",
        sentence="at the same time",
    ),
)  # fmt: skip

KINDS: Mapping[str, StepKind] = {k.kind_name: k for k in (*_PHYSICAL, *_OBSERVE, *_OTHERS)}

HEAD = (
    Key("id", Form.TEXT, "short name; the name of the file unless it is said"),
    Key("title", Form.TEXT, "one sentence, as in a standard", required=True),
    Key("purpose", Form.TEXT, "what it shows, in more words"),
    Key("versions", Form.LIST, "versions of OCPP that it is meant for; all unless it is said", VERSIONS),
    Key("references", Form.LIST, "sections of standards or requirements that it shows"),
    Key("needs", Form.LIST, "what the station must have: see Needs"),
    Key("variables", Form.TABLE, "variables with their values; `--set NAME=VALUE` wins"),
    Key("steps", Form.STEPS, "what is done", required=True),
    Key("finally", Form.STEPS, "what is done at the end, also after a failure, to leave the station as it was"),
)
"""Keys of a scenario file outside its steps."""

NEEDS: Mapping[str, str] = {
    "ac": "an outlet with alternating current",
    "dc": "an outlet with direct current",
    "socket": "a socket with a lock, into which the driver plugs a cable of his own",
    "two_outlets": "two outlets",
    "display": "a display",
    "stop_button": "a button that ends a transaction",
    "backup_supply": "a back-up supply and a power-fail input",
    "payment_terminal": "a terminal for bank cards",
    "payment_page": "QR codes that lead to a payment page",
    "reservation": "reservations (1.6: feature profile Reservation)",
    "local_list": "a local authorization list",
    "smart_charging": "charging profiles",
    "firmware": "diagnostics and firmware by the backend",
    "fault_injection": "a means to cause faults on purpose",
    "link_control": "a means to cut the network",
}
"""What a station may lack. Everything is assumed to be there, unless the target or ``--without`` says otherwise."""
BUILT_IN = ("now", "station", "version", "round", "transaction")
"""Variables that are always there. ``${now+3600}``: an instant of the station's clock."""
