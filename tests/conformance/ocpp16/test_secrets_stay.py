"""A private key is in its file and nowhere else: not in the log, the traced frames, the configuration, the picture, the
store, or what is sent as diagnostics."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.conformance.ocpp16.certificates_play import request, signed
from tests.conformance.ocpp16.secure_play import back, with_tls
from tests.support.certificate_authorities import serial_of, shown
from tests.support.file_servers import web_server


def spellings(key: Path) -> list[bytes]:
    """The secret number itself and everything that it is usually written as."""
    private = load_pem_private_key(key.read_bytes(), None)
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    number = private.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    lines = key.read_bytes().splitlines()[1:-1]
    return [number, number.hex().encode(), der, *lines]


def written(folder: Path, pki: Path) -> dict[str, bytes]:
    """All that lies about, but for the keys' own folder and the certificate of the station file."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.parent != pki and "client" not in p.name]
    return {p.name: p.read_bytes() for p in files}


async def test_a_private_key_is_written_nowhere_else(tmp_path: Path) -> None:
    async with with_tls(tmp_path, 3) as (s, csms, ours):
        chain = ours.sign(await request(s), (-1, 365))
        assert await signed(s, chain) == "Accepted"
        await s.heard(lambda: shown(csms.front) == serial_of(chain))
        await back(s, csms)
        await request(s)  # and a second one, that waits
        pki = tmp_path / "state" / "pki"
        secrets = [word for key in pki.glob("*.key") for word in spellings(key)]
        said = [repr(await s.keys()).encode(), repr(await s.station.picture()).encode()]
        with web_server() as web:
            for number, kind in enumerate(("DiagnosticsLog", "SecurityLog"), 1):
                there = {"remoteLocation": f"http://127.0.0.1:{web.port}/"}
                await s.answer("GetLog", logType=kind, requestId=number, log=there)
                await s.heard(lambda n=number: len(web.got) == n)
            archives = [zipfile.ZipFile(io.BytesIO(body)) for _, _, body in web.got]
            said += [archive.read(name) for archive in archives for name in archive.namelist()]
        said += [text.encode() for _, text in csms.frames]
    files = written(tmp_path, pki)
    said += files.values()
    assert {"agent.db", "agent.log", "simulate.log"} <= files.keys()
    assert len(secrets) > 8
    assert not [word for word in secrets for text in said if word in text]
