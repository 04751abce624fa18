"""Documents that are made from the code: ``make docs`` writes them, a test fails when one is stale.

A row is the document's path and the function ``module:name`` that gives its whole text.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS: dict[str, str] = {
    "docs/architecture.md": "tests.arch.modules:text",
    "docs/audit.md": "tests.arch.audits:text",
    "docs/boards.md": "tests.arch.boards:text",
    "docs/campaign.md": "tests.arch.campaigns:text",
    "docs/conformance.md": "tests.arch.conformance:text",
    "docs/extending.md": "tests.arch.device_roles:text",
    "docs/faults.md": "tests.arch.faults:text",
    "docs/hardware-checklist.md": "tests.arch.checklist:text",
    "docs/kit.schema.json": "agent.commands.kit.kit_schema:schema_text",
    "docs/metrics.md": "tests.arch.metrics:text",
    "docs/meters.md": "tests.arch.meters:text",
    "docs/misbehaviour.md": "tests.arch.misbehaviours:text",
    "docs/openapi.json": "drivers.sim.openapi:document_text",
    "docs/plan.schema.json": "agent.audit.plan_schema:schema_text",
    "docs/scenario.schema.json": "agent.scenario.schema:schema_text",
    "docs/station.schema.json": "tests.arch.station_schema:text",
    "docs/scenarios.md": "tests.arch.scenarios:text",
    "docs/quirks.md": "tests.arch.quirks:text",
    "pyproject.toml": "tests.arch.contracts:text",
    "docs/states/session.svg": "tests.arch.draw_states:session",
    "docs/states/payment.svg": "tests.arch.draw_states:payment",
    "docs/states/service.svg": "tests.arch.draw_states:service",
}


def text_of(source: str) -> str:
    module, _, name = source.partition(":")
    return str(getattr(importlib.import_module(module), name)())


def stale(documents: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """Paths whose file is missing or says something else than the code does now."""
    return [
        p
        for p, source in documents.items()
        if not (root / p).exists() or (root / p).read_text("utf-8") != text_of(source)
    ]


def write(documents: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """Write what is stale; the paths written."""
    paths = stale(documents, root)
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text_of(documents[path]), "utf-8")
    return paths


def main() -> int:
    for path in write(DOCUMENTS) or ["nothing: all are up to date"]:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
