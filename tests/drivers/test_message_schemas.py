"""The forms of composed messages: every request of every version has one, with an example that is right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft6Validator

from agent.csms.station16 import COMMANDS as COMMANDS_16
from agent.csms.station21 import COMMANDS as COMMANDS_21
from agent.csms.station201 import COMMANDS as COMMANDS_201
from agent.ocpp.versions import build_dialects
from drivers.sim.checked_values import Unknown
from drivers.sim.malformed_messages import MALFORMATIONS, RequestDraft
from drivers.sim.message_schemas import (
    BACKEND,
    SCHEMA_FOLDERS,
    SENT_BY_STATION,
    STATION,
    _schema_folder,
    example_payload,
    message_senders,
    request_schema,
)

COMMANDS = {"1.6": COMMANDS_16, "2.0.1": COMMANDS_201, "2.1": COMMANDS_21}
REQUESTS = [(version, action) for version in SCHEMA_FOLDERS for action in message_senders(version)]


def original_validator(version: str, action: str) -> Any:
    """The validator of the schema as the package has it, with its references."""
    folder, suffix = _schema_folder(version)
    document = json.loads((folder / f"{action}{suffix}.json").read_text("utf-8-sig"))
    return (Draft4Validator if version == "1.6" else Draft6Validator)(document)


@pytest.mark.parametrize(("version", "action"), REQUESTS)
def test_the_example_of_a_request_is_right(version: str, action: str) -> None:
    schema = request_schema(version, action)
    assert "$ref" not in json.dumps(schema)
    assert list(original_validator(version, action).iter_errors(example_payload(schema))) == []


def test_each_action_has_its_sender() -> None:
    """As the built-in central system and the agent have it."""
    assert {action for _, action in REQUESTS} >= SENT_BY_STATION
    for version, commands in COMMANDS.items():
        senders = message_senders(version)
        assert {action for action, sides in senders.items() if BACKEND in sides} >= commands, version
        (dialect,) = build_dialects((version,))
        for action in senders:
            if dialect.request_row(action) is not None:
                assert BACKEND in senders[action], (version, action)
    assert message_senders("1.6")["DataTransfer"] == [BACKEND, STATION]


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(Unknown, match=r"2\.0\.1"):
        message_senders("1.5")
    with pytest.raises(Unknown, match="NoSuch"):
        request_schema("2.1", "NoSuch")
    with pytest.raises(Unknown):
        request_schema("1.6", "../v201/schemas/Heartbeat")


@pytest.mark.parametrize(
    ("version", "action"), [("1.6", "StartTransaction"), ("2.0.1", "Heartbeat"), ("2.1", "Authorize")]
)
@pytest.mark.parametrize("kind", MALFORMATIONS)
def test_a_malformed_request_is_wrong(version: str, action: str, kind: str) -> None:
    """In the one way that its name says: no right request comes out."""
    schema = request_schema(version, action)
    draft = RequestDraft("id-1", action, example_payload(schema), tuple(schema.get("required", ())))
    texts = MALFORMATIONS[kind](draft)
    if kind == "broken_json":
        with pytest.raises(ValueError, match="Expecting"):
            json.loads(texts[0])
        return
    message = json.loads(texts[0])
    if kind == "duplicate_id":
        assert texts == [draft.encode_text()] * 2
    elif kind == "wrong_message_type":
        assert message[0] not in (2, 3, 4, 5, 6)
    elif kind == "unknown_action":
        assert message[2] not in message_senders(version)
    elif len(message) == 4:
        assert message[:3] == [2, "id-1", action]
        assert list(original_validator(version, action).iter_errors(message[3])) != []
    else:
        assert (kind, message) == ("missing_field", [2, "id-1", action])
