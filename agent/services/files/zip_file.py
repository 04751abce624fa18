"""Write a zip file of named parts. It is called beside the event loop."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path


def pack_zip(file: Path, parts: Mapping[str, bytes]) -> None:
    """Write the parts (name -> content) into a zip file. Raise ``OSError`` if the disk refuses."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
