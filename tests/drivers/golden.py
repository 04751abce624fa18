"""Golden pictures: the screens that matter most, one panel of each layout, byte for byte as they were looked at.

``python -m tests.drivers.golden`` writes them anew: look at each before it is committed."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, features

from agent.kinds import ScreenName
from drivers.panel import fonts
from drivers.panel.faces import faces
from tests.drivers.screens import BILLED, LAW, ONE, PAY, SESSION, Case, said

FOLDER = Path(__file__).parent / "golden"
PANELS = {
    "tiny": (128, 64, 1), "small": (320, 240, 16), "wide": (800, 480, 16), "upright": (480, 800, 16),
    "wide1024": (1024, 600, 16), "upright1024": (600, 1024, 16),
}  # fmt: skip
CASES: dict[str, Case] = {
    "idle": (ScreenName.IDLE, "", {**LAW, **PAY, "online": True}),
    "plug_in": (ScreenName.PLUG_IN, "", {"remaining_s": 57.0, **LAW, "online": True}),
    "charging": (ScreenName.CHARGING, "", {**SESSION, **BILLED, "online": True}),
    "finished": (ScreenName.FINISHED, "stopped", {**SESSION, **BILLED, **ONE, "cost_final": True, "online": True}),
    "receipt": (ScreenName.FINISHED, "stopped", {**SESSION, **BILLED, **ONE, **PAY, "cost_final": True}),
    "refused": (ScreenName.REFUSED, "invalid", {}),
    "out_of_service": (ScreenName.OUT_OF_SERVICE, "GroundFailure", {}),
}
FONT = "DejaVuSansCondensed-Bold.ttf"


def why_not() -> str:
    """Why pictures made here cannot be compared; empty if they can."""
    if not (fonts._installed(True) or "").endswith(FONT):
        return f"{FONT} is not installed (Debian: fonts-dejavu-core)"
    return "" if features.version("freetype2") else "Pillow without FreeType"


def picture(case: str, panel: str) -> Image.Image:
    """The faces one below the other, French."""
    width, height, depth = PANELS[panel]
    shown = [face().image for face in faces(said(CASES[case], "fr"), (width, height), depth)]
    sheet = Image.new("RGB", (width, height * len(shown)))
    for n, image in enumerate(shown):
        sheet.paste(image, (0, n * height))
    return sheet


def file(case: str, panel: str) -> Path:
    return FOLDER / f"{panel}-{case}.png"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for panel in PANELS:
        for case in CASES:
            image = picture(case, panel)
            colours = image.convert("1") if PANELS[panel][2] == 1 else image.quantize(16, dither=Image.Dither.NONE)
            colours.save(file(case, panel), "PNG", optimize=True)


if __name__ == "__main__":
    main()
