"""The first page of a store, made again: it has the header of the file and the names of the tables with the pages on
which they begin, and no record ("Database File Format" of SQLite, 1.3 and 2.6)."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agent.services.store import migrations

PAGE_BYTES = 4096
_VERSIONS, _PAGES, _WAL = slice(18, 20), slice(28, 32), b"\x02\x02"


def restore_first_page(copy: Path, roots: Mapping[str, int]) -> bool:
    """Write one over the first page of this file, which is there to be read from only. ``roots``: name -> first page of
    tables and indexes; those of a new store where it has none. False: that is no file of pages."""
    pages = copy.stat().st_size // PAGE_BYTES
    if pages < 2:
        return False
    page = bytearray(_build_first_page(copy.parent, {name: root for name, root in roots.items() if 1 < root <= pages}))
    page[_PAGES] = pages.to_bytes(4, "big")
    if migrations.wal_path(copy).exists():
        page[_VERSIONS] = _WAL
    with copy.open("r+b") as file:
        file.write(page)
    return True


def _build_first_page(folder: Path, roots: Mapping[str, int]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="page-", dir=folder) as place:
        path = Path(place) / "new.db"
        db = sqlite3.connect(path, isolation_level=None)
        try:
            db.execute(f"PRAGMA page_size={PAGE_BYTES}")
            migrations.migrate_schema(db, path)
            db.execute("PRAGMA writable_schema=ON")
            for name, root in roots.items():
                db.execute("UPDATE sqlite_master SET rootpage=? WHERE name=?", (root, name))
        finally:
            db.close()
        with path.open("rb") as file:
            return file.read(PAGE_BYTES)
