"""The keys of an audit plan, as a table. Parser, JSON Schema and ``docs/audit.md`` read it."""

from __future__ import annotations

from collections.abc import Mapping

from agent.audit.plan_model import ObligationKind
from agent.scenario.grammar import NEEDS as SCENARIO_NEEDS
from agent.scenario.grammar import VERSIONS, Form, Key

ROLES = ("manufacturer", "operator")
HEAD = (
    Key("id", Form.TEXT, "short name; the name of the file unless it is said"),
    Key("title", Form.TEXT, "what is audited, in one line", required=True),
    Key("edition", Form.TEXT, "edition of the plan, shown in each report", required=True),
    Key("purpose", Form.TEXT, "what the plan is for, in more words"),
    Key("versions", Form.LIST, "versions of OCPP that the plan is meant for; all unless it is said", VERSIONS),
    Key("station", Form.TEXT, "built-in station on which the plan is simulated, with its kit"),
    Key("speed", Form.NUMBER, "how many times as fast a simulated station's time runs; 40 unless it is said"),
    Key("signing", Form.LIST, "roles that sign the report", ROLES),
    Key("variables", Form.TABLE, "variables with their values, for each scenario that has them"),
    Key("sections", Form.TABLES, "the sections, each `[[sections]]`", required=True),
)
SECTION = (
    Key("id", Form.TEXT, "short name; begins the id of each obligation", required=True),
    Key("title", Form.TEXT, "what the section is about", required=True),
    Key("references", Form.LIST, "sections of standards or requirements, for each obligation in it"),
    Key("obligations", Form.TABLES, "the obligations, each `[[sections.obligations]]`", required=True),
)
KIND_KEYS: Mapping[ObligationKind, Key] = {
    ObligationKind.SCENARIO: Key(
        "scenario", Form.TEXT, "a scenario of `config/scenarios`, `config/plans/scenarios` or the folder of the plan"
    ),
    ObligationKind.JUDGE: Key("judge", Form.TEXT, "a judge of the recorded conversation: see Judges"),
    ObligationKind.ASK: Key("ask", Form.TEXT, "a question to the person at the station"),
}
OBLIGATION = (
    Key("id", Form.TEXT, "short name, unique in its section", required=True),
    Key("title", Form.TEXT, "what has to be so, in one sentence", required=True),
    *KIND_KEYS.values(),
    Key("with", Form.TABLE, "variables of the scenario, or parameters of the judge"),
    Key("of", Form.LIST, "judge: look only at the messages of these obligations or sections"),
    Key("needs", Form.LIST, "what must be there, else the obligation is NOT APPLICABLE: see Needs"),
    Key("versions", Form.LIST, "versions of OCPP in which it is owed", VERSIONS),
    Key("references", Form.LIST, "sections of standards or requirements that it shows"),
    Key("advice", Form.TEXT, "what to do when it fails"),
    Key("advice_to", Form.TEXT, "who has to do it; `client` unless it is said", ("client", "subcontractor")),
    Key("expect", Form.TEXT, "ask: the right answer; `yes` unless it is said"),
    Key("matches", Form.TEXT, "ask: a regular expression that the answer fits, in place of `expect`"),
    Key("simulated", Form.TEXT, "ask: the answer of the built-in simulated station"),
    Key("fact", Form.TEXT, "ask: the answer is kept as this fact of the station"),
    Key("picture", Form.FLAG, "ask: the answer is the path of a photograph, which goes into the report"),
)
OF_KIND: Mapping[str, tuple[ObligationKind, ...]] = {
    "with": (ObligationKind.SCENARIO, ObligationKind.JUDGE),
    "of": (ObligationKind.JUDGE,),
    **dict.fromkeys(("expect", "matches", "simulated", "fact", "picture"), (ObligationKind.ASK,)),
}
"""Keys that belong to some kinds of obligations only."""

NEEDS: Mapping[str, str] = {
    **SCENARIO_NEEDS,
    "kit": "an integration kit (`--kit`)",
    "person": "a person at the station, or prepared answers",
    "simulation": "a simulated station",
    "meter": "readings of the meter itself, beside the messages",
}
FACTS: Mapping[str, str] = {
    "id": "Charge point id", "vendor": "Vendor", "model": "Model", "serial": "Serial number", "firmware": "Firmware",
    "iccid": "ICCID of the SIM", "imsi": "IMSI of the SIM", "meter_type": "Meter",
    "meter_serial": "Serial number of the meter",
    "meter_class": "Accuracy class of the meter", "meter_year": "Year of the MID marking", "seal": "Seal of the meter",
    "number": "Station number", "station_type": "Type of station", "apn": "Access point (APN)", "evses": "Outlets",
    "ocpp": "OCPP", "offers": "Offers", "bearer": "Bearer", "reference_meter": "Reference meter",
    "reference_wh": "Energy of the reference meter (Wh)", "shown_total": "Total on the display (euro)",
    "captured_total": "Charged to the bank card (euro)", "auditor": "Audited by", "place": "Place",
}  # fmt: skip
"""What may be known of a station, with the title of its row in the report."""
