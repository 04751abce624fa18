"""``docs/conformance.md``: what of each OCPP version is spoken, made from the rows themselves."""

from __future__ import annotations

from agent.domain.messages import MESSAGES
from agent.domain.orders import JudgeToken
from agent.domain.variables import write
from agent.ocpp import names
from agent.ocpp.dialect import In, Mute, Out, Refusal
from agent.ocpp.v16 import V16, refusals

HEAD = """# Conformance ledger

Generated from the code (`make docs`); a test fails when it is stale. Each row has a golden line in `tests/ocpp`, and
each frame that a test station sends is judged by `jsonschema` against the schemas of the standard.

Not claimed: certification. The station has not been run against the OCA's test tool.
"""


def text() -> str:
    return "\n".join([HEAD, *_version_16()]) + "\n"


def _version_16() -> list[str]:
    actions = sorted((V16.schemas.actions() if V16.schemas else frozenset()) - V16.station_says)
    lines = ["## OCPP 1.6 JSON", "", "### Requests of the central system", "", "| action | here |", "|---|---|"]
    lines += [f"| {a} | {_request(V16.incoming(a))} |" for a in actions]
    lines += ["", "### What the station tells", "", "| fact | as |", "|---|---|"]
    lines += [f"| {m.__name__} | {_told(V16.outgoing(m))} |" for m in (*MESSAGES, JudgeToken)]
    lines += ["", "### Configuration keys", "", "| key | access | default | range |", "|---|---|---|---|"]
    lines += [_key(k) for k in names.KEYS_16]
    return lines


def _request(row: In | Refusal | None) -> str:
    if isinstance(row, Refusal):
        return f"refused ({row.code}): {row.reason}"
    if row in refusals.ROWS:
        return "answered: not offered"
    return "answered" if row else "MISSING"


def _told(row: Out | Mute | None) -> str:
    if isinstance(row, Mute):
        return f"not told: {row.reason}"
    return row.action if row else "MISSING"


def _key(key: names.Key) -> str:
    variable = key.variable
    access = "read only" if key.readonly else "write only" if variable.secret else "read, write"
    if key.count_of:
        return f"| {key.key} | {access} | {variable.high} | |"
    default = write(variable, variable.default) or "(empty)"
    bounds = f"{variable.low} to {variable.high}" if variable.kind == "int" else variable.kind
    return f"| {key.key} | {access} | {default} | {bounds} |"
