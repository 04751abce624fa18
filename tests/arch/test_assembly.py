"""The composition root hands parts in by constructors: it sets no attribute of a part that was made before."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ASSEMBLY = Path(__file__).resolve().parents[2] / "agent" / "assembly"


def is_own(attribute: ast.Attribute) -> bool:
    return isinstance(attribute.value, ast.Name) and attribute.value.id == "self"


def patched_attributes(source: str) -> Iterator[str]:
    """Yield each assignment to an attribute of anything but ``self``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        for target in targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store) and not is_own(part):
                    yield ast.unparse(part)


def test_no_part_is_patched_after_it_was_made() -> None:
    found = {path.name: list(patched_attributes(path.read_text("utf-8"))) for path in ASSEMBLY.glob("*.py")}
    assert {name: attributes for name, attributes in found.items() if attributes} == {}


def test_a_patched_attribute_is_found() -> None:
    source = "self.engine.restart = f\nself.files, site.roots = a, b\nstatus.asks |= c\nself.ready = True"
    assert list(patched_attributes(source)) == ["self.engine.restart", "site.roots", "status.asks"]
