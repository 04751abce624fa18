"""What the blocks share is written by one module a field; all may read it.

The fields are those of ``StationState``, ``EvseRecord`` and its parts. A module writes a field where it assigns it, an
item of it, or calls a method of a container that changes it. The rules of the session table are one writer in several
files: the table calls one of them at a time.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent.domain import evse as evse_module
from agent.domain import evse_parts
from agent.domain.collaborators import Collaborators
from agent.domain.evse import EvseRecord, StationState
from agent.domain.station_config import StationConfig
from agent.model.fastclass import field_specs

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "board": evse_parts.BoardReport,
    "release_order": evse_parts.ReleaseOrder,
    "progress": evse_parts.SessionProgress,
    "metering": evse_parts.Metering,
    "pricing": evse_parts.Pricing,
}
"""The parts of an ``EvseRecord`` that change, by the field that holds them."""
CHANGES = {"add", "append", "clear", "discard", "extend", "pop", "popitem", "remove", "setdefault", "update"}
SESSION_TABLE = "agent/domain/session/"
SESSION_FIELDS = {
    *(f"evse.progress.{name}" for name in field_specs(evse_parts.SessionProgress)),
    *(f"evse.{name}" for name in ("state", "authorization", "session", "last_session", "open_at_start")),
}
"""Written by the rules of the session table, wherever they are in its folder."""
TWO_WRITERS = {
    "evse.faults": {
        "agent/domain/blocks/availability.py",  # raises and clears them
        "agent/domain/blocks/fault_latching.py",  # keeps what is latched beyond that, also over a restart
    },
    "evse.pricing.bill": {  # a station has a terminal or a payment master, never both
        "agent/domain/blocks/payment_settlement.py",
        "agent/domain/blocks/satellite_sessions.py",
    },
}
"""Fields with a second writer, and why."""


def field_of(target: ast.expr, local_names: Mapping[str, str]) -> str | None:
    """The field that a target of the domain's code means, like ``evse.board.locked`` or ``site.operative``.
    ``local_names``: of the parts."""
    while isinstance(target, ast.Subscript):
        target = target.value
    if not isinstance(target, ast.Attribute):
        return None
    held = target.value
    if isinstance(held, ast.Attribute) and held.attr in PARTS and _is_evse(held.value):
        return f"evse.{held.attr}.{target.attr}"
    if isinstance(held, ast.Name) and held.id in local_names:
        return f"evse.{local_names[held.id]}.{target.attr}"
    if _is_evse(held) and target.attr in field_specs(EvseRecord):
        return f"evse.{target.attr}"
    if _is_site(held) and target.attr in field_specs(StationState):
        return f"site.{target.attr}"
    return None


def _is_evse(node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Attribute) and node.value.attr == "evses"
    return isinstance(node, ast.Name) and node.id in ("e", "evse", "other", "old_place", "new_place")


def _is_site(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in ("site", "_site")
    return isinstance(node, ast.Name) and node.id in ("site", "s")


def names_of_parts(tree: ast.AST) -> dict[str, str]:
    """The local names that functions give to parts, as in ``order = evse.release_order``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            (target, *_), value = node.targets, node.value
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            pairs = zip(target.elts, value.elts, strict=False) if several else [(target, value)]
            for name, named in pairs:
                if isinstance(name, ast.Name) and isinstance(named, ast.Attribute) and named.attr in PARTS:
                    found[name.id] = named.attr
    return found


def written_fields(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    local_names = names_of_parts(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            field = field_of(node, local_names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
            field = field_of(node.func.value, local_names)
        else:
            continue
        if field:
            yield field


def writers() -> dict[str, set[str]]:
    found = defaultdict(set)
    for path in sorted((ROOT / "agent").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for field in written_fields(path.read_text("utf-8")):
            is_rule = field in SESSION_FIELDS and name.startswith(SESSION_TABLE)
            found[field].add(SESSION_TABLE if is_rule else name)
    return found


def test_each_field_has_one_writer() -> None:
    several = {field: modules for field, modules in writers().items() if len(modules) > 1}
    assert several == TWO_WRITERS


def test_release_is_written_by_one_module() -> None:
    """It is the permission that energy may flow: a second writer would go past the conditions of the first."""
    release = {field: modules for field, modules in writers().items() if field.startswith("evse.release_order")}
    assert set(release) == {f"evse.release_order.{name}" for name in field_specs(evse_parts.ReleaseOrder)}
    assert set.union(*release.values()) == {"agent/domain/session/release.py"}


def test_most_fields_are_found() -> None:
    """Otherwise an alias hides who writes. The rest is made once, or written by a method of the part itself."""
    every = {f"site.{name}" for name in field_specs(StationState)} | {f"evse.{n}" for n in field_specs(EvseRecord)}
    every -= {f"evse.{part}" for part in PARTS}
    every |= {f"evse.{part}.{name}" for part, cls in PARTS.items() for name in field_specs(cls)}
    made_once = {
        *("site.evses", "site.settings", "site.config", "site.collaborators"),
        *("evse.number", "evse.config", "evse.metering.meter"),
    }
    by_method = {"evse.metering.reading", "site.local_list", "site.security", "site.traffic"}
    assert every - set(writers()) == made_once | by_method


@pytest.mark.parametrize("cls", [StationConfig, Collaborators, evse_parts.EvseConfig])
def test_what_is_fixed_cannot_be_changed(cls: type) -> None:
    with pytest.raises(AttributeError):
        setattr(cls(), next(iter(field_specs(cls))), None)


def test_every_part_that_changes_is_watched() -> None:
    made = {
        cls
        for module in (evse_parts, evse_module)
        for cls in vars(module).values()
        if isinstance(cls, type) and cls.__module__ == evse_parts.__name__ and cls is not evse_parts.EvseConfig
    }
    assert made == set(PARTS.values())


def test_writes_are_found() -> None:
    source = (
        "evse.session, evse.release_order.given = None, False\n"
        "self._site.evses[event.evse].release_order.requested = True\n"
        "n, order = 1, evse.board\norder.locked = None\nother.faults |= {1}\nself._site.link_up[event.link] = True\n"
        "evse.latched.add(fault)\ndel site.reservations[key]\npayment.state = 1\nprint(evse.operative)"
    )
    assert set(written_fields(source)) == {
        *("evse.session", "evse.release_order.given", "evse.release_order.requested", "evse.board.locked"),
        *("evse.faults", "site.link_up", "evse.latched", "site.reservations"),
    }
