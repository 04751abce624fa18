"""``chargy-agent schema``: the JSON Schema of a file that people write, for their editor."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from agent.model.command import Command

SCHEMAS = {
    "station": "agent.commands.schema:station_schema_text",
    "kit": "agent.commands.kit.kit_schema:schema_text",
    "plan": "agent.audit.plan_schema:schema_text",
    "scenario": "agent.scenario.schema:schema_text",
}
"""By kind of file: ``module:function`` of the text."""

ABOUT = """\
Print the JSON Schema of a file, for an editor that completes its keys and marks mistakes while they are written. The
schema of a station file has the keys of all drivers and device roles that are installed here.

  chargy-agent schema station > station.schema.json     then, as the first line of the station file, for Taplo and for
                                                        VS Code with Even Better TOML: #:schema ./station.schema.json
  chargy-agent schema kit                               also: plan (an audit's), scenario

`chargy-agent check` knows more than a schema can say: check the file before an agent runs with it.

Exit code: 0 done.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=SCHEMAS, help="of which file")


def run(options: argparse.Namespace) -> int:
    module, _, name = SCHEMAS[options.kind].partition(":")
    print(getattr(importlib.import_module(module), name)(), end="")
    return 0


def station_schema_text() -> str:
    """Return the schema with all installed drivers and roles. A driver that cannot be imported is left out."""
    from agent.model.entry_points import list_entry_points
    from agent.station_file.device_roles import ROLE_GROUP, find_roles
    from agent.station_file.station_schema import schema_text

    roles = find_roles([name for name, _ in list_entry_points(ROLE_GROUP)], [])
    return schema_text(_installed_drivers(), roles)


def _installed_drivers() -> list[Any]:
    from agent.model.entry_points import EntryPointError, list_entry_points, load_checked
    from agent.ports.driver import Driver
    from agent.services.devices.configured import GROUP

    found: dict[str, Any] = {}
    for name, entry in list_entry_points(GROUP):
        try:
            found.setdefault(name, load_checked(entry, Driver))
        except EntryPointError:  # `drivers` and `check` name what is wrong with it
            continue
    return list(found.values())


COMMAND = Command(
    "schema", "Print the JSON Schema of a station file, kit, plan or scenario, for editors.", add_arguments, run, ABOUT
)
