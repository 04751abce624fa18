"""Quirk profiles: how a station works with a backend that does not follow the standard (decision
17).

``[backend] quirks = "name"`` picks ``quirks/name.toml``: ``about``, and some of the switches
below. A switch alters the dialects (``quirk_rows.py``) or how the backend is dialed, once, when
the link is made; nothing reads it later."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from agent.model.fastclass import frozen, replace
from agent.ocpp.dialects import quirk_rows as rows
from agent.ocpp.dialects.dialect import Dialect
from agent.station_file.settings import Backend, did_you_mean

Value: TypeAlias = str | bool
OF_OCPP_1 = ("ocpp16",)
"""For switches about messages that only the versions of this family have."""


@frozen
class Switch:
    """One switch of a profile. ``choices``: the first one is the standard's way and changes
    nothing. ``changes``, ``breaks``: for the document. ``seen``: where a backend like that is on
    record. ``families``: those of the versions that it alters; (): every version. ``alter`` makes
    the dialect for another choice; without it the choice is the backend's field of the switch's
    name."""

    name: str
    choices: tuple[Value, ...]
    changes: str
    breaks: str
    seen: str
    families: tuple[str, ...] = ()
    alter: Callable[[Dialect, Value], Dialect] | None = None

    @property
    def standard_choice(self) -> Value:
        return self.choices[0]

    def applies_to(self, dialect: Dialect) -> bool:
        return not self.families or dialect.family in self.families


SWITCHES: tuple[Switch, ...] = (
    Switch(
        "charge_point_id_in_url", ("encoded", "plain", "absent"),
        "`plain`: the id is appended to the address as it is, without percent-encoding; `absent`: the address is "
        "used as it stands",
        "`plain`: ids with a blank, `?`, `#` or `/` make another address of it",
        "a CSMS compared the encoded id with its own (citrineos-core#1093); addresses with an opaque path per station "
        "(ocpp-cs#5)",
    ),
    Switch(
        "subprotocol_echo", ("required", "missing_is_first"),
        "a server that names no subprotocol is taken to speak the first of `versions`",
        "a web server that is no central system is only noticed when it does not answer the boot; with two versions "
        "nothing is negotiated",
        "ocpp-asgi#19, NetCoreServer#328",
    ),
    Switch(
        "nulls", ("are_errors", "are_absent"),
        "a field of a request or an answer whose value is `null` is taken as not there",
        "a null where a value is needed is reported as a missing field",
        "a backend that sends every optional field (SmartEVSE-3.5#239)",
        alter=rows.nulls_absent,
    ),
    Switch(
        "unknown_fields", ("are_errors", "are_ignored"),
        "fields of a request that the standard does not know are ignored (those of answers always are)",
        "a misspelt optional field does nothing, without a report",
        "a start answered with one field too many (ocpp-rpc#82); a field with a capital letter (open-ocpp#236)",
        alter=rows.unknown_fields_ignored,
    ),
    Switch(
        "start_without_verdict", ("is_unknown", "is_accepted"),
        "an answer to StartTransaction with a number and without idTagInfo counts as Accepted, and the token as known",
        "a token that the backend has not judged is good off line, too",
        "idTagInfo missing (citrineos#166)", OF_OCPP_1, rows.start_without_verdict,
    ),
    Switch(
        "id_tag_case", ("as_read", "upper", "lower"),
        "letters of every idTag or idToken that is sent are capital, or small",
        "ids of apps and cars in which the backend distinguishes them; list and cache here never do",
        "a switch of other stations' firmware (RFID hex letter case per backend)",
        alter=rows.id_tag_case,
    ),
    Switch(
        "remote_start_asks", ("as_set", "always", "never"),
        "whether the token of a remote start is authorized first, whatever AuthorizeRemoteTxRequests says; a "
        "reservation for a group is asked about in any case",
        "the setting can be changed and has no effect; `never`: a remote start needs no valid token",
        "a switch of other stations' firmware; a CSMS that cannot authorize its own remote starts "
        "(connectorio-addons#144)",
        alter=rows.remote_start_asks,
    ),
    Switch(
        "remote_start_connector_0", ("is_refused", "is_any"),
        "connectorId 0 of a remote start leaves the choice to the station",
        "an EVSE that the driver did not mean may be chosen",
        "connector 0 for any (steve#1211, open-ocpp#161)", OF_OCPP_1, rows.connector_0_is_any,
    ),
    Switch(
        "suspended_told_as", ("suspended", "charging"),
        "SuspendedEV and SuspendedEVSE are sent as Charging",
        "the backend does not learn that a vehicle is full, or that a limit holds it",
        "a CSMS that took suspended transactions for ended ones (citrineos-core#334)", OF_OCPP_1,
        rows.suspended_as_charging,
    ),
    Switch(
        "finishing_told_as", ("finishing", "preparing"),
        "Finishing is sent as Preparing: a vehicle that is still there may be started again",
        "the backend cannot distinguish a new vehicle from one that has charged",
        "a controller that starts on Preparing alone (evcc#15552)", OF_OCPP_1, rows.finishing_as_preparing,
    ),
    Switch(
        "security_events", ("told", "kept_here"),
        "no SecurityEventNotification is sent; the security log has the events all the same",
        "the backend does not learn of them until a log is fetched",
        "a backend without the security extension refuses each one (open-ocpp#37, libocpp#460)", OF_OCPP_1,
        rows.security_events_kept,
    ),
    Switch(
        "heartbeat", ("after_silence", "always"),
        "a heartbeat at every interval, whatever else was said",
        "some 60 bytes an interval more on a metered line",
        "servers that judge a station by its heartbeats (MicroOcpp#18, ev-server#1686)",
        alter=rows.heartbeat_always,
    ),
    Switch(
        "fractions_of_seconds", (True, False),
        "times are sent in whole seconds, cut",
        "two events of one second have one time; their order is that of the messages",
        "a test tool that could not read `.224Z` (ocpp-rpc#42)",
        alter=rows.whole_seconds,
    ),
    Switch(
        "transaction_data", (True, False),
        "StopTransaction has no transactionData, whatever StopTxnSampledData and StopTxnAlignedData say",
        "signed or sampled values of the whole session are not sent again at its end",
        "messages too large for the other side (libocpp#651), which the station otherwise finds by losing three "
        "connections at each such end",
        OF_OCPP_1, rows.without_transaction_data,
    ),
    Switch(
        "waiting_samples", ("are_merged", "travel_alone"),
        "each sample of a transaction that has waited is sent in a message of its own",
        "a day off line takes many times as long to be sent on a slow line",
        "a frame limit of a few KiB, which the station otherwise finds by losing two connections (tomcat's default "
        "for web sockets: 8 KiB)",
        alter=rows.samples_alone,
    ),
)  # fmt: skip
_BY_NAME: Mapping[str, Switch] = {s.name: s for s in SWITCHES}


class WrongQuirks(ValueError):
    """A profile has mistakes, one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load_profile(name: str, config_dirs: Sequence[Path]) -> dict[str, Value]:
    """Load the switches of a profile from the first folder that has it. Raises ``WrongQuirks``."""
    found = find_profiles(config_dirs)
    if name not in found:
        raise WrongQuirks([f"quirks: there is no profile {name!r}{did_you_mean(name, found, 'known')}"])
    path = found[name]
    try:
        return parse_switches(tomllib.loads(path.read_text("utf-8")), str(path))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise WrongQuirks([f"quirks: {path}: cannot be read ({e}); correct it"]) from e


