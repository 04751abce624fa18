"""For ``chargy-agent verify``: the panel's memory as a picture, and what only a real panel shows."""

from __future__ import annotations

from agent.ports.verify import VerifyKit
from drivers.display_framebuffer.settings import FramebufferSettings

_RAW = {"RGB565": "BGR;16", "RGB888": "BGR", "XRGB8888": "BGRX", "MONO": "1;R"}


def read_panel_png(settings: FramebufferSettings) -> bytes:
    """Return the content of the memory as PNG. Raises ``Unreachable``, ``Broken``."""
    import io
    from pathlib import Path

    from PIL import Image

    from agent.ports import Unreachable
    from drivers.display_framebuffer.raster import Framebuffer

    frame = Framebuffer(settings)
    g = frame.geometry
    frame.close()
    try:
        with Path(settings.path).open("rb") as memory:
            memory.seek(g.offset)
            data = memory.read(g.stride * g.height).ljust(g.stride * g.height, b"\0")
    except OSError as e:
        raise Unreachable(f"display {settings.path}: cannot be read back ({e.strerror})") from e
    out = io.BytesIO()
    mode = "1" if g.format == "MONO" else "RGB"
    Image.frombytes(mode, (g.width, g.height), data, "raw", _RAW[g.format], g.stride).save(out, "PNG", compress_level=1)
    return out.getvalue()


VERIFY_KIT = VerifyKit(
    panel=read_panel_png,
    on_hardware=(
        "Stand in front of it: nothing is cut off by the bezel (margin), upright (rotate), red is red, blue is blue.",
        "Legible at noon with the sun on it, at night, in polarised glasses.",
        "The QR code is read by two telephones from half a metre.",
        "The kernel's console and its cursor do not write into the picture; the panel does not go dark by itself.",
    ),
)
