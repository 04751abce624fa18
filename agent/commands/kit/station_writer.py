"""``kit apply`` and ``kit undo``: the station file is the old one or the new one at every instant."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.commands.kit.generations import (
    BEFORE,
    FileOwner,
    GenerationFolder,
    agent_owner,
    generation_folder,
    owner_of,
    write_synced,
)
from agent.commands.kit.kit_file import Kit, is_secret_name, leaf_paths
from agent.commands.kit.station_changes import (
    KeyChange,
    changed_names,
    gives_other_names,
    path_text,
    planned_changes,
    read_station_tables,
)
from agent.commands.kit.station_edit import edit_text
from agent.commands.kit.waiting_bills import refuse_waiting_bills
from agent.model.fastclass import frozen, replace
from agent.ports.driver import missing_module
from agent.services.folder_sync import sync_folder
from agent.station_file.problems import Problem, place_problems
from agent.station_file.settings import SettingsError

OTHERS_RIGHTS = stat.S_IRWXO | stat.S_IWGRP
"""What a station file with a secret does not give."""


@frozen
class AppliedKit:
    """``remaining``: what was wrong with the station file before and still is."""

    changes: tuple[KeyChange, ...]
    backup: Path | None = None
    remaining: tuple[Problem, ...] = ()


def apply_kit(kit: Kit, station: Path, rename: bool = False, leave_bills: bool = False) -> AppliedKit:
    """Write the kit into the station file. Raises ``SettingsError`` if the kit does not fit; nothing is changed then.

    ``rename``: the station may get another number, charge point id or SIM than the station file has. ``leave_bills``:
    bills that wait may go to the backend of the kit.

    Raises ``OSError`` too.
    """
    if missing := missing_module(("tomlkit",), "chargy-agent"):
        raise SettingsError([f"{kit.path}: {missing}"])
    station = station.resolve()
    owner = _agent_owner(station)
    generations = GenerationFolder(station, owner)
    with generations.locked():
        before = station.read_bytes()
        _remove_leftovers(generations, station, before)
        changes = planned_changes(kit, read_station_tables(station), station.parent)
        if not changes:
            return AppliedKit(())
        if not rename and (names := changed_names(changes)):
            advice = (
                "is it the kit of another station? Give --rename if this station gets the name or the SIM of the kit"
            )
            raise SettingsError([f"{kit.path}: {said}; {advice}" for said in names])
        name = generations.next_name()
        files, named = _copied_files(changes, f"{generations.folder.name}/{name}")
        after = _edit_station(station, before.decode(), named)
        if not leave_bills:
            refuse_waiting_bills(station, owner, _tables_of_text(before), _tables_of_text(after))
        generation = generations.add_generation(name, before, after, files)
        beside = write_beside(station, after, owner)
        try:
            remaining = _judge_new_file(kit, station, beside)
        except SettingsError:
            beside.unlink()
            generations.remove_generation(generation)
            raise
        _put_in_place(beside, station)
        return AppliedKit(tuple(changes), generation.folder / BEFORE, remaining)


def undo_kit(station: Path, discard_edits: bool, rename: bool = True, leave_bills: bool = False) -> list[str]:
    """Put back the station file of before the newest kit. Returns the keys that were edited after it. ``rename``: the
    station may get the number, charge point id or SIM back that it had before. ``leave_bills``: bills that wait may go
    to the backend of before.

    Raises ``SettingsError`` if there is no kit to undo, the file was edited since and the edits must stay, or bills
    would go elsewhere; raises ``OSError`` too.
    """
    station = station.resolve()
    folder = generation_folder(station)
    if not folder.is_dir():
        raise SettingsError([f"{station}: no kit was applied to this file, or all were undone"])
    owner = owner_of(folder)  # not of the station file's ``state_dir``: the file may be broken
    generations = GenerationFolder(station, owner)
    with generations.locked():
        present = station.read_bytes()
        _remove_leftovers(generations, station, present)
        generation = generations.applied(present)
        edits: list[str] = []
        if generation is None:
            listed = generations.list_generations()
            if not listed:
                raise SettingsError([f"{station}: no kit was applied to this file, or all were undone"])
            generation, edits = listed[0], _edited_keys(listed[0].after, present)
            if not discard_edits:
                raise SettingsError(
                    [
                        f"{station}: was edited after the kit was applied ({', '.join(edits) or 'comments only'}); undo"
                        " would lose that: give --discard-edits if it may"
                    ]
                )
        if not rename and gives_other_names(_tables_of_text(present), _tables_of_text(generation.before)):
            raise SettingsError(
                [f"{station}: to undo this kit would give the station another number, charge point id or SIM back"]
            )
        if not leave_bills:
            texts = (present, generation.before, generation.after)
            refuse_waiting_bills(station, owner, *map(_tables_of_text, texts))
        if missing := generations.missing_files(generation.before):
            raise SettingsError(
                [f"{station}: {generation.folder / BEFORE} names a file that is not there: {said}" for said in missing]
            )
        _put_in_place(write_beside(station, generation.before, owner), station)
        generations.mark_undone(generation)
        return edits


def _agent_owner(station: Path) -> FileOwner:
    """Return the agent's user. Raises ``SettingsError`` if the station file cannot be read."""
    tables = read_station_tables(station).get("station", {})
    return agent_owner(station, station.parent / str(tables.get("state_dir", "state")))


