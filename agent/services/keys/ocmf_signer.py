"""Sign OCMF records with the station's own key.

The signature is ECDSA over secp256r1 with SHA-256, and deterministic (RFC 6979). The key is made once. It is a file in
the state directory with mode 0600, and it is never shown. Its public half is a DER SubjectPublicKeyInfo.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from agent.domain.ocmf import ocmf_record_text
from agent.model.types import SignedReading
from agent.services.folder_sync import sync_folder

log = logging.getLogger(__name__)


class OcmfSigner:
    """The key in the file ``path``. The same payload always gets the same record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: Any = None

    def sign_payload(self, payload: str) -> SignedReading | None:
        """Return the record of this payload, or None if the key cannot be read or made.

        The bill then leaves without a record, and the log says why.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            key = self._load_key()
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as e:  # TypeError: the key has a password
            log.error("%s: no OCMF record is made: %s", self._path, e)
            return None
        signature = key.sign(payload.encode("utf-8"), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return SignedReading(ocmf_record_text(payload, signature.hex()), public_key=self.public_key(), maker="station")

    def public_key(self) -> str:
        """Return the public key as the hexadecimal digits of its DER form. Raise what ``_load_key`` raises."""
        from cryptography.hazmat.primitives import serialization as form

        public = self._load_key().public_key()
        der: bytes = public.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
        return der.hex()

    def _load_key(self) -> Any:
        """Load the key, and make it if there is none.

        Raise ``OSError``, ``ValueError``, ``TypeError`` or ``UnsupportedAlgorithm`` if that is not possible.
        """
        if self._key is None:
            from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            if not self._path.exists():
                self._make_key()
            key = load_pem_private_key(self._path.read_bytes(), None)
            if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
                raise ValueError("is no key of secp256r1")
            self._key = key
        return self._key

    def _make_key(self) -> None:
        """Write a new key file, whole or not at all: a half-written key would be replaced at every start."""
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import ec

        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
        )
        fresh = self._path.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        sync_folder(self._path.parent)  # the key of a record that was sent must still exist after a power cut
