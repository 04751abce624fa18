"""Whatever is changed in the folder of a signed audit, ``verify`` finds it."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.commands.audit.audit_signing import (
    SigningKey,
    _signature_text,
    canonical_json,
    load_signing_key,
    sign_audit,
    signature_file_text,
)
from agent.commands.audit.bundle_manifest import MANIFEST_FILE, read_manifest, write_manifest
from agent.commands.audit.report import write_report
from agent.commands.audit.signature_check import check_audit
from agent.services.keys.json_signature import encode_base64url
from tests.audit import sample_records
from tests.audit.actions import run_action
from tests.audit.signers import Party, new_key, write_key

NOW = datetime.now(UTC)
AUDIT_ID = sample_records.dc_record()["id"]


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, SigningKey]:
    """Of both roles: a plain one, and one with a certificate."""
    party = Party(tmp_path / "operator", "Network operator")
    plain = write_key(tmp_path / "maker.pem", new_key("ed25519"))
    return {
        "manufacturer": load_signing_key(plain, None, lambda: ""),
        "operator": load_signing_key(party.key_file, party.certificate_file, lambda: ""),
    }


@pytest.fixture
def signed(dc_folder: Path, keys: dict[str, SigningKey]) -> Path:
    for role, key in keys.items():
        sign_audit(dc_folder, role, key, f"The {role}", NOW)
    assert check_audit(dc_folder, {}, NOW).is_right
    return dc_folder


def wrongs_of(folder: Path) -> list[str]:
    """Everything that is wrong; the exit code of the command says the same."""
    checked = check_audit(folder, {}, NOW)
    wrong = [*checked.problems, *(f"{s.role}: {p}" for s in checked.signatures for p in s.problems)]
    assert run_action(["verify", str(folder)]) == (1 if wrong else 3)
    return wrong


def without_signatures(folder: Path) -> None:
    """The record says that no signature is required, the verdict is another one, and report and manifest fit."""
    shutil.rmtree(folder / "signatures")
    record = json.loads((folder / "audit.json").read_text("utf-8"))
    record["signing"]["required"] = []
    (folder / "audit.json").write_text(json.dumps(record), "utf-8")
    write_report(folder)


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("operator=", "the operator has not signed, and --trust names who should have"),
        ("", "there is no signature to compare with --trust"),
    ],
)
def test_a_record_that_was_written_again_without_signatures_is_not_believed(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, problem: str
) -> None:
    party = Party(tmp_path / "trusted", "Network operator")
    without_signatures(signed)
    assert run_action(["verify", str(signed)]) == 3
    assert run_action(["verify", str(signed), "--trust", f"{word}{party.trust_file}"]) == 1
    assert f"WRONG: {problem}\n" in capsys.readouterr().out


def test_a_role_that_is_trusted_must_have_signed(dc_folder: Path, keys: dict[str, SigningKey], tmp_path: Path) -> None:
    """Also where the record requires none."""
    party = Party(tmp_path / "operators", "Network operator")
    record = json.loads((dc_folder / "audit.json").read_text("utf-8"))
    record["signing"]["required"] = []
    (dc_folder / "audit.json").write_text(json.dumps(record), "utf-8")
    write_report(dc_folder)
    key = load_signing_key(party.key_file, party.certificate_file, lambda: "")
    sign_audit(dc_folder, "operator", key, "", NOW)
    trusted = ["--trust", f"operator={party.trust_file}"]
    assert run_action(["verify", str(dc_folder), *trusted]) == 0
    assert run_action(["verify", str(dc_folder), *trusted, "--trust", f"manufacturer={party.trust_file}"]) == 1


FILES = [
    "audit.json", "junit.xml", "pictures/charging-1.png", "pictures/idle-1.png", "pictures/price-1.png", "report.html",
    "report.pdf", "trace.jsonl",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_protected(signed: Path, name: str) -> None:
    assert sorted(read_manifest(signed).files) == FILES
    file = signed / name
    content = file.read_bytes()
    for changed in (content + b"\n", content[:-1], bytes([content[0] ^ 1]) + content[1:], b""):
        file.write_bytes(changed)
        assert f"{name}: was changed, its SHA-256 is not that of the manifest" in wrongs_of(signed)
    file.unlink()
    assert f"{name}: is missing" in wrongs_of(signed)
    file.write_bytes(content)
    assert wrongs_of(signed) == []


@pytest.mark.parametrize("name", ["notes.txt", "pictures/more.png", ".hidden", "new/deep/file", "signatures/king.json"])
def test_an_added_file_is_found(signed: Path, name: str) -> None:
    (signed / name).parent.mkdir(parents=True, exist_ok=True)
    (signed / name).write_text("x")
    (wrong,) = wrongs_of(signed)
    assert wrong.startswith(f"{name}: ")


def test_two_files_that_changed_places_are_found(signed: Path) -> None:
    one, other = signed / "pictures/idle-1.png", signed / "pictures/price-1.png"
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])
    assert len(wrongs_of(signed)) == 2


def test_a_file_and_its_hash_changed_together_are_found(signed: Path) -> None:
    """What an accident cannot do and a person can."""
    record = json.loads((signed / "audit.json").read_text())
    record["signing"]["required"] = []
    (signed / "audit.json").write_text(json.dumps(record))
    write_manifest(signed, AUDIT_ID)
    assert wrongs_of(signed) == [
        "manufacturer: manifest.json was changed after it was signed",
        "operator: manifest.json was changed after it was signed",
    ]


@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_each_byte_of_the_manifest_counts(signed: Path, at: float) -> None:
    content = bytearray((signed / MANIFEST_FILE).read_bytes())
    content[int(len(content) * at)] ^= 1
    (signed / MANIFEST_FILE).write_bytes(content)
    assert wrongs_of(signed)


def manifest_of(signed: Path) -> dict[str, Any]:
    return dict(json.loads((signed / MANIFEST_FILE).read_text()))


HASH = "0" * 64


def add_name(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: manifest["files"].update({name: {"bytes": 1, "sha256": HASH}})


MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a path upwards": (add_name("../x"), "../x: leaves the folder"),
    "an absolute path": (add_name("/etc/passwd"), "leaves the folder"),
    "a path with a backslash": (add_name("a\\b"), "leaves the folder"),
    "a path that is not plain": (add_name("a//b"), "leaves the folder"),
    "a name with a control character": (add_name("a\x07"), "characters"),
    "itself": (add_name(MANIFEST_FILE), "is not listed in a manifest"),
    "a signature": (add_name("signatures/x"), "is not listed in a"),
    "a hash that is none": (lambda m: m["files"]["report.pdf"].update(sha256="x" * 64), "is no SHA-256 in hexadecimal"),
    "a hash in capitals": (
        lambda m: m["files"]["report.pdf"].update(sha256=m["files"]["report.pdf"]["sha256"].upper()), "is no SHA-256"
    ),
    "a length that is none": (lambda m: m["files"]["report.pdf"].update(bytes="1"), "bytes: must be a whole number"),
    "another format": (lambda m: m.update(format=2), "has format 2, this program reads format 1"),
    "another audit": (lambda m: m.update(audit="another"), "manifest.json: is of another audit than audit.json"),
    "more than it has": (lambda m: m.update(comment="all is well"), "manifest.json: is not as this program writes it"),
    "no files": (lambda m: m.pop("files"), "files is missing"),
    "a file less": (lambda m: m["files"].pop("junit.xml"), "junit.xml: was added, the manifest does not list it"),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_is_not_ours(signed: Path, name: str) -> None:
    change, words = MANIFESTS[name]
    manifest = manifest_of(signed)
    change(manifest)
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (signed / MANIFEST_FILE).write_text(text)
    assert words in "\n".join(wrongs_of(signed))


def test_a_manifest_that_says_a_thing_twice(signed: Path) -> None:
    text = (signed / MANIFEST_FILE).read_text()
    (signed / MANIFEST_FILE).write_text(text.replace('"format": 1', '"format": 1,\n "format": 1'))
    assert "a name stands twice in one object" in wrongs_of(signed)[0]


def test_no_manifest(signed: Path) -> None:
    (signed / MANIFEST_FILE).unlink()
    assert wrongs_of(signed) == ["manifest.json: cannot be read: No such file or directory"]


# --- what is no file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["report.pdf", "audit.json", MANIFEST_FILE, "pictures", "signatures", "more"])
def test_a_symbolic_link_is_refused(signed: Path, tmp_path: Path, name: str) -> None:
    """Also one to the same content: later it may lead to another."""
    place = signed / name
    if place.exists():
        shutil.move(place, tmp_path / "outside")
    else:
        (tmp_path / "outside").write_text("x")
    place.symlink_to(tmp_path / "outside")
    assert wrongs_of(signed) == [f"{name}: is a symbolic link; the folder of an audit has files and folders only"]


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    folder = sample_records.write_folder(tmp_path / "audit", sample_records.good_ac_record())
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (folder / "report.html").symlink_to(outside)
    assert run_action(["report", str(folder)]) == 2
    assert outside.read_text() == "precious"


def test_a_pipe_is_refused_and_not_waited_for(signed: Path) -> None:
    os.mkfifo(signed / "pipe")
    assert wrongs_of(signed) == ["pipe: is no ordinary file; the folder of an audit has files and folders only"]


def test_names_that_no_audit_has(signed: Path) -> None:
    (signed / os.fsdecode(b"\xff\xfe")).write_text("x")
    assert "its name has characters that no file of an audit has" in wrongs_of(signed)[0]


def test_folders_without_an_end(signed: Path) -> None:
    (signed / "/".join("a" * 40)).mkdir(parents=True)
    assert "is deeper than the folders of an audit are" in wrongs_of(signed)[0]


# --- signatures -------------------------------------------------------------------------------------------------------


def read_signature(signed: Path, role: str) -> dict[str, str]:
    return dict(json.loads((signed / "signatures" / f"{role}.json").read_text()))


def write_signature(signed: Path, role: str, members: dict[str, str]) -> None:
    (signed / "signatures" / f"{role}.json").write_text(signature_file_text(members))


def decoded(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=="))


def encoded(value: Any) -> str:
    return encode_base64url(canonical_json(value))


def statement_of(signed: Path, **changes: Any) -> dict[str, Any]:
    return {**decoded(read_signature(signed, "operator")["payload"]), **changes}


def forged(signed: Path, key: SigningKey, **changes: Any) -> list[str]:
    """What is wrong with a signature that its owner made over another statement."""
    (signed / "signatures/operator.json").write_text(_signature_text(statement_of(signed, **changes), key))
    return wrongs_of(signed)


def test_signatures_that_changed_places(signed: Path) -> None:
    one, other = signed / "signatures/manufacturer.json", signed / "signatures/operator.json"
    contents = one.read_text(), other.read_text()
    one.write_text(contents[1])
    other.write_text(contents[0])
    assert wrongs_of(signed) == [
        "manufacturer: it was signed as operator, not as manufacturer",
        "operator: it was signed as manufacturer, not as operator",
    ]


def test_a_signature_of_another_audit(signed: Path, tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    record = {**sample_records.dc_record(), "id": "another"}
    other = sample_records.write_folder(tmp_path / "other", record)
    write_report(other)
    shutil.copy(sign_audit(other, "operator", keys["operator"], "x", NOW), signed / "signatures/operator.json")
    assert wrongs_of(signed) == ["operator: it is for another audit"]


def test_one_key_does_not_sign_for_two_parties(dc_folder: Path, keys: dict[str, SigningKey]) -> None:
    for role in keys:
        sign_audit(dc_folder, role, keys["operator"], role, NOW)
    assert wrongs_of(dc_folder) == ["both roles have signed with the same key: two parties have two keys"]


@pytest.mark.parametrize("member", ["payload", "protected", "signature"])
@pytest.mark.parametrize("role", ["manufacturer", "operator"])
def test_each_character_of_a_signature_counts(signed: Path, role: str, member: str) -> None:
    """Also the bits of the last one that belong to no byte."""
    members = read_signature(signed, role)
    text = members[member]
    for at in {0, 1, len(text) // 2, len(text) - 2, len(text) - 1}:
        other = "A" if text[at] != "A" else "B"
        write_signature(signed, role, {**members, member: text[:at] + other + text[at + 1 :]})
        assert wrongs_of(signed), at
    write_signature(signed, role, members)
    assert wrongs_of(signed) == []


def test_the_name_of_the_signer_is_signed(signed: Path) -> None:
    members = read_signature(signed, "operator")
    members["payload"] = encoded(statement_of(signed, name="Somewhere else"))
    write_signature(signed, "operator", members)
    assert wrongs_of(signed) == ["operator: the signature does not belong to this statement and this key"]


def test_another_key_in_the_header_does_not_help(signed: Path, keys: dict[str, SigningKey]) -> None:
    members = read_signature(signed, "operator")
    members["protected"] = read_signature(signed, "manufacturer")["protected"]
    write_signature(signed, "operator", members)
    wrong = wrongs_of(signed)
    assert "operator: the signature does not belong to this statement and this key" in wrong


@pytest.mark.parametrize("name", ["none", "HS256", "ES384", "RS256", "EdDSA", "es256", ""])
def test_an_algorithm_that_is_not_that_of_the_key(signed: Path, name: str) -> None:
    members = read_signature(signed, "operator")
    header = {**decoded(members["protected"]), "alg": name}
    write_signature(signed, "operator", {**members, "protected": encoded(header)})
    assert wrongs_of(signed) == ["operator: signatures/operator.json: its algorithm is not that of its key"]


HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "critical extension": ({"crit": ["b64"], "b64": False}, "must have alg, and x5c or jwk"),
    "address of a key": ({"jku": "https://example.org/key"}, "must have alg, and x5c or jwk"),
    "no certificate": ({"x5c": []}, "must have 1 to 8 certificates"),
    "too many certificates": ({"x5c": ["AAAA"] * 9}, "must have 1 to 8 certificates"),
    "a certificate that is none": ({"x5c": ["AAAA"]}, "has a certificate that cannot be read"),
    "certificates that are no texts": ({"x5c": [7]}, "must be one of a list of texts"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_not_ours(signed: Path, name: str) -> None:
    changes, words = HEADERS[name]
    members = read_signature(signed, "operator")
    write_signature(signed, "operator", {**members, "protected": encoded({**decoded(members["protected"]), **changes})})
    (wrong,) = wrongs_of(signed)
    assert words in wrong


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "?"},
    ],
)
def test_a_plain_key_that_is_no_ed25519_key(signed: Path, jwk: dict[str, str]) -> None:
    members = read_signature(signed, "manufacturer")
    write_signature(signed, "manufacturer", {**members, "protected": encoded({"alg": "EdDSA", "jwk": jwk})})
    assert len(wrongs_of(signed)) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"payload": 1}',
        b"\xff",
        b"{" * 100_000,
        b"x" * 300_000,
        b'{"payload":"e30","protected":"e30","signature":"e30"}',
        b'{"payload":"ud","protected":"\\ud800","signature":"A"}',
    ],
    ids=range(10),
)
def test_a_file_that_is_no_signature(signed: Path, content: bytes) -> None:
    (signed / "signatures/operator.json").write_bytes(content)
    (wrong,) = wrongs_of(signed)
    assert wrong.startswith("operator: signatures/operator.json")


def test_a_statement_with_half_a_surrogate_pair(signed: Path) -> None:
    members = read_signature(signed, "operator")
    members["payload"] = encode_base64url(b'{"name":"\\ud800"}')
    write_signature(signed, "operator", members)
    assert wrongs_of(signed) == ["operator: signatures/operator.json: its statement: is not written canonically"]


STATEMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "another purpose": ({"purpose": "a login"}, "the statement is no signature of an audit"),
    "another format": ({"format": 2}, "the statement is no signature of an audit"),
    "another role": ({"role": "manufacturer"}, "it was signed as manufacturer, not as operator"),
    "another manifest": ({"manifest_sha256": HASH}, "manifest.json was changed after it was signed"),
    "no name": ({"name": " "}, "the name of the signer is missing or too long"),
    "a long name": ({"name": "x" * 201}, "the name of the signer is missing or too long"),
    "before the audit": ({"at": "2026-03-10T09:00:00Z"}, "it says that it was signed before the audit ended"),
    "in the future": ({"at": f"{NOW + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"}, "it was signed in the future"),
    "no instant": ({"at": "today"}, "at is no instant"),
    "the end of time": ({"at": "9999-12-31T23:59:59Z"}, "at is no instant"),
    "purpose that is no text": ({"purpose": 7}, "purpose: must be a text"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_right_signature_over_a_wrong_statement(signed: Path, keys: dict[str, SigningKey], name: str) -> None:
    changes, words = STATEMENTS[name]
    wrong = forged(signed, keys["operator"], **changes)
    assert any(words in one for one in wrong), wrong
    assert not any("does not belong" in one for one in wrong)


def test_the_key_of_a_stranger(signed: Path, tmp_path: Path) -> None:
    """Without trust the program cannot know, and says so; with it, it does."""
    stranger = load_signing_key(write_key(tmp_path / "stranger.pem", new_key("ed25519")), None, lambda: "")
    assert forged(signed, stranger) == []
    trusted = tmp_path / "operator" / "chain.pem"
    assert run_action(["verify", str(signed), "--trust", f"operator={trusted}"]) == 1
    assert run_action(["verify", str(signed), "--trust", f"manufacturer={trusted}"]) == 1
