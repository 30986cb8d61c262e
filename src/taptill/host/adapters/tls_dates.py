"""May this certificate be believed today? Dates, by the terminal's time and not by the machine's clock.

Comes in: the chain OpenSSL has verified in all but its dates, and a moment that has surely passed. Goes out: nothing,
or what is wrong and what to do about it.
Strategy: a machine without a battery clock starts in 1970 and learns the time from the host, over this very
connection. What expired before a moment that has surely passed is refused always; what is not valid yet only when the
time is trusted: seen from a floor in the past, the present is not valid yet either (DESIGN 5.14).
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taptill.clock import Timestamp, Trust

X509_V_FLAG_NO_CHECK_TIME = 0x200000  # X509_VERIFY_PARAM_set_flags(3)
_ENCODING_DER = 2  # of Python's `_ssl`, 3.10 to 3.12


def leave_dates_to_us(context: ssl.SSLContext) -> None:
    """OpenSSL goes on verifying chain, name and purposes."""
    context.verify_flags |= X509_V_FLAG_NO_CHECK_TIME


def verified_chain(connection: ssl.SSLSocket) -> list[bytes]:
    """DER, the host's own first and the one we trust last, as OpenSSL has found them to belong together."""
    if sys.version_info >= (3, 13):
        return connection.get_verified_chain()
    chain = attrgetter("_sslobj.get_verified_chain")(connection)()  # under this name public since Python 3.13
    return [certificate.public_bytes(_ENCODING_DER) for certificate in chain or ()]


def date_refusal(chain: Sequence[bytes], trusted: Sequence[bytes], at: Timestamp) -> str:
    """Why a chain cannot be believed at `at`, with the next step; empty when it can. An authority that was renewed
    with its key is as good as its best certificate among `trusted`."""
    if not chain:
        return "the host showed no certificate"
    try:
        return _date_refusal([x509.load_der_x509_certificate(der) for der in chain], trusted, at)
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"the host's certificate has no readable dates: {error}; {_NAMES[0][1]}"


def _date_refusal(certificates: Sequence[x509.Certificate], trusted: Sequence[bytes], at: Timestamp) -> str:
    anchor = certificates[-1]
    renewed = [other for other in map(x509.load_der_x509_certificate, trusted) if _is_same_authority(other, anchor)]
    for place, certificate in enumerate(certificates):
        candidates = [certificate, *renewed] if certificate is anchor else [certificate]
        refusals = [_refusal(candidate, place, at) for candidate in candidates]
        if all(refusals):
            return refusals[0]
    return ""


def _is_same_authority(one: x509.Certificate, other: x509.Certificate) -> bool:
    return one.subject == other.subject and _public_key(one) == _public_key(other)


def _public_key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _refusal(certificate: x509.Certificate, place: int, at: Timestamp) -> str:
    now = datetime.fromtimestamp(at.unix_ms / 1000, UTC)
    whose, renew = _NAMES[min(place, 1)]
    if certificate.not_valid_after_utc < now:
        return f"{whose} certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}; {renew}"
    if at.trust > Trust.GUESS and certificate.not_valid_before_utc > now:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
        return (
            f"{whose} certificate is valid from {begins}, today is {now:%Y-%m-%d}; set this machine's clock, or {renew}"
        )
    return ""


_NAMES = (
    ("the host's", "ask the acquirer to renew it"),
    ("the authority's", "install the acquirer's new one in [host] ca"),
)
