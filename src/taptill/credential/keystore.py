"""The KeyStore port: keys are used here and never leave.

Strategy: the journal owns the key counter and passes it in (DESIGN 5.15); the store only refuses one that lies below
its own mark, which it keeps in reserved blocks, so that a restored journal cannot make it reuse a key.
"""

from __future__ import annotations

from typing import Protocol

from taptill.errors import TapTillError


class KeyStoreError(TapTillError):
    """The store is missing, unreadable, or a key counter was used up."""

    code = 2001


class KeyStore(Protocol):
    """AES-128 DUKPT (ANSI X9.24-3), one key per counter and usage. No call blocks for more than a file sync."""

    def key_set_id(self) -> bytes:
        """The 8-byte initial key id; KSN = key_set_id + 4-byte counter."""

    def counter_floor(self) -> int:
        """The lowest counter a new message may use: the store's own mark."""

    def reserve(self, counter: int) -> None:
        """Make `counter` usable: moves the mark, in blocks, before the first use. Raises KeyStoreError below it."""

    def request_mac(self, counter: int, message: bytes) -> bytes:
        """AES-CMAC with the MAC-generation key, first 8 bytes (DE64)."""

    def response_mac(self, counter: int, message: bytes) -> bytes:
        """AES-CMAC with the MAC-verification key of the same counter, first 8 bytes."""

    def seal(self, counter: int, nonce: bytes, plaintext: bytes | bytearray, bound_to: bytes) -> bytes:
        """AES-GCM with the data key: nonce (12) + ciphertext + tag (16); `bound_to` is authenticated with it."""

    def tokenize(self, pan: bytes | bytearray) -> bytes:
        """16 bytes, keyed and stable: the same card gives the same token."""
