"""``audit report``, ``audit sign`` and ``audit verify``: their arguments, and what they print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.audit.json_reading import RecordError
from agent.commands.audit.report_record import ROLES
from agent.commands.command import EXIT_CANNOT

if TYPE_CHECKING:
    from agent.commands.audit.signature_check import CheckedAudit, CheckedSignature, TrustAnchors

RIGHT, SOMETHING_WRONG, NOTHING_PROVEN = 0, 1, 3
"""Exit codes. 3: nothing is wrong, and nothing proves who wrote it."""


def add_sign_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES, help="for whom it is signed")
    parser.add_argument(
        "--key", required=True, type=Path, metavar="FILE",
        help="private key in PEM form (PKCS #8): Ed25519, or the key of a certificate; only its owner may read it",
    )  # fmt: skip
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="certificate of the key and those behind it (PEM), its own first",
    )
    parser.add_argument("--name", default="", metavar="TEXT", help="who signs (the common name of the certificate)")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE",
        help="passphrase of the key; without it the terminal asks. Only its owner may read the file",
    )  # fmt: skip


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder_argument(parser)
    parser.add_argument(
        "--trust", action="append", default=[], metavar="[ROLE=]FILE",
        help="certificates and public keys that are believed (PEM). A role that is named must have signed; without a"
        " name one of both (repeatable)",
    )  # fmt: skip


def add_folder_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of an audit")


# --- report, sign -----------------------------------------------------------------------------------------------------


def make_report(options: argparse.Namespace) -> int:
    """Write the reports and the manifest again. Returns the exit code."""
    from agent.commands.audit.bundle_manifest import MANIFEST_FILE, REPORT_FILES
    from agent.commands.audit.report import write_report

    try:
        write_report(options.folder)
    except (RecordError, OSError) as e:
        return _print_refusal(e)
    for name in (*REPORT_FILES, MANIFEST_FILE):
        print(f"written: {options.folder / name}")
    return RIGHT


def make_signature(options: argparse.Namespace) -> int:
    """Sign an audit. Returns the exit code."""
    from agent.commands.audit.audit_signing import load_signing_key, sign_audit

    try:
        key = load_signing_key(options.key, options.certificate, lambda: _passphrase_of(options))
        written = sign_audit(options.folder, options.role, key, options.name, datetime.now(UTC))
    except (RecordError, OSError) as e:
        return _print_refusal(e)
    print(f"written: {written}")
    print(f"Next: chargy-agent audit verify {options.folder}")
    return RIGHT


def _passphrase_of(options: argparse.Namespace) -> str:
    """Return the passphrase of the key. Raises ``RecordError``."""
    from agent.model.secret_file import Unfit, read_secret_text

    if options.passphrase_file is not None:
        try:
            return read_secret_text(options.passphrase_file)
        except Unfit as e:
            raise RecordError(f"{options.passphrase_file}: {e}") from None
    if not sys.stdin.isatty():
        raise RecordError(f"{options.key}: is encrypted; --passphrase-file names the file with its passphrase")
    from getpass import getpass

    return getpass(f"Passphrase of {options.key}: ")


def _print_refusal(error: Exception) -> int:
    words = f"{error.filename or 'audit'}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
    print(words, file=sys.stderr)
    return EXIT_CANNOT


# --- verify -----------------------------------------------------------------------------------------------------------


def verify_audit(options: argparse.Namespace) -> int:
    """Verify an audit, and print what was found. Returns the exit code."""
    from agent.commands.audit.signature_check import check_audit

    if not options.folder.is_dir():
        return _print_refusal(RecordError(f"{options.folder}: is no folder"))
    try:
        trust = load_trust_of_roles(options.trust)
    except RecordError as e:
        return _print_refusal(e)
    checked = check_audit(options.folder, trust, datetime.now(UTC), roles_named_in(options.trust))
    for line in check_lines(checked):
        print(line)
    return SOMETHING_WRONG if not checked.is_right else RIGHT if checked.is_proven else NOTHING_PROVEN


def load_trust_of_roles(words: Sequence[str]) -> dict[str, TrustAnchors]:
    """Return who is believed in which role. Raises ``RecordError``."""
    from agent.commands.audit.signature_check import TrustAnchors, load_trust_anchors

    trust: dict[str, TrustAnchors] = {}
    for word in words:
        named_role = _role_named_in(word)
        found = load_trust_anchors(Path(word.removeprefix(f"{named_role}=") if named_role else word))
        for role in (named_role,) if named_role else ROLES:
            known = trust.get(role, TrustAnchors())
            trust[role] = TrustAnchors(
                (*known.certificates, *found.certificates), (*known.public_keys, *found.public_keys)
            )
    return trust


def roles_named_in(words: Sequence[str]) -> set[str]:
    """Return the roles that ``--trust`` names: these must have signed."""
    return {role for word in words if (role := _role_named_in(word))}


def _role_named_in(word: str) -> str:
    head, sign, _ = word.partition("=")
    return head if sign and head in ROLES else ""


def check_lines(checked: CheckedAudit) -> Iterator[str]:
    """Yield what was found, in words."""
    if record := checked.record:
        yield f"audit {record.audit_id} of station {record.station_name}: {record.verdict} ({record.plan_id})"
    if checked.files:
        yield f"files: all {checked.files} have the SHA-256 that the manifest lists; none is missing, none was added"
    for problem in checked.problems:
        yield f"WRONG: {problem}"
    for signature in checked.signatures:
        yield from _signature_lines(signature)
    if not checked.signatures:
        yield "signatures: none. Without one, a change of a file and of the manifest together is not noticed"
    count = len(checked.problems) + sum(len(s.problems) for s in checked.signatures)
    if count:
        yield f"NOT verified: {count} found wrong"
    elif checked.is_proven:
        yield "verified: everything is as it was written"
    elif checked.signatures:
        yield "NOT verified: the signatures fit, and whose keys they are is not known: give --trust"
    else:
        yield "NOT verified: the files agree with the manifest, and nothing proves who wrote them"


def _signature_lines(signature: CheckedSignature) -> Iterator[str]:
    verdict = "WRONG" if signature.problems else "right"
    if signature.name:
        yield f"signature of the {signature.role}: {verdict}. Signed by {signature.name}, {signature.at}"
        yield f"  {signature.key_words}, {signature.fingerprint}"
    else:
        yield f"signature of the {signature.role}: {verdict}"
    for problem in signature.problems:
        yield f"  WRONG: {problem}"
    for note in signature.notes:
        yield f"  note: {note}"


SIGNING_ACTIONS: dict[
    str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]
] = {
    "report": ("write the report of an audit again", add_folder_argument, make_report),
    "sign": ("sign an audit", add_sign_arguments, make_signature),
    "verify": ("verify the files and the signatures of an audit", add_verify_arguments, verify_audit),
}
"""By name: a line of help, its arguments, what it does."""
