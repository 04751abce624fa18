"""Golden pictures: the screens that matter most, one panel of each layout, byte for byte as they were looked at.

``python -m tests.drivers.golden`` writes them again, and the posters of docs/displays.md: look at each before it is
committed."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from PIL import Image, features

from agent.model.installed_fonts import find_installed_font
from agent.model.types import ScreenName
from drivers.panel.mounting import TURN_S
from drivers.panel.outlet_views import Panel, views_of_pages
from drivers.panel.page import page_of_message_round
from drivers.panel.page_parts import faces_of_page
from tests.drivers.screens import BILLED, LAW, ONE, PAY, PROBLEM, SERVICE, SESSION, Case, said

FOLDER = Path(__file__).parent / "golden"
PANELS = {
    "tiny": (128, 64, 1), "small": (320, 240, 16), "wide": (800, 480, 16), "upright": (480, 800, 16),
    "wide1024": (1024, 600, 16), "upright1024": (600, 1024, 16),
}  # fmt: skip
MESSAGE = {"messages": "Ce soir, de 22 h à 23 h, la borne est fermée pour des travaux."}
CASES: dict[str, Case] = {
    "idle": (ScreenName.IDLE, "", {**LAW, **PAY, "online": True}),
    "plug_in": (ScreenName.PLUG_IN, "", {"remaining_s": 57.0, **LAW, "online": True}),
    "charging": (ScreenName.CHARGING, "", {**SESSION, **BILLED, "online": True}),
    "finished": (ScreenName.FINISHED, "stopped", {**SESSION, **BILLED, **ONE, "cost_final": True, "online": True}),
    "receipt": (ScreenName.FINISHED, "stopped", {**SESSION, **BILLED, **ONE, **PAY, "cost_final": True}),
    "next_charge": (ScreenName.FINISHED, "stopped", {**SESSION, **BILLED, **ONE, **PAY, "cost_final": True, **LAW}),
    "refused": (ScreenName.REFUSED, "invalid", {}),
    "out_of_service": (ScreenName.OUT_OF_SERVICE, "GroundFailure", {}),
    "service": (ScreenName.SERVICE, "", {**SERVICE, "online": True}),
    "message_front": (ScreenName.IDLE, "", {**LAW, **PAY, **MESSAGE, "messages_in_front": True, "online": True}),
    "message_cycle": (ScreenName.CHARGING, "", {**SESSION, **BILLED, **MESSAGE, "online": True}),
    "service_problem": (ScreenName.SERVICE, "", {**SERVICE, **PROBLEM, "online": False}),
}
SHARED: dict[str, tuple[Case, ...]] = {
    "shared_free": (CASES["idle"], CASES["idle"]),
    "shared_charging": (CASES["charging"], CASES["idle"]),
    "shared_plug_in": (CASES["plug_in"], CASES["out_of_service"]),
}
"""What the outlets say that have one panel together."""
FONT = "DejaVuSansCondensed-Bold.ttf"


def why_not() -> str:
    """Why pictures made here cannot be compared; empty if they can."""
    if not (find_installed_font(True) or "").endswith(FONT):
        return f"{FONT} is not installed (Debian: fonts-dejavu-core)"
    return "" if features.version("freetype2") else "Pillow without FreeType"


def picture(case: str, panel: str) -> Image.Image:
    """The faces one below the other, French."""
    width, height, depth = PANELS[panel]
    if case in SHARED:
        pages = [said(each, "fr", evse) for evse, each in enumerate(SHARED[case], 1)]
        shown = [
            face().image
            for view in views_of_pages(pages, Panel((width, height), depth, 0, TURN_S))
            for face in view.faces
        ]
    else:
        page = page_of_message_round(said(CASES[case], "fr"), 0)
        shown = [face().image for face in faces_of_page(page, (width, height), depth)]
    sheet = Image.new("RGB", (width, height * len(shown)))
    for n, image in enumerate(shown):
        sheet.paste(image, (0, n * height))
    return sheet


def file(case: str, panel: str) -> Path:
    return FOLDER / f"{panel}-{case}.png"


PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
Rows: TypeAlias = tuple[tuple[tuple[str, str, float], ...], ...]
"""Case, panel, scale."""
ROWS: Rows = (
    (("idle", "wide", 0.5), ("plug_in", "wide", 0.5), ("charging", "wide", 0.5)),
    (("receipt", "wide", 0.5), ("refused", "wide", 0.5), ("out_of_service", "wide", 0.5)),
    (("idle", "upright", 0.5), ("charging", "upright", 0.5), ("idle", "small", 1), ("charging", "small", 1)),
    (("shared_free", "wide", 0.5), ("shared_charging", "upright", 0.5)),
    (("plug_in", "tiny", 1),),
)
MESSAGE_ROWS: Rows = (
    (("message_front", "wide", 0.5), ("message_cycle", "wide", 0.5)),
    (("message_front", "upright", 0.5), ("message_cycle", "small", 1)),
    (("message_cycle", "tiny", 1),),
)
GAP, GROUND = 8, (226, 226, 230)


def poster(wanted: Rows) -> Image.Image:
    rows = [[face for case, panel, scale in row for face in _faces_of(case, panel, scale)] for row in wanted]
    width = max(sum(i.width + GAP for i in row) for row in rows) + GAP
    sheet = Image.new("RGB", (width, sum(max(i.height for i in row) + GAP for row in rows) + GAP), GROUND)
    y = GAP
    for row in rows:
        x = GAP
        for image in row:
            sheet.paste(image, (x, y))
            x += image.width + GAP
        y += max(i.height for i in row) + GAP
    return sheet


def _faces_of(case: str, panel: str, scale: float) -> list[Image.Image]:
    width, height, _ = PANELS[panel]
    whole, size = picture(case, panel), (round(width * scale), round(height * scale))
    faces = (whole.crop((0, y, width, y + height)) for y in range(0, whole.height, height))
    return [face.resize(size, Image.Resampling.LANCZOS) for face in faces]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, rows in (("screens", ROWS), ("messages", MESSAGE_ROWS)):
        poster(rows).quantize(64, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", "PNG", optimize=True)
    for panel in PANELS:
        for case in (*CASES, *SHARED):
            image = picture(case, panel)
            colours = image.convert("1") if PANELS[panel][2] == 1 else image.quantize(16, dither=Image.Dither.NONE)
            colours.save(file(case, panel), "PNG", optimize=True)


if __name__ == "__main__":
    main()
