"""The field page of a simulated station, and a kit to try it with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.model.toml_text import format_document
from agent.station_file.settings import FieldPageKeys, StationFile

KIT = "kit.toml"


def with_field_page(file: StationFile, port: int | None, folder: Path) -> StationFile:
    """Return the file with the field page on, if ``port`` is given. Its kits are those of ``folder``."""
    if port is None:
        return file
    return replace(file, field_page=replace(file.field_page, port=port, kits=file.field_page.kits or folder / "kits"))


def write_example_kit(file: StationFile, backend_url: str, folder: Path) -> Path:
    """Write a kit for this station, as the operator of a network would make it. Returns its path."""
    number = file.station.number or "0042"
    versions = file.backends[0].versions if file.backends else ("1.6",)
    tables: dict[str, Any] = {
        "kit": {"version": 1, "station_type": "simulated station"},
        "station": {"number": number, "hotline": "+352 80 00 11 22", "price_line": "0,45 EUR/kWh"},
        "backend": {
            "charge_point_id": file.backends[0].charge_point_id if file.backends else file.station.id,
            "url": backend_url,
            "versions": list(versions),
        },
        "sticker": {"brand": "chargy"},
    }
    path = folder / "kits" / f"station-{number}" / KIT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(format_document(tables), "utf-8")
    return path


def field_page_lines(file: StationFile, derived: Path) -> list[str]:
    """Return what a person has to know to open the page."""
    page: FieldPageKeys = file.field_page
    host = f"[{page.host}]" if ":" in page.host else page.host
    lines = [f"field page: {'https' if page.tls_cert else 'http'}://{host}:{page.port}/"]
    if not file.field_page_users.exists():
        lines.append(f"field page: add its first user: chargy-agent page user add {derived} NAME --role manufacturer")
    return lines
