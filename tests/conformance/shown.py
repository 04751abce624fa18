"""Which test shows which case: read from the names of the tests, so that it is known before anything runs.

OCPP 1.6: the name of the file (``tc_004_1.py``). OCPP 2.0.1: ``TC_B_02_CS`` in the name of the test, in the id of a
parameter, or in its docstring.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE_16 = re.compile(r"tc_(\d{3}(?:_\d)?)\.py$")
ID_201 = re.compile(r"TC_([A-Z]_\d+)_CS")


@dataclass(frozen=True)
class Proof:
    """A test function. ``always``: cases that every run of it shows; ``by_id``: those that the id of a parameter names.
    ``digest``: of its source with its table of parameters."""

    path: str
    name: str
    always: frozenset[str]
    by_id: frozenset[str]
    digest: str

    @property
    def cases(self) -> frozenset[str]:
        return self.always | self.by_id


def proofs(root: Path = ROOT) -> list[Proof]:
    """Of every test file below ``tests/conformance`` that names a case."""
    found = [p for path in sorted((root / "tests/conformance").rglob("*.py")) for p in _of_file(path, root)]
    return [p for p in found if p.cases]


def _of_file(path: Path, root: Path) -> Iterator[Proof]:
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    tables = {
        t.id: ast.get_source_segment(source, n) or ""
        for n in tree.body
        if isinstance(n, ast.Assign)
        for t in n.targets
        if isinstance(t, ast.Name)
    }
    case = FILE_16.search(path.name)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            rows = _parameters(node, source, tables)
            said = f"{node.name} {ast.get_docstring(node) or ''}"
            always = frozenset([case[1]] if case else ID_201.findall(said))
            text = rows + (ast.get_source_segment(source, node) or "")
            digest = hashlib.sha256(text.encode()).hexdigest()
            where = str(path.relative_to(root))
            yield Proof(where, node.name, always, frozenset(ID_201.findall(rows)), digest)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, source: str, tables: dict[str, str]) -> str:
    """The decorators' source, and that of the module's tables that they name."""
    names = [n.id for d in node.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)]
    own = [ast.get_source_segment(source, d) or "" for d in node.decorator_list]
    return "\n".join([*own, *(tables[n] for n in names if n in tables)])


def of_run(nodeid: str, known: list[Proof]) -> frozenset[str]:
    """The cases that this run of a test shows: ``path::name`` or ``path::name[id]``."""
    path, _, rest = nodeid.partition("::")
    name = rest.partition("[")[0]
    proof = next((p for p in known if (p.path, p.name) == (path, name)), None)
    return frozenset() if proof is None else proof.always | frozenset(ID_201.findall(nodeid))


def by_case(known: list[Proof]) -> dict[str, list[Proof]]:
    out: dict[str, list[Proof]] = {}
    for proof in known:
        for case in sorted(proof.cases):
            out.setdefault(case, []).append(proof)
    return out


def digest(of: list[Proof]) -> str:
    """Of all tests of a case: changes when one of them changes, comes or goes."""
    text = "".join(sorted(f"{p.path}::{p.name} {p.digest}" for p in of))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
