"""What is ordered of keys and certificates, and what comes back (``services/keys/orders.py``)."""

from __future__ import annotations

from dataclasses import field

from agent.domain.certificates import CertificateUse, HashData, InstalledCertificate
from agent.domain.events import Event
from agent.domain.orders import Order
from agent.model.fastclass import frozen

# --- orders ----------------------------------------------------------------------------------------------------------


@frozen
class PkiOrder(Order):
    """``job``: the event that answers the order has the same one."""

    job: str


@frozen
class MakeRequest(PkiOrder):
    """A new key, and a signing request of it for this organisation; ``RequestMade`` comes back."""

    organisation: str


@frozen
class TakeChain(PkiOrder):
    """Is this a chain (PEM) for a key of ours, for this station, signed by whom we trust, valid at ``utc_s``? Then it
    is kept. ``ChainTaken`` comes back."""

    chain: str = field(repr=False)
    utc_s: float | None = None


@frozen
class InstallRoot(PkiOrder):
    """``most``: so many roots may be installed. ``RootInstalled`` comes back."""

    use: CertificateUse
    certificate: str = field(repr=False)
    most: int = 0
    utc_s: float | None = None


@frozen
class DeleteRoot(PkiOrder):
    """``spare_last``: not the last root of central systems. ``RootDeleted`` comes back."""

    named: HashData
    spare_last: bool = False


@frozen
class ListRoots(PkiOrder):
    """``RootsListed`` comes back."""

    uses: tuple[CertificateUse, ...]


@frozen
class KeepCertificates(Order):
    """Of the station's own certificates only these are still needed."""

    certificates: tuple[str, ...]


# --- events ----------------------------------------------------------------------------------------------------------


@frozen
class PkiEvent(Event):
    """Answer to the ``PkiOrder`` of this job. ``why``: one line for a technician, "" where all is well."""

    job: str


@frozen
class RequestMade(PkiEvent):
    """``csr`` "": no key could be written."""

    csr: str


@frozen
class ChainTaken(PkiEvent):
    """``certificate``: what ``PkiPort.client`` calls it. Times are UTC seconds since 1970."""

    certificate: str = ""
    begins_utc_s: float = 0.0
    expires_utc_s: float = 0.0
    why: str = ""


@frozen
class RootInstalled(PkiEvent):
    """``status``: InstallCertificateStatusEnumType."""

    status: str
    why: str = ""


@frozen
class RootDeleted(PkiEvent):
    """``status``: DeleteCertificateStatusEnumType."""

    status: str


@frozen
class RootsListed(PkiEvent):
    roots: tuple[InstalledCertificate, ...] = ()


@frozen
class SigningAnswered(Event):
    """The backend will (or will not) have our signing request signed."""

    link: str
    accepted: bool


@frozen
class SigningWanted(Event):
    """A certificate of the station's own shall be signed: the backend asks for it, or the present one is old."""
