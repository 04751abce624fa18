"""Pictures of the report: read from the folder of the audit, made small enough, without their hidden data."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from agent.commands.audit.bundle_manifest import name_problem
from agent.commands.audit.report_record import AuditRecord, Picture
from agent.model.fastclass import frozen

SIDE_MAX = 1200
PIXELS_MAX = 50_000_000
PICTURES_MAX = 60


@frozen
class ShownPicture:
    """``content``: a PNG or JPEG file (``media_type``). ``problem``: why there is none, or ""."""

    number: int
    path: str
    title: str
    content: bytes
    media_type: str
    width_px: int
    height_px: int
    problem: str


def list_report_pictures(record: AuditRecord) -> list[Picture]:
    """Return the pictures of the record, then those that only an obligation names. Each once."""
    listed = {p.path: p for p in record.pictures}
    for obligation in (o for section in record.sections for o in section.obligations):
        for path in obligation.pictures:
            listed.setdefault(path, Picture(path, f"{obligation.title} ({path})", 0))
    return list(listed.values())


def load_report_pictures(folder: Path, pictures: Iterable[Picture]) -> list[ShownPicture]:
    """Return the pictures. One that cannot be shown says why."""
    return [_load_picture(folder, number, picture) for number, picture in enumerate(pictures, 1)]


def _load_picture(folder: Path, number: int, picture: Picture) -> ShownPicture:
    title = picture.title or picture.path
    if why := _path_problem(folder, picture.path):
        return ShownPicture(number, picture.path, title, b"", "", 0, 0, why)
    from PIL import Image, ImageOps

    try:
        with Image.open(folder / picture.path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > PIXELS_MAX:
                return ShownPicture(number, picture.path, title, b"", "", 0, 0, "the picture is too large")
            is_photo = image.format == "JPEG"
            shown = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # a PNG that is damaged: SyntaxError
        return ShownPicture(number, picture.path, title, b"", "", 0, 0, "the picture cannot be read")
    shown.thumbnail((SIDE_MAX, SIDE_MAX))
    written = io.BytesIO()
    shown.save(written, "JPEG" if is_photo else "PNG", quality=85, optimize=True)
    media_type = "image/jpeg" if is_photo else "image/png"
    return ShownPicture(number, picture.path, title, written.getvalue(), media_type, shown.width, shown.height, "")


def _path_problem(folder: Path, path: str) -> str:
    if name_problem(path):
        return "its path leaves the folder of the audit"
    place = folder
    for part in path.split("/"):
        place /= part
        if place.is_symlink():
            return "its path has a symbolic link"
    return "" if place.is_file() else "the picture is missing"
