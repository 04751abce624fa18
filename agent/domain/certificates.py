"""Certificates in the words of OCPP 2.x: what they are for, and the hashes by which a backend names them. Keys and
certificates themselves are the services' matter (decision 12)."""

from __future__ import annotations

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum


class CertificateUse(StrEnum):
    """GetCertificateIdUseEnumType (those that can be installed here)."""

    CSMS_ROOT = "CSMSRootCertificate"
    MANUFACTURER_ROOT = "ManufacturerRootCertificate"


@frozen
class HashData:
    """CertificateHashDataType: how RFC 6960 names a certificate. ``algorithm``: SHA256, SHA384 or SHA512. Hashes and
    serial number are hexadecimal, the latter without leading zeros."""

    algorithm: str
    issuer_name: str
    issuer_key: str
    serial: str

    def names_same_certificate(self, other: HashData) -> bool:
        """Hexadecimal knows no case, and leading zeros are no other number."""
        return self._normalized_values() == other._normalized_values()

    def _normalized_values(self) -> tuple[str, str, str, str]:
        serial = self.serial.lower().lstrip("0")
        return self.algorithm, self.issuer_name.lower(), self.issuer_key.lower(), serial


@frozen
class InstalledCertificate:
    """An installed root."""

    use: CertificateUse
    hashes: HashData
