"""``docs/conformance.md``: what of each OCPP version is spoken, made from the rows themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.domain.messages import MESSAGES, REPORTS
from agent.domain.orders import AuthorizeToken
from agent.domain.security_events import CAUSES
from agent.domain.variables import (
    LAMP,
    MEASURANDS,
    PHASES,
    ROTATIONS,
    TERMINAL,
    data_link_part,
    format_value,
    qr_code_part,
    web_payment_part,
)
from agent.ocpp.dialects import device_model_v2x, keys_v1x
from agent.ocpp.dialects.data_links import data_link_names
from agent.ocpp.dialects.dialect import Dialect, FixedAnswer, MessageRow, NotExpressible, NotOffered, RequestRow
from agent.ocpp.v12 import V12
from agent.ocpp.v15 import V15
from agent.ocpp.v16 import V16
from agent.ocpp.v16.security import EVENT_NAMES
from agent.ocpp.v21 import V21
from agent.ocpp.v21.refusals import NOT_SENT
from agent.ocpp.v201 import V201
from tests.arch import case_tables
from tests.conformance import payments_21

HEAD = """# Conformance ledger

Generated from the code (`make docs`); a test fails when it is stale. Each row has a golden line in `tests/ocpp`, and
each frame that a test station sends is judged by `jsonschema` against the schemas of the standard.

Not claimed: certification. The station has not been run against the OCA's test tool.

