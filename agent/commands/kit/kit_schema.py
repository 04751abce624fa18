"""The JSON Schema of ``kit.toml``, made of the tables themselves: editors complete and judge by it."""

from __future__ import annotations

import json
from typing import Any

from agent.commands.kit.kit_file import FREE_TABLES, KIT_TABLES, REQUIRED_TABLES
from agent.model.key_schema import object_schema, table_schema


def schema_text() -> str:
    """Return the whole schema as it is kept in docs/kit.schema.json."""
    tables: dict[str, Any] = {name: table_schema(cls) for name, cls in KIT_TABLES.items()}
    tables["evse"] = {"type": "array", "items": tables["evse"]}
    tables |= {name: {"type": "object"} for name in FREE_TABLES}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Integration kit of a charging station (kit.toml, version 1)",
        **object_schema(tables, list(REQUIRED_TABLES)),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
