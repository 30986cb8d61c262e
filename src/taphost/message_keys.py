"""The keys of one message: what a KSN stands for.

Comes in: the base derivation key, a 12-byte KSN. Goes out: MACs of both directions, the opened envelope.
Strategy: AES-128 DUKPT, derived anew for every message; separate usages for request MAC, response MAC and data
(DESIGN 5.15), so that no answer can be played back as a request.
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from taphost.errors import UnreadableMessage
from taptill.credential.dukpt import (
    INITIAL_KEY_ID_OCTETS,
    DukptError,
    KeyUsage,
    derive_initial_key,
    derive_working_key,
)
from taptill.host.codec import MAC_OCTETS

KSN_OCTETS = INITIAL_KEY_ID_OCTETS + 4
NONCE_OCTETS = 12


class MessageKeys:
    """Usable for one KSN. Raises UnreadableMessage for a KSN that AES DUKPT does not know."""

    def __init__(self, bdk: bytes, ksn: bytes) -> None:
        if len(ksn) != KSN_OCTETS:
            raise UnreadableMessage(f"a KSN has {KSN_OCTETS} bytes, not {len(ksn)}", where="DE59")
        self._key_set = ksn[:INITIAL_KEY_ID_OCTETS]
        self._counter = int.from_bytes(ksn[INITIAL_KEY_ID_OCTETS:], "big")
        self._initial_key = derive_initial_key(bdk, self._key_set)
        self._request_key = self._derive(KeyUsage.MAC_GENERATION)

    def is_request_mac(self, message: bytes, mac: bytes) -> bool:
        """Whether DE64 of a request is right."""
        return hmac.compare_digest(_mac(self._request_key, message), mac)

    def response_mac(self, message: bytes) -> bytes:
        """DE64 of the answer under the same KSN."""
        return _mac(self._derive(KeyUsage.MAC_VERIFICATION), message)

    def open_envelope(self, envelope: bytes, bound_to: bytes) -> bytes | None:
        """The plaintext of nonce, ciphertext and tag; None where it was not sealed with this key for `bound_to`."""
        cipher = AESGCM(self._derive(KeyUsage.DATA_ENCRYPTION))
        try:
            return cipher.decrypt(envelope[:NONCE_OCTETS], envelope[NONCE_OCTETS:], bound_to)
        except (InvalidTag, ValueError):
            return None

    def _derive(self, usage: KeyUsage) -> bytes:
        try:
            return derive_working_key(self._initial_key, self._key_set, self._counter, usage)
        except DukptError as error:
            raise UnreadableMessage(error.what, where="DE59") from error


def _mac(key: bytes, message: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(message)
    return mac.finalize()[:MAC_OCTETS]
