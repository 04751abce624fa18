"""The stickers of a kit, as the printer gets them: measured in millimetres, their QR codes decoded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import zxingcpp
from PIL import Image

from agent import cli
from agent.commands.kit.print_measures import qr_modules
from agent.commands.kit.sticker_layout import GROUNDS, QR_SIDE_MM, QUIET_ZONE
from tests.support.kit_files import KIT, write_kit

WIDTH_MM, HEIGHT_MM, BLEED_MM = 105, 148, 3
PX_PER_MM = 10
URL = "https://pay.example.lu/0042"
BRANDS = {"chargy": "Chargy OK", "superchargy": "SuperChargy OK"}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("print")
    logo = Image.new("RGBA", (400, 100), (250, 0, 0, 255))
    logo.save(folder / "logo.png")
    kit = write_kit(folder, KIT.replace('brand = "chargy"', 'brand = "chargy"\nlogo = "logo.png"'))
    assert cli.main(["kit", "stickers", str(kit), "--folder", str(folder)]) == 0
    return folder


def to_mm(points: float) -> float:
    return points / 72 * 25.4


def rendered(page: Any) -> Image.Image:
    image: Image.Image = page.render(scale=PX_PER_MM * 25.4 / 72).to_pil()
    return image.convert("RGB")


def symbol_mm(code: Any, px_per_mm: float) -> float:
    """The mean length of the sides of a decoded symbol, without its quiet zone."""
    p = code.position
    corners = [(c.x, c.y) for c in (p.top_left, p.top_right, p.bottom_right, p.bottom_left)]
    sides = [math.dist(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    return sum(sides) / 4 / px_per_mm


def is_like(pixel: Any, color: tuple[int, int, int]) -> bool:
    return all(abs(int(a) - b) <= 3 for a, b in zip(pixel, color, strict=True))


def expected_symbol_mm() -> float:
    modules = len(qr_modules(URL))
    return QR_SIDE_MM * (modules - 2 * QUIET_ZONE) / modules


@pytest.mark.parametrize("brand", BRANDS)
def test_the_pdf_has_true_millimetres(printed: Path, brand: str) -> None:
    pdf = pypdfium2.PdfDocument(printed / f"sticker-0042-{brand}.pdf")
    assert len(pdf) == 2, "one for each side of the station"
    for page in pdf:
        width, height = page.get_size()
        assert to_mm(width) == pytest.approx(WIDTH_MM + 2 * BLEED_MM, abs=0.05)
        assert to_mm(height) == pytest.approx(HEIGHT_MM + 2 * BLEED_MM, abs=0.05)
        trim = [to_mm(edge) for edge in page.get_trimbox()]
        wanted = [BLEED_MM, BLEED_MM, BLEED_MM + WIDTH_MM, BLEED_MM + HEIGHT_MM]
        assert trim == pytest.approx(wanted, abs=0.05)
        image = rendered(page)
        assert is_like(image.getpixel((1, 1)), GROUNDS[brand]), "the ground reaches into the bleed"
        column = [image.getpixel((2, y)) for y in range(image.height // 2)]
        band_mm = next(y for y, pixel in enumerate(column) if not is_like(pixel, GROUNDS[brand])) / PX_PER_MM
        assert band_mm == pytest.approx(30 + BLEED_MM, abs=0.2)
        (code,) = zxingcpp.read_barcodes(image.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
        assert code.text == URL
        assert symbol_mm(code, PX_PER_MM) == pytest.approx(expected_symbol_mm(), abs=0.4)
        text = page.get_textpage().get_text_range()
        assert all(said in text for said in (BRANDS[brand], "N° 0042", "+352 80 00 11 22"))


@pytest.mark.parametrize("brand", BRANDS)
def test_the_png_has_true_millimetres(printed: Path, brand: str) -> None:
    image = Image.open(printed / f"sticker-0042-{brand}.png")
    dpi = image.info["dpi"]
    assert dpi == pytest.approx((600, 600), abs=0.1)
    assert image.width / dpi[0] * 25.4 == pytest.approx(WIDTH_MM, abs=0.05)
    assert image.height / dpi[1] * 25.4 == pytest.approx(HEIGHT_MM, abs=0.05)
    (code,) = zxingcpp.read_barcodes(image.convert("L"), formats=zxingcpp.BarcodeFormat.QRCode)
    assert code.text == URL
    assert symbol_mm(code, 600 / 25.4) == pytest.approx(expected_symbol_mm(), abs=0.4)


def test_both_show_the_logo_in_its_place(printed: Path) -> None:
    """Of 4 to 1, in 61 x 11 mm: 44 x 11 mm from 133 mm on."""
    page = rendered(pypdfium2.PdfDocument(printed / "sticker-0042-chargy.pdf")[0])
    png = Image.open(printed / "sticker-0042-chargy.png").convert("RGB")
    for image, px_per_mm, bleed in ((page, PX_PER_MM, BLEED_MM), (png, 600 / 25.4, 0)):
        red = [
            (x, y)
            for x in range(0, image.width, 4)
            for y in range(round((130 + bleed) * px_per_mm), round((146 + bleed) * px_per_mm))
            if is_like(image.getpixel((x, y)), (250, 0, 0))
        ]
        left, right = (edge(x for x, _ in red) / px_per_mm - bleed for edge in (min, max))
        top, bottom = (edge(y for _, y in red) / px_per_mm - bleed for edge in (min, max))
        assert (left, right) == pytest.approx((30.5, 74.5), abs=0.6)
        assert (top, bottom) == pytest.approx((133, 144), abs=0.3)


def test_without_an_address_the_code_dials_the_hotline(tmp_path: Path) -> None:
    kit = write_kit(tmp_path, KIT.replace('qr_url = "https://pay.example.lu/0042"\n', ""))
    assert cli.main(["kit", "stickers", str(kit), "--folder", str(tmp_path), "--brand", "chargy"]) == 0
    assert sorted(p.name for p in tmp_path.glob("sticker*")) == ["sticker-0042-chargy.pdf", "sticker-0042-chargy.png"]
    (code,) = zxingcpp.read_barcodes(
        Image.open(tmp_path / "sticker-0042-chargy.png").convert("L"), formats=zxingcpp.BarcodeFormat.QRCode
    )
    assert code.text == "tel:+35280001122"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f'qr_url = "https://x.example/{"a" * 480}"', "kit.toml:46:1: sticker.qr_url: is so long that a module"),
        ('logo = "kit.toml"', "kit.toml:46:1: sticker.logo: "),
        ('logo = "none.png"', "kit.toml:46:1: sticker.logo: "),
    ],
)
def test_what_cannot_be_printed_is_refused(
    tmp_path: Path, line: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kit(tmp_path, KIT.replace('brand = "chargy"', f'brand = "chargy"\n{line}'))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["kit", "stickers", "kit.toml"]) == 2
    assert said in capsys.readouterr().err
