"""Judges what the control API answers by the types that describe it, and takes no key which they do not name."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from drivers.sim.picture_schema import PictureSchemas


def complaints(picture: type[Any], value: Any) -> list[str]:
    """What breaks the type, with its place. ``picture``: of ``agent/desk/pictures.py``."""
    schemas = PictureSchemas("#/$defs/", closed=True)
    judge = Draft202012Validator({**schemas.reference_to(picture), "$defs": schemas.by_name})
    return [f"{e.json_path}: {e.message[:200]}" for e in judge.iter_errors(value)]
