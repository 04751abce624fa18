"""Renew the station's own certificate and keep the roots that it trusts (whitepaper 1.6 A02,
M03-M05; OCPP 2.0.1 A02, A03, M03-M05).

Only the first backend of the station file may change them: what a station trusts is decided by its
operator. The services create and check the files (decision 12). A good certificate is tried next
(``CertificateReady``). The old one stays until a connection was made without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.certificate_orders import (
    ChainTaken,
    ConfirmReplacement,
    DeleteRoot,
    InstallRoot,
    KeepCertificates,
    ListRoots,
    MakeRequest,
    PkiEvent,
    RequestMade,
    RootDeleted,
    RootInstalled,
    RootsListed,
    SigningAnswered,
    SigningWanted,
    TakeChain,
)
from agent.domain.certificates import CertificateUse
from agent.domain.events import (
    CertificateReady,
    ClockTrusted,
    Connected,
    SecurityNoticed,
    Started,
    TimeCame,
)
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.messages import CertificateSigningWanted
from agent.domain.orders import Persist, Send, WakeMe
from agent.domain.requests import (
    CertificateSignedRequest,
    DeleteCertificateRequest,
    InstallCertificateRequest,
    InstalledCertificatesRequest,
)
from agent.domain.security_events import SecurityEvent
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import mutable
from agent.model.types import Moment

DAY_S = 86400.0
UNANSWERED_PAUSE_S = 3600.0
"""So long a restart waits after a request that was not accepted: each makes a new key, and four are kept."""
RENEW_S = 30 * DAY_S
"""A certificate is renewed so long before its end, a short-lived one when a third of its life is
left. Its life counts from the day on which it comes: many authorities sign until a fixed date."""


@mutable
class _Own:
    """The station's own certificate."""

    id: str = ""
    """The certificate that was signed last."""
    worked: str = ""
    """The last certificate that made a connection."""
    renew_utc_s: float = 0.0
    not_before_utc_s: float = 0.0
    """Before this time its renewal is not asked for again (UTC seconds)."""

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> _Own:
        """Read what was stored. Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        not_before_utc_s = float(record.get("not_before_utc_s", 0.0))
        return cls(str(record["id"]), str(record["worked"]), float(record["renew_utc_s"]), not_before_utc_s)

    def to_record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("id", "worked", "renew_utc_s", "not_before_utc_s")}

    def next_request_utc_s(self, utc_s: float) -> float:
        """Return when a renewal is to be asked for, in UTC seconds. A pause that ends in more than two days was noted
        while the clock was wrong."""
        is_pausing = self.not_before_utc_s - utc_s < 2 * DAY_S
        return max(self.renew_utc_s, self.not_before_utc_s) if is_pausing else self.renew_utc_s


class Certificates:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._link = site.config.links[0] if site.config.links else ""
        self._own_certificate = _Own()
        self._waiting_requests: dict[str, Replier | None] = {}
        self._job_count = 0
        self._csr, self._signing_repeats = "", 0
        self._connected_links: set[str] = set()

    # --- a certificate of its own ----------------------------------------------------------------------------------

    @handles_events(SigningWanted)
    def make_signing_request(self, event: SigningWanted, now: Moment) -> Iterator[Yielded]:
        yield MakeRequest(self._new_job(None), self._site.settings.text_value("cpo_name"))

    @handles_events(RequestMade)
    def send_signing_request(self, event: RequestMade, now: Moment) -> Iterator[Yielded]:
        self._waiting_requests.pop(event.job, None)
        self._csr, self._signing_repeats = event.csr, 0
        if event.csr:
            yield from self._request_signing(now)

    def _request_signing(self, now: Moment) -> Iterator[Yielded]:
        """Send the CSR. Each wait is twice as long as the one before (2.0.1 A02.FR.17-19)."""
        wait_s = self._site.settings.int_value("signing_wait_s") * 2.0**self._signing_repeats
        yield Send(self._link, CertificateSigningWanted(self._csr))
        yield WakeMe(Timer(TimerKind.SIGNING_REPEAT), now.t_s + wait_s if wait_s else None)

    @handles_timer(TimerKind.CERTIFICATE_RENEWAL)
    def renew_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._pause_requests(now, UNANSWERED_PAUSE_S)
        yield WakeMe(Timer(TimerKind.CERTIFICATE_RENEWAL), now.t_s + DAY_S)
        yield SigningWanted()

    def _pause_requests(self, now: Moment, pause_s: float) -> Iterator[Yielded]:
        self._own_certificate.not_before_utc_s = (now.utc_s or 0.0) + pause_s
        yield Persist("certificate", self._link, self._own_certificate.to_record())

    @handles_timer(TimerKind.SIGNING_REPEAT)
    def repeat_signing_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        if self._csr and self._signing_repeats < self._site.settings.int_value("signing_repeats"):
            self._signing_repeats += 1
            yield from self._request_signing(now)

    @handles_events(SigningAnswered)
    def note_signing_answer(self, event: SigningAnswered, now: Moment) -> Iterator[Yielded]:
        """Stop the repeats of a request that is rejected. On one that is accepted an authority is at work: a restart
        asks for no other certificate within a day."""
        if not event.accepted:
            yield from self._stop_signing_repeats()
        elif self._own_certificate.renew_utc_s:
            yield from self._pause_requests(now, DAY_S)

    def _stop_signing_repeats(self) -> Iterator[Yielded]:
        self._csr = ""
        yield WakeMe(Timer(TimerKind.SIGNING_REPEAT), None)

    @answers_requests(CertificateSignedRequest)
    def answer_certificate_signed(
        self, request: CertificateSignedRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        if reply.link != self._link:
            yield reply("Rejected")
            return
        yield from self._stop_signing_repeats()
        if len(request.chain) > (most := self._site.settings.int_value("chain_max_size")):
            yield from self._reject_chain(
                reply, f"the chain has {len(request.chain)} characters, at most {most} are possible"
            )
        else:
            yield TakeChain(self._new_job(reply), request.chain, now.utc_s)

    def _reject_chain(self, reply: Replier, why: str) -> Iterator[Yielded]:
        yield reply("Rejected")
        yield SecurityNoticed(SecurityEvent.INVALID_OWN_CERTIFICATE, why, reply.link)

    @handles_events(ChainTaken)
    def use_signed_certificate(self, event: ChainTaken, now: Moment) -> Iterator[Yielded]:
        reply = self._waiting_requests.pop(event.job, None)
        if reply is None:
            return
        if event.why:
            yield from self._reject_chain(reply, event.why)
            return
        life_s = event.expires_utc_s - max(event.begins_utc_s, now.utc_s or 0.0)
        self._own_certificate = _Own(
            event.certificate, self._own_certificate.worked, event.expires_utc_s - min(RENEW_S, life_s / 3)
        )
        yield Persist("certificate", self._link, self._own_certificate.to_record())
        yield reply("Accepted")
        yield KeepCertificates((self._own_certificate.id, self._own_certificate.worked))
        yield SecurityNoticed(SecurityEvent.RECONFIGURATION, "client certificate")
        yield CertificateReady(self._link, event.certificate)
        yield from self._arm_renewal(now)

    @handles_events(Connected)
    def confirm_used_certificate(self, event: Connected, now: Moment) -> Iterator[Yielded]:
        """Keep the certificate that works and drop the one before. If only the previous one works,
        it is renewed tomorrow, unless it comes from the station file."""
        if event.link != self._link:
            return
        access, wanted = event.access, self._site.network_profiles[event.link].profile_in_turn
        if access.profile != 3 or access.certificate != wanted.certificate:
            return  # a connection from before a change
        if self._own_certificate.id and access.certificate != self._own_certificate.id:
            self._own_certificate.renew_utc_s = (now.utc_s or 0.0) + DAY_S if access.certificate else 0.0
            self._own_certificate.id = access.certificate
            yield from self._arm_renewal(now)
        elif access.certificate == self._own_certificate.worked:
            return
        self._own_certificate.worked = access.certificate
        yield Persist("certificate", self._link, self._own_certificate.to_record())
        yield KeepCertificates((self._own_certificate.id, self._own_certificate.worked))

    # --- renewal -----------------------------------------------------------------------------------------------------

    @handles_events(Started)
    def restore_certificate(self, event: Started, now: Moment) -> Iterator[Yielded]:
        record = event.remembered.get("certificate", {}).get(self._link)
        if record is None:
            return
        try:
            self._own_certificate = _Own.of_record(record)
        except (KeyError, TypeError, ValueError) as e:
            yield Persist("poisoned", f"certificate/{self._link}", {"why": type(e).__name__})
            yield Persist("certificate", self._link, None)
        yield from self._arm_renewal(now)

    @handles_events(ClockTrusted)
    def arm_renewal_on_clock(self, event: ClockTrusted, now: Moment) -> Iterator[Yielded]:
        yield from self._arm_renewal(now)

    def _arm_renewal(self, now: Moment) -> Iterator[Yielded]:
        if not self._own_certificate.renew_utc_s:
            yield WakeMe(Timer(TimerKind.CERTIFICATE_RENEWAL), None)
        elif now.utc_s is not None:
            wait_s = self._own_certificate.next_request_utc_s(now.utc_s) - now.utc_s
            yield WakeMe(Timer(TimerKind.CERTIFICATE_RENEWAL), now.t_s + max(0.0, wait_s))

    # --- roots -------------------------------------------------------------------------------------------------------

    @answers_requests(InstallCertificateRequest)
    def answer_install_certificate(
        self, request: InstallCertificateRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        if reply.link != self._link:
            yield reply("Rejected")
            return
        most = self._site.settings.int_value("certificates_max")
        replaces = request.use is CertificateUse.CSMS_ROOT and self._site.settings.bool_value("root_check")
        yield InstallRoot(self._new_job(reply), request.use, request.certificate, most, now.utc_s, replaces)

    @handles_events(Connected)
    def confirm_new_root(self, event: Connected, now: Moment) -> Iterator[Yielded]:
        """Drop the roots that a new one replaces, once a connection hangs on it (2.x M05.FR.13). Every backend with TLS
        has been reached by then: what it hangs on stays."""
        if not self._site.settings.bool_value("root_check"):
            return
        self._connected_links.add(event.link)
        routes = self._site.network_profiles.items()
        secured = {link for link, route in routes if route.profile_in_turn.profile >= 2}
        if self._link in secured and secured <= self._connected_links:
            yield ConfirmReplacement(self._new_job(None), self._link)

    @handles_events(RootInstalled)
    def reply_root_installed(self, event: RootInstalled, now: Moment) -> Iterator[Yielded]:
        yield from self._reply_to_waiting_request(event, event.status)
        if event.status == "Accepted":
            yield SecurityNoticed(SecurityEvent.RECONFIGURATION, "root certificate installed")

    @answers_requests(DeleteCertificateRequest)
    def answer_delete_certificate(
        self, request: DeleteCertificateRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Delete a root. The root that the connection uses stays: without it the station would
        never connect again."""
        if reply.link != self._link:
            yield reply("Failed")
            return
        yield DeleteRoot(self._new_job(reply), request.named, self._site.settings.int_value("security_profile") >= 2)

    @handles_events(RootDeleted)
    def reply_root_deleted(self, event: RootDeleted, now: Moment) -> Iterator[Yielded]:
        yield from self._reply_to_waiting_request(event, event.status)
        if event.status == "Accepted":
            yield SecurityNoticed(SecurityEvent.RECONFIGURATION, "root certificate deleted")

    @answers_requests(InstalledCertificatesRequest)
    def answer_installed_certificate_ids(
        self, request: InstalledCertificatesRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        yield ListRoots(self._new_job(reply), request.uses if request.uses is not None else tuple(CertificateUse))

    @handles_events(RootsListed)
    def reply_roots_listed(self, event: RootsListed, now: Moment) -> Iterator[Yielded]:
        yield from self._reply_to_waiting_request(event, "Accepted" if event.roots else "NotFound", roots=event.roots)

    def _reply_to_waiting_request(self, event: PkiEvent, status: str, **data: Any) -> Iterator[Yielded]:
        reply = self._waiting_requests.pop(event.job, None)
        if reply is not None:
            yield reply(status, data)

    def _new_job(self, reply: Replier | None) -> str:
        self._job_count += 1
        job = f"pki:{self._job_count}"
        self._waiting_requests[job] = reply
        return job
