"""Name the files of a root of central systems that replaces others (AdditionalRootCertificateCheck, OCPP 2.0.1 M05).

A new root is signed by one of the old ones, so it has not signed itself. Beside ``csms-FINGERPRINT.pem`` there is

* ``csms-FINGERPRINT.issuer``, who has signed it: the hashes that name it are made with that key. It is not trusted for
  being there.
* ``csms-FINGERPRINT.first`` until a connection hangs on the new root: it is tried first and alone, the old ones after
  it.

Both are on the disk before the root itself: a process that is killed in between has installed nothing.
"""

from __future__ import annotations

from pathlib import Path

from agent.ports.pki import TrustedRoots

HEAD = "csms-"


def separate_new_roots(trusted: TrustedRoots, unproven: frozenset[str], of_file: frozenset[str]) -> TrustedRoots:
    """Return the old roots, with the new ones as those that are tried first. ``of_file``: the fingerprints of the
    station file's roots."""
    new = tuple(path for path in trusted.installed if _fingerprint_in_name(path) in unproven)
    old = tuple(path for path in trusted.installed if path not in new)
    first = TrustedRoots(new, trusted.withdrawn | of_file, is_pinned=True)
    return TrustedRoots(old, trusted.withdrawn, trusted.is_pinned, first)


def _fingerprint_in_name(path: Path) -> str:
    return path.stem.removeprefix(HEAD)
