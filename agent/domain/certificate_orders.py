"""Define the orders of keys and certificates, and the events that answer them (``services/keys/orders.py``)."""

from __future__ import annotations

from dataclasses import field

from agent.domain.certificates import CertificateUse, HashData, InstalledCertificate
from agent.domain.events import Event
from agent.domain.orders import Order
from agent.model.fastclass import frozen

# --- orders ----------------------------------------------------------------------------------------------------------


@frozen
class PkiOrder(Order):
    """An order of keys or certificates. The event that answers it has the same ``job``."""

    job: str


@frozen
class MakeRequest(PkiOrder):
    """Make a key, and a signing request of it for this organisation. ``RequestMade`` comes back."""

    organisation: str


@frozen
class TakeChain(PkiOrder):
    """Keep this chain (PEM) if it is for a key of this station, and valid. ``ChainTaken`` comes back.

    It has to name this station, to be signed by a trusted authority, and to be valid at ``utc_s``.
    """

    chain: str = field(repr=False)
    utc_s: float | None = None


@frozen
class InstallRoot(PkiOrder):
    """Install a root. At most ``most`` roots may be installed. ``RootInstalled`` comes back.

    ``replaces``: it takes the place of the trusted ones, and one of them has to have signed it.
    """

    use: CertificateUse
    certificate: str = field(repr=False)
    most: int = 0
    utc_s: float | None = None
    replaces: bool = False


@frozen
class ConfirmReplacement(PkiOrder):
    """Delete the roots that a new one replaces, if the connection of this link hangs on it. ``RootDeleted`` comes
    back."""

    link: str


@frozen
class DeleteRoot(PkiOrder):
    """Delete a root; with ``spare_last`` not the last one of central systems. ``RootDeleted`` comes back."""

    named: HashData
    spare_last: bool = False


@frozen
class ListRoots(PkiOrder):
    """List the roots of these uses. ``RootsListed`` comes back."""

    uses: tuple[CertificateUse, ...]


@frozen
class KeepCertificates(Order):
    """Keep only these of the station's own certificates: the others are not needed any more."""

    certificates: tuple[str, ...]


# --- events ----------------------------------------------------------------------------------------------------------


@frozen
class PkiEvent(Event):
    """Answer to the ``PkiOrder`` of this job. ``why`` is one line for a technician, or "" if nothing is wrong."""

    job: str


@frozen
class RequestMade(PkiEvent):
    """A key and its signing request were made. ``csr`` is "" if no key could be written."""

    csr: str


@frozen
class ChainTaken(PkiEvent):
    """A chain was taken, or refused (``why``). Times are UTC seconds since 1970.

    ``certificate``: the name of the certificate in ``PkiPort.client_certificate``.
    """

    certificate: str = ""
    begins_utc_s: float = 0.0
    expires_utc_s: float = 0.0
    why: str = ""


@frozen
class RootInstalled(PkiEvent):
    """A root was installed, or refused (``why``). ``status``: InstallCertificateStatusEnumType."""

    status: str
    why: str = ""


@frozen
class RootDeleted(PkiEvent):
    """A root was deleted, or kept. ``status``: DeleteCertificateStatusEnumType."""

    status: str


@frozen
class RootsListed(PkiEvent):
    """The roots that are trusted for the uses of the order."""

    roots: tuple[InstalledCertificate, ...] = ()


@frozen
class SigningAnswered(Event):
    """The backend has accepted, or rejected, the signing request of the station."""

    link: str
    accepted: bool


@frozen
class SigningWanted(Event):
    """A certificate of the station's own is to be signed: the backend asks for it, or the present one is old."""