The tables of certification cases: which test shows which case is read from the tests' names. A full run (`make test`,
`make conformance`) fails when a claimed case did not run, was skipped or did not pass, or when a test names a case that
is not claimed. *passed*: in the run that `docs/conformance-run.json` records, with the test as it is now (decision 15).
"""

SOAP_PARAGRAPH = """1.6 over SOAP is the table of 1.6 without the security extension. Every operation of the three
versions goes through `zeep` and back, and every message of a station is held against the schema by libxml2
(`tests/ocpp/test_soap_wire.py`, `test_soap_transport.py`, `test_v15_rows.py`, `test_v12_rows.py`). What is lost against
1.6 is in [decision 59](decisions/0059-soap.md). The keys are those of 1.6, whatever their case. There are no
certification cases."""


def text() -> str:
    old = [*_version("1.6 JSON", V16), *_keys_16(), *case_tables.text("1.6", "OCPP 1.6 certification cases")]
    new = [*_version("2.0.1", V201), *_names_2(), *case_tables.text("2.0.1", "OCPP 2.0.1 certification cases")]
    soap = [*_version("1.5 (SOAP)", V15), "", *_version("1.2 (SOAP)", V12), "", SOAP_PARAGRAPH]
    return "\n".join([HEAD, *old, "", *new, "", *_version_21(), "", *soap, *_events()]) + "\n"


def _version_21() -> list[str]:
    """What differs from 2.0.1, and what only a station would send."""
    lines = _version("2.1", V21)
    lines += ["", "What only a station sends and this one does not:", ""]
    lines += _table(["action", "why not"], [[a, NOT_SENT[a]] for a in sorted(NOT_SENT)])
    lines += ["", "Variables besides those of 2.0.1:", ""]
    lines += _table(VARIABLE_COLUMNS, [_name(n) for n in V21.added_variables])
    return [*lines, "", "### Payments of OCPP 2.1 (C18 to C25)", "", *payments_21.table()]


def _version(title: str, dialect: Dialect) -> list[str]:
    actions = sorted((dialect.schemas.known_actions() if dialect.schemas else frozenset()) - dialect.station_actions)
    lines = [f"## OCPP {title}", "", "### Requests of the central system", "", "| action | here |", "|---|---|"]
    lines += [f"| {a} | {_request(dialect.request_row(a))} |" for a in actions]
    lines += ["", "### What the station sends", "", "| fact | as |", "|---|---|"]
    return lines + [
        f"| {m.__name__} | {_reported_row(dialect.message_row(m))} |" for m in (*MESSAGES, *REPORTS, AuthorizeToken)
    ]


def _keys_16() -> list[str]:
    head = ["key", "profile", "type", "unit", "range", "default", "access", "a change takes effect"]
    lines = ["", "### Configuration keys", "", *_table(head, [_key(k) for k in keys_v1x.list_keys_16()])]
    away = {k: why for k, why in keys_v1x.UNOFFERED_16.items() if keys_v1x.find_key_16(k) is None}
    lines += ["", f"Measurands: {', '.join(MEASURANDS)}; where it makes sense with a phase ({', '.join(PHASES)})."]
    lines += [f"ConnectorPhaseRotation: entries like `1.RST`, with {', '.join(ROTATIONS)}."]
    lines += ["", "Keys of the standard that this station does not have:", ""]
    return lines + _table(["reason", "keys"], [[w, ", ".join(k for k in away if away[k] == w)] for w in _unique(away)])


def _unique(of: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(of.values()))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


VARIABLE_COLUMNS = ["component", "variable", "there", "type", "unit", "range", "default", "access"]


def _names_2() -> list[str]:
    names = (n for n in device_model_v2x.NAMES if n.only <= 1)
    return [
        "",
        "### Device model",
        "",
        *_table(VARIABLE_COLUMNS, [_name(n) for n in (*names, *data_link_names(frozenset(_BEARER_PARTS)))]),
    ]


def _events() -> list[str]:
    """The list of the whitepaper and of appendix 1 of 2.x."""
    lines = ["", "## Security events", "", "| event | raised by |", "|---|---|"]
    rows = ((EVENT_NAMES.get(event), event, cause) for event, cause in CAUSES.items())
    return lines + [f"| {event}{f' (1.6: {old})' if old else ''} | {cause} |" for old, event, cause in rows]


def _request(row: RequestRow | FixedAnswer | NotOffered | None) -> str:
    if isinstance(row, NotOffered):
        return f"refused ({row.code}): {row.reason}"
    if isinstance(row, FixedAnswer):
        return "answered: not offered"
    return "answered" if row else "MISSING"


def _reported_row(row: MessageRow | NotExpressible | None) -> str:
    if isinstance(row, NotExpressible):
        return f"not sent: {row.reason}"
    if row is None:
        return "MISSING"
    return f"{row.action} or {row.other.action}" if row.other else row.action


KINDS = {"bool": "boolean", "int": "integer", "text": "string", "list": "list"}
UNITS = {"s": "s", "wh": "Wh", "v": "V"}


def _key(key: keys_v1x.Key) -> list[str]:
    ours = key.own_variable
    profile = f"with a {key.profile.lower()}" if key.profile in (LAMP, TERMINAL) else key.profile
    if key.count_of:
        return [key.key, profile, "integer", "", "", str(ours.high), "read only", ""]
    default = "" if ours.secret else format_value(ours, ours.default) or "(empty)"
    access = "read only" if key.is_readonly else "write only" if ours.secret else "read, write"
    effect = "" if key.is_readonly else "after a reboot (RebootRequired)" if ours.reboot else "at once"
    unit = UNITS.get(ours.name.rpartition("_")[2], "") if ours.kind == "int" else ""
    return [key.key, profile, KINDS[ours.kind], unit, _range(key), default, access, effect]


def _range(key: keys_v1x.Key) -> str:
    """What is taken; of what can only be read there is nothing to say."""
    ours = key.own_variable
    if key.is_readonly or ours.kind == "bool":
        return ""
    if ours.kind == "text" and ours.choices:
        return ", ".join(ours.choices)
    entries = "" if ours.kind == "int" else " characters" if ours.kind == "text" else " entries"
    return f"{ours.low} to {ours.high}{entries}"


_BEARER_PARTS = {
    data_link_part("Wireless0"): "one for each bearer",
    data_link_part("Wireless0", has_sim=True): "of a modem",
}


def _name(name: device_model_v2x.Name) -> list[str]:
    variable = f"{name.variable}[{name.instance}]" if name.instance else name.variable
    there = f"with a {name.profile.lower()}" if name.profile in (LAMP, TERMINAL) else name.profile
    access = "write only" if name.is_secret else "read, write" if name.is_writable else "read only"
    ours = name.own_variable
    default = format_value(ours, ours.default) or "(empty)" if ours and not ours.secret else ""
    bounds = f"{ours.low} to {ours.high}" if ours and ours.kind == "int" and name.is_writable else ""
    if isinstance(name.choices, str) and name.choices:
        bounds = "measurands" if name.choices == ",".join(MEASURANDS) else name.choices.replace(",", ", ")
    there = {web_payment_part(n): "at such an outlet" if n else "one for all outlets" for n in (0, 1)}.get(there, there)
    there = _BEARER_PARTS.get(there, there)
    there = "with a display" if there == qr_code_part(1) else there
    return [name.component, variable, there or "always", name.data_type, name.unit, bounds, default, access]
