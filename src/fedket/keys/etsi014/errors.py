"""What goes wrong between an application and its key manager (KME), by what to do about it.

Every message is one line that names the KME, the call, what arrived and what to do; never key
bytes. `KmeBusyError`, `KmeUnreachableError` and `PeerSilentError` may be gone after a while: the
fetch loop of `fedket.keys.etsi014.fetch` tries them again.
"""

from fedket.errors import KeyMaterialError


class KmeError(KeyMaterialError):
    """Base of everything between an application, its KME and the other end of a link."""


class KmeCertificateError(KmeError):
    """A certificate, key or CA file is unusable, or TLS refused one side's certificate."""


class KmeUnreachableError(KmeError):
    """No answer: refused, timed out, closed. Keys of a lost answer are lost for this end."""


class KmeBusyError(KmeError):
    """The KME cannot deliver now: 503, or a 400 that speaks of too few keys. Ask again later."""


class KmeUnauthorizedError(KmeError):
    """401: the KME does not let this application make this call."""


class KmeRefusedError(KmeError):
    """400: the KME finds fault with the request, or does not have the keys."""


class KmeAnswerError(KmeError):
    """The answer is not what ETSI GS QKD 014 prescribes; nothing in it is used."""


class AgreementError(KmeError):
    """The two ends of a link did not agree on keys; neither deposits what is not agreed."""


class EndsApartError(AgreementError):
    """The two ends' streams end at different offsets; the ends have to connect again."""


class PeerSilentError(AgreementError):
    """The other end did not answer; for `Exchange` functions to raise when a message is lost."""


class PeerWithoutKeyError(AgreementError):
    """The other end could not fetch the keys from its own KME: the fault is there, not here."""
