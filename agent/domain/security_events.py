"""Security events: the list of OCPP's security whitepaper (1.6) and of appendix 1 of 2.x, in 2.x's words, and what here
raises each."""

from __future__ import annotations

from collections import deque

from agent.model.fastclass import frozen, mutable
from agent.model.string_enum import StrEnum
from agent.model.types import Stamp


class SecurityEvent(StrEnum):
    """The names of appendix 1; those of 1.6 that differ are in ``ocpp/v16/security.py``."""

    FIRMWARE_UPDATED = "FirmwareUpdated"
    FAILED_TO_AUTHENTICATE = "FailedToAuthenticateAtCsms"
    CSMS_FAILED_TO_AUTHENTICATE = "CsmsFailedToAuthenticate"
    SETTING_SYSTEM_TIME = "SettingSystemTime"
    STARTUP = "StartupOfTheDevice"
    RESET_OR_REBOOT = "ResetOrReboot"
    LOG_CLEARED = "SecurityLogWasCleared"
    RECONFIGURATION = "ReconfigurationOfSecurityParameters"
    MEMORY_EXHAUSTION = "MemoryExhaustion"
    INVALID_MESSAGES = "InvalidMessages"
    REPLAY = "AttemptedReplayAttacks"
    TAMPER = "TamperDetectionActivated"
    INVALID_FIRMWARE_SIGNATURE = "InvalidFirmwareSignature"
    INVALID_SIGNING_CERTIFICATE = "InvalidFirmwareSigningCertificate"
    INVALID_CSMS_CERTIFICATE = "InvalidCsmsCertificate"
    INVALID_OWN_CERTIFICATE = "InvalidChargingStationCertificate"
    INVALID_TLS_VERSION = "InvalidTLSVersion"
    INVALID_TLS_CIPHER = "InvalidTLSCipherSuite"


E = SecurityEvent

CAUSES: dict[SecurityEvent, str] = {
    E.FIRMWARE_UPDATED: "new firmware was installed and is kept",
    E.FAILED_TO_AUTHENTICATE: "the backend answered the connection attempt with 401 or 403, or refused the certificate",
    E.CSMS_FAILED_TO_AUTHENTICATE: "raised as InvalidCsmsCertificate: its certificate is all that a backend shows",
    E.SETTING_SYSTEM_TIME: "a known time was corrected by the backend's; learning it after a start is no change",
    E.STARTUP: "every start of the agent that no reset or new firmware ordered",
    E.RESET_OR_REBOOT: "the start after an ordered reset or after new firmware was booted; new firmware fell back",
    E.LOG_CLEARED: "cannot occur: the security log cannot be cleared, its oldest records make room",
    E.RECONFIGURATION: "a key, a certificate, a root or the security profile was changed by the backend",
    E.MEMORY_EXHAUSTION: "the store does not take a record (disk or its share full, or broken), or has lost some",
    E.INVALID_MESSAGES: "a frame is no OCPP message, or a request breaks its schema; once per connection",
    E.REPLAY: "cannot occur: TLS refuses replayed records, and a repeated request gets its first answer again",
    E.TAMPER: "the board reports an open door, or a modem another SIM than before",
    E.INVALID_FIRMWARE_SIGNATURE: "the file is not signed with its certificate's key, or its updater refuses it",
    E.INVALID_SIGNING_CERTIFICATE: "no installed manufacturer's root has signed the signing certificate",
    E.INVALID_CSMS_CERTIFICATE: "the backend's certificate is not trusted, too old, or another host's",
    E.INVALID_OWN_CERTIFICATE: "CertificateSigned brought a chain that does not fit: key, name, dates or issuer",
    E.INVALID_TLS_VERSION: "the backend speaks no TLS 1.2 or newer",
    E.INVALID_TLS_CIPHER: "the backend has none of the cipher suites of the standard",
}
"""What raises each here, or why it cannot occur (``docs/conformance.md`` prints it)."""

NEVER = frozenset({E.CSMS_FAILED_TO_AUTHENTICATE, E.LOG_CLEARED, E.REPLAY})

REPEATED = frozenset({
    E.FAILED_TO_AUTHENTICATE, E.MEMORY_EXHAUSTION, E.INVALID_MESSAGES, E.INVALID_CSMS_CERTIFICATE,
    E.INVALID_TLS_VERSION, E.INVALID_TLS_CIPHER,
})  # fmt: skip
"""What comes again at every attempt of one outage: one event until the link was up."""

LOG_MAX = 500


@frozen
class Noted:
    """A record of the security log. ``link``: which backend it is about, "" the station. ``info`` holds no secret."""

    kind: str
    at: Stamp
    info: str = ""
    link: str = ""


@mutable
class SecurityLog:
    """The last ``LOG_MAX`` events, oldest first; ``number`` counts all that ever were."""

    records: deque[Noted]
    number: int = 0

    @classmethod
    def new_empty_log(cls) -> SecurityLog:
        return cls(deque(maxlen=LOG_MAX))
