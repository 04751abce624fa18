"""``manifest.json``: the SHA-256 of each file in the folder of an audit, and whether the folder still agrees with it.

Only files that were found by looking into the folder are opened, never a path that a manifest names. A symbolic link or
a special file in the folder is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.commands.audit.json_reading import RecordError, parse_json_bytes, read_file_bytes, shown_text
from agent.model.fastclass import frozen

MANIFEST_FILE = "manifest.json"
SIGNATURES_FOLDER = "signatures"
REPORT_FILES = ("report.html", "report.pdf")
MANIFEST_BYTES_MAX = 4 * 1024 * 1024
DEPTH_MAX = 8
FORMAT = 1
CHUNK = 1024 * 1024
_HEX = frozenset("0123456789abcdef")


@frozen
class FileHash:
    """``name``: its path inside the folder, with ``/``. ``sha256`` in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@frozen
class Manifest:
    """``sha256``: of the file itself, which is what is signed."""

    audit_id: str
    files: Mapping[str, FileHash]
    sha256: str


def hash_audit_files(folder: Path) -> list[FileHash]:
    """Return the files of the audit, in the order of their names. Raises ``RecordError``.

    The manifest itself and what is in the folder of signatures are left out.
    """
    names = sorted(_walk_folder(folder, ""))
    return [_hash_file(folder, n) for n in names if n != MANIFEST_FILE and not n.startswith(f"{SIGNATURES_FOLDER}/")]


def list_signature_files(folder: Path) -> list[str]:
    """Return the names of the files in the folder of signatures. Raises ``RecordError``."""
    prefix = f"{SIGNATURES_FOLDER}/"
    return sorted(n.removeprefix(prefix) for n in _walk_folder(folder, "") if n.startswith(prefix))


def _walk_folder(folder: Path, prefix: str) -> Iterator[str]:
    try:
        with os.scandir(folder / prefix) as found:
            entries = sorted(found, key=lambda e: e.name)
        for entry in entries:
            name = prefix + entry.name
            if shown_text(name) != name:
                raise RecordError(f"{shown_text(name)}: its name has characters that no file of an audit has")
            if name.count("/") > DEPTH_MAX:
                raise RecordError(f"{name}: is deeper than the folders of an audit are")
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from _walk_folder(folder, f"{name}/")
            elif stat.S_ISREG(mode):
                yield name
            else:
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "no ordinary file"
                raise RecordError(f"{name}: is {kind}; the folder of an audit has files and folders only")
    except OSError as e:
        raise RecordError(f"{e.filename or folder}: cannot be read: {e.strerror or e}") from None


def _hash_file(folder: Path, name: str) -> FileHash:
    digest, count = hashlib.sha256(), 0
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                count += len(chunk)
    except OSError as e:
        raise RecordError(f"{name}: cannot be read: {e.strerror or e}") from None
    return FileHash(name, count, digest.hexdigest())


def manifest_text(audit_id: str, files: list[FileHash]) -> str:
    """Return the one text that a manifest of these files has."""
    listed = {f.name: {"bytes": f.bytes, "sha256": f.sha256} for f in files}
    content = {"format": FORMAT, "audit": audit_id, "files": listed}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_manifest(folder: Path, audit_id: str) -> None:
    """Write the manifest of what is in the folder now. Raises ``RecordError`` and ``OSError``."""
    (folder / MANIFEST_FILE).write_text(manifest_text(audit_id, hash_audit_files(folder)), "utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest. Raises ``RecordError`` if it is not exactly as this program writes one."""
    content = read_file_bytes(folder / MANIFEST_FILE, MANIFEST_BYTES_MAX)
    part = parse_json_bytes(content, MANIFEST_FILE)
    if (written := part.integer_at("format")) != FORMAT:
        part.refuse_value(f"has format {written}, this program reads format {FORMAT}")
    listed = part.part_at("files")
    if listed is None:
        part.refuse_value("files is missing")
    files = {}
    for name in listed.value:
        if why := name_problem(name):
            raise RecordError(f"{MANIFEST_FILE}: {shown_text(name)[:200]}: {why}")
        one = listed.part_at(name)
        if one is None:
            raise RecordError(f"{MANIFEST_FILE}: {name}: has no hash")
        files[name] = FileHash(name, one.integer_at("bytes"), one.text_at("sha256"))
        if len(files[name].sha256) != 64 or not _HEX.issuperset(files[name].sha256):
            raise RecordError(f"{MANIFEST_FILE}: {name}: sha256 is no SHA-256 in hexadecimal")
    audit_id = part.text_at("audit")
    # One content has one text: what else could stand in it would be signed without being seen.
    if manifest_text(audit_id, list(files.values())).encode() != content:
        raise RecordError(f"{MANIFEST_FILE}: is not as this program writes it")
    return Manifest(audit_id, files, hashlib.sha256(content).hexdigest())


def name_problem(name: str) -> str:
    """Return why this is no path inside the folder, or ""."""
    if name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        return "leaves the folder of the audit, or is not written plainly"
    if shown_text(name) != name:
        return "has characters that no file of an audit has"
    if name == MANIFEST_FILE or name.startswith(f"{SIGNATURES_FOLDER}/"):
        return "is not listed in a manifest"
    return ""


def compare_files(manifest: Manifest, files: list[FileHash]) -> list[str]:
    """Return how the files differ from the manifest, one sentence each."""
    found = {f.name: f for f in files}
    problems = [f"{name}: is missing" for name in sorted(manifest.files.keys() - found)]
    problems += [f"{name}: was added, the manifest does not list it" for name in sorted(found.keys() - manifest.files)]
    changed = [name for name in sorted(found.keys() & manifest.files) if found[name] != manifest.files[name]]
    return problems + [f"{name}: was changed, its SHA-256 is not that of the manifest" for name in changed]