def _edit_station(station: Path, text: str, changes: Sequence[KeyChange]) -> bytes:
    try:
        return edit_text(text, changes).encode()
    except SettingsError as e:
        raise SettingsError([f"{station}: {said}" for said in e.problems]) from None


def _path_beside(station: Path) -> Path:
    return station.with_name(f".{station.name}.partial")


def _remove_leftovers(generations: GenerationFolder, station: Path, text: bytes) -> None:
    _path_beside(station).unlink(missing_ok=True)
    generations.remove_leftovers(text)


def write_beside(station: Path, content: bytes, agent: FileOwner) -> Path:
    """Write the new station file beside the old one, with the same rights; for a file that holds a secret, without the
    rights of others and the group's right to write. Where those let the agent's user read it, its group now does."""
    beside, owner, mode = _path_beside(station), owner_of(station), stat.S_IMODE(station.stat().st_mode)
    if _holds_secret(content) and mode & OTHERS_RIGHTS:
        if mode & stat.S_IROTH and agent.user != owner.user:
            owner = FileOwner(owner.user, agent.group)
        mode &= ~OTHERS_RIGHTS
    beside.unlink(missing_ok=True)
    write_synced(beside, content, mode, owner)
    return beside


def _holds_secret(content: bytes) -> bool:
    leaves = leaf_paths(tomllib.loads(content.decode()))
    return any(value and is_secret_name(str(path[-1])) for path, value in leaves if path)


def _put_in_place(beside: Path, station: Path) -> None:
    os.replace(beside, station)
    sync_folder(station.parent)


def _copied_files(changes: Sequence[KeyChange], folder: str) -> tuple[dict[str, bytes], list[KeyChange]]:
    """Return the files to copy by their name, and the changes with the names that they get on the station."""
    files: dict[str, bytes] = {}
    named: list[KeyChange] = []
    for change in changes:
        if change.source is None:
            named.append(change)
            continue
        file = f"{change.path[-1]}-{change.source.name}"
        files[file] = change.source.read_bytes()
        named.append(replace(change, new=f"{folder}/{file}"))
    return files, named


def _judge_new_file(kit: Kit, station: Path, beside: Path) -> tuple[Problem, ...]:
    """Return the problems that the file had before. Raises ``SettingsError`` if the kit brings new ones.

    A new problem is reported at its key in the kit, if the kit has that key.
    """
    from agent.commands.check import check_station_file

    known = {(p.path, p.message) for p in check_station_file(station)[1]}
    found = check_station_file(beside)[1]
    new = [p for p in found if (p.path, p.message.replace(str(beside), str(station))) not in known]
    if new:
        complaints = [f"{p.path}: {p.message}" if p.path else p.message for p in new]
        in_kit = [bool(place_problems(kit.path, [said])[0].line) for said in complaints]
        raise SettingsError(
            [f"{kit.path if at else station}: {said}" for at, said in zip(in_kit, complaints, strict=True)]
        )
    return tuple(found)


def _tables_of_text(text: bytes) -> dict[str, Any]:
    """Return the tables in the text of a station file; none if it is no TOML, as after an edit."""
    try:
        return tomllib.loads(text.decode())
    except ValueError:  # UnicodeDecodeError and tomllib.TOMLDecodeError
        return {}


def _edited_keys(after: bytes, present: bytes) -> list[str]:
    try:
        first, second = (dict(leaf_paths(tomllib.loads(text.decode()))) for text in (after, present))
    except ValueError:  # UnicodeDecodeError and tomllib.TOMLDecodeError
        return ["the whole file, which is no valid TOML"]
    return sorted(path_text(path) for path in {*first, *second} if first.get(path) != second.get(path))