def find_profiles(config_dirs: Sequence[Path]) -> dict[str, Path]:
    """Return the files of the profiles by name; the station's own folders come first."""
    files = [path for folder in config_dirs for path in sorted((folder / "quirks").glob("*.toml"))]
    return {path.stem: path for path in reversed(files)}


def parse_switches(table: Mapping[str, Any], where: str) -> dict[str, Value]:
    """Parse the switches of a profile's table. Raises ``WrongQuirks``."""
    wrong, values = [], {}
    for name, value in table.items():
        if name == "about":
            continue
        switch = _BY_NAME.get(name)
        if switch is None:
            wrong.append(f"quirks: {where}: {name}: unknown switch{did_you_mean(name, _BY_NAME, 'known')}")
        elif not any(value == c and type(value) is type(c) for c in switch.choices):
            known = ", ".join(_format_toml(c) for c in switch.choices)
            wrong.append(f"quirks: {where}: {name}: must be one of {known}, is {value!r}")
        else:
            values[name] = value
    if wrong:
        raise WrongQuirks(wrong)
    return values


def _format_toml(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _with_backend_field(backend: Backend, name: str, value: str) -> Backend:
    changes: dict[str, Any] = {name: value}
    return replace(backend, **changes)


def apply_quirks(
    values: Mapping[str, Value], backend: Backend, dialects: Sequence[Dialect]
) -> tuple[Backend, tuple[Dialect, ...]]:
    """Return the backend and its dialects with the switches applied."""
    made = tuple(dialects)
    for switch in SWITCHES:
        value = values.get(switch.name, switch.standard_choice)
        if value == switch.standard_choice:
            continue
        if switch.alter is None:
            backend = _with_backend_field(backend, switch.name, str(value))
        else:
            alter = switch.alter
            made = tuple(alter(d, value) if switch.applies_to(d) else d for d in made)
    return backend, made
