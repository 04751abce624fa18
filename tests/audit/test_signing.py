"""Both parties sign an audit; another program finds the signatures right; ``verify`` says who stands behind them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent import cli
from agent.commands.audit.audit_signing import load_signing_key, sign_audit
from agent.commands.audit.json_reading import RecordError
from agent.commands.audit.report import write_report
from agent.commands.audit.signature_check import check_audit, load_trust_anchors
from tests.audit import sample_records
from tests.audit.actions import PROCESS, run_action
from tests.audit.signers import PASSPHRASE, Party, new_key, public_pem, write_key
from tests.support.busy_machine import stretched
from tests.support.certificate_authorities import pem

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime.now(UTC)


def no_passphrase() -> str:
    raise AssertionError("the key is not encrypted")


def signed_by(folder: Path, role: str, party: Party, name: str = "", now: datetime = NOW) -> Path:
    key = load_signing_key(party.key_file, party.certificate_file, no_passphrase)
    return sign_audit(folder, role, key, name, now)


@pytest.fixture
def parties(tmp_path: Path) -> tuple[Party, Party]:
    return Party(tmp_path / "maker", "Example Mobility, Quality"), Party(
        tmp_path / "operator", "Network operator", "p384"
    )


def test_both_parties_sign_and_both_are_believed(
    dc_folder: Path, parties: tuple[Party, Party], capsys: pytest.CaptureFixture[str]
) -> None:
    maker, operator = parties
    for role, party in (("manufacturer", maker), ("operator", operator)):
        argv = ["sign", str(dc_folder), "--role", role, "--key", str(party.key_file)]
        assert run_action([*argv, "--certificate", str(party.certificate_file)]) == 0
    trust = ["--trust", f"manufacturer={maker.trust_file}", "--trust", f"operator={operator.trust_file}"]
    capsys.readouterr()
    assert run_action(["verify", str(dc_folder), *trust]) == 0
    said = capsys.readouterr().out
    assert "files: all 8 have the SHA-256 that the manifest lists; none is missing, none was added" in said
    assert "signature of the manufacturer: right. Signed by Example Mobility, Quality, 2" in said
    assert "signature of the operator: right. Signed by Network operator, 2" in said
    assert "P-384 key of CN=Network operator, SHA256:" in said
    assert said.endswith("verified: everything is as it was written\n")
    assert "note:" not in said


@pytest.mark.parametrize("kind", ["ed25519", "p256", "p384", "p521", "rsa"])
def test_another_program_finds_the_signature_right(dc_folder: Path, tmp_path: Path, kind: str) -> None:
    """PyJWT, from the file alone: RFC 7515 says how."""
    party = Party(tmp_path / "party", "Somewhere Ltd", kind)
    envelope = json.loads(signed_by(dc_folder, "operator", party, "Jane Doe").read_text("utf-8"))
    header = json.loads(base64.urlsafe_b64decode(envelope["protected"] + "=="))
    leaf = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
    compact = ".".join(envelope[part] for part in ("protected", "payload", "signature"))
    algorithm = {"ed25519": "EdDSA", "p256": "ES256", "p384": "ES384", "p521": "ES512", "rsa": "PS256"}[kind]
    decoded = jwt.PyJWS().decode(compact, leaf.public_key(), algorithms=[algorithm])  # type: ignore[arg-type]
    statement = json.loads(decoded)
    assert (statement["role"], statement["name"]) == ("operator", "Jane Doe")
    assert statement["audit"] == sample_records.dc_record()["id"]
    digest = subprocess.run(["sha256sum", "manifest.json"], cwd=dc_folder, capture_output=True, check=True, text=True)
    assert statement["manifest_sha256"] == digest.stdout.split()[0]
    assert leaf.public_bytes(Encoding.PEM).decode() == pem(party.certificate)


def test_a_plain_ed25519_key_is_enough(dc_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {role: new_key("ed25519") for role in ("manufacturer", "operator")}
    for role, key in keys.items():
        file = write_key(tmp_path / f"{role}.pem", key)
        argv = ["sign", str(dc_folder), "--role", role, "--key", str(file), "--name", f"The {role}"]
        assert run_action(argv) == 0
    compact = json.loads((dc_folder / "signatures" / "operator.json").read_text())
    token = ".".join(compact[part] for part in ("protected", "payload", "signature"))
    assert jwt.PyJWS().decode(token, keys["operator"].public_key(), algorithms=["EdDSA"])
    capsys.readouterr()
    assert run_action(["verify", str(dc_folder)]) == 3
    said = capsys.readouterr().out
    assert said.endswith("NOT verified: the signatures fit, and whose keys they are is not known: give --trust\n")
    assert said.count("note: who owns this key was not judged: compare the fingerprint, or give --trust") == 2
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(public_pem(keys["manufacturer"]) + public_pem(keys["operator"]), "ascii")
    assert run_action(["verify", str(dc_folder), "--trust", str(trusted)]) == 0
    assert "note:" not in capsys.readouterr().out
    trusted.write_text(public_pem(keys["manufacturer"]), "ascii")
    assert run_action(["verify", str(dc_folder), "--trust", str(trusted)]) == 1
    assert "WRONG: its key is none of those that are trusted" in capsys.readouterr().out


def test_a_signature_that_is_required_is_missed(dc_folder: Path, tmp_path: Path, parties: tuple[Party, Party]) -> None:
    assert check_audit(dc_folder, {}, NOW).problems == (
        "the manufacturer has not signed, and the plan requires it",
        "the operator has not signed, and the plan requires it",
    )
    signed_by(dc_folder, "operator", parties[1])
    assert check_audit(dc_folder, {}, NOW).problems == ("the manufacturer has not signed, and the plan requires it",)
    signed_by(dc_folder, "manufacturer", parties[0])
    assert check_audit(dc_folder, {}, NOW).is_right


def test_a_plan_that_requires_none_is_right_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sample_records.write_folder(tmp_path / "audit", sample_records.good_ac_record())
    write_report(folder)
    assert run_action(["verify", str(folder)]) == 3
    said = capsys.readouterr().out
    assert "signatures: none. Without one, a change of a file and of the manifest together" in said
    assert said.endswith("NOT verified: the files agree with the manifest, and nothing proves who wrote them\n")


def test_the_command_line_has_these_actions(
    dc_folder: Path, parties: tuple[Party, Party], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", "report", str(dc_folder)]) == 0
    signed_by(dc_folder, "operator", parties[1])
    assert cli.main(["audit", "report", str(dc_folder)]) == 2
    assert "is signed; another report would make the signatures wrong" in capsys.readouterr().err
    assert cli.main(["audit", "--resume", str(dc_folder), "--simulate"]) == 2
    assert "is signed; to continue it would make the signatures wrong" in capsys.readouterr().err
    assert cli.main(["audit", "verify", str(dc_folder)]) == 1
    assert "WRONG: the manufacturer has not signed, and the plan requires it" in capsys.readouterr().out
    assert cli.main(["audit", "verify", str(dc_folder / "none")]) == 2


# --- keys -------------------------------------------------------------------------------------------------------------


def test_the_passphrase_comes_from_a_file_and_is_never_printed(
    dc_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key = write_key(tmp_path / "key.pem", new_key("ed25519"), PASSPHRASE)
    passphrase = tmp_path / "passphrase"
    argv = ["sign", str(dc_folder), "--role", "operator", "--key", str(key), "--name", "Jane Doe"]
    argv += ["--passphrase-file", str(passphrase)]
    for content, mode, code, words in (
        ("wrong one", 0o600, 2, "the passphrase is wrong, or the key is damaged"),
        (PASSPHRASE, 0o644, 2, "others than its owner can get at it"),
        (f"{PASSPHRASE}\n", 0o600, 0, "written: "),
    ):
        passphrase.write_text(content)
        passphrase.chmod(mode)
        assert run_action(argv) == code
        said = "".join(capfd.readouterr())
        assert words in said
        assert content.strip() not in said
        assert "PRIVATE" not in said


def test_the_terminal_is_asked_for_a_passphrase_and_does_not_show_it(dc_folder: Path, tmp_path: Path) -> None:
    """A pseudo-terminal, which echoes what is typed unless the command says otherwise."""
    key = write_key(tmp_path / "key.pem", new_key("ed25519"), PASSPHRASE)
    argv = [*PROCESS, "sign", str(dc_folder), "--role", "operator", "--key", str(key)]
    terminal, inner = os.openpty()
    with subprocess.Popen(
        [*argv, "--name", "Jane Doe"], cwd=ROOT, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
    ) as child:
        os.close(inner)
        said = b""
        while not said.endswith(b"key.pem: "):
            said += os.read(terminal, 4096)
        os.write(terminal, f"{PASSPHRASE}\n".encode())
        try:
            while more := os.read(terminal, 4096):
                said += more
        except OSError:
            pass  # its other end is closed
        assert child.wait(stretched(60)) == 0, said
    os.close(terminal)
    assert PASSPHRASE.encode() not in said
    assert (dc_folder / "signatures" / "operator.json").exists()


def test_without_a_terminal_nothing_is_asked(dc_folder: Path, tmp_path: Path) -> None:
    key = write_key(tmp_path / "key.pem", new_key("ed25519"), PASSPHRASE)
    argv = [*PROCESS, "sign", str(dc_folder), "--role", "operator", "--key", str(key)]
    done = subprocess.run(
        argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=stretched(60)
    )
    assert done.returncode == 2
    assert "is encrypted; --passphrase-file names the file with its passphrase" in done.stderr


def refusal_of(dc_folder: Path, key: Path, certificate: Path | None = None, **options: Any) -> str:
    """Why the folder is not signed with this key."""
    with pytest.raises(RecordError) as refused:
        loaded = load_signing_key(key, certificate, no_passphrase)
        sign_audit(dc_folder, "operator", loaded, options.get("name", "Jane Doe"), options.get("now", NOW))
    assert not (dc_folder / "signatures" / "operator.json").exists()
    return str(refused.value)


def test_a_key_that_does_not_fit_is_refused(dc_folder: Path, tmp_path: Path, parties: tuple[Party, Party]) -> None:
    maker, operator = parties
    for kind in ("p224", "rsa1024"):
        weak = write_key(tmp_path / f"{kind}.pem", new_key(kind))
        assert "keys of this kind do not sign audits" in refusal_of(dc_folder, weak)
    bare = write_key(tmp_path / "p256.pem", new_key("p256"))
    assert "needs its certificate (--certificate)" in refusal_of(dc_folder, bare)
    assert "is for another key than" in refusal_of(dc_folder, maker.key_file, operator.certificate_file)
    assert "is no private key in PEM form" in refusal_of(dc_folder, write_text_file(tmp_path / "x.pem", "no key"))
    assert "cannot be read as certificates" in refusal_of(dc_folder, maker.key_file, maker.key_file)
    open_key = write_key(tmp_path / "open.pem", new_key("ed25519"), mode=0o644)
    assert "others than its owner can get at it (mode 0644)" in refusal_of(dc_folder, open_key)
    assert "No such file" in refusal_of(dc_folder, tmp_path / "none.pem")


def write_text_file(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_certificate_that_cannot_sign_now_is_refused(dc_folder: Path, tmp_path: Path) -> None:
    ended = Party(tmp_path / "ended", "Late Ltd", span=(-50, -1))
    assert "only: it cannot sign now" in refusal_of(dc_folder, ended.key_file, ended.certificate_file)
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    other = Party(tmp_path / "other", "Other Ltd", extension=usage)
    assert "is not for signatures (its key usage)" in refusal_of(dc_folder, other.key_file, other.certificate_file)


def test_what_is_not_in_order_is_not_signed(dc_folder: Path, tmp_path: Path) -> None:
    key = write_key(tmp_path / "key.pem", new_key("ed25519"))
    assert "who signs? --name gives the name" in refusal_of(dc_folder, key, name=" ")
    assert "one line of at most 200" in refusal_of(dc_folder, key, name="a\nb")
    assert "one line of at most 200" in refusal_of(dc_folder, key, name="\u202eenod enaJ")
    early = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
    assert "the clock of this machine is behind" in refusal_of(dc_folder, key, now=early)
    (dc_folder / "trace.jsonl").write_text("{}\n")
    assert refusal_of(dc_folder, key).startswith("trace.jsonl: was changed, its SHA-256 is not that of the manifest")


def test_an_interrupted_audit_is_not_signed(tmp_path: Path) -> None:
    folder = sample_records.write_folder(tmp_path / "audit", {**sample_records.dc_record(), "complete": False})
    write_report(folder)
    key = write_key(tmp_path / "key.pem", new_key("ed25519"))
    assert refusal_of(folder, key) == "audit.json: the audit was interrupted; resume it, then sign"


def test_a_role_signs_once_and_no_report_is_written_after_it(dc_folder: Path, parties: tuple[Party, Party]) -> None:
    signed_by(dc_folder, "operator", parties[1])
    with pytest.raises(RecordError, match="the operator has signed already; remove it to sign again"):
        signed_by(dc_folder, "operator", parties[1])
    before = {p.name: p.read_bytes() for p in dc_folder.iterdir() if p.is_file()}
    with pytest.raises(RecordError, match="is signed; another report would make the signatures wrong"):
        write_report(dc_folder)
    assert {p.name: p.read_bytes() for p in dc_folder.iterdir() if p.is_file()} == before


# --- trust and time ---------------------------------------------------------------------------------------------------


def problems_of(folder: Path, trust: dict[str, Any], now: datetime = NOW) -> list[str]:
    return [problem for s in check_audit(folder, trust, now).signatures for problem in s.problems]


def notes_of(folder: Path, trust: dict[str, Any], now: datetime = NOW) -> list[str]:
    return [note for s in check_audit(folder, trust, now).signatures for note in s.notes]


def test_a_certificate_of_another_authority_is_not_believed(dc_folder: Path, parties: tuple[Party, Party]) -> None:
    maker, operator = parties
    signed_by(dc_folder, "operator", operator)
    assert problems_of(dc_folder, {"operator": load_trust_anchors(operator.trust_file)}) == []
    assert problems_of(dc_folder, {"manufacturer": load_trust_anchors(maker.trust_file)}) == []
    wrong = problems_of(dc_folder, {"operator": load_trust_anchors(maker.trust_file)})
    assert wrong == ["no trusted certificate stands behind it"]


def test_the_certificate_itself_may_be_trusted(dc_folder: Path, tmp_path: Path, parties: tuple[Party, Party]) -> None:
    signed_by(dc_folder, "operator", parties[1])
    pinned = tmp_path / "pinned.pem"
    pinned.write_text(pem(parties[1].certificate), "ascii")
    assert problems_of(dc_folder, {"operator": load_trust_anchors(pinned)}) == []


def test_the_instant_of_the_signature_counts_for_the_certificate(dc_folder: Path, tmp_path: Path) -> None:
    party = Party(tmp_path / "party", "Soon over", span=(-50, 1))
    signed_by(dc_folder, "operator", party)
    trust = {"operator": load_trust_anchors(party.trust_file)}
    later = NOW + timedelta(days=5)
    assert problems_of(dc_folder, trust, later) == []
    (note,) = notes_of(dc_folder, trust, later)
    assert note.startswith("certificate 1 is valid from ")
    assert note.endswith("only; it was valid when it was signed")


def test_a_certificate_that_had_ended_when_it_signed(dc_folder: Path, tmp_path: Path) -> None:
    """Signed by a program that does not look at dates: here the clock of the signer was wrong."""
    party = Party(tmp_path / "party", "Ended Ltd", span=(-50, -1))
    file = signed_by(dc_folder, "operator", party, now=NOW - timedelta(days=10))
    assert problems_of(dc_folder, {}) == []
    late = Party(tmp_path / "late", "Not yet Ltd", span=(-5, 20))
    file.unlink()
    signed_by(dc_folder, "operator", late)
    key = load_signing_key(late.key_file, late.certificate_file, no_passphrase)
    from agent.commands.audit import audit_signing

    statement = {
        "format": 1, "purpose": audit_signing.PURPOSE, "audit": sample_records.dc_record()["id"],
        "manifest_sha256": audit_signing.read_manifest(dc_folder).sha256, "role": "operator", "name": "x",
        "at": f"{NOW - timedelta(days=10):%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip
    file.write_text(audit_signing._signature_text(statement, key))
    (wrong,) = problems_of(dc_folder, {})
    assert wrong.startswith("certificate 1 is valid from ")
    assert wrong.endswith("only, not when it was signed")


def test_a_chain_with_a_gap_is_named(dc_folder: Path, tmp_path: Path, parties: tuple[Party, Party]) -> None:
    maker, operator = parties
    operator.certificate_file.write_text(pem(operator.certificate) + maker.between.pem, "ascii")
    signed_by(dc_folder, "operator", operator)
    assert problems_of(dc_folder, {}) == ["certificate 1 of the chain was not issued by the next one"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no certificate and no public key in PEM form"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ],
)
def test_a_trust_file_that_says_nothing_is_refused(
    dc_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str
) -> None:
    file = tmp_path / "trust.pem"
    file.write_text(content)
    assert run_action(["verify", str(dc_folder), "--trust", str(file)]) == 2
    assert words in capsys.readouterr().err
